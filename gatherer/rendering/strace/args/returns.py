"""Return values: what stands behind the ` = ` of a call.

Errors by name, numbers with a comment, and what poll and select found ready.
"""

from __future__ import annotations

from collections.abc import Callable

from gatherer.rendering.strace.args import pointers, readiness, structs
from gatherer.rendering.strace.args.flags import flag_text, mode_text, named
from gatherer.rendering.strace.args.literals import hexadecimal
from gatherer.rendering.strace.args.memory import Args, Memory, Place
from gatherer.rendering.strace.args.scalars import value_formatter
from hg_shared.abi_flags import flag_table
from hg_shared.linux_abi import ERRNO, RESTARTS
from hg_shared.syscalls import CHANGED, OUT, Syscall

Returned = Callable[[Args, Memory, int], str]
U64 = 0xFFFFFFFFFFFFFFFF


def error_text(rval: int) -> str:
    """Returns a failed call's return value: `-1 ENOENT (…)`, or `? ERESTARTSYS (…)`.

    Args:
        rval: the negative errno.
    """
    known = ERRNO.get(-rval)
    if known is None:
        return f"-1 (errno {-rval})"
    prefix = "?" if -rval in RESTARTS else "-1"
    return f"{prefix} {known[0]} ({known[1]})"


_ERRORS = {-number: error_text(-number) for number in ERRNO if number}


def plain_text(_args: Args, _memory: Memory, rval: int) -> str:
    """Returns a number, or the error it stands for."""
    if -4096 < rval < 0:
        return _ERRORS.get(rval) or error_text(rval)
    return str(rval)


def _wrapped(text: Returned) -> Returned:
    def returned(args: Args, memory: Memory, rval: int) -> str:
        if -4096 < rval < 0:
            return _ERRORS.get(rval) or error_text(rval)
        return text(args, memory, rval)

    return returned


def _left(place: Place) -> Callable[[Args, Memory], str]:
    """Returns the function that prints the time that was left when a call returned."""
    render = structs.KINDS[place.kind](
        Place(place.index, place.kind, OUT, place.length, place.abi, place.limit)
    )
    return lambda args, memory: f"left {render(args, memory, 0)}" if args[place.index] else ""


_DESCRIBED = {
    "open_flags": (True, "flags ", True),
    "fd_flags": (True, "flags ", False),
    "seal_flags": (True, "seals ", True),
    "secbits": (True, "", False),
    "lease": (True, "", True),
    "personality": (True, "", True),
    "sched_policy": (False, "", True),
    "suid_dump": (False, "", True),
    "ioprio": (False, "", True),
    "time": (False, "", True),
    "sig": (False, "", False),
    "sighandler": (True, "", True),
    "pr_mce_policy": (False, "", True),
    "pr_spec_flags": (True, "", True),
}
"""Return values with a comment: in hexadecimal, what stands before the comment, also for zero."""


def _described(returns: str, abi: int) -> Returned:
    in_hex, prefix, zero = _DESCRIBED[returns]
    names = pointers.moment if returns == "time" else value_formatter(returns, abi) or hexadecimal

    def returned(_args: Args, _memory: Memory, rval: int) -> str:
        number = hexadecimal(rval & U64) if in_hex else str(rval)
        text = names(rval) if rval or zero else ""
        return f"{number} ({prefix}{text})" if text else number

    return returned


def _membarrier(args: Args, memory: Memory, rval: int) -> str:
    if args[0] & 0xFFFFFFFF or rval <= 0:
        return plain_text(args, memory, rval)
    table = flag_table("membarrier_cmd")
    return f"{rval:#x} ({flag_text(rval, table.names if table else ())})"


def _int32(args: Args, memory: Memory, rval: int) -> str:
    """A call that returns 32 bits only, so that its errors are large numbers."""
    error = ERRNO.get(0x100000000 - rval) if 0xFFFFF000 < rval < 0x100000000 else None
    return f"{rval} {error[0]} ({error[1]})" if error else plain_text(args, memory, rval)


def _received(syscall: Syscall, abi: int, limit: int) -> Returned:
    timeout = next(i for i, arg in enumerate(syscall.args) if arg.kind.startswith("time"))
    arg = syscall.args[timeout]
    left = _left(Place(timeout, arg.kind, arg.direction, arg.length, abi, limit))

    def returned(args: Args, memory: Memory, rval: int) -> str:
        text = "Timeout" if not rval else left(args, memory)
        return f"{rval} ({text})" if text else str(rval)

    return returned


def return_text(syscall: Syscall, returns: str, abi: int, limit: int) -> Returned:
    """Returns the function that prints a call's return value.

    Args:
        syscall: the call.
        returns: kind of the return value.
        abi: an `Abi`.
        limit: string size, bytes.
    """
    name = syscall.name
    if returns == "hex":
        return _wrapped(lambda _args, _memory, rval: hexadecimal(rval & U64))
    if returns == "octal":
        return _wrapped(lambda _args, _memory, rval: mode_text(rval))
    if returns in _DESCRIBED:
        return _wrapped(_described(returns, abi))
    if returns == "int32":
        return _int32
    if name in ("recvmmsg", "recvmmsg_time64"):
        return _wrapped(_received(syscall, abi, limit))
    if name == "membarrier":
        return _membarrier
    if name in ("poll", "ppoll", "ppoll_time64", "select", "_newselect") or "pselect6" in name:
        return _wrapped(_readiness(syscall, abi, limit))
    if name in ("adjtimex", "clock_adjtime", "clock_adjtime64"):
        states = named("adjtimex_state")
        return _wrapped(lambda _args, _memory, rval: f"{rval} ({states(rval)})")
    return plain_text


def _readiness(syscall: Syscall, abi: int, limit: int) -> Returned:
    times = [
        _left(Place(index, arg.kind, arg.direction, arg.length, abi, limit))
        for index, arg in enumerate(syscall.args)
        if arg.direction == CHANGED and arg.kind.startswith("time")
    ]
    polls = "poll" in syscall.name

    def returned(args: Args, memory: Memory, rval: int) -> str:
        if polls:
            text = readiness.poll_text(args, memory, rval, limit)
        else:
            text = readiness.select_text(args, memory, rval)
        if rval:
            left = [shown for time in times if (shown := time(args, memory))]
            text = ", ".join([text, *left] if text else left)
        return f"{rval} ({text})" if text else str(rval)

    return returned


def stands_alone(text: Returned, returns: str) -> bool:
    """Returns whether a return value is printed from the number alone.

    Args:
        text: what `return_text` gave.
        returns: kind of the return value.
    """
    return text is plain_text or returns in ("hex", "octal") or returns in _DESCRIBED
