"""The order of lines, and calls that print on two of them."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest

from gatherer.rendering.strace.calls import call as call_module
from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.calls.compiler import Form
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from gatherer.rendering.strace.lines.stamps import SECOND, stamp
from hg_shared.records import Abi, Kind, LossCause, Record, encode_capture
from hg_shared.syscalls import numbers
from tests.unit.gatherer.rendering.strace.packed import feed

NR = numbers(Abi.X86_64)
US = 1000
EPOCH = 13 * 3600 * SECOND
UTC = timezone.utc  # noqa: UP017
P = 0x7FFE1000


def call(
    tid: int, start: int, duration: int, name: str = "close", args: tuple[int, ...] = (3,),
    rval: int = 0, captures: bytes = b"", kind: Kind = Kind.SYSCALL,
) -> Record:  # fmt: skip
    six = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return Record(
        start * US, duration * US, rval, six, tid, 1, NR[name], kind, 0, captures  # type: ignore[arg-type]
    )  # fmt: skip


def open_call(tid: int, start: int, name: str, args: tuple[int, ...] = ()) -> Record:
    return call(tid, start, 0, name, args, kind=Kind.IN_FLIGHT)


def note(
    kind: Kind, tid: int, time: int, nr: int = 0, rval: int = 0, *args: int, captures: bytes = b""
) -> Record:
    six = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return Record(time * US, 0, rval, six, tid, 1, nr, kind, 0, captures)  # type: ignore[arg-type]


def exited(tid: int, time: int, code: int = 0) -> Record:
    return note(Kind.EXITED, tid, time, 0, code << 8)


def process(**options: object) -> ProcessLines:
    return ProcessLines(EPOCH, zone=UTC, **options)  # type: ignore[arg-type]


def fed(lines: ProcessLines, records: list[Record], watermark: int) -> list[str]:
    return feed(lines, records, watermark * US).decode().splitlines()


def test_a_line_is_what_strace_writes() -> None:
    lines = process()
    assert feed(lines, [call(4711, 1_000_123, 45)], SECOND * 2) == (
        b"4711  13:00:01.000123 close(3)          = 0 <0.000045>\n"
    )
    assert feed(lines, [call(12345678, 3_000_000, 500_000)], SECOND * 5) == (
        b"12345678 13:00:03.000000 close(3)       = 0 <0.500000>\n"
    )
    assert lines.lines == 2


def test_what_is_not_final_is_held_back() -> None:
    lines = process()
    assert fed(lines, [call(1, 10, 5)], 12) == []
    assert len(fed(lines, [], 15)) == 1


def test_records_that_arrive_out_of_order_are_sorted_by_time_and_tid() -> None:
    records = [call(2, 30, 1), call(3, 20, 0), call(1, 40, 1), call(2, 20, 0)]
    out = fed(process(), records, 100)
    assert [line.split()[0] for line in out] == ["2", "3", "2", "1"]
    stamps = [line.split()[1] for line in out]
    assert stamps == sorted(stamps)


def test_a_call_that_another_interrupts_prints_twice() -> None:
    records = [
        call(1, 10, 30, "read", (3, P, 2), 2, encode_capture(1, 0, b"ab", 2)),
        call(2, 20, 5),
        call(1, 50, 1),
    ]
    out = fed(process(), records, 100)
    assert out == [
        "1     13:00:00.000010 read(3,  <unfinished ...>",
        "2     13:00:00.000020 close(3)          = 0 <0.000005>",
        '1     13:00:00.000040 <... read resumed>"ab", 2) = 2 <0.000030>',
        "1     13:00:00.000050 close(3)          = 0 <0.000001>",
    ]


def test_calls_that_overlap_each_other_resume_in_the_order_of_their_ends() -> None:
    records = [call(1, 10, 30), call(2, 20, 5), call(3, 22, 40), call(2, 27, 2)]
    out = [line[22:] for line in fed(process(), records, 100)]
    assert out == [
        "close(3 <unfinished ...>",
        "close(3 <unfinished ...>",
        "close(3 <unfinished ...>",
        "<... close resumed>) = 0 <0.000005>",
        "close(3)          = 0 <0.000002>",
        "<... close resumed>) = 0 <0.000030>",
        "<... close resumed>) = 0 <0.000040>",
    ]


def test_a_signal_of_another_thread_interrupts_too() -> None:
    out = fed(process(), [call(1, 10, 30), note(Kind.SIGNAL, 2, 20, 15)], 100)
    assert [line[22:40] for line in out] == [
        "close(3 <unfinishe",
        "--- SIGTERM {si_si",
        "<... close resumed",
    ]


def test_calls_that_touch_do_not_interrupt_each_other() -> None:
    out = fed(process(), [call(1, 10, 10), call(1, 20, 10), call(2, 30, 5)], 100)
    assert not any("unfinished" in line for line in out)


@pytest.mark.parametrize("watermark", [500_000, 999_999])
def test_a_call_in_flight_for_less_than_a_second_waits(watermark: int) -> None:
    lines = process()
    assert fed(lines, [open_call(1, 0, "pause")], watermark) == []


def test_a_call_in_flight_for_a_second_is_shown_and_resumed() -> None:
    lines = process()
    assert fed(lines, [open_call(1, 0, "read", (0, P, 9))], 1_000_000) == [
        "1     13:00:00.000000 read(0,  <unfinished ...>"
    ]
    assert fed(lines, [open_call(1, 0, "read", (0, P, 9))], 2_000_000) == []
    done = call(1, 0, 2_500_000, "read", (0, P, 9), 0, encode_capture(1, 0, b"", 0))
    assert fed(lines, [done], 2_000_000) == []
    assert fed(lines, [], 3_000_000) == [
        '1     13:00:02.500000 <... read resumed>"", 9) = 0 <2.500000>'
    ]


def test_a_call_that_returns_before_it_was_shown_is_one_line() -> None:
    lines = process()
    assert fed(lines, [open_call(1, 0, "pause")], 300_000) == []
    assert fed(lines, [call(1, 0, 400_000, "pause", (), -514)], 500_000) == [
        "1     13:00:00.000000 pause()           = ? ERESTARTNOHAND"
        " (To be restarted if no handler) <0.400000>"
    ]


def test_a_call_in_flight_is_shown_when_another_thread_goes_on() -> None:
    lines = process()
    out = fed(lines, [open_call(1, 0, "pause"), call(2, 5, 1)], 300_000)
    assert [line[22:] for line in out] == [
        "pause( <unfinished ...>",
        "close(3)          = 0 <0.000001>",
    ]


def test_a_long_call_whose_end_is_known_already_is_not_held_for_ever() -> None:
    lines = process()
    assert fed(lines, [call(1, 0, 5_000_000)], 1_000_000) == [
        "1     13:00:00.000000 close(3 <unfinished ...>"
    ]
    assert fed(lines, [], 5_000_000) == [
        "1     13:00:05.000000 <... close resumed>) = 0 <5.000000>"
    ]


def test_exit_group_never_returns() -> None:
    records = [open_call(1, 10, "exit_group", (3,)), exited(1, 20, 3)]
    assert fed(process(), records, 100) == [
        "1     13:00:00.000010 exit_group(3)     = ?",
        "1     13:00:00.000020 +++ exited with 3 +++",
    ]


def test_threads_that_die_in_a_call_show_it_without_a_result() -> None:
    records = [
        open_call(2, 10, "read", (3, P, 1)),
        open_call(1, 20, "exit_group", (0,)),
        exited(2, 30),
        exited(1, 40),
    ]
    assert [line[22:] for line in fed(process(), records, 100)] == [
        "read(3,  <unfinished ...>",
        "exit_group(0 <unfinished ...>",
        "<... read resumed> <unfinished ...>) = ?",
        "+++ exited with 0 +++",
        "<... exit_group resumed>) = ?",
        "+++ exited with 0 +++",
    ]


def test_a_killed_thread_alone_shows_its_call_on_one_line() -> None:
    records = [open_call(1, 10, "read", (3, P, 1)), note(Kind.EXITED, 1, 20, 0, 9)]
    assert [line[22:] for line in fed(process(), records, 100)] == [
        "read(3,  <unfinished ...>) = ?",
        "+++ killed by SIGKILL +++",
    ]


def test_detaching_from_a_call_says_so() -> None:
    records = [open_call(1, 10, "read", (3, P, 1)), note(Kind.DETACHED, 1, 20)]
    assert [line[22:] for line in fed(process(), records, 100)] == ["read(3,  <detached ...>"]


def test_finish_shows_what_is_still_open() -> None:
    lines = process()
    assert fed(lines, [call(2, 5, 1), open_call(1, 10, "pause")], 100) == [
        "2     13:00:00.000005 close(3)          = 0 <0.000001>"
    ]
    assert lines.finish() == b"1     13:00:00.000010 pause( <unfinished ...>\n"
    assert lines.finish() == b""


def test_execve_stays_on_one_line_and_tells_the_new_name() -> None:
    captures = encode_capture(0, 0, b"/bin/ls", 7, True)
    comm = encode_capture(0, 0, b"ls", 2) + encode_capture(0, 1, b"/bin/ls", 7)
    records = [
        call(7, 10, 50, "execve", (P, 0, 0), 0, captures),
        note(Kind.EXEC, 7, 40, 0, 0, 7, captures=comm),
        call(7, 70, 1),
    ]
    assert [line[22:] for line in fed(process(command="sh"), records, 100)] == [
        'execve("/bin/ls", NULL, NULL) = 0 <0.000050>',
        "+++ RENAMED sh to ls +++",
        "close(3)          = 0 <0.000001>",
    ]
    assert len(fed(process(command="ls"), records, 100)) == 2


def test_execve_by_another_thread_supersedes_the_leader() -> None:
    captures = encode_capture(0, 0, b"/bin/ls", 7, True)
    comm = encode_capture(0, 0, b"ls", 2)
    records = [
        open_call(7, 5, "pause"),
        call(7, 10, 50, "execve", (P, 0, 0), 0, captures),
        note(Kind.EXEC, 7, 40, 0, 0, 9, captures=comm),
        call(7, 70, 1),
    ]
    assert [line[:6] + line[22:] for line in fed(process(command="ls"), records, 100)] == [
        "7     pause( <unfinished ...>",
        '9     execve("/bin/ls", NULL, NULL <unfinished ...>',
        "7     <... pause resumed>) = ?",
        "7     +++ superseded by execve in pid 9 +++",
        "7     <... execve resumed>) = 0 <0.000050>",
        "7     close(3)          = 0 <0.000001>",
    ]


def test_losses_are_noted_under_the_process() -> None:
    lost = note(Kind.LOST, 0, 20, 0, 0, 123, LossCause.QUEUE_FULL)
    assert fed(process(pid=4711), [call(4712, 10, 1), lost], 100)[1] == (
        "4711  13:00:00.000020 +++ LOST 123 records (output queue full) +++"
    )
    single = note(Kind.LOST, 0, 30, 0, 0, 1, 77)
    assert fed(process(pid=4711), [single], 100) == [
        "4711  13:00:00.000030 +++ LOST 1 record (cause 77) +++"
    ]


def test_silent_and_unknown_kinds() -> None:
    lines = process()
    records = [
        note(Kind.ATTACHED, 1, 5),
        call(1, 10, 30),
        note(Kind.THREAD, 1, 20, 3, 0, 2),
        note(77, 1, 25),  # type: ignore[arg-type]
    ]
    assert fed(lines, records, 100) == ["1     13:00:00.000010 close(3)          = 0 <0.000030>"]


def test_stops_are_shown() -> None:
    assert fed(process(), [note(Kind.STOPPED, 1, 10, 19)], 100) == [
        "1     13:00:00.000010 --- stopped by SIGSTOP ---"
    ]


def test_any_cut_of_a_stream_gives_the_same_log() -> None:
    records = [
        call(1, 10, 30), call(2, 20, 5), call(3, 22, 40), call(2, 27, 2), call(1, 41, 4),
        note(Kind.SIGNAL, 3, 63, 15), call(3, 64, 3), exited(2, 70), exited(3, 71),
    ]  # fmt: skip
    whole = fed(process(), records, 10**6)
    for cut in range(0, 80, 3):
        lines = process()
        first = [record for record in records if record.start <= cut * US]
        rest = [record for record in records if record.start > cut * US]
        assert fed(lines, first, cut) + fed(lines, rest, 10**6) == whole
    one_by_one = process()
    out = []
    for record in records:
        out += fed(one_by_one, [record], record.start // US)
    assert out + fed(one_by_one, [], 10**6) == whole


def test_renamed_commands_cannot_reach_a_terminal_raw() -> None:
    comm = encode_capture(0, 0, b"\x1b]0;x\x07", 6)
    out = fed(process(command="sh"), [note(Kind.EXEC, 7, 40, 0, 0, 7, captures=comm)], 100)
    assert out == [r"7     13:00:00.000040 +++ RENAMED sh to \33]0;x\7 +++"]


def test_renderers_may_be_shared() -> None:
    calls = CallRenderer(4)
    for tid in (1, 2):
        lines = ProcessLines(EPOCH, calls, zone=UTC)
        record = call(tid, 1, 1, "write", (1, P, 9), 9, encode_capture(1, 0, b"123456789", 9))
        assert '"1234"...' in feed(lines, [record], SECOND).decode()


def test_timestamp_styles() -> None:
    zone = timezone(timedelta(hours=2))
    assert stamp("time", EPOCH, zone)(1_500_000_000) == "15:00:01.500000 "
    assert stamp("none", EPOCH)(1) == ""
    assert stamp("unix", 1_700_000_000 * SECOND)(1_234_567_000) == "1700000001.234567 "
    relative = stamp("relative", 0)
    assert relative(5 * SECOND) == "     0.000000 "
    assert relative(6 * SECOND + 1000) == "     1.000001 "
    with pytest.raises(ValueError, match="sometimes"):
        stamp("sometimes", 0)
    assert feed(ProcessLines(EPOCH, timestamps="none"), [call(9, 1, 1)], SECOND) == (
        b"9     close(3)                          = 0 <0.000001>\n"
    )


def test_a_thread_in_32_bit_mode_is_noted_as_strace_notes_it() -> None:
    old = call(7, 10, 1)._replace(abi=Abi.I386, nr=6)
    records = [old, old._replace(start=20 * US), call(8, 30, 1), call(7, 40, 1)]
    out = fed(process(), records, 100)
    assert [line[22:] for line in out if "mode" in line] == [
        "[ Process PID=7 runs in 32 bit mode. ]",
        "[ Process PID=7 runs in 64 bit mode. ]",
    ]
    assert [line.split()[0] for line in out] == ["7", "7", "7", "8", "7", "7"]
    x32 = call(7, 10, 1)._replace(abi=Abi.X32)
    assert fed(process(), [x32], 100)[0].endswith("[ Process PID=7 runs in x32 mode. ]")
    assert len(fed(process(), [call(7, 10, 1)._replace(abi=255)], 100)) == 1


def test_calls_that_cannot_be_decoded_are_counted_for_their_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> Form:
        raise ZeroDivisionError

    calls = CallRenderer()
    lines, other = (ProcessLines(EPOCH, calls, zone=UTC) for _ in range(2))
    assert len(fed(other, [call(1, 1, 1)], 100)) == 1
    monkeypatch.setattr(call_module, "compile_form", fails)
    [line] = fed(lines, [call(1, 1, 1, "dup")], 100)
    assert "dup(0x3, 0, 0, 0, 0, 0) = 0" in line
    assert (lines.undecoded, other.undecoded) == (1, 0)
