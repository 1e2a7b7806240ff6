"""A bundle made from the Python that runs this, on a root that holds nothing but a shell."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from gatherer.inject.exec_start import program_text
from gatherer.inject.portable_python import LOADER, PROGRAM, PortablePython, make_bundle
from gatherer.inject.zipapp import hunter_image
from hg_shared.framing import FrameDecoder
from hg_shared.messages import Goodbye, Hello
from hg_shared.wire import decode

BUSYBOX = Path("/bin/busybox")
DIRECTORY = "/tmp/.hunter-bundle"

pytestmark = pytest.mark.skipif(
    not BUSYBOX.exists() or os.geteuid() != 0, reason="needs busybox-static, and root for chroot"
)


@pytest.fixture(scope="module")
def bundle() -> PortablePython:
    return make_bundle(hunter_image())


@pytest.fixture
def root(tmp_path: Path, bundle: PortablePython) -> Path:
    """A root with a busybox and the bundle."""
    for folder in ("bin", "dev", "proc", "tmp"):
        (tmp_path / folder).mkdir()
    os.mknod(tmp_path / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    shutil.copy2(BUSYBOX, tmp_path / "bin/busybox")
    (tmp_path / "bin/sh").symlink_to("busybox")
    for path, data in bundle.files.items():
        file = tmp_path / DIRECTORY[1:] / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o700 if path in PortablePython.EXECUTABLE else 0o600)
    return tmp_path


def start(
    root: Path, digest: str, sent: bytes, *arguments: str
) -> subprocess.CompletedProcess[bytes]:
    hunter = hunter_image()
    script = f'mount -t proc none {root}/proc; exec chroot {root} "$@"'
    return subprocess.run(
        [
            *("unshare", "--mount", "--pid", "--fork", "sh", "-c", script, "sh"),
            *(f"{DIRECTORY}/{LOADER}", "--library-path", f"{DIRECTORY}/lib"),
            *(f"{DIRECTORY}/{PROGRAM}", "-I", "-S", "-c", program_text("receive_python")),
            *(DIRECTORY, digest, str(len(hunter.data)), hunter.sha256, *arguments),
        ],
        input=sent,
        capture_output=True,
        timeout=60,
        env={"LANG": "de_DE.UTF-8", "PATH": os.environ["PATH"]},
    )


def test_it_becomes_hunter_and_nothing_stays(root: Path, bundle: PortablePython) -> None:
    arguments = ("--memory", "1000000000000", "--frequency", "1")
    done = start(root, bundle.digest, hunter_image().data, *arguments)
    assert done.stderr == b"hunter: received\n"
    assert done.returncode == 0
    decoder = FrameDecoder()
    decoder.receive_data(done.stdout)
    loading, *messages = [decode(frame) for frame in decoder.frames_received()]
    assert isinstance(loading, Hello)
    assert isinstance(messages[0], Hello)
    assert (loading.loading, messages[0].loading) == (True, False)
    assert messages[0].python == bundle.version
    assert messages[0].executable == f"{DIRECTORY}/{PROGRAM}"
    (goodbye,) = (message for message in messages if isinstance(message, Goodbye))
    assert goodbye.reason == "stdin_closed"
    assert goodbye.peak_pss_bytes < 32 << 20
    assert list((root / "tmp").iterdir()) == []


def test_a_file_that_was_damaged_is_noticed(root: Path, bundle: PortablePython) -> None:
    library = next((root / DIRECTORY[1:]).glob("lib/python*.zip"))
    data = bytearray(library.read_bytes())
    data[-1] ^= 1
    library.write_bytes(data)
    done = start(root, bundle.digest, hunter_image().data)
    assert done.returncode == 98
    assert b"the bundle's digest is" in done.stderr
    assert list((root / "tmp").iterdir()) == []


def test_a_hunter_that_did_not_arrive_whole(root: Path, bundle: PortablePython) -> None:
    done = start(root, bundle.digest, hunter_image().data[:1000])
    assert done.returncode == 97
    assert b"stdin ended after 1000 of" in done.stderr
    assert list((root / "tmp").iterdir()) == []


def test_a_bad_option_is_told_as_ever(root: Path, bundle: PortablePython) -> None:
    done = start(root, bundle.digest, hunter_image().data, "--frequency", "never")
    assert done.returncode == 2
    assert b"hunter: error: " in done.stderr
    assert list((root / "tmp").iterdir()) == []


def test_the_same_bytes_twice(bundle: PortablePython) -> None:
    again = make_bundle(hunter_image())
    assert hashlib.sha256(again.to_zip()).digest() == hashlib.sha256(bundle.to_zip()).digest()


def test_python_minus_m_writes_one(tmp_path: Path) -> None:
    import sys

    file = tmp_path / "bundle.zip"
    done = subprocess.run(
        [sys.executable, "-m", "gatherer.inject.portable_python", str(file)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert PortablePython.from_zip(file.read_bytes()).digest in done.stdout
    nowhere = tmp_path / "no" / "bundle.zip"
    failed = subprocess.run(
        [sys.executable, "-m", "gatherer.inject.portable_python", str(nowhere)],
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 3
    assert failed.stderr.startswith("gatherer: error: ")
