"""Unix sockets as the kernel reports them: name and peer (sock_diag(7))."""

from __future__ import annotations

import socket
from struct import Struct, error
from typing import Optional, Tuple

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_UDIAG_SHOW_NAME, _UDIAG_SHOW_PEER = 1, 4
_UNIX_DIAG_NAME, _UNIX_DIAG_PEER = 0, 2
_HEADER = Struct("<IHHII")
# struct unix_diag_req and unix_diag_msg of linux/unix_diag.h.
_REQUEST = Struct("<BBHIII8s")
_MESSAGE_SIZE = 16
_ATTRIBUTE = Struct("<HH")
_NO_COOKIE = b"\xff" * 8
TIMEOUT = 0.2

Described = Tuple[bytes, int]
"""Name, empty for none, with a NUL in front when it is abstract; inode of the peer, 0 for none."""


def request(inode: int) -> bytes:
    """Returns the question about one unix socket. Pure."""
    body = _REQUEST.pack(
        socket.AF_UNIX, 0, 0, 0xFFFFFFFF, inode, _UDIAG_SHOW_NAME | _UDIAG_SHOW_PEER, _NO_COOKIE
    )
    size = _HEADER.size + len(body)
    return _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body


def parse_answer(data: bytes) -> Optional[Described]:
    """Returns what an answer says, None when it is an error or cut short. Pure.

    Args:
        data: one netlink message.
    """
    try:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        if kind != _SOCK_DIAG_BY_FAMILY:
            return None
        end = min(length, len(data))
        at = _HEADER.size + _MESSAGE_SIZE
        name, peer = b"", 0
        while at + _ATTRIBUTE.size <= end:
            size, attribute = _ATTRIBUTE.unpack_from(data, at)
            if size < _ATTRIBUTE.size:
                return None
            value = data[at + _ATTRIBUTE.size : at + size]
            if attribute == _UNIX_DIAG_NAME:
                name = value if value[:1] == b"\0" else value.rstrip(b"\0")
            elif attribute == _UNIX_DIAG_PEER:
                peer = int.from_bytes(value, "little")
            at += (size + 3) & ~3
        return name, peer
    except error:
        return None


def describe(inode: int) -> Optional[Described]:
    """Returns name and peer of a unix socket in hunter's network namespace, None when unknown.

    Args:
        inode: of the socket.
    """
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as asked:
            asked.settimeout(TIMEOUT)
            asked.send(request(inode))
            return parse_answer(asked.recv(4096))
    except OSError:
        return None  # no such socket here, or a seccomp profile forbids the question
