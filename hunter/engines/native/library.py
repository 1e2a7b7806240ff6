"""Loads the hot loop from a memfd: works on read-only roots, on glibc and on musl."""

from __future__ import annotations

import base64
import ctypes
import os
import platform
import zlib
from functools import lru_cache
from importlib import import_module
from typing import Any

from hunter.errors import HunterError

MACHINES = ("x86_64", "aarch64")


@lru_cache(maxsize=1)
def load() -> Any:
    """Returns the loaded library.

    Raises:
        HunterError: no code for this machine, or the kernel refuses to run it (noexec memfd,
            a security module); the engine `ptrace-python` needs neither.
    """
    machine = platform.machine()
    if machine not in MACHINES:
        raise HunterError(f"the hot loop is not built for {machine}")
    module = import_module(f"{__package__}.code_{machine}")
    code = zlib.decompress(base64.b85decode(module.CODE))
    try:
        fd = os.memfd_create("hunter-hot-loop", os.MFD_CLOEXEC)
    except (OSError, AttributeError) as error:
        raise HunterError(f"memfd_create: {error}") from error
    try:
        os.write(fd, code)
        library = ctypes.CDLL(f"/proc/self/fd/{fd}")
    except OSError as error:
        raise HunterError(f"the hot loop cannot be loaded: {error}") from error
    finally:
        os.close(fd)
    library.hot_run.restype = ctypes.c_long
    library.hot_take.restype = ctypes.c_ulong
    return library


def refusal() -> str:
    """Returns why the loop cannot be loaded here, empty when it can."""
    try:
        load()
    except HunterError as error:
        return str(error)
    return ""
