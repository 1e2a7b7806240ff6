"""Debian's kernels for virtual machines, downloaded by apt and unpacked; nothing is installed.

The archive is the one that this machine's own apt sources name.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

SUITES = ("bullseye", "bookworm", "trixie", "sid")
"""Kernels 5.10, 6.1, 6.12, and the newest that Debian has."""
_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class KernelMissing(Exception):
    """A kernel that cannot be had here; the text says why."""


def kernel(suite: str, folder: Path) -> Path:
    """Returns a suite's vmlinuz, downloaded when it is not in the folder yet.

    Args:
        suite: of Debian, such as trixie.
        folder: where packages, their lists and the kernel are kept.

    Raises:
        KernelMissing: no Debian archive among the sources, no network, no such suite.
    """
    place = folder / suite
    found = sorted(place.glob("vmlinuz-*"))
    if found:
        return found[-1]
    for name in ("lists/partial", "archives/partial"):
        (place / name).mkdir(parents=True, exist_ok=True)
    (place / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_archive()} {suite} main\n")
    _apt(place, "apt-get", "-qq", "update")
    image = _dependency(place, "linux-image-cloud-amd64", "linux-image-")
    try:
        # Newer packages keep the kernel itself apart from what installs it.
        image = _dependency(place, image, "linux-binary-")
    except KernelMissing:
        pass
    _apt(place, "apt-get", "-qq", "download", image)
    package = max(place.glob("*.deb"), key=lambda path: path.stat().st_mtime)
    listing = _run(place, "dpkg-deb", "-c", package.name)
    inside = next((line.split()[5] for line in listing.splitlines() if "/vmlinuz" in line), None)
    if inside is None:
        raise KernelMissing(f"{package.name} has no vmlinuz")
    unpacked = subprocess.run(
        f"dpkg-deb --fsys-tarfile '{package.name}' | tar -xO '{inside}'",
        shell=True, check=True, capture_output=True, cwd=place,
    ).stdout  # fmt: skip
    release = image.removeprefix("linux-image-").removeprefix("linux-binary-")
    path = place / f"vmlinuz-{release}"
    path.write_bytes(unpacked)
    package.unlink()
    return path


def _archive() -> str:
    """Returns the address of the Debian archive in this machine's sources."""
    files = [_SOURCES[0], *sorted(_SOURCES[1].glob("*"))]
    for file in files:
        if not file.is_file():
            continue
        for word in re.findall(r"https?://\S+", file.read_text()):
            if re.search(r"/debian/?$", word):
                return str(word)
    raise KernelMissing("no Debian archive in this machine's apt sources")


def _dependency(place: Path, package: str, prefix: str) -> str:
    """Returns what a package depends on whose name begins with a prefix."""
    text = _apt(place, "apt-cache", "depends", package)
    for name in re.findall(r"^\s*Depends: (\S+)", text, re.MULTILINE):
        if name.startswith(prefix):
            return str(name)
    raise KernelMissing(f"{package} depends on no {prefix}*")


def _apt(place: Path, *command: str) -> str:
    settings = {
        "Dir::State": place,
        "Dir::State::lists": place / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": place,
        "Dir::Etc::sourcelist": place / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    return _run(place, command[0], *options, *command[1:])


def _run(place: Path, *command: str) -> str:
    try:
        ran = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise KernelMissing(f"no {command[0]} on this machine: kernels are Debian's") from None
    if ran.returncode:
        raise KernelMissing(f"{command[0]}: {' '.join(ran.stderr.split())}")
    return ran.stdout
