"""The answer to each stop of a tracee, as a list of actions. Pure.

`hunter.engines.ptrace.tracer` carries the actions out, in order. The last one lets the thread go
on, leaves it stopped, or detaches it; a thread that has ended or is not known yet has none.
"""

from __future__ import annotations

from enum import Enum
from typing import Dict, NamedTuple, Optional, Set, Tuple, Union

from hunter.engines.ptrace.stops import StopKind, WaitStatus
from hunter.engines.ptrace.syscall_info import OP_ENTRY, OP_EXIT

# ERESTARTSYS to ERESTART_RESTARTBLOCK (linux/errno.h): the kernel will start the call again.
_RESTART_FIRST, _RESTART_LAST = 512, 516
# PTRACE_EVENT_FORK and PTRACE_EVENT_VFORK; a clone may be a thread.
_NEW_PROCESS = (1, 2)


class ThreadState(Enum):
    """The state of a thread that has stopped, as the tracer knows it.

    Attributes:
        NEW: nothing; the kernel attached it with its creator.
        TRACED: it belongs to a process that is traced.
        LEAVING: its process is being let go.
    """

    NEW = 0
    TRACED = 1
    LEAVING = 2


class Adopt(NamedTuple):
    """Find the process of a new thread, and decide again; without one detach the thread."""


class RecordSignal(NamedTuple):
    """Record the signal with its siginfo_t."""

    signal: int


class RecordGroupStop(NamedTuple):
    """Record that the thread was stopped by a signal."""

    signal: int


class RecordClone(NamedTuple):
    """Record the thread or child that was started, and expect its first stop.

    Attributes:
        event: PTRACE_EVENT_ number.
        is_process: it is a process for certain.
    """

    event: int
    is_process: bool


class RecordExec(NamedTuple):
    """Record the program that was executed: of its process this thread alone is left."""


class RecordExit(NamedTuple):
    """Record the end of the thread."""


class Resume(NamedTuple):
    """Let the thread run to its next stop, with a signal or 0."""

    signal: int


class Listen(NamedTuple):
    """Leave the thread in its group-stop (PTRACE_LISTEN)."""


class Detach(NamedTuple):
    """Let the thread go for good, with a signal or 0."""

    signal: int


Action = Union[
    Adopt,
    RecordSignal,
    RecordGroupStop,
    RecordClone,
    RecordExec,
    RecordExit,
    Resume,
    Listen,
    Detach,
]


def decide(stop: WaitStatus, state: ThreadState) -> Tuple[Action, ...]:
    """Returns what is to be done about a stop that is no syscall-stop.

    Args:
        stop: the stop.
        state: what is known of the thread.
    """
    if stop.kind == StopKind.EXITED:
        return (RecordExit(),)
    if state == ThreadState.NEW:
        return (Adopt(),)
    signal = stop.signal if stop.kind == StopKind.SIGNAL else 0
    last: Action = Resume(signal)
    if state == ThreadState.LEAVING:
        # In a group-stop it stays stopped without a tracer, too.
        last = Detach(signal)
    elif stop.kind == StopKind.GROUP:
        last = Listen()
    if stop.kind == StopKind.SIGNAL:
        return RecordSignal(signal), last
    if stop.kind == StopKind.GROUP:
        return RecordGroupStop(stop.signal), last
    if stop.kind == StopKind.FORK:
        return RecordClone(stop.event, stop.event in _NEW_PROCESS), last
    if stop.kind == StopKind.EXEC:
        return RecordExec(), last
    return (last,)


class Leaving(Enum):
    """The fate of the call of a thread that is detached at a syscall-stop."""

    BEGINS = 0
    RETURNS = 1
    STAYS_OPEN = 2


def decide_leaving(op: int, rval: int) -> Leaving:
    """Returns what becomes of the call of a thread that is detached at a syscall-stop.

    Args:
        op: of struct ptrace_syscall_info.
        rval: the return value at an exit. Where the request to stop interrupted the call and the
            kernel will start it again, unseen, it has not returned.
    """
    if op == OP_ENTRY:
        return Leaving.BEGINS
    if op == OP_EXIT and not -_RESTART_LAST <= rval <= -_RESTART_FIRST:
        return Leaving.RETURNS
    return Leaving.STAYS_OPEN


class CloneEvents:
    """The events of clone, fork and vfork: first stops of new threads, and their creators' events.

    The two come in any order, and a child can be killed before its first stop.

    Attributes:
        expected_children: by tid, those of which the first stop has not come, with the number of
            the process that started them, or 0 for threads.
    """

    def __init__(self) -> None:
        self.expected_children: Dict[int, int] = {}
        self._stopped_early: Set[int] = set()
        self._exited_early: Dict[int, int] = {}

    def announce(self, tid: int, creator: int) -> Optional[int]:
        """Takes the creator's event; returns the wait status of a child that has ended already.

        Args:
            tid: the new thread or child.
            creator: number of the process that started it, 0 for a thread.
        """
        if tid in self._stopped_early:
            self._stopped_early.discard(tid)
        elif tid in self._exited_early:
            return self._exited_early.pop(tid)
        else:
            self.expected_children[tid] = creator
        return None

    def stopped(self, tid: int) -> None:
        """Takes the first stop of a thread."""
        if self.expected_children.pop(tid, None) is None:
            self._stopped_early.add(tid)

    def exited(self, tid: int, status: int, keep: bool) -> int:
        """Takes the end of a thread that never stopped; returns the number of its creator or 0.

        Args:
            tid: the thread.
            status: its wait status.
            keep: the event of its creator may come yet, and its end matters then.
        """
        creator = self.expected_children.pop(tid, 0)
        if not creator and keep:
            self._exited_early[tid] = status
        return creator

    def clear(self) -> None:
        """Forgets what came early: no creator is left whose event could follow."""
        self._stopped_early.clear()
        self._exited_early.clear()
