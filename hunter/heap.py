"""The heap of this process: as few pages as it needs, which count against the target's limit.

What is done here needs malloc(3) of glibc; other C libraries go without.
"""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE = 128 << 10


def use_one_arena() -> None:
    """Has every thread take memory from one heap: each of its own would keep what it has freed.

    What is large stays out of it: without a fixed bound glibc puts whole batches of records there
    once one was freed, and what is behind them is never given back.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
    except AttributeError:
        pass


def trim() -> None:
    """Gives the kernel back what is free, as after loading modules, which are compiled first."""
    try:
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
    except AttributeError:
        pass
