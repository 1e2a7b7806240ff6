"""Hunter's side of the watchdog: a second process that ends hunter when hunter holds its target.

It waits on a pipe whose other end only hunter has, and reads the progress of the tracers and the
saved CPU masks from memory that both share. It starts no program. Its parent is hunter's parent
(CLONE_PARENT): init of a container often is an application that never waits, and would keep it as
a zombie. When it dies hunter makes another one.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import select
import signal
from typing import Optional

from hunter import heap
from hunter.watchdog.masks import TABLE_BYTES, MaskTable
from hunter.watchdog.progress import Progress
from hunter.watchdog.watch import Watch, keep_descriptors

_CLONE_PARENT = 0x8000
_NR_CLONE = {"x86_64": 56, "aarch64": 220}
_PIDFD_OPEN = 434
SECOND = 1_000_000_000
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
# How long it may take to look for the first time, and from one look to the next.
FIRST_NS, NEXT_NS = 3 * SECOND, 10 * SECOND
# What the time between two looks of hunter's own counts at most.
MOST_NS = SECOND
# How many may end, one after the other, before they have looked once.
MAX_FAILED_STARTS = 10


class Watchdog:
    """The watchdog and what it shares with hunter.

    Attributes:
        progress: how far the tracers are.
        table: saved masks.
        pid: of the watchdog, 0 when there is none.
        refusal: why there is none, empty while there is one.
    """

    def __init__(self) -> None:
        self.progress = Progress()
        self._memory = mmap.mmap(-1, TABLE_BYTES)
        self.table = MaskTable(memoryview(self._memory))
        self.pid = 0
        self.refusal = "not started"
        self._lifeline: Optional[int] = None
        self._death: Optional[int] = None
        self._beat = 0
        self._born = 0
        self._silent_ns = 0
        self._timeout_ns = FIRST_NS
        self._looked_ns = 0
        self._failed_starts = 0

    def start(self) -> None:
        """Makes the second process; `refusal` says why there is none."""
        self.refusal = self._start()

    def _start(self) -> str:
        number = _NR_CLONE.get(os.uname().machine)
        if number is None:
            return f"not on {os.uname().machine} machines"
        libc = ctypes.PyDLL(None, use_errno=True)
        hunter = os.getpid()
        try:
            lifeline = os.pipe()
            death = os.pipe()
        except OSError as error:
            return f"pipe: {error.strerror}"
        pidfd = libc.syscall(ctypes.c_long(_PIDFD_OPEN), ctypes.c_int(hunter), ctypes.c_uint(0))
        self._beat = self._born = self.progress.beat
        gc.collect()
        gc.freeze()
        heap.trim()
        # PyDLL: the interpreter lock stays with this thread, the only one the copy will have. What
        # os.fork does for an interpreter with threads is done here, around clone(2).
        interpreter = ctypes.pythonapi
        interpreter.PyOS_BeforeFork()
        pid = libc.syscall(
            ctypes.c_long(number), ctypes.c_long(_CLONE_PARENT | signal.SIGCHLD), 0, 0, 0, 0
        )
        code = ctypes.get_errno()
        if pid == 0:
            try:
                interpreter.PyOS_AfterFork_Child()
                self.progress.count_look()  # it is born
                keep_descriptors([2, lifeline[0], death[1], pidfd])
                self._watch(hunter, pidfd, lifeline[0])
            finally:
                os._exit(0)
        interpreter.PyOS_AfterFork_Parent()
        for fd in (lifeline[0], death[1], pidfd):
            if fd >= 0:
                os.close(fd)
        if pid < 0:
            os.close(lifeline[1])
            os.close(death[0])
            return f"clone: {os.strerror(code)}"
        self.pid = pid
        self._lifeline, self._death = lifeline[1], death[0]
        self._silent_ns, self._timeout_ns = 0, FIRST_NS
        return ""

    def _watch(self, hunter: int, pidfd: int, lifeline: int) -> None:
        """The life of the second process."""
        signal.set_wakeup_fd(-1)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        gc.disable()
        try:
            os.setsid()  # a signal to hunter's process group is not for it
        except OSError:
            pass
        Watch(hunter, pidfd, lifeline, self.progress, self.table).run()

    def supervise(self, now_ns: int) -> None:
        """Makes another one when it has died, or does not look any more.

        Args:
            now_ns: CLOCK_MONOTONIC.
        """
        if self._death is None:
            return
        passed, self._looked_ns = now_ns - self._looked_ns, now_ns
        beat = self.progress.beat
        if beat != self._beat:
            self._beat, self._silent_ns, self._timeout_ns = beat, 0, NEXT_NS
            if not self._is_unproven:
                self._failed_starts = 0
        else:
            self._silent_ns += min(passed, MOST_NS)
        poll = select.poll()
        poll.register(self._death, select.POLLIN)
        if not poll.poll(0):
            if self._silent_ns < self._timeout_ns:
                return
            os.kill(self.pid, signal.SIGKILL)  # the pipe says that it is there
        self._forget()
        if self._is_unproven:
            self._failed_starts += 1
        if self._failed_starts < MAX_FAILED_STARTS:
            self.start()
        else:
            self.refusal = "it ends as soon as it is made"

    @property
    def _is_unproven(self) -> bool:
        """Whether the one that there is has not looked at hunter: to be born counts as a beat."""
        return self._beat <= self._born + 1

    def _forget(self) -> None:
        for fd in (self._lifeline, self._death):
            if fd is not None:
                os.close(fd)
        self._lifeline = self._death = None
        self.pid = 0

    def close(self) -> None:
        """Lets the watchdog end; masks have been restored before."""
        self._forget()
