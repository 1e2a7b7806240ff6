from __future__ import annotations

import hashlib
import os
from typing import Callable

import pytest

from gatherer.guest import receive_hunter, receive_python

DATA = b"PK-zipapp" * 100


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], bytearray]:
    """Gives a guest its stdin, in parts of 100 bytes; what it leaves stays in it."""

    def give(data: bytes) -> bytearray:
        rest = bytearray(data)

        def read(fd: int, size: int) -> bytes:
            assert fd == 0
            part = bytes(rest[: min(100, size)])
            del rest[: len(part)]
            return part

        monkeypatch.setattr(os, "read", read)
        return rest

    return give


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What a guest writes to its stderr."""
    lines: list[bytes] = []
    write = os.write

    def note(fd: int, data: bytes) -> int:
        if fd != 2:
            return write(fd, data)
        lines.append(bytes(data))
        return len(data)

    monkeypatch.setattr(os, "write", note)
    return lines


def whole(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return file.read()


@pytest.mark.parametrize("guest", [receive_hunter, receive_python])
def test_it_reads_what_it_was_told_and_leaves_the_rest(
    guest: object, stdin: Callable[[bytes], bytearray]
) -> None:
    rest = stdin(DATA + b"hunter's own")
    assert guest.receive(len(DATA)) == DATA  # type: ignore[attr-defined]
    assert rest == b"hunter's own"


@pytest.mark.parametrize("guest", [receive_hunter, receive_python])
def test_a_stdin_that_ends_too_soon(
    guest: object, stdin: Callable[[bytes], bytearray], said: list[bytes]
) -> None:
    stdin(DATA[:150])
    with pytest.raises(SystemExit) as ended:
        guest.receive(len(DATA))  # type: ignore[attr-defined]
    assert ended.value.code == receive_hunter.STDIN_ENDED
    assert said == [b"stdin ended after 150 of 900 bytes\n"]


def test_other_bytes_are_refused(stdin: Callable[[bytes], bytearray], said: list[bytes]) -> None:
    stdin(DATA)
    with pytest.raises(SystemExit) as ended:
        receive_hunter.main("copy", len(DATA), "0" * 64, [])
    assert ended.value.code == receive_hunter.DIGEST_DIFFERS
    assert said[0].startswith(b"sha256 " + b"0" * 64 + b" expected, ")


@pytest.mark.parametrize("keep", [receive_hunter.store, receive_hunter.in_memory])
def test_the_file_has_no_name(keep: Callable[[bytes], int]) -> None:
    fd = keep(DATA)
    name = os.readlink(f"/proc/self/fd/{fd}")
    assert name.endswith(" (deleted)")
    assert whole(fd) == DATA


def test_every_place_that_refuses_is_told(
    monkeypatch: pytest.MonkeyPatch, said: list[bytes]
) -> None:
    def refuse(path: str, *_: object) -> int:
        raise OSError(30, "Read-only file system", path)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setenv("HOME", "/home/app")
    with pytest.raises(SystemExit) as ended:
        receive_hunter.store(DATA)
    assert ended.value.code == receive_hunter.NOTHING_WRITABLE
    places = [part.partition(":")[0] for part in said[0].decode().split(", ")]
    assert places == ["/tmp", "/var/tmp", "/dev/shm", "/home/app", "/run", "."]


def test_hunter_is_started_where_there_can_be_no_process_beside(
    monkeypatch: pytest.MonkeyPatch, said: list[bytes]
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(receive_hunter, "beside", lambda: -1)
    monkeypatch.setattr(os, "execv", lambda _path, command: started.append(command))
    receive_hunter.become("/dev/null", ["--frequency", "5"])
    assert said == [receive_hunter.RECEIVED]
    assert started[0][-3:] == ["/dev/null", "--frequency", "5"]
    assert "--exclude-pid" not in started[0]


def test_the_files_of_a_portable_python_are_compared(
    tmp_path_factory: pytest.TempPathFactory, said: list[bytes]
) -> None:
    directory = tmp_path_factory.mktemp("bundle")
    (directory / "lib").mkdir()
    (directory / "lib" / "a.so").write_bytes(DATA)
    line = f"{hashlib.sha256(DATA).hexdigest()} lib/a.so\n".encode()
    receive_python.check(str(directory), hashlib.sha256(line).hexdigest())
    with pytest.raises(SystemExit) as ended:
        receive_python.check(str(directory), "0" * 64)
    assert ended.value.code == receive_python.DIGEST_DIFFERS
    assert b"instead of 0000" in said[0]
    receive_python.remove(str(directory))
    assert not directory.exists()
