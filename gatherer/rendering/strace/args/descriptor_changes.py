"""Changes to the descriptors of a process by its calls: made, copied, renamed, closed.

Where the tracer has read what a new descriptor refers to, a record says so in its captures; else
it is made of the call's arguments, as far as they tell.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from struct import Struct

from gatherer.rendering.strace.args.literals import signed32
from gatherer.rendering.strace.args.memory import Memory, key
from hg_shared.records import CWD_ARGUMENT, FD_ARGUMENT, Record
from hg_shared.syscalls import lookup

Changes = dict[int, str | None]
"""Descriptor → what it refers to after a call, None when it is closed."""
Entries = Mapping[int, str]
"""Descriptor → what it refers to."""
Change = Callable[[Entries, Record, Memory], Changes]
"""Entries before a call, the call and what was captured, to what the call does."""
CWD = -1
"""Stands among descriptors for the working directory."""
AT_FDCWD = -100
_U32 = 0xFFFFFFFF
_PAIR = Struct("<ii")
_CMSG = Struct("<QII")
_CONTROL_HOP = 3
_DUPLICATES = (0, 1030)
_EINPROGRESS = -115
_CLOSE_RANGE_CLOEXEC = 4
_SOCKETS = {
    (1, 1): "UNIX-STREAM", (1, 2): "UNIX", (1, 5): "UNIX", (2, 1): "TCP", (2, 2): "UDP",
    (10, 1): "TCPv6", (10, 2): "UDPv6", (16, 2): "NETLINK", (16, 3): "NETLINK",
}  # fmt: skip
_ANONYMOUS = {
    "epoll_create": "[eventpoll]", "epoll_create1": "[eventpoll]", "eventfd": "[eventfd]",
    "eventfd2": "[eventfd]", "timerfd_create": "[timerfd]", "signalfd": "[signalfd]",
    "signalfd4": "[signalfd]", "inotify_init": "inotify", "inotify_init1": "inotify",
    "userfaultfd": "[userfaultfd]", "perf_event_open": "[perf_event]",
    "io_uring_setup": "[io_uring]", "fanotify_init": "[fanotify]",
}  # fmt: skip
# Linux's admin-guide/devices.txt.
_DEVICES = {
    "/dev/null": "1:3", "/dev/zero": "1:5", "/dev/full": "1:7", "/dev/random": "1:8",
    "/dev/urandom": "1:9", "/dev/tty": "5:0", "/dev/ptmx": "5:2",
}  # fmt: skip
# Where the path stands; in front of it the directory that it is relative to.
_PATHS = {"open": 0, "creat": 0, "openat": 1, "openat2": 1, "open_tree": 1}


def address_text(sockaddr: bytes) -> str:
    """Returns `address:port` of a struct sockaddr, empty when it is none of the internet."""
    family = int.from_bytes(sockaddr[:2], "little")
    port = int.from_bytes(sockaddr[2:4], "big")
    if family == 2 and len(sockaddr) >= 8:
        return f"{ip_address(sockaddr[4:8])}:{port}"
    if family == 10 and len(sockaddr) >= 24:
        return f"[{ip_address(sockaddr[8:24])}]:{port}"
    return ""


def _directory(entries: Entries, dirfd: int) -> str:
    """Returns the path that a relative path begins at, empty when it is not known."""
    text = entries.get(CWD if dirfd == AT_FDCWD else dirfd, "")
    return text if text.startswith("/") and "\0" not in text else ""


def _captured(memory: Memory, argument: int = FD_ARGUMENT, hop: int = 0) -> str:
    found = memory.get(key(argument, hop))
    return found[1].decode("utf-8", "surrogateescape") if found is not None else ""


def _path(entries: Entries, dirfd: int, memory: Memory, index: int) -> str:
    """Returns the path that an argument names, as far as the arguments tell."""
    found = memory.get(key(index, 0)) or memory.get(key(index, 0, True))
    if found is None or found[0] > len(found[1]):
        return ""
    path = found[1].decode("utf-8", "surrogateescape")
    if not path.startswith("/"):
        base = _directory(entries, dirfd)
        if not base:
            return ""
        path = f"{base}/{path}"
    return posixpath.normpath(path).replace("//", "/")


def _guess(entries: Entries, record: Record, memory: Memory) -> str:
    """Returns what a new descriptor must refer to, from the arguments of the call."""
    syscall = lookup(record.abi, record.nr)
    name = syscall.name if syscall is not None else ""
    args = record.args
    if name in _PATHS:
        index = _PATHS[name]
        path = _path(entries, signed32(args[0]) if index else AT_FDCWD, memory, index)
        return f"{path}\0char {_DEVICES[path]}" if path in _DEVICES else path
    if name in _ANONYMOUS:
        return f"anon_inode:{_ANONYMOUS[name]}"
    if name in ("dup", "dup2", "dup3", "fcntl", "fcntl64"):
        return entries.get(args[0] & 0xFFFFFFFF, "")
    if name == "socket":
        return _SOCKETS.get((args[0] & 0xFFFFFFFF, args[1] & 0xF), "")
    if name in ("accept", "accept4"):
        listening = entries.get(args[0] & 0xFFFFFFFF, "")
        protocol, _, local = listening.partition(":[")
        found = memory.get(key(1, 0))
        remote = address_text(found[1]) if found is not None else ""
        return f"{protocol}:[{local.rstrip(']') or '?'}->{remote}]" if remote else protocol
    if name == "memfd_create":
        found = memory.get(key(0, 0))
        text = found[1].decode("utf-8", "surrogateescape") if found is not None else "?"
        return f"/memfd:{text} (deleted)"
    return f"pid:{args[0] & 0xFFFFFFFF}" if name == "pidfd_open" else ""


def _returned(entries: Entries, record: Record, memory: Memory) -> Changes:
    if record.rval < 0:
        return {}
    return {record.rval: _captured(memory) or _guess(entries, record, memory)}


def _fcntl(entries: Entries, record: Record, memory: Memory) -> Changes:
    return _returned(entries, record, memory) if record.args[1] & _U32 in _DUPLICATES else {}


def _closed(_entries: Entries, record: Record, _memory: Memory) -> Changes:
    # Whatever close(2) returns but EBADF, the descriptor is free then.
    return {} if record.rval == -9 else {record.args[0] & _U32: None}


def _range_closed(entries: Entries, record: Record, _memory: Memory) -> Changes:
    first, last, flags = (arg & _U32 for arg in record.args[:3])
    if record.rval < 0 or flags & _CLOSE_RANGE_CLOEXEC:
        return {}
    return {number: None for number in entries if first <= number <= last}


def _pair(index: int, text: str) -> Change:
    def changes(_entries: Entries, record: Record, memory: Memory) -> Changes:
        found = memory.get(key(index, 0))
        if record.rval < 0 or found is None or len(found[1]) < _PAIR.size:
            return {}
        guess = text or _SOCKETS.get((record.args[0] & _U32, record.args[1] & 0xF), "")
        numbers = _PAIR.unpack_from(found[1])
        return {n: _captured(memory, hop=hop) or guess for hop, n in enumerate(numbers)}

    return changes


def _passed(_entries: Entries, record: Record, memory: Memory) -> Changes:
    """A message may bring descriptors (SCM_RIGHTS)."""
    found = memory.get(key(1, _CONTROL_HOP))
    if record.rval < 0 or found is None:
        return {}
    changes: Changes = {}
    control, at = found[1], 0
    while at + _CMSG.size <= len(control):
        length, level, kind = _CMSG.unpack_from(control, at)
        if length < _CMSG.size:
            break
        if (level, kind) == (1, 1):
            end = min(at + length, len(control)) - 3
            for place in range(at + _CMSG.size, end, 4):
                number = int.from_bytes(control[place : place + 4], "little")
                changes[number] = _captured(memory, hop=len(changes))
        at += (length + 7) // 8 * 8
    return changes


def _addressed(entries: Entries, record: Record, memory: Memory) -> Changes:
    """Bind, connect and listen give a socket addresses."""
    if record.rval < 0 and record.rval != _EINPROGRESS:
        return {}
    number = record.args[0] & _U32
    text = _captured(memory)
    syscall = lookup(record.abi, record.nr)
    name = syscall.name if syscall is not None else ""
    found = memory.get(key(1, 0))
    if not text and name != "listen" and found is not None:
        protocol, _, local = entries.get(number, "").partition(":[")
        given = address_text(found[1])
        if protocol and given and not given.endswith(":0"):
            local = local.partition("->")[0].rstrip("]")
            text = f"{protocol}:[{given}]" if name == "bind" else ""
            text = text or f"{protocol}:[{local or '?'}->{given}]"
    return {number: text} if text else {}


def _changed_directory(entries: Entries, record: Record, memory: Memory) -> Changes:
    if record.rval < 0:
        return {}
    return {CWD: _captured(memory, CWD_ARGUMENT) or _path(entries, AT_FDCWD, memory, 0)}


def _changed_to_descriptor(entries: Entries, record: Record, memory: Memory) -> Changes:
    if record.rval < 0:
        return {}
    return {CWD: _captured(memory, CWD_ARGUMENT) or _directory(entries, record.args[0] & _U32)}


def _unlinked(index: int) -> Change:
    def changes(entries: Entries, record: Record, memory: Memory) -> Changes:
        if record.rval < 0:
            return {}
        directory = signed32(record.args[0]) if index else AT_FDCWD
        path = _path(entries, directory, memory, index)
        found = entries.items() if path else ()
        return {number: f"{path} (deleted)" for number, text in found if text == path}

    return changes


def _renamed(first: int, second: int) -> Change:
    def changes(entries: Entries, record: Record, memory: Memory) -> Changes:
        if record.rval < 0:
            return {}
        at = [signed32(record.args[index - 1]) if first else AT_FDCWD for index in (first, second)]
        old, new = _path(entries, at[0], memory, first), _path(entries, at[1], memory, second)
        found = entries.items() if old and new else ()
        return {
            number: new + text[len(old) :]
            for number, text in found
            if text == old or text.startswith(f"{old}/")
        }

    return changes


_CHANGES: dict[str, Change] = {
    "fcntl": _fcntl,
    "fcntl64": _fcntl,
    "close": _closed,
    "close_range": _range_closed,
    "pipe": _pair(0, "pipe"),
    "pipe2": _pair(0, "pipe"),
    "socketpair": _pair(3, ""),
    "recvmsg": _passed,
    "bind": _addressed,
    "connect": _addressed,
    "listen": _addressed,
    "unlink": _unlinked(0),
    "rmdir": _unlinked(0),
    "unlinkat": _unlinked(1),
    "rename": _renamed(0, 1),
    "renameat": _renamed(1, 3),
    "renameat2": _renamed(1, 3),
    "chdir": _changed_directory,
    "fchdir": _changed_to_descriptor,
}


@lru_cache(maxsize=2048)
def change_of(abi: int, nr: int) -> Change | None:
    """Returns what a call does to the descriptors of its process, None for most calls.

    Args:
        abi: an `Abi`.
        nr: number of the call.
    """
    syscall = lookup(abi, nr)
    if syscall is None:
        return None
    found = _CHANGES.get(syscall.name)
    if found is None and syscall.returns == "fd":
        return _returned
    return found
