"""Signals, stops and ends of threads against lines of strace 6.1."""

from __future__ import annotations

import struct

import pytest

from gatherer.rendering.strace.lines.signals import ended_line, signal_line, stopped_line
from hg_shared.records import Kind, Record, encode_capture


def note(kind: Kind, nr: int, siginfo: bytes | None = None) -> Record:
    captures = b"" if siginfo is None else encode_capture(0, 0, siginfo, 128)
    return Record(0, 0, 0, (0, 0, 0, 0, 0, 0), 1, 1, nr, kind, 0, captures)


def siginfo(signal: int, code: int, layout: str = "", *values: int, error: int = 0) -> bytes:
    return (struct.pack("<iii4x", signal, error, code) + struct.pack("<" + layout, *values)).ljust(
        128, b"\0"
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            siginfo(17, 1, "iIi4xqq", 99, 0, 7, 2, 1),
            "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=99, si_uid=0, si_status=7,"
            " si_utime=2 /* 0.02 s */, si_stime=1 /* 0.01 s */} ---",
        ),
        (
            siginfo(17, 2, "iIi4xqq", 99, 0, 9, 0, 0),
            "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_KILLED, si_pid=99, si_uid=0,"
            " si_status=SIGKILL, si_utime=0, si_stime=0} ---",
        ),
        (
            siginfo(11, 1, "Q", 8),
            "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x8} ---",
        ),
        (
            siginfo(10, -6, "iI", 5, 1000),
            "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TKILL, si_pid=5, si_uid=1000} ---",
        ),
        (
            siginfo(10, -1, "iIQ", 5, 0, 42),
            "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_QUEUE, si_pid=5, si_uid=0, si_int=42,"
            " si_ptr=0x2a} ---",
        ),
        (
            siginfo(10, -2, "iiQ", 0, 0, 7),
            "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TIMER, si_timerid=0, si_overrun=0,"
            " si_int=7, si_ptr=0x7} ---",
        ),
        (siginfo(14, 128), "--- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---"),
        (
            siginfo(31, 1, "QiI", 0x1000, 59, 0xC000003E),
            "--- SIGSYS {si_signo=SIGSYS, si_code=SYS_SECCOMP, si_call_addr=0x1000,"
            " si_syscall=__NR_execve, si_arch=AUDIT_ARCH_X86_64} ---",
        ),
        (
            siginfo(35, 0, "iI", 5, 0),
            "--- SIGRT_3 {si_signo=SIGRT_3, si_code=SI_USER, si_pid=5, si_uid=0} ---",
        ),
    ],
)
def test_signals_show_their_siginfo(data: bytes, expected: str) -> None:
    number = struct.unpack_from("<i", data)[0]
    assert signal_line(note(Kind.SIGNAL, number, data)) == expected


def test_a_signal_without_siginfo_shows_its_number_only() -> None:
    assert signal_line(note(Kind.SIGNAL, 15)) == "--- SIGTERM {si_signo=SIGTERM} ---"


def test_stops_and_ends() -> None:
    assert stopped_line(note(Kind.STOPPED, 19)) == "--- stopped by SIGSTOP ---"
    assert ended_line(0) == "+++ exited with 0 +++"
    assert ended_line(7 << 8) == "+++ exited with 7 +++"
    assert ended_line(9) == "+++ killed by SIGKILL +++"
    assert ended_line(11 | 0x80) == "+++ killed by SIGSEGV (core dumped) +++"
