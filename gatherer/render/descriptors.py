"""What descriptors refer to: a table for each process, kept from its records, and its text.

A table begins with what hunter read from /proc, and follows the calls that make, copy and close
descriptors. Where the tracer has read what a new descriptor refers to, a record says so in its
captures; else it is made of the call's arguments, as far as they tell.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from heapq import heappop, heappush
from ipaddress import ip_address
from struct import Struct

from gatherer.render.memory import Args, Memory, Place, Render, decode, key
from gatherer.render.returns import Returned
from gatherer.render.text import escape, signed32
from hg_shared.records import CWD_ARGUMENT, FD_ARGUMENT, Record
from hg_shared.syscalls import lookup

Changes = dict[int, str | None]
"""Descriptor → what it refers to after a call, None when it is closed."""
AT_FDCWD = -100
MAX_DESCRIPTORS = 65536
U32 = 0xFFFFFFFF
_PAIR = Struct("<ii")
_CMSG = Struct("<QII")
_CONTROL_HOP = 3
_CWD = -1
_DUPLICATES = (0, 1030)
_EINPROGRESS = -115
_CLOSE_RANGE_CLOEXEC = 4
_NOTHING: Memory = {}
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
_rights = re.compile(r"(cmsg_type=SCM_RIGHTS, cmsg_data=\[)([^\]]*)")
_angle = re.compile(r"[<>](?=([0-7])?)")


@lru_cache(maxsize=4096)
def shown(text: str) -> str:
    """Returns what stands behind a descriptor.

    Args:
        text: as hunter.fds makes it: a path, with NUL and the numbers of a device behind it, or
            anything that does not begin with `/`.
    """
    if not text:
        return ""
    name, _, device = text.partition("\0")
    if not name.startswith("/"):
        return f"<{_printable(name)}>"
    path, deleted = name, ""
    if name.endswith(" (deleted)"):
        path, deleted = name[:-10], "(deleted)"
    # strace's own brackets must stay the only ones.
    inner = _angle.sub(_octal, escape(path.encode("utf-8", "surrogateescape")))
    kind = f"<{_printable(device)}>" if device else ""
    return f"<{inner}{kind}>{deleted}"


def _octal(found: re.Match[str]) -> str:
    return f"\\{ord(found[0]):03o}" if found[1] else f"\\{ord(found[0]):o}"


def _printable(text: str) -> str:
    return escape(text.encode("utf-8", "surrogateescape")).replace('\\"', '"')


def address_text(sockaddr: bytes) -> str:
    """Returns `address:port` of a struct sockaddr, empty when it is none of the internet."""
    family = int.from_bytes(sockaddr[:2], "little")
    port = int.from_bytes(sockaddr[2:4], "big")
    if family == 2 and len(sockaddr) >= 8:
        return f"{ip_address(sockaddr[4:8])}:{port}"
    if family == 10 and len(sockaddr) >= 24:
        return f"[{ip_address(sockaddr[8:24])}]:{port}"
    return ""


@lru_cache(maxsize=2048)
def _change(abi: int, nr: int) -> Callable[[DescriptorTable, Record, Memory], Changes] | None:
    """Returns what a call does to the table, None for most calls."""
    syscall = lookup(abi, nr)
    if syscall is None:
        return None
    found = _CHANGES.get(syscall.name)
    if found is None and syscall.returns == "fd":
        return _returned
    return found


class DescriptorTable:
    """What the descriptors of one process refer to, at a moment that only moves forward."""

    def __init__(self) -> None:
        self.entries: dict[int, str] = {}
        self._pending: list[tuple[int, int, Record | Mapping[str, str]]] = []
        self._count = 0
        self._loaded = False

    def take(self, record: Record) -> None:
        """Takes a call that returned; what it did counts from its end on."""
        if _change(record.abi, record.nr) is not None:
            self._push(record.start + record.duration, record)

    def load(self, time_ns: int, entries: Mapping[str, str]) -> None:
        """Takes a whole table.

        Args:
            time_ns: when it was read, CLOCK_MONOTONIC ns.
            entries: descriptor, or `cwd`, → text.
        """
        if not self._loaded:
            # What was open at first was open before hunter came to read it.
            self._loaded = True
            self._replace(entries)
        self._push(time_ns, entries)

    def inherit(self, parent: DescriptorTable) -> None:
        """Begins as the table of the process that started this one is now."""
        self.entries = dict(parent.entries)

    def advance(self, time_ns: int) -> None:
        """Moves on to a moment, CLOCK_MONOTONIC ns."""
        pending = self._pending
        while pending and pending[0][0] <= time_ns:
            change = heappop(pending)[2]
            if isinstance(change, Record):
                self._apply(self.changes(change))
            else:
                self._replace(change)

    def changes(self, record: Record) -> Changes:
        """Returns what a call does, in the state of this moment."""
        change = _change(record.abi, record.nr)
        if change is None:
            return {}
        return change(self, record, decode(record.captures) if record.captures else _NOTHING)

    def directory(self, dirfd: int) -> str:
        """Returns the path that a relative path begins at, empty when it is not known."""
        text = self.entries.get(_CWD if dirfd == AT_FDCWD else dirfd, "")
        return text if text.startswith("/") and "\0" not in text else ""

    def _push(self, time_ns: int, change: Record | Mapping[str, str]) -> None:
        self._count += 1
        heappush(self._pending, (time_ns, self._count, change))

    def _apply(self, changes: Changes) -> None:
        entries = self.entries
        for descriptor, text in changes.items():
            if text is None:
                entries.pop(descriptor, None)
            elif descriptor in entries or len(entries) < MAX_DESCRIPTORS:
                entries[descriptor] = text

    def _replace(self, entries: Mapping[str, str]) -> None:
        self.entries = {
            _CWD if name == "cwd" else int(name): text
            for name, text in entries.items()
            if name == "cwd" or (name.isascii() and name.isdecimal() and len(name) < 10)
        }


def _captured(memory: Memory, argument: int = FD_ARGUMENT, hop: int = 0) -> str:
    found = memory.get(key(argument, hop))
    return found[1].decode("utf-8", "surrogateescape") if found is not None else ""


def _path(table: DescriptorTable, dirfd: int, memory: Memory, index: int) -> str:
    """Returns the path that an argument names, as far as the arguments tell."""
    found = memory.get(key(index, 0)) or memory.get(key(index, 0, True))
    if found is None or found[0] > len(found[1]):
        return ""
    path = found[1].decode("utf-8", "surrogateescape")
    if not path.startswith("/"):
        base = table.directory(dirfd)
        if not base:
            return ""
        path = f"{base}/{path}"
    return posixpath.normpath(path).replace("//", "/")


def _guess(table: DescriptorTable, record: Record, memory: Memory) -> str:
    """Returns what a new descriptor must refer to, from the arguments of the call."""
    syscall = lookup(record.abi, record.nr)
    name = syscall.name if syscall is not None else ""
    args = record.args
    if name in _PATHS:
        index = _PATHS[name]
        path = _path(table, signed32(args[0]) if index else AT_FDCWD, memory, index)
        return f"{path}\0char {_DEVICES[path]}" if path in _DEVICES else path
    if name in _ANONYMOUS:
        return f"anon_inode:{_ANONYMOUS[name]}"
    if name in ("dup", "dup2", "dup3", "fcntl", "fcntl64"):
        return table.entries.get(args[0] & 0xFFFFFFFF, "")
    if name == "socket":
        return _SOCKETS.get((args[0] & 0xFFFFFFFF, args[1] & 0xF), "")
    if name in ("accept", "accept4"):
        listening = table.entries.get(args[0] & 0xFFFFFFFF, "")
        protocol, _, local = listening.partition(":[")
        found = memory.get(key(1, 0))
        remote = address_text(found[1]) if found is not None else ""
        return f"{protocol}:[{local.rstrip(']') or '?'}->{remote}]" if remote else protocol
    if name == "memfd_create":
        found = memory.get(key(0, 0))
        text = found[1].decode("utf-8", "surrogateescape") if found is not None else "?"
        return f"/memfd:{text} (deleted)"
    return f"pid:{args[0] & 0xFFFFFFFF}" if name == "pidfd_open" else ""


def _returned(table: DescriptorTable, record: Record, memory: Memory) -> Changes:
    if record.rval < 0:
        return {}
    return {record.rval: _captured(memory) or _guess(table, record, memory)}


def _fcntl(table: DescriptorTable, record: Record, memory: Memory) -> Changes:
    return _returned(table, record, memory) if record.args[1] & U32 in _DUPLICATES else {}


def _closed(_table: DescriptorTable, record: Record, _memory: Memory) -> Changes:
    # Whatever close(2) returns but EBADF, the descriptor is free then.
    return {} if record.rval == -9 else {record.args[0] & U32: None}


def _range_closed(table: DescriptorTable, record: Record, _memory: Memory) -> Changes:
    first, last, flags = (arg & U32 for arg in record.args[:3])
    if record.rval < 0 or flags & _CLOSE_RANGE_CLOEXEC:
        return {}
    return {number: None for number in table.entries if first <= number <= last}


def _pair(index: int, text: str) -> Callable[[DescriptorTable, Record, Memory], Changes]:
    def changes(_table: DescriptorTable, record: Record, memory: Memory) -> Changes:
        found = memory.get(key(index, 0))
        if record.rval < 0 or found is None or len(found[1]) < _PAIR.size:
            return {}
        guess = text or _SOCKETS.get((record.args[0] & U32, record.args[1] & 0xF), "")
        numbers = _PAIR.unpack_from(found[1])
        return {n: _captured(memory, hop=hop) or guess for hop, n in enumerate(numbers)}

    return changes


def _passed(_table: DescriptorTable, record: Record, memory: Memory) -> Changes:
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


def _addressed(table: DescriptorTable, record: Record, memory: Memory) -> Changes:
    """Bind, connect and listen give a socket addresses."""
    if record.rval < 0 and record.rval != _EINPROGRESS:
        return {}
    number = record.args[0] & U32
    text = _captured(memory)
    syscall = lookup(record.abi, record.nr)
    name = syscall.name if syscall is not None else ""
    found = memory.get(key(1, 0))
    if not text and name != "listen" and found is not None:
        protocol, _, local = table.entries.get(number, "").partition(":[")
        given = address_text(found[1])
        if protocol and given and not given.endswith(":0"):
            local = local.partition("->")[0].rstrip("]")
            text = f"{protocol}:[{given}]" if name == "bind" else ""
            text = text or f"{protocol}:[{local or '?'}->{given}]"
    return {number: text} if text else {}


def _changed_directory(table: DescriptorTable, record: Record, memory: Memory) -> Changes:
    if record.rval < 0:
        return {}
    return {_CWD: _captured(memory, CWD_ARGUMENT) or _path(table, AT_FDCWD, memory, 0)}


def _changed_to_descriptor(table: DescriptorTable, record: Record, memory: Memory) -> Changes:
    if record.rval < 0:
        return {}
    return {_CWD: _captured(memory, CWD_ARGUMENT) or table.directory(record.args[0] & U32)}


def _unlinked(index: int) -> Callable[[DescriptorTable, Record, Memory], Changes]:
    def changes(table: DescriptorTable, record: Record, memory: Memory) -> Changes:
        if record.rval < 0:
            return {}
        directory = signed32(record.args[0]) if index else AT_FDCWD
        path = _path(table, directory, memory, index)
        found = table.entries.items() if path else ()
        return {number: f"{path} (deleted)" for number, text in found if text == path}

    return changes


def _renamed(first: int, second: int) -> Callable[[DescriptorTable, Record, Memory], Changes]:
    def changes(table: DescriptorTable, record: Record, memory: Memory) -> Changes:
        if record.rval < 0:
            return {}
        at = [signed32(record.args[index - 1]) if first else AT_FDCWD for index in (first, second)]
        old, new = _path(table, at[0], memory, first), _path(table, at[1], memory, second)
        found = table.entries.items() if old and new else ()
        return {
            number: new + text[len(old) :]
            for number, text in found
            if text == old or text.startswith(f"{old}/")
        }

    return changes


_CHANGES: dict[str, Callable[[DescriptorTable, Record, Memory], Changes]] = {
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


class Descriptors:
    """Adds to calls what their descriptors refer to; the table is that of the current process."""

    def __init__(self) -> None:
        self._entries: Mapping[int, str] = {}
        self._new: Changes = {}

    def begin(self, table: DescriptorTable, record: Record) -> None:
        """Says whose call is rendered next.

        Args:
            table: of its process, at the moment that is rendered.
            record: the call.
        """
        self._entries = table.entries
        self._new = table.changes(record)

    def text(self, number: int) -> str:
        """Returns a descriptor with what it refers to."""
        return f"{number}{shown(self._entries.get(number, ''))}"

    def new_text(self, number: int) -> str:
        """Returns a descriptor with what it refers to after the call."""
        return f"{number}{shown(self._new.get(number) or self._entries.get(number, ''))}"

    def kinds(
        self, known: Mapping[str, Callable[[Place], Render]]
    ) -> dict[str, Callable[[Place], Render]]:
        """Returns the factories of all kinds that hold descriptors.

        Args:
            known: factories without what they refer to.
        """
        found = {
            "fd": self._argument,
            "uint_fd": self._argument,
            "dirfd": self._directory,
            "pipefds": self._within(known["pipefds"], r"-?\d+", self.new_text),
            "pollfds": self._within(known["pollfds"], r"(?<=fd=)-?\d+", self.text),
            "msghdr": self._message(known["msghdr"]),
            "fdset": self._within(known["fdset"], r"\d+", self.text),
        }
        return {**known, **found}

    def returned(self, text: Returned, returns: str) -> Returned:
        """Returns the function that prints a return value.

        Args:
            text: what prints it without what descriptors refer to.
            returns: kind of the return value.
        """
        if returns != "fd":
            return text

        def described(args: Args, memory: Memory, rval: int) -> str:
            return self.new_text(rval) if rval >= 0 else text(args, memory, rval)

        return described

    def _argument(self, place: Place) -> Render:
        index = place.index
        return lambda args, _memory, _rval: self.text(signed32(args[index]))

    def _directory(self, place: Place) -> Render:
        index = place.index

        def render(args: Args, _memory: Memory, _rval: int) -> str:
            number = signed32(args[index])
            if number == AT_FDCWD:
                return f"AT_FDCWD{shown(self._entries.get(_CWD, ''))}"
            return self.text(number)

        return render

    def _message(self, factory: Callable[[Place], Render]) -> Callable[[Place], Render]:
        def described(found: re.Match[str]) -> str:
            numbers = found[2].split(", ")
            return found[1] + ", ".join(
                self.new_text(int(number)) if number.isdecimal() else number for number in numbers
            )

        def make(place: Place) -> Render:
            render = factory(place)
            return lambda args, memory, rval: _rights.sub(described, render(args, memory, rval))

        return make

    @staticmethod
    def _within(
        factory: Callable[[Place], Render], pattern: str, text: Callable[[int], str]
    ) -> Callable[[Place], Render]:
        numbers = re.compile(pattern)

        def make(place: Place) -> Render:
            render = factory(place)

            def described(args: Args, memory: Memory, rval: int) -> str:
                plain = render(args, memory, rval)
                if not plain.startswith("["):
                    return plain  # an address
                return numbers.sub(lambda found: text(int(found[0])), plain)

            return described

        return make
