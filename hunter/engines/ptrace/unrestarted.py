"""Calls that return EINTR when their thread is stopped in them. Pure.

The kernel starts others again; see signal(7), "Interruption of system calls and library functions
by stop signals". Calls on sockets are among them where the socket has a timeout, which cannot be
seen from outside.
"""

from __future__ import annotations

from functools import lru_cache
from typing import FrozenSet

from hg_shared.syscalls import numbers

NAMES = frozenset(
    "epoll_wait epoll_pwait epoll_pwait2 semop semtimedop rt_sigtimedwait io_getevents"
    " io_uring_enter connect accept accept4 recvfrom recvmsg recvmmsg sendto sendmsg"
    " sendmmsg".split()
)


@lru_cache(maxsize=None)
def unrestarted(abi: int) -> FrozenSet[int]:
    """Returns their numbers.

    Args:
        abi: an `Abi`.
    """
    return frozenset(number for name, number in numbers(abi).items() if name in NAMES)


def sleeps_in_one(text: str, abi: int) -> bool:
    """Tells whether a thread sleeps in such a call.

    Args:
        text: contents of /proc/PID/task/TID/syscall.
        abi: of its calls.
    """
    word = text.split(maxsplit=1)[:1]
    return bool(word) and word[0].isdecimal() and int(word[0]) in unrestarted(abi)
