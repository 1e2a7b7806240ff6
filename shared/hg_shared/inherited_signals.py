"""Signal masks and dispositions that a process inherits, undone where they would be in its way.

execve(2) keeps blocked signals blocked and ignored ones ignored: a supervisor that does either
passes it on to all that it starts.
"""

from __future__ import annotations

import signal

NEEDED = tuple(getattr(signal, name) for name in ("SIGCHLD", "SIGUSR1") if hasattr(signal, name))
"""Signals that are given back their default meaning.

With SIGCHLD ignored the kernel tells nobody how a child ended (wait(2)); SIGUSR1 wakes a tracer.
Those that end a process get a handler where they are used, and are left as they are until then: who
ignores SIGHUP or SIGINT means it.
"""


def reset() -> None:
    """Unblocks every signal, and gives the needed ones their default meaning.

    Raises:
        ValueError: this is not the main thread, the only one that may set dispositions.
    """
    for number in NEEDED:
        signal.signal(number, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
