"""Notes: lines about the trace and its process, where strace has one in its words."""

from __future__ import annotations

from gatherer.rendering.strace.args.literals import escape
from hg_shared.records import LOSS_TEXT, Abi, Record

NATIVE = "64 bit"
MODES: dict[int, str] = {
    Abi.X86_64: NATIVE,
    Abi.AARCH64: NATIVE,
    Abi.I386: "32 bit",
    Abi.ARM: "32 bit",
    Abi.X32: "x32",
}
"""What strace calls the calling conventions."""


def mode_note(tid: int, mode: str) -> str:
    """Returns `[ Process PID=7 runs in 32 bit mode. ]`.

    Args:
        tid: of the thread.
        mode: one of `MODES`.
    """
    return f"[ Process PID={tid} runs in {mode} mode. ]"


def lost_note(record: Record) -> str:
    """Returns `+++ LOST 3 records (…) +++`.

    Args:
        record: a LOST record.
    """
    count, cause = record.args[0], record.args[1]
    reason = LOSS_TEXT.get(cause, f"cause {cause}")  # type: ignore[call-overload]
    return f"+++ LOST {count} record{'' if count == 1 else 's'} ({reason}) +++"


def window_note(record: Record) -> str:
    """Returns `+++ WINDOW tracing on +++`, but for which threads, or that it is off and why.

    Args:
        record: a WINDOW record.
    """
    on, loss, spared, tid = record.args[0], record.args[1] / 10, record.args[2], record.args[3]
    what = "on" if on else f"off, the target lost about {loss:g}% of its time"
    if on and spared:
        threads = "1 thread" if spared == 1 else f"{spared} threads"
        what += f" but for {threads} in calls that a stop would end"
    if on and tid:
        what += f" again for {tid}"
    return f"+++ WINDOW tracing {what} +++"


def superseded_note(tid: int) -> str:
    """Returns what becomes of a leader when another thread of its process calls execve.

    Args:
        tid: of the thread that called.
    """
    return f"+++ superseded by execve in pid {tid} +++"


def renamed_note(old: str, new: str) -> str:
    """Returns `+++ RENAMED sh to cat +++`.

    Args:
        old: name of the process, unchecked.
        new: its name after execve, unchecked.
    """
    return f"+++ RENAMED {_printable(old)} to {_printable(new)} +++"


def _printable(text: str) -> str:
    return escape(text.encode("utf-8", "surrogateescape"))
