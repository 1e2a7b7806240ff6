"""The process of the exec, which waits for hunter beside it (guest.receive_hunter), in few pages.

An interpreter that only waits would take 5 MiB of the target's memory. It gives back all that it
has mapped, but for a page with the code of front.c, its stack and what the kernel writes to.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import threading
from typing import Iterable, Iterator, Tuple

CODE = {
    "x86_64": (
        "4989f0885424ff488b77084885f6741c4989f9498b39b80b00000031d20f05498b71184983c1104885f6"
        "75e7488d7424ffba0100000031c04c89c70f054885c00f9fc14883f8fc0f94c008c875de0fb67c24ffb8"
        "e700000031f631d20f05ebee"
    ),
    "aarch64": (
        "ff4300d1e2330039e90301aa0a0440f94a0100b4e2031faaeb0300aa000040f9e81a8052e1030aaa0100"
        "00d46a0d40f9604100912affffb5e00309aae1330091e807805222008052010000d41f0000f104d844ba"
        "20ffff54e1031faae2031faae0334039c80b8052010000d4fdffff17"
    ),
}
"""Machine code of front.c, in hexadecimal digits; build/make_native.py compares the two."""

_PAGE = 4096
_TABLE_BYTES = 1 << 16
_READ_EXEC = 5


def wait(reading: int, silent: int) -> None:
    """Waits for the end of a pipe and ends this process with the byte that came last.

    Returns where no code may be made, or none is known for this machine.

    Args:
        reading: the end of the pipe.
        silent: exit code when no byte comes.
    """
    try:
        code = bytes.fromhex(CODE[os.uname().machine])
        page = mmap.mmap(-1, _PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.write(code)
        table = mmap.mmap(-1, _TABLE_BYTES)
        start, ranges = (
            ctypes.addressof(ctypes.c_char.from_buffer(each)) for each in (page, table)
        )
        # Written first: what becomes executable is then what the CPU fetches (arm64 caches).
        arguments = ctypes.c_void_p(start), ctypes.c_size_t(_PAGE), ctypes.c_int(_READ_EXEC)
        if ctypes.CDLL(None).mprotect(*arguments):
            return
        with open("/proc/self/maps", "rb") as file:
            lines = file.read().splitlines()
        # A thread's own block, which the kernel writes to (rseq(2)), begins where pthread_self(3)
        # says, or just before.
        kept = (start, ranges, threading.get_ident(), threading.get_ident() - _PAGE)
        for begin, size in list(unneeded(lines, kept))[: _TABLE_BYTES // 16 - 1]:
            table.write(begin.to_bytes(8, "little") + size.to_bytes(8, "little"))
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        words = [ctypes.c_size_t(word) for word in (ranges, reading, silent)]
        ctypes.CFUNCTYPE(None)(start)(*words)
    except (KeyError, OSError, ValueError):
        return


def _address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def unneeded(lines: Iterable[bytes], kept: Tuple[int, ...]) -> Iterator[Tuple[int, int]]:
    """Yields address and size of each mapping that can go.

    Args:
        lines: of /proc/self/maps.
        kept: addresses of which the mappings stay.
    """
    for line in lines:
        addresses, _, rest = line.partition(b" ")
        begin, end = (int(word, 16) for word in addresses.split(b"-"))
        name = rest.split()[-1]
        # The stack, and pages of the kernel's.
        special = name.startswith(b"[") and name != b"[heap]"
        if not special and not any(begin <= each < end for each in kept):
            yield begin, end - begin
