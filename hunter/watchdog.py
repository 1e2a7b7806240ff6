"""A second process that restores CPU masks when hunter is killed.

It is made before hunter has threads, waits on a pipe whose other end only hunter has, and reads the
masks from memory both share. It starts no program. Its parent is hunter's parent (CLONE_PARENT):
init of a container often is an application that never waits, and would keep it as a zombie.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import platform
import signal
from typing import Optional

from hunter.engines.placement import TABLE_BYTES, MaskTable, restore

_CLONE_PARENT = 0x8000
_NR_CLONE = {"x86_64": 56, "aarch64": 220}


class Watchdog:
    """The watchdog and what it shares with hunter.

    Attributes:
        table: saved masks.
        pid: of the watchdog, 0 when it could not be made.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, TABLE_BYTES)
        self.table = MaskTable(memoryview(self._memory))
        self.pid = 0
        self._lifeline: Optional[int] = None

    def start(self) -> bool:
        """Makes the second process; returns whether it runs. Only before there are threads."""
        number = _NR_CLONE.get(platform.machine())
        if number is None:
            return False
        reading, writing = os.pipe()
        gc.collect()
        gc.freeze()
        # PyDLL: the interpreter lock stays with this thread, the only one the copy will have.
        pid = ctypes.PyDLL(None, use_errno=True).syscall(
            ctypes.c_long(number), ctypes.c_long(_CLONE_PARENT | signal.SIGCHLD), 0, 0, 0, 0
        )
        if pid == 0:
            os.close(writing)
            self._watch(reading)
        os.close(reading)
        if pid < 0:
            os.close(writing)
            return False
        self.pid = pid
        self._lifeline = writing
        return True

    def _watch(self, reading: int) -> None:
        """The life of the second process; never returns."""
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                signal.signal(number, signal.SIG_IGN)
            for fd in (0, 1, 2):
                if fd != reading:
                    os.close(fd)
            os.read(reading, 1)
            saved = self.table.entries()
            if saved:
                restore(saved)
        finally:
            os._exit(0)

    def close(self) -> None:
        """Lets the watchdog end; masks have been restored before."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
