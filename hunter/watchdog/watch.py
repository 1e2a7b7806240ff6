"""The life of the second process: it looks at hunter a few times a second, and outlives it.

It needs nothing of hunter but the memory they share: hunter may be stopped, held by a debugger, out
of CPU or in a deadlock. It asks /proc about threads only where a tracer has not moved since the
look before.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from typing import List, Optional

from hunter.memory import procfs
from hunter.watchdog.masks import MaskTable, restore
from hunter.watchdog.progress import Progress, TracerProgress
from hunter.watchdog.stuck import (
    ALONE_SECONDS,
    HELD_SECONDS,
    TRACING_STOP,
    ZOMBIE,
    Alone,
    Hold,
    HoldTracker,
    ThreadStatus,
    TracerState,
)

LOOK_SECONDS, IDLE_SECONDS, INSIST_SECONDS = 0.2, 0.5, 0.1
"""Between two looks; while nothing is traced; after hunter was killed."""
STUCK = "hunter: stuck: "
"""What a line on stderr begins with that says why hunter was killed."""
PATIENT_ATTEMPTS = 3
"""How often hunter is killed before a debugger that holds it is ended."""
_PIDFD_SEND_SIGNAL = 424
_MESSAGE_MS = 500
_MAX_MESSAGE = 400


class Watch:
    """Watches one hunter, from another process.

    Args:
        hunter: its process id.
        pidfd: descriptor of it, -1 where the kernel gives none.
        lifeline: at its end hunter is gone.
        progress: how far its tracers are.
        masks: CPU masks to give back when it is gone.
    """

    def __init__(
        self, hunter: int, pidfd: int, lifeline: int, progress: Progress, masks: MaskTable
    ) -> None:
        self._hunter = hunter
        self._pidfd = pidfd
        self._lifeline = lifeline
        self._progress = progress
        self._masks = masks
        self._holds = [HoldTracker(procfs.thread_ids, read_thread) for _ in progress.tracers]
        self._alone = Alone()
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall

    def run(self) -> None:
        """Watches until hunter is gone, then gives the masks back."""
        poll = select.poll()
        poll.register(self._lifeline, select.POLLIN)
        before = time.monotonic()
        attempts = 0
        while not poll.poll(1000 * (INSIST_SECONDS if attempts else self._pause())):
            now = time.monotonic()
            self._progress.count_look()
            if attempts:
                self._insist(attempts)
                attempts += 1
            elif why := self._evaluate(now - before):
                self._kill()
                _say(why)
                # Masks must not wait for a hunter that cannot even die.
                restore(self._masks.entries())
                attempts = 1
            before = now
        restore(self._masks.entries())

    def _pause(self) -> float:
        progress = self._progress
        busy = progress.programs.active or any(tracer.thread for tracer in progress.tracers)
        return LOOK_SECONDS if busy else IDLE_SECONDS

    def _evaluate(self, seconds: float) -> str:
        """Returns why hunter must end, empty when it need not."""
        for tracer, holds in zip(self._progress.tracers, self._holds):
            if tracer.thread:
                hold = holds.update(self._inspect(tracer, holds), seconds)
                if hold is not None and hold.seconds >= HELD_SECONDS:
                    return self._held(hold)
        programs = self._progress.programs
        alone = self._alone.update(programs.active, programs.steps, seconds)
        if alone >= ALONE_SECONDS:
            state = self._state(self._hunter)
            return f"its BPF programs ran for {alone:.1f} s while hunter ({state}) did nothing"
        return ""

    def _inspect(self, progress: TracerProgress, holds: HoldTracker) -> TracerState:
        stops = progress.stops
        if holds.moved(stops):
            return TracerState(progress.thread, stops, True, [], [])
        thread = read_thread(self._hunter, progress.thread)
        able = progress.waiting and thread is not None and thread.state == "S"
        return TracerState(
            progress.thread,
            stops,
            able,
            progress.held.read(),
            progress.listening.read(),
            progress.overflowed,
        )

    def _held(self, hold: Hold) -> str:
        where = f"thread {hold.thread} stood in a ptrace-stop for {hold.seconds:.1f} s"
        return f"{where} while hunter ({self._state(hold.tracer)}) answered none"

    def _state(self, tid: int) -> str:
        """Returns the state of a thread of hunter, and who holds it, as text."""
        thread = read_thread(self._hunter, tid)
        if thread is None:
            return "gone"
        tracer = f", traced by process {thread.tracer}" if thread.tracer else ""
        return f"state {thread.state}{tracer}"

    def _insist(self, attempts: int) -> None:
        """Sees to it that a hunter that was killed ends.

        A debugger that asked for PTRACE_EVENT_EXIT, as strace does, can hold it still, and hunter
        then still holds its target: a debugger that is stopped is continued, then it is ended.

        Args:
            attempts: how often something was done about it so far.
        """
        self._kill()
        for tid in procfs.thread_ids(self._hunter):
            thread = read_thread(self._hunter, tid)
            if thread is not None and thread.tracer:
                if attempts == 1:
                    _signal(thread.tracer, signal.SIGCONT)
                elif attempts >= PATIENT_ATTEMPTS and not self._traces_others(thread.tracer):
                    _signal(thread.tracer, signal.SIGKILL)
                return

    def _traces_others(self, tracer: int) -> bool:
        """Tells whether a debugger has other processes, which might not outlive it."""
        own = {self._hunter, os.getpid()}
        return any(
            procfs.status_fields(pid).get("TracerPid") == str(tracer)
            for pid in procfs.pids()
            if pid not in own
        )

    def _kill(self) -> None:
        """Ends hunter; as long as the lifeline has no end its number is nobody else's."""
        if self._pidfd >= 0:
            sent = self._syscall(
                ctypes.c_long(_PIDFD_SEND_SIGNAL), ctypes.c_int(self._pidfd),
                ctypes.c_int(signal.SIGKILL), None, ctypes.c_uint(0),
            )  # fmt: skip
            if sent == 0:
                return
        _signal(self._hunter, signal.SIGKILL)


def read_thread(process: int, tid: int) -> Optional[ThreadStatus]:
    """Returns what /proc tells of a thread, None when it is gone.

    More than its state is read only where that is a ptrace-stop, or its end.

    Args:
        process: the process, or a thread of it.
        tid: the thread.
    """
    directory = f"/proc/{process}/task/{tid}"
    try:
        data = procfs.read_bytes(f"{directory}/stat")
        fields = data[data.rfind(b")") + 1 :].split()
        state = fields[0].decode("ascii")
        if state not in (TRACING_STOP, ZOMBIE):
            return ThreadStatus(state)
        code = int(fields[49])
        status = procfs.read_bytes(f"{directory}/status").splitlines()
        words = dict(line.partition(b":")[::2] for line in status)
        return ThreadStatus(
            state,
            code,
            int(words[b"TracerPid"]),
            int(words.get(b"SigPnd", b"0"), 16) | int(words.get(b"ShdPnd", b"0"), 16),
            int(words.get(b"SigCgt", b"0"), 16),
        )
    except (OSError, ValueError, IndexError, KeyError):
        return None


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass  # it is gone, or another user's


def _say(why: str) -> None:
    """Tells gatherer, unless its end of stderr is full or gone."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    try:
        if any(event & select.POLLOUT for _, event in poll.poll(_MESSAGE_MS)):
            os.write(2, f"{STUCK}{why}"[:_MAX_MESSAGE].encode() + b"\n")
        # Whoever reads it waits for its end.
        os.close(2)
    except OSError:
        pass


def keep_descriptors(kept: List[int]) -> None:
    """Closes every descriptor but some.

    Hunter's BPF programs and its lock of the node would otherwise last as long as this process.

    Args:
        kept: the others.
    """
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that listed them
