"""The machine's only file system: busybox, this interpreter, gatherer, and what is traced.

It is an initramfs, so that the kernel needs no driver and no module. What Python imports is
compiled before: without hardware help it would take minutes in there.
"""

from __future__ import annotations

import compileall
import gzip
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from gatherer.inject.zipapp import fresh_zipapp
from gatherer.probe.program import python_program

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# What gatherer imports with `--runtime local --agent none`.
PACKAGES = ("aiofiles", "click", "psutil", "rich", "pygments", "markdown_it", "mdurl")
_LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "test", "tests", "ensurepip", "idlelib", "tkinter", "lib2to3", "turtledemo",
    "site-packages", "config-*", "*.a",
)  # fmt: skip
_INIT = """\
#!/bin/busybox sh
export PATH=/bin:{python}/bin PYTHONPATH=/hg HOME=/root LANG=C.UTF-8
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/shm /sys/fs/cgroup; mount -t tmpfs shm /dev/shm
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo '+memory +cpu +pids' >/sys/fs/cgroup/cgroup.subtree_control
ip link set lo up
dmesg -n 1
{python}/bin/python3 /guest.py >/dev/ttyS0 2>&1 </dev/null
poweroff -f
"""


def build(work: Path) -> Path:
    """Returns the compressed archive, made anew.

    Args:
        work: a directory for it.
    """
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "proc", "sys", "dev", "tmp", "run", "etc", "root", "hg/gatherer/_data"):
        (tree / name).mkdir(parents=True)
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
    (tree / "etc/hostname").write_text("kernel\n")
    _install(Path("/bin/busybox"), tree, Path("bin/busybox"))
    python = Path(sys.base_prefix)
    _interpreter(python, tree)
    site = tree / "hg"
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert spec.origin is not None, name
        shutil.copytree(Path(spec.origin).parent, site / name, ignore=_LEFT_OUT)
    for library in site.rglob("*.so"):
        _libraries(library, tree)
    shutil.copytree(ROOT / "gatherer", site / "gatherer", ignore=_LEFT_OUT, dirs_exist_ok=True)
    shutil.copytree(ROOT / "shared/hg_shared", site / "hg_shared", ignore=_LEFT_OUT)
    shutil.copy2(fresh_zipapp(ROOT), site / "gatherer/_data/hunter.pyz")
    compileall.compile_dir(site, quiet=2, stripdir=str(tree), force=True)
    compileall.compile_dir(
        tree / str(python).lstrip("/"), quiet=2, stripdir=str(tree), force=True, maxlevels=20
    )
    target = work / "target"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", target, HERE / "target.c"], check=True)
    _install(target, tree, Path("bin/target"))
    for name in ("guest.py", "verifier.py"):
        shutil.copy2(HERE / name, tree / name)
    (tree / "probe.py").write_text(python_program())
    (tree / "init").write_text(_INIT.format(python=python))
    (tree / "init").chmod(0o755)
    return _pack(tree, work / "initramfs.gz")


def _interpreter(python: Path, tree: Path) -> None:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    program = python / "bin" / version
    _install(program, tree, program.relative_to("/"))
    (tree / str(python / "bin/python3").lstrip("/")).symlink_to(version)
    library = python / "lib" / version
    place = tree / str(library).lstrip("/")
    shutil.copytree(library, place, ignore=_LEFT_OUT, symlinks=True, dirs_exist_ok=True)
    for extension in (place / "lib-dynload").glob("*.so"):
        _libraries(library / "lib-dynload" / extension.name, tree)


def _install(program: Path, tree: Path, name: Path) -> None:
    """Puts a program and the libraries it is linked with into the tree."""
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, tree / name)
    _libraries(program, tree)


def _libraries(program: Path, tree: Path) -> None:
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for word in told.split():
        place = tree / word.lstrip("/")
        if word.startswith("/") and not place.exists() and not word.startswith(str(tree)):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(word, place)


def _pack(tree: Path, archive: Path) -> Path:
    listing = archive.with_suffix(".names")
    with listing.open("wb") as names:
        subprocess.run(["find", "."], cwd=tree, check=True, stdout=names)
    command = ["cpio", "-o", "-H", "newc", "--quiet"]
    with listing.open("rb") as names, gzip.open(archive, "wb", compresslevel=1) as packed:
        with subprocess.Popen(command, cwd=tree, stdin=names, stdout=subprocess.PIPE) as cpio:
            assert cpio.stdout is not None
            shutil.copyfileobj(cpio.stdout, packed, 1 << 20)
    return archive
