"""A self-contained Python for containers that have none: where it comes from, what is in it.

A bundle is a zip file with an interpreter, its dynamic loader, the libraries and the part of the
standard library that hunter uses. Started as `lib/ld.so --library-path lib bin/python` it needs
nothing of the container but a kernel, so one build serves glibc and musl images alike. It is made
from the Python that runs gatherer, which must be on Linux and of the node's architecture; where it
is not, a bundle that was made elsewhere can be put beside the cache.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, cast

from gatherer.errors import DeployError
from gatherer.inject.elf import ElfFile, parse_elf, stripped
from gatherer.target.values import HunterImage

LOADER = "lib/ld.so"
PROGRAM = "bin/python"
EPOCH = (1980, 1, 1, 0, 0, 0)

_INVENTORY_SECONDS = 120.0


@dataclass(frozen=True)
class PortablePython:
    """The files of a bundle.

    Attributes:
        machine: they are for, as uname(2) says.
        version: of the Python.
        files: contents by path; `EXECUTABLE` ones must get their bit.
    """

    machine: str
    version: str
    files: dict[str, bytes]

    EXECUTABLE = (LOADER, PROGRAM)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

    @cached_property
    def digest(self) -> str:
        """The digest that gatherer.guest.receive_python computes from the files again."""
        lines = sorted(
            f"{hashlib.sha256(data).hexdigest()} {path}\n" for path, data in self.files.items()
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def to_zip(self) -> bytes:
        """Returns it as one file, the same bytes for the same contents."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.comment = f"hunter-bundle {self.machine} {self.version}".encode()
            for path, data in sorted(self.files.items()):
                entry = zipfile.ZipInfo(path, EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o755 if path in self.EXECUTABLE else 0o644) << 16
                entry.create_system = 3
                archive.writestr(entry, data)
        return buffer.getvalue()

    @classmethod
    def from_zip(cls, data: bytes) -> PortablePython:
        """Reads what `to_zip` made.

        Raises:
            ValueError: it is no bundle.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                name, machine, version = archive.comment.decode().split(" ")
                files = {path: archive.read(path) for path in archive.namelist()}
        except (zipfile.BadZipFile, UnicodeDecodeError, OSError, RuntimeError) as error:
            raise ValueError(f"no bundle: {error}") from error
        paths = map(PurePosixPath, files)
        if name != "hunter-bundle" or any(p.is_absolute() or ".." in p.parts for p in paths):
            raise ValueError("no bundle")
        if not set(cls.EXECUTABLE) <= set(files):
            raise ValueError("a bundle without a program")
        return cls(machine, version, files)


def find_bundle(machine: str, hunter: HunterImage) -> PortablePython:
    """Returns a bundle for a machine: one that is there, or one made now and kept.

    Args:
        machine: of the node, as uname(2) says.
        hunter: the zipapp that is to run on it.

    Raises:
        DeployError: there is none, and none can be made here; the message says where one can be.
    """
    name = f"hunter-bundle-{machine}.zip"
    for path in (resources.files("gatherer") / "_data" / name, cache_directory() / name):
        if path.is_file():
            return _read(path.read_bytes(), str(path), machine)
    refused = why_not_here(machine)
    if refused:
        raise DeployError(
            f"there is no bundled Python for {machine}: {refused}",
            f"run `python -m gatherer.inject.portable_python {name}` on a {machine} Linux machine"
            f" and put the file into {cache_directory()}, or use --inject ephemeral",
        )
    kept = cache_directory() / f"made-{machine}-{_key(hunter)}.zip"
    if kept.is_file():
        try:
            return _read(kept.read_bytes(), str(kept), machine)
        except DeployError:
            pass  # half written by an earlier version of the world: it is made again
    bundle = make_bundle(hunter)
    _keep(kept, bundle.to_zip())
    return bundle


def why_not_here(machine: str) -> str:
    """Returns why no bundle for a machine can be made on this one, empty when it can."""
    if sys.platform != "linux":
        return f"this machine does not run Linux but {sys.platform}"
    if platform.machine() != machine:
        return f"this machine is {platform.machine()}"
    return ""


def cache_directory() -> Path:
    """Returns where bundles are kept: `$XDG_CACHE_HOME/hunter-gatherer`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hunter-gatherer"


def make_bundle(hunter: HunterImage, python: str = sys.executable) -> PortablePython:
    """Makes a bundle from an interpreter of this machine.

    Args:
        hunter: the zipapp, which decides what is needed.
        python: path of a CPython 3.8 or newer.

    Raises:
        DeployError: it cannot run hunter, or what it needs cannot be found.
    """
    told = _inventory(hunter, python)
    major, minor, _ = told["version"]
    library = f"lib/python{major}.{minor}"
    files: dict[str, bytes] = {
        # Where these are, CPython takes the directory above for its prefix.
        f"{library}/os.py": b"",
        f"lib/python{major}{minor}.zip": _archive(told["modules"]),
    }
    files[PROGRAM], program = _loadable(told["program"])
    extensions = {os.path.realpath(path): path for path in told["extensions"].values()}
    needed: dict[str, ElfFile] = {PROGRAM: program}
    for path in told["mapped"]:
        if path == told["program"] or ".so" not in os.path.basename(path):
            continue
        data, needed[path] = _loadable(path)
        elf = needed[path]
        if path in extensions:
            name = os.path.basename(extensions[path])
            files[f"{library}/lib-dynload/{name}"] = data
        elif os.path.realpath(program.interpreter) == path:
            files[LOADER] = data
        else:
            files[f"lib/{elf.soname or os.path.basename(path)}"] = data
    _check_closure(needed, files)
    return PortablePython(told["machine"], f"{major}.{minor}.{told['version'][2]}", files)


def _inventory(hunter: HunterImage, python: str) -> dict[str, Any]:
    text = resources.files("gatherer.guest").joinpath("list_modules.py").read_text("utf-8")
    with zipfile.ZipFile(io.BytesIO(hunter.data)) as archive:
        paths = [path for path in archive.namelist() if path.endswith(".py")]
    modules = [
        path[: -len(".py")].replace("/", ".").removesuffix(".__init__")
        for path in paths
        if path.startswith(("hunter/", "hg_shared/")) and not path.endswith("__main__.py")
    ]
    with tempfile.NamedTemporaryFile(suffix=".pyz") as file:
        file.write(hunter.data)
        file.flush()
        try:
            done = subprocess.run(
                [python, "-I", "-S", "-c", text, file.name, *modules],
                capture_output=True,
                timeout=_INVENTORY_SECONDS,
                check=True,
            )
            told = json.loads(done.stdout)
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise DeployError(
                f"no bundle can be made from {python}: {' '.join(last) or 'it failed'}",
                "use --inject ephemeral",
            ) from error
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise DeployError(
                f"no bundle can be made from {python}: {error}", "use --inject ephemeral"
            ) from error
    return cast("dict[str, Any]", told)


def _archive(modules: dict[str, str]) -> bytes:
    """Returns the standard library as a zip file of compiled modules, none of them compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, code in sorted(modules.items()):
            entry = zipfile.ZipInfo(f"{name}.pyc", EPOCH)
            entry.create_system = 3
            archive.writestr(entry, bytes.fromhex(code))
    return buffer.getvalue()


def _loadable(path: str) -> tuple[bytes, ElfFile]:
    """Returns a program or library as far as the loader needs it, and what it says of itself."""
    try:
        data = Path(path).read_bytes()
        return stripped(data), parse_elf(data)
    except (OSError, ValueError) as error:
        raise DeployError(f"{path} cannot be bundled: {error}", "use --inject ephemeral") from error


def _check_closure(needed: dict[str, ElfFile], files: dict[str, bytes]) -> None:
    """Makes sure that the loader will find every library by its name."""
    if LOADER not in files:
        raise DeployError(
            "the Python that runs gatherer has no dynamic loader, so it cannot load ctypes",
            "run gatherer with another Python, or use --inject ephemeral",
        )
    there = {os.path.basename(path) for path in files} | {elf.soname for elf in needed.values()}
    for path, elf in needed.items():
        # The loader of musl is its C library.
        missing = [n for n in elf.needed if n not in there and not n.startswith("libc.musl-")]
        if missing:
            raise DeployError(
                f"{path} needs {', '.join(missing)}, which was not loaded",
                "run gatherer with another Python, or use --inject ephemeral",
            )


def _read(data: bytes, path: str, machine: str) -> PortablePython:
    try:
        bundle = PortablePython.from_zip(data)
    except ValueError as error:
        raise DeployError(f"{path} cannot be used: {error}", "remove it") from error
    if bundle.machine != machine:
        raise DeployError(f"{path} is for {bundle.machine}, not {machine}", "remove it")
    return bundle


def _key(hunter: HunterImage) -> str:
    """Returns what tells a bundle that may be used again: the interpreter, and hunter."""
    program = os.path.realpath(sys.executable)
    found = os.stat(program)
    text = f"{program} {sys.version} {found.st_size} {found.st_mtime_ns} {hunter.sha256}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _keep(path: Path, data: bytes) -> None:
    """Writes a bundle that was made, and removes those of earlier versions."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in path.parent.glob(path.name.rpartition("-")[0] + "-*.zip"):
            old.unlink(missing_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        pass  # it is made again next time


def main(arguments: list[str]) -> int:
    """Makes a bundle for this machine's architecture.

    Args:
        arguments: of `python -m gatherer.inject.portable_python FILE`.
    """
    from gatherer.inject.zipapp import hunter_image

    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m gatherer.inject.portable_python FILE", file=sys.stderr)
        return 2
    try:
        refused = why_not_here(platform.machine())
        if refused:
            raise DeployError(f"no bundle can be made here: {refused}")
        bundle = make_bundle(hunter_image())
        data = bundle.to_zip()
        Path(arguments[0]).write_bytes(data)
    except (DeployError, OSError) as error:
        print(f"gatherer: error: {error}", file=sys.stderr)
        return 3
    print(
        f"{arguments[0]}: Python {bundle.version} for {bundle.machine}, {len(bundle.files)} files,"
        f" {bundle.size} bytes, {len(data)} compressed, digest {bundle.digest}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
