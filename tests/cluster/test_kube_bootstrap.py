"""The bootstrap on every CPython there is here, from the floor up."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest

from gatherer.guest import receive_hunter
from gatherer.inject.exec_start import bootstrap_text
from gatherer.probe.interpreters import _PROBE, Interpreter, parse_interpreters
from hunter import front

REPORT = """
import os, sys
rest = b""
while True:
    data = os.read(0, 10)
    if not data:
        break
    rest += data
sys.stdout.write("%d.%d %s %s" % (*sys.version_info[:2], sys.argv[1:], rest.decode()))
sys.stdout.flush()
os.write(int(sys._xoptions["hunter"]), bytes([5]))
"""


def interpreters() -> list[str]:
    """Returns this interpreter and those on PATH or in a pyenv, one of each minor version."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {sys.version_info.minor: sys.executable}
    for minor in range(8, 15):
        installed = [str(path) for path in versions.glob(f"3.{minor}.*/bin/python")]
        for candidate in filter(None, [shutil.which(f"python3.{minor}"), *installed]):
            # A pyenv's shim stands for a version that may not be active.
            if (
                minor not in found
                and subprocess.run([candidate, "-V"], capture_output=True).returncode == 0
            ):
                found[minor] = candidate
    return [found[minor] for minor in sorted(found)]


INTERPRETERS = interpreters()
EACH = pytest.mark.parametrize("python", INTERPRETERS, ids=lambda path: path.split("/")[-3])


def zipapp(waits_lightly: bool = True) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        if waits_lightly:
            archive.writestr("hunter/__init__.py", "")
            archive.writestr("hunter/front.py", Path(front.__file__).read_text())
        archive.writestr("__main__.py", REPORT)
        archive.writestr("ballast", os.urandom(200_000))
    return buffer.getvalue()


def run(
    python: str,
    data: bytes,
    sha256: str,
    *,
    size: int | None = None,
    cwd: Path | None = None,
    where: str = "copy",
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [
            *(python, "-I", "-S", "-c", bootstrap_text(), where),
            *(str(size or len(data)), sha256, "--flag", "a b"),
        ],
        input=data + b"the rest is hunter's",
        capture_output=True,
        check=False,
        timeout=30,
        cwd=cwd,
    )


@EACH
@pytest.mark.parametrize("waits_lightly", [True, False])
def test_it_takes_its_bytes_and_leaves_the_rest(python: str, waits_lightly: bool) -> None:
    data = zipapp(waits_lightly)
    done = run(python, data, hashlib.sha256(data).hexdigest())
    assert done.stderr == receive_hunter.RECEIVED
    version, _, rest = done.stdout.decode().partition(" ")
    in_front = re.fullmatch(
        r"\['--flag', 'a b', '--exclude-pid', '(\d+)'\] the rest is hunter's", rest
    )
    assert in_front is not None, rest
    assert version.startswith("3.")
    assert done.returncode == 5, "as hunter says, whose parent does not know it"


class Started:
    """The bootstrap as an exec's process, and hunter beside it."""

    def __init__(self, python: str) -> None:
        data = zipapp()
        digest = hashlib.sha256(data).hexdigest()
        self.front = subprocess.Popen(
            [python, "-I", "-S", "-c", bootstrap_text(), "memory", str(len(data)), digest],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.front.stdin is not None
        assert self.front.stderr is not None
        self.front.stdin.write(data)
        self.front.stdin.flush()
        assert self.front.stderr.readline() == receive_hunter.RECEIVED
        [self.hunter] = [
            child
            for child in psutil.Process().children()
            if child.pid != self.front.pid
            and child.status() != psutil.STATUS_ZOMBIE
            # Before and after it has become another program.
            and any(word == digest or word.startswith("hunter=") for word in child.cmdline())
        ]

    def close(self) -> None:
        for stream in (self.front.stdin, self.front.stdout, self.front.stderr):
            assert stream is not None
            stream.close()
        # This process is its parent, as the shim of a container is.
        os.waitpid(self.hunter.pid, 0)


@EACH
def test_hunter_outlives_the_process_of_its_exec(python: str) -> None:
    """As when containerd kills that one, because a kubelet was restarted."""
    started = Started(python)
    front = started.front
    front.kill()
    assert front.wait() == -9
    assert front.stdin is not None
    assert front.stdout is not None
    front.stdin.write(b"hunter's own")
    front.stdin.close()
    assert front.stdout.read().endswith(f" ['--exclude-pid', '{front.pid}'] hunter's own".encode())
    started.close()


@EACH
def test_a_hunter_that_is_killed_did_not_say_how_it_ended(python: str) -> None:
    started = Started(python)
    started.hunter.kill()
    assert started.front.wait(10) == receive_hunter.SILENT
    started.close()


@EACH
def test_it_refuses_other_bytes(python: str) -> None:
    data = zipapp()
    done = run(python, data, "0" * 64)
    assert done.returncode == receive_hunter.DIGEST_DIFFERS
    received = hashlib.sha256(data).hexdigest()
    assert done.stderr.decode() == f"sha256 {'0' * 64} expected, {received} received\n"
    assert done.stdout == b""


@EACH
def test_it_notices_that_stdin_ends_too_soon(python: str) -> None:
    data = b"short"
    done = run(python, data, "0" * 64, size=1000)
    assert done.returncode == receive_hunter.STDIN_ENDED
    assert done.stderr == b"stdin ended after 25 of 1000 bytes\n"


@EACH
def test_the_probe_tells_version_ctypes_and_path(python: str) -> None:
    done = subprocess.run(
        [python, "-E", "-S", "-c", _PROBE, "x"], capture_output=True, check=False, timeout=30
    )
    (found,) = parse_interpreters(done.stdout)
    assert isinstance(found, Interpreter)
    assert Path(found.path).is_absolute()
    assert done.returncode == (0 if found.usable else 1)
    assert found.usable
