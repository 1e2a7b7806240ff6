"""The three standard descriptors, which cron jobs, daemons and service managers may have closed.

A closed one would be taken by the next file or socket that is opened, and what is printed would go
there.
"""

from __future__ import annotations

import os
import sys


def open_closed() -> None:
    """Opens /dev/null for each standard descriptor that is closed, and its stream."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one. A pipe to nobody, not a file to be kept.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            stream = open(descriptor, mode, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
            setattr(sys, name, stream)


def flush() -> None:
    """Writes out what waits in stdout and stderr, as far as it can be written."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            # Python would try once more at its end, and answer with words and a code of its own.
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
