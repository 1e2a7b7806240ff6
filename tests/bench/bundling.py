"""The bundled Python: its size, and how long hunter takes to its first word on it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from gatherer.inject.exec_start import program_text
from gatherer.inject.portable_python import LOADER, PROGRAM, PortablePython, make_bundle
from gatherer.inject.zipapp import hunter_image
from gatherer.target.values import HunterImage

_ARGUMENTS = ("--memory", "1000000000000", "--force")


def measure(folder: Path) -> dict[str, float]:
    """Makes a bundle and starts hunter on it, and on this interpreter beside it.

    Args:
        folder: where the bundle is unpacked.
    """
    hunter = hunter_image()
    begun = time.perf_counter()
    bundle = make_bundle(hunter)
    made = time.perf_counter() - begun
    directory = folder / ".hunter-bundle"
    for path, data in bundle.files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o700 if path in PortablePython.EXECUTABLE else 0o600)
    bundled = _first_word(
        [
            *(str(directory / LOADER), "--library-path", str(directory / "lib")),
            *(str(directory / PROGRAM), "-I", "-S", "-c", program_text("receive_python")),
            *(str(directory), bundle.digest, str(len(hunter.data)), hunter.sha256, *_ARGUMENTS),
        ],
        hunter,
    )
    assert not directory.exists()
    usual = _first_word(
        [
            *(sys.executable, "-I", "-S", "-c", program_text("receive_hunter"), "memory"),
            *(str(len(hunter.data)), hunter.sha256, *_ARGUMENTS),
        ],
        hunter,
    )
    return {
        "size, MB": bundle.size / 1e6,
        "compressed, MB": len(bundle.to_zip()) / 1e6,
        "files": len(bundle.files),
        "made in, s": made,
        "from start to Hello, s": bundled,
        "the same with a Python that is there, s": usual,
        "ratio": bundled / usual,
    }


def _first_word(command: list[str], hunter: HunterImage) -> float:
    """Returns the seconds from the start of a process to its first byte of stdout."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(hunter.data)
    process.stdin.flush()
    assert process.stdout.read(1)
    took = time.perf_counter() - begun
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    return took
