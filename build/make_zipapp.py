"""Builds hunter.pyz: the same bytes from the same sources, wherever and whenever.

    python build/make_zipapp.py [TARGET]

Entries are sorted and carry a fixed time and mode. The part of python-ptrace that is bundled comes
from the installed package, whose version pyproject.toml pins.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

SHEBANG = b"#!/usr/bin/env python3\n"
EPOCH = (1980, 1, 1, 0, 0, 0)
MAIN = b"import sys\nfrom hunter.__main__ import run\nsys.exit(run())\n"
# What ptrace.binding.func imports; hunter.engines.ptrace.kernel stands in for the rest.
PTRACE_FILES = (
    "__init__.py",
    "binding/__init__.py",
    "binding/func.py",
    "binding/linux_struct.py",
    "cpu_info.py",
    "ctypes_tools.py",
    "os_tools.py",
)


def _ptrace_package() -> Path:
    spec = importlib.util.find_spec("ptrace")
    if spec is None or spec.origin is None:
        raise SystemExit("python-ptrace is not installed; run make venv")
    return Path(spec.origin).parent


def entries(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yields name and contents of every file of the zipapp.

    Args:
        root: the project's folder.
    """
    yield "__main__.py", MAIN
    yield "LICENSE", (root / "LICENSE").read_bytes()
    for folder, package in ((root, "hunter"), (root / "shared", "hg_shared")):
        for path in (folder / package).rglob("*.py"):
            yield path.relative_to(folder).as_posix(), path.read_bytes()
    ptrace = _ptrace_package()
    for name in PTRACE_FILES:
        yield f"ptrace/{name}", (ptrace / name).read_bytes()


def zipapp_bytes(root: Path) -> bytes:
    """Returns the zipapp of a source tree.

    Args:
        root: the project's folder.
    """
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(entries(root)):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, data)
    return buffer.getvalue()


def build_zipapp(root: Path, target: Path) -> str:
    """Writes the zipapp and returns its sha256.

    Args:
        root: the project's folder.
        target: file to write; replaced as a whole, never seen half written.
    """
    data = zipapp_bytes(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_bytes(data)
    partial.chmod(0o755)
    partial.replace(target)
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    where = Path(__file__).resolve().parent.parent
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else where / "dist" / "hunter.pyz"
    print(build_zipapp(where, out), out)
