"""Signals, stops and ends of threads as strace prints them."""

from __future__ import annotations

from gatherer.rendering.strace.args.memory import decode
from gatherer.rendering.strace.args.siginfo import siginfo_text
from hg_shared.linux_abi import signal_name
from hg_shared.records import Record


def signal_line(record: Record) -> str:
    """Returns `--- SIGCHLD {si_signo=SIGCHLD, …} ---`.

    Args:
        record: a SIGNAL record.
    """
    name = signal_name(record.nr)
    found = decode(record.captures).get(0)
    if found is None or len(found[1]) < 12:
        return f"--- {name} {{si_signo={name}}} ---"
    return f"--- {name} {siginfo_text(found[1])} ---"


def stopped_line(record: Record) -> str:
    """Returns `--- stopped by SIGSTOP ---`.

    Args:
        record: a STOPPED record.
    """
    return f"--- stopped by {signal_name(record.nr)} ---"


def ended_line(status: int) -> str:
    """Returns `+++ exited with 0 +++` or `+++ killed by SIGSEGV (core dumped) +++`.

    Args:
        status: wait status.
    """
    signal = status & 0x7F
    if signal and signal != 0x7F:
        core = "(core dumped) " if status & 0x80 else ""
        return f"+++ killed by {signal_name(signal)} {core}+++"
    return f"+++ exited with {status >> 8 & 0xFF} +++"
