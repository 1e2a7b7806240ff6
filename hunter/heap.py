"""The heap of this process: as few pages as it needs, because they count against the target's limit.

What is done here needs malloc(3) of glibc; other C libraries go without.
"""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8


def use_one_arena() -> None:
    """Has every thread take memory from one heap: each of its own would keep what it has freed."""
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except AttributeError:
        pass


def trim() -> None:
    """Gives the kernel back what is free, as after loading modules, which are compiled first."""
    try:
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
    except AttributeError:
        pass
