"""Wait statuses of tracees: which kind of stop each one is, and how it must be answered. Pure.

The taxonomy is ptrace(2)'s for a thread attached with PTRACE_SEIZE and PTRACE_O_TRACESYSGOOD:

    syscall-stop          resume with PTRACE_SYSCALL; enter or exit is told by GET_SYSCALL_INFO
    signal-delivery-stop  resume and inject the signal
    group-stop            PTRACE_LISTEN, so that it stays stopped until SIGCONT
    interrupt-stop        first stop of a new thread, or the answer to PTRACE_INTERRUPT: resume
    event-stop            clone, exec: resume
    exited, killed        nothing can be asked of it any more
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

# SIGTRAP | 0x80 in the signal byte of a stopped status.
SYSCALL_STOP = 0x857F
EVENT_STOP = 128
_STOPPING = frozenset((19, 20, 21, 22))  # SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU


class StopKind(IntEnum):
    """The kind of a wait status."""

    SYSCALL = 0
    SIGNAL = 1
    GROUP = 2
    INTERRUPT = 3
    FORK = 4
    EXEC = 5
    OTHER_EVENT = 6
    EXITED = 7


class WaitStatus(NamedTuple):
    """A classified wait status.

    Attributes:
        kind: which stop.
        signal: signal of a signal-delivery-stop or group-stop, else 0.
        event: PTRACE_EVENT_ number of an event-stop, else 0.
    """

    kind: StopKind
    signal: int
    event: int


def classify(status: int) -> WaitStatus:
    """Returns what a wait status means.

    Args:
        status: as waitpid(2) gave it.
    """
    if status & 0x7F != 0x7F:
        return WaitStatus(StopKind.EXITED, 0, 0)
    if status == SYSCALL_STOP:
        return WaitStatus(StopKind.SYSCALL, 0, 0)
    event = status >> 16
    signal = (status >> 8) & 0xFF
    if event == 0:
        return WaitStatus(StopKind.SIGNAL, signal, 0)
    if event == EVENT_STOP:
        if signal in _STOPPING:
            return WaitStatus(StopKind.GROUP, signal, event)
        return WaitStatus(StopKind.INTERRUPT, 0, event)
    if event in (1, 2, 3):
        return WaitStatus(StopKind.FORK, 0, event)
    if event == 4:
        return WaitStatus(StopKind.EXEC, 0, event)
    return WaitStatus(StopKind.OTHER_EVENT, 0, event)
