"""Calls that make descriptors, or change what one refers to. Pure."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Dict, FrozenSet, List, Sequence, Tuple

from hg_shared.records import Abi
from hg_shared.syscalls import lookup, names, numbers

RETURNED, PAIR, FIRST, DIRECTORY, DUPLICATED = "returned", "pair", "first", "directory", "dup"
PASSED = "passed"
_FIRST = ("bind", "connect", "listen")
_DIRECTORY = ("chdir", "fchdir")
_FCNTL = ("fcntl", "fcntl64")
_CLOSING = ("close", "close_range", "execve", "execveat")
_NAMING = ("unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2")
# F_DUPFD, F_DUPFD_CLOEXEC
DUPLICATES = (0, 1030)
EINPROGRESS = -115
MSGHDR_SIZE = 48
MAX_CONTROL = 256
_CONTROL = Struct("<QQ")
_CMSG = Struct("<QII")
_SOL_SOCKET, _SCM_RIGHTS = 1, 1


@lru_cache(maxsize=8)
def makers(abi: int) -> Dict[int, str]:
    """Returns number → how the descriptors are found, of all calls after which some are new.

    Args:
        abi: an `Abi`.
    """
    found: Dict[int, str] = {}
    for nr, name in enumerate(names(abi)):
        syscall = lookup(abi, nr)
        if name is None or syscall is None:
            continue
        if name in _FCNTL:
            found[nr] = DUPLICATED
        elif name in _FIRST:
            found[nr] = FIRST
        elif name in _DIRECTORY:
            found[nr] = DIRECTORY
        elif name == "recvmsg" and abi in (Abi.X86_64, Abi.AARCH64):
            found[nr] = PASSED
        elif any(arg.kind == "pipefds" for arg in syscall.args):
            found[nr] = PAIR
        elif syscall.returns == "fd":
            found[nr] = RETURNED
    return found


def needed(abi: int) -> FrozenSet[int]:
    """Returns the numbers of the calls that a table of descriptors is kept from."""
    known = numbers(abi)
    return frozenset(makers(abi)) | {known[name] for name in (*_CLOSING, *_NAMING) if name in known}


def pair_argument(abi: int, nr: int) -> int:
    """Returns which argument points to the two descriptors that a call makes."""
    return 3 if names(abi)[nr] == "socketpair" else 0


def control_of(msghdr: bytes) -> Tuple[int, int]:
    """Returns address and bytes of a message's control data, 0 for none.

    Args:
        msghdr: struct msghdr with 64-bit longs, after the call.
    """
    if len(msghdr) < MSGHDR_SIZE:
        return 0, 0
    address, size = _CONTROL.unpack_from(msghdr, 32)
    return address, min(size, MAX_CONTROL)


def passed(control: bytes) -> List[int]:
    """Returns the descriptors that came with a message (SCM_RIGHTS).

    Args:
        control: its control data.
    """
    numbers: List[int] = []
    at = 0
    while at + _CMSG.size <= len(control):
        length, level, kind = _CMSG.unpack_from(control, at)
        if length < _CMSG.size:
            break
        if (level, kind) == (_SOL_SOCKET, _SCM_RIGHTS):
            end = min(at + length, len(control)) - 3
            for place in range(at + _CMSG.size, end, 4):
                numbers.append(int.from_bytes(control[place : place + 4], "little"))
        at += (length + 7) // 8 * 8
    return numbers


def returned(how: str, args: Sequence[int], rval: int) -> int:
    """Returns the descriptor that a call made or changed, -1 for none; not for `PAIR`, `PASSED`.

    Args:
        how: from `makers`.
        args: its arguments.
        rval: its return value.
    """
    if how == FIRST:
        return args[0] & 0xFFFFFFFF if rval >= 0 or rval == EINPROGRESS else -1
    if rval < 0 or (how == DUPLICATED and args[1] & 0xFFFFFFFF not in DUPLICATES):
        return -1
    return rval
