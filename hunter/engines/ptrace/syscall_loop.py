"""The loop over syscall-stops: what a tracer needs of it, and what it needs of the tracer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Callable, List, NamedTuple, Optional, Protocol, Set, Tuple

from hunter.engines.ptrace.kernel import Kernel
from hunter.engines.ptrace.syscall_reader import SyscallReader, TraceOptions
from hunter.engines.ptrace.tracee import Entered, Tracee, Tracees
from hunter.engines.record_queue import Queue
from hunter.watchdog.progress import TracerProgress


class StopHandler(Protocol):
    """The receiver of what a loop does not do itself; called in the tracer's thread."""

    def other_stop(self, tid: int, status: int) -> None:
        """Answers a stop that is no syscall-stop."""
        ...

    def leave_here(self, tid: int, info: bytes, now: int) -> None:
        """Detaches a thread that was marked to be let go, at a syscall-stop.

        Args:
            tid: the thread.
            info: struct ptrace_syscall_info of the stop.
            now: CLOCK_MONOTONIC ns of the stop.
        """
        ...


class TracerContext(NamedTuple):
    """Values that the parts of one tracer share.

    Attributes:
        options: what is recorded.
        tracees: what is traced; kept by the tracer.
        reader: what is read of a call.
        kernel: carries requests out.
        progress: counts stops, and is told of the processes that are held.
    """

    options: TraceOptions
    tracees: Tracees
    reader: SyscallReader
    kernel: Kernel
    progress: TracerProgress


class SyscallLoop(ABC):
    """Waits for tracees, handles their syscall-stops, and keeps the calls that are open."""

    name: str
    queue: Queue

    def __init__(self, context: TracerContext) -> None:
        self._options, self._tracees, self._reader, self._kernel, self._progress = context

    @abstractmethod
    def run(self, handler: StopHandler, between_stops: Callable[[], None]) -> None:
        """Handles stops until no tracee is left; the hot loop.

        Args:
            handler: the tracer.
            between_stops: does what must not happen within a stop; called where the loop was
                interrupted, unless that is Python and runs signal handlers itself.

        Raises:
            ChildProcessError: there is no tracee.
        """

    @abstractmethod
    def own(self, tid: int, tracee: Tracee) -> None:
        """Takes a thread in.

        Raises:
            NoRoom: there are too many threads or processes.
        """

    @abstractmethod
    def disown(self, tid: int) -> None:
        """Drops a thread."""

    @abstractmethod
    def open_calls(self) -> List[Tuple[int, Entered]]:
        """Returns the calls that threads are in. Called by the writer's thread."""

    @abstractmethod
    def open_call(self, tid: int) -> Optional[Entered]:
        """Returns the call a thread is in."""

    @abstractmethod
    def set_open_call(self, tid: int, entered: Optional[Entered]) -> None:
        """Sets or clears the call a thread is in."""

    @abstractmethod
    def mark_leaving(self, threads: Set[int]) -> None:
        """Has threads handed to `StopHandler.leave_here` at their next syscall-stop."""

    @abstractmethod
    def mark_arming(self, tid: int) -> None:
        """Records that a thread was asked to stop so that its calls are seen."""

    @abstractmethod
    def is_arming(self, tid: int) -> bool:
        """Tells whether a thread has not stopped at a call since. Called by the control thread."""

    @abstractmethod
    def set_quiet(self, quiet: int) -> None:
        """Lets calls pass unseen, or not any more. Called by the control thread.

        Args:
            quiet: another number each time; 0 for not any more.
        """

    def leave(self) -> None:  # noqa: B027 - a loop in Python need not
        """Makes a loop that is not Python return, so that signal handlers run."""

    def has_room(self) -> bool:
        """Tells whether one more process and its threads can be traced."""
        return True

    def process_gone(self, tracee: Tracee) -> None:  # noqa: B027 - a loop in Python need not know
        """Tells that a process is traced no longer, and that all its records are queued."""

    def memory_changed(self, tracee: Tracee) -> None:  # noqa: B027 - a loop in Python need not know
        """Tells that a process's memory is read through another descriptor now."""

    def stops(self) -> int:
        """Returns how many syscall-stops there were, roughly: two for each record."""
        return 2 * (sum(self.queue.sent().values()) + self.queue.waiting())
