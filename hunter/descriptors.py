"""Which calls make descriptors, or change what one refers to. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Dict, FrozenSet, Sequence

from hg_shared.syscalls import lookup, names, numbers

RETURNED, PAIR, FIRST, DIRECTORY, DUPLICATED = "returned", "pair", "first", "directory", "dup"
_FIRST = ("bind", "connect", "listen")
_DIRECTORY = ("chdir", "fchdir")
_FCNTL = ("fcntl", "fcntl64")
_CLOSING = ("close", "close_range", "execve", "execveat")
_NAMING = ("unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2")
# F_DUPFD, F_DUPFD_CLOEXEC
DUPLICATES = (0, 1030)
EINPROGRESS = -115


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


def returned(how: str, args: Sequence[int], rval: int) -> int:
    """Returns the descriptor that a call made or changed, -1 for none; not for `PAIR`.

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
