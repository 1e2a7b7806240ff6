"""The mark by which hunters know each other's processes: which real-time signals are ignored.

It stands in `SigIgn` of /proc/PID/status: every user may read it there, it reads the same in each
user and PID namespace and takes no look into memory; it survives fork(2) and execve(2), so a
bootstrap or a shell passes it on. A program that ignores signals ignores none of these or all of
them; that pattern it has on purpose only. Signals below 35 belong to C libraries.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import Iterator, Union

FIRST = 35
LAST = 64
MARK = 0x58D2C72C00000000
"""The ignored ones of these signals, as a mask: bit N - 1 for signal N."""

_RANGE = (1 << LAST) - (1 << (FIRST - 1))
_lifted = 0


def _is_ignored(number: int) -> bool:
    return bool(MARK >> (number - 1) & 1)


SHELL = "trap '' " + " ".join(str(n) for n in range(FIRST, LAST + 1) if _is_ignored(n)) + "\n"
"""A line of a shell's script that has the shell and all that it starts carry the mark."""

PYTHON = f"""\
try:
 import _signal as s
except ImportError:
 import signal as s
for n in range({FIRST},{LAST + 1}):s.signal(n,s.SIG_IGN if {MARK:#x}>>n-1&1 else s.SIG_DFL)
"""
"""Lines of a program text that have its process carry the mark before it imports anything else."""


def is_marked(sig_ign: Union[str, int]) -> bool:
    """Tells whether a process is a hunter's or a gatherer's.

    Args:
        sig_ign: `SigIgn` of its /proc/PID/status, hexadecimal or as a number; empty for none.
    """
    if isinstance(sig_ign, str):
        try:
            sig_ign = int(sig_ign, 16)
        except ValueError:
            return False
    return sig_ign & _RANGE == MARK


def set_mark() -> None:
    """Marks this process and all that it starts.

    Raises:
        ValueError: this is not the main thread, the only one that may set dispositions.
    """
    for number in range(FIRST, LAST + 1):
        signal.signal(number, signal.SIG_IGN if _is_ignored(number) else signal.SIG_DFL)


def clear_mark() -> None:
    """Takes the mark off this process: what it is, or starts from now on, may be traced.

    Raises:
        ValueError: this is not the main thread.
    """
    for number in range(FIRST, LAST + 1):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def lifted() -> Iterator[None]:
    """Takes the mark off while a program is started that is none of ours.

    Programs of ours set it themselves, so they may be started meanwhile. Does nothing in a process
    without the mark.

    Raises:
        ValueError: this is not the main thread, and the process has the mark.
    """
    global _lifted
    marked = all(
        (signal.getsignal(number) == signal.SIG_IGN) == _is_ignored(number)
        for number in range(FIRST, LAST + 1)
    )
    if not marked and not _lifted:
        yield
        return
    _lifted += 1
    try:
        clear_mark()
        yield
    finally:
        _lifted -= 1
        if not _lifted:
            set_mark()
