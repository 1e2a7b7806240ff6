from __future__ import annotations

import os
import select

import pytest

from gatherer.guest import rejoin_relay

LINK = 9


class Descriptors:
    """Descriptors 0, 1 and `LINK` as poll(2), read(2) and write(2) show them; stdin, then its end.

    Attributes:
        written: what came out at each.
    """

    def __init__(self, stdin: list[bytes], link: list[bytes]) -> None:
        self.incoming = {0: stdin, LINK: link}
        self.written = {1: b"", LINK: b""}
        self.wanted: dict[int, int] = {}

    def poll(self) -> Descriptors:
        self.wanted = {}
        return self

    def register(self, fd: int, events: int) -> None:
        self.wanted[fd] = events

    def __call__(self, fd: int, data: bytes) -> int:
        part = bytes(data[:5])
        self.written[fd] += part
        return len(part)

    def read(self, fd: int, _size: int) -> bytes:
        return self.incoming[fd].pop(0)

    def events(self, timeout: int | None) -> list[tuple[int, int]]:
        ready = []
        for fd, wanted in self.wanted.items():
            mask = wanted & select.POLLOUT
            if wanted & select.POLLIN and self.incoming[fd]:
                mask |= select.POLLIN
            if mask:
                ready.append((fd, mask))
        return ready


def carried(monkeypatch: pytest.MonkeyPatch, stdin: list[bytes], link: list[bytes]) -> Descriptors:
    world = Descriptors(stdin, link)

    class Poll:
        def __init__(self) -> None:
            world.poll()

        register = staticmethod(world.register)
        poll = staticmethod(world.events)

    monkeypatch.setattr(select, "poll", Poll)
    monkeypatch.setattr(os, "set_blocking", lambda _fd, _blocking: None)
    monkeypatch.setattr(os, "read", world.read)
    monkeypatch.setattr(os, "write", world)
    rejoin_relay.carry(LINK)
    return world


def test_it_carries_bytes_both_ways_until_hunter_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = carried(monkeypatch, [b"challenge"], [b"a frame", b"response", b""])
    assert world.written == {1: b"a frameresponse", LINK: b"challenge"}


def test_it_ends_with_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert carried(monkeypatch, [b""], []).written == {1: b"", LINK: b""}


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        def __init__(self, _family: int) -> None:
            pass

        def connect(self, address: str) -> None:
            assert address == "\0hunter-x"
            raise ConnectionRefusedError

    monkeypatch.setattr(rejoin_relay.socket, "socket", Refused)
    with pytest.raises(SystemExit) as ended:
        rejoin_relay.connect("hunter-x")
    assert ended.value.code == rejoin_relay.NOBODY
