"""The life of a capture, driven by a scripted hunter."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gatherer.errors import ClusterUnreachable, DeployError, GathererError, LogWriteError
from gatherer.storage.spool import SpoolWriter
from gatherer.target.values import Exit, TargetEnd
from hg_shared.framing import Frame
from hg_shared.messages import Heartbeat
from hg_shared.records import Kind
from hg_shared.wire import encode
from tests.unit.gatherer.scripted import (
    HELLO,
    QUICK,
    REALTIME,
    SECOND,
    InlineRenderer,
    NumberedLines,
    RecordingView,
    ScriptedRuntime,
    batch,
    event,
    goodbye,
    head,
    process,
    sample,
    session,
    stream,
)

OOM = TargetEnd("OOMKilled", exit_code=137, finished_at="2026-09-21T14:13:22Z")


def document(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "strace-logs" / "session.json").read_text())


def json_lines(tmp_path: Path, name: str) -> list[dict]:
    text = (tmp_path / "strace-logs" / name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def log_numbers(tmp_path: Path, name: str = "leak-4711.log") -> list[int]:
    text = (tmp_path / "strace-logs" / name).read_text()
    return [int(line.split()[1]) for line in text.splitlines() if "+++" not in line]


async def test_the_stream_is_not_read_on_while_too_much_waits_to_be_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = ScriptedRuntime(
        stream(HELLO, process(), event("attach")) + stream(batch(0, 30), goodbye(30), start=4)
    )
    monkeypatch.setattr(InlineRenderer, "full", True)
    capture = asyncio.ensure_future(session(tmp_path, runtime).run())
    spool = tmp_path / "strace-logs" / "records.hgs.partial"
    while not (spool.exists() and spool.stat().st_size):
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(runtime.channel._chunks) == 4
    monkeypatch.setattr(InlineRenderer, "full", False)
    summary = await capture
    assert (summary.received, summary.complete) == (30, True)


async def test_a_whole_capture(tmp_path: Path) -> None:
    view = RecordingView()
    runtime = ScriptedRuntime(
        stream(
            HELLO, process(), event("attach", threads=2), batch(0, 30), batch(30, 12),
            sample(4711, rss_bytes=30 << 20), sample(4711, rss_bytes=20 << 20),
            sample(None, usage_bytes=90 << 20, limit_bytes=128 << 20, oom_kills=0),
            event("detach"), goodbye(42),
        )
    )  # fmt: skip
    summary = await session(tmp_path, runtime, view, memory=None).run()
    assert (summary.exit_code, summary.complete) == (0, True)
    assert (summary.seen, summary.received, summary.lost) == (42, 42, 0)
    assert log_numbers(tmp_path) == list(range(42))
    assert runtime.channel.acked == 10
    assert runtime.channel.closed
    final = document(tmp_path)
    assert final["schema"] == 1
    assert final["started"] == "2026-09-21T14:13:20.000000Z"
    assert final["target"]["pod"] == "problempod"
    assert final["engine"] == {"name": "ptrace-python", "reason": "the only one"}
    assert final["tracing"] == "on"
    assert final["tail"] == {"unknown_ms": 0}
    assert final["hunter"]["peak_pss_bytes"] == 20 << 20
    assert final["host"]["cgroup_version"] == 2
    assert final["records"] == {"seen": 42, "received": 42, "lost": 0}
    assert final["bytes"]["records"] == 42 * 88
    assert final["bytes"]["wire"] > 0
    assert final["exit_code"] == 0
    [entry] = final["processes"]
    assert entry == {
        "pid": 4711, "start_time": 5, "instance": 0,
        "command": "leak", "cmdline": ["leak", "--fast"], "tracing": "on", "engine": None,
        "log": "leak-4711.log", "attached": "2026-09-21T14:13:22.000000Z",
        "ended": "2026-09-21T14:13:22.000000Z", "end_reason": "detached", "records": 42,
        "lost": 0, "dropped_lines": 0, "peak_rss_bytes": 30 << 20, "mmap_lock_ms": None,
    }  # fmt: skip
    assert [line["event"] for line in json_lines(tmp_path, "events.jsonl")] == ["attach", "detach"]
    samples = json_lines(tmp_path, "memory.jsonl")
    assert samples[0] == {
        "time": "2026-09-21T14:13:22.000000Z", "pid": 4711, "rss_bytes": 30 << 20
    }  # fmt: skip
    assert samples[2]["container"] == {
        "usage_bytes": 90 << 20, "limit_bytes": 128 << 20, "oom_kills": 0
    }  # fmt: skip
    assert not (tmp_path / "strace-logs" / "records.hgs.partial").exists()
    [start] = view.starts
    assert "2.0% of 134217728 bytes (/sys/fs/cgroup/memory.max) = 2684354 bytes" in start.threshold


async def test_files_are_private(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 1), goodbye(1)))
    await session(tmp_path, runtime).run()
    directory = tmp_path / "strace-logs"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == dict.fromkeys(
        ("session.json", "events.jsonl", "memory.jsonl", "leak-4711.log"), 0o600
    )


async def test_bytes_may_be_cut_anywhere(tmp_path: Path) -> None:
    data = b"".join(stream(HELLO, process(), batch(0, 5), goodbye(5)))
    runtime = ScriptedRuntime([data[n : n + 7] for n in range(0, len(data), 7)])
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.received) == (0, 5)


@pytest.mark.parametrize(("seconds", "at_events"), [(0.0, True), (1e9, False)])
async def test_events_bring_the_spool_to_the_disk_but_not_each_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, at_events: bool
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(SpoolWriter, "sync", lambda spool: sizes.append(spool.size))
    frames = stream(HELLO, process(), event("attach"), batch(0, 1), goodbye(1))
    await session(tmp_path, ScriptedRuntime(frames), timeouts=replace(QUICK, sync=seconds)).run()
    at_the_end = sum(map(len, frames))
    assert sizes[-1] == at_the_end
    assert (sizes[0] < at_the_end) == at_events
    assert len(sizes) == (2 if at_events else 1)


async def test_stop_is_sent_and_the_goodbye_awaited(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(
        stream(HELLO, process(), batch(0, 3)), after_stop=stream(goodbye(3), start=4)
    )
    capture = session(tmp_path, runtime)

    async def stop() -> None:
        capture.stop("interrupted")

    runtime.channel.hold = stop
    summary = await capture.run()
    assert runtime.channel.stop_reason == "interrupted"
    assert (summary.exit_code, summary.end_reason, summary.complete) == (0, "interrupted", True)


async def test_duration_stops_by_itself(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(
        stream(HELLO, process(), batch(0, 3)), after_stop=stream(goodbye(3), start=4)
    )
    summary = await session(tmp_path, runtime, duration=0.001).run()
    assert runtime.channel.stop_reason == "duration"
    assert (summary.exit_code, summary.end_reason) == (0, "duration")


async def test_terminated_is_a_failure_that_keeps_everything(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(
        stream(HELLO, process(), batch(0, 3)), after_stop=stream(goodbye(3), start=4)
    )
    capture = session(tmp_path, runtime)

    async def stop() -> None:
        capture.stop("terminated")

    runtime.channel.hold = stop
    summary = await capture.run()
    assert (summary.exit_code, summary.end_reason, summary.complete) == (1, "terminated", True)
    assert log_numbers(tmp_path) == [0, 1, 2]


async def test_records_that_hunter_dropped_are_counted_in_place(tmp_path: Path) -> None:
    view = RecordingView()
    lost = head(2, kind=Kind.LOST, a0=40)
    whole = batch(0, 2)
    noted = whole._replace(heads=whole.heads + lost)
    runtime = ScriptedRuntime(stream(HELLO, process(), noted, batch(3, 2), goodbye(44, 40)))
    summary = await session(tmp_path, runtime, view).run()
    assert (summary.seen, summary.received, summary.lost) == (44, 4, 40)
    assert (summary.exit_code, summary.complete) == (4, False)
    events = json_lines(tmp_path, "events.jsonl")
    assert [(e["event"], e["pid"], e["records"]) for e in events] == [("lost", 4711, 40)]
    assert document(tmp_path)["processes"][0]["lost"] == 40


async def test_a_missing_frame_is_a_loss_that_is_located(tmp_path: Path) -> None:
    frames = stream(HELLO, process(), batch(0, 5), batch(5, 5), batch(10, 5), goodbye(15))
    del frames[3]
    summary = await session(tmp_path, ScriptedRuntime(frames)).run()
    assert (summary.seen, summary.received, summary.lost) == (15, 10, 5)
    assert (summary.exit_code, summary.complete) == (4, False)
    assert "1 frame of the stream is missing" in summary.notes
    assert "5 records were lost in transit" in summary.notes
    log = (tmp_path / "strace-logs" / "leak-4711.log").read_text()
    assert "+++ GAP 5 records (lost in transit) +++" in log
    assert "LOST" not in log
    events = json_lines(tmp_path, "events.jsonl")
    [lost] = [event for event in events if event["event"] == "lost"]
    assert (lost["records"], lost["cause"]) == (5, "lost in transit")


async def test_a_damaged_frame_is_a_loss(tmp_path: Path) -> None:
    frames = stream(HELLO, process(), batch(0, 5), batch(5, 5), goodbye(10))
    frames[2] = frames[2][:-1] + bytes([frames[2][-1] ^ 1])
    summary = await session(tmp_path, ScriptedRuntime(frames)).run()
    assert (summary.received, summary.lost, summary.exit_code) == (5, 5, 4)
    assert any("damaged" in note for note in summary.notes)


async def test_repeated_frames_count_once(tmp_path: Path) -> None:
    frames = stream(HELLO, process(), batch(0, 5), goodbye(5))
    frames.insert(3, frames[2])
    summary = await session(tmp_path, ScriptedRuntime(frames)).run()
    assert (summary.received, summary.exit_code, summary.complete) == (5, 0, True)
    assert log_numbers(tmp_path) == [0, 1, 2, 3, 4]
    assert document(tmp_path)["frames"] == {"unknown": 0, "repeated": 1}


async def test_eof_without_goodbye_is_a_broken_stream(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 5)), Exit(137, "", ""))
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete) == (4, False)
    assert summary.end_reason == "the stream broke: hunter was killed by signal 9"
    assert summary.received == 5
    assert log_numbers(tmp_path) == [0, 1, 2, 3, 4]
    assert document(tmp_path)["tail"]["unknown_ms"] >= 0


async def test_eof_when_the_target_is_gone_is_its_end(tmp_path: Path) -> None:
    chunks = stream(HELLO, process(), batch(0, 5))
    runtime = ScriptedRuntime(chunks, Exit(137), end=OOM)
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete, summary.end_reason) == (0, False, "OOMKilled")
    assert json_lines(tmp_path, "events.jsonl")[-1]["event"] == "target_ended"
    assert isinstance(document(tmp_path)["tail"]["unknown_ms"], float)


async def test_a_frame_that_died_with_its_target_belongs_to_the_unknown_tail(
    tmp_path: Path,
) -> None:
    frames = stream(HELLO, process(), batch(0, 5), batch(5, 5))
    frames[-1] = frames[-1][:-10]
    runtime = ScriptedRuntime(frames, Exit(137), end=OOM)
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete, summary.received) == (0, False, 5)
    assert document(tmp_path)["tail"]["unknown_ms"] >= 0


async def test_bytes_after_the_goodbye_are_damage(tmp_path: Path) -> None:
    frames = [*stream(HELLO, process(), batch(0, 5), goodbye(5)), b"HG and no more"]
    summary = await session(tmp_path, ScriptedRuntime(frames)).run()
    assert (summary.exit_code, summary.complete) == (4, False)


async def test_unknown_frames_are_kept_and_skipped(tmp_path: Path) -> None:
    unknown = Frame(27, 2, b"from the future").encode()
    frames = [
        *stream(HELLO), unknown, *stream(process(), batch(0, 2), goodbye(2), start=3)
    ]  # fmt: skip
    summary = await session(tmp_path, ScriptedRuntime(frames)).run()
    assert (summary.exit_code, summary.received, summary.complete) == (0, 2, True)
    assert document(tmp_path)["frames"] == {"unknown": 1, "repeated": 0}
    assert summary.notes == ("1 frame of a kind that this gatherer does not know was left out",)


async def test_hello_of_another_version_cannot_start(tmp_path: Path) -> None:
    frame = stream(HELLO)[0]
    other = Frame(1, 1, b'{"protocol": 99, "version": "7"}').encode()
    assert frame != other
    with pytest.raises(DeployError, match="hunter speaks protocol 99, gatherer 1; use the hunter"):
        await session(tmp_path, ScriptedRuntime([other])).run()
    assert list(tmp_path.iterdir()) == [], "nothing began, nothing is left"


async def test_words_on_stdout_instead_of_frames_are_shown(tmp_path: Path) -> None:
    chunks = [b"\x1b[31mbash: python: not found\n"]
    with pytest.raises(DeployError, match=r"wrote '\\x1b\[31mbash: python: not found"):
        await session(tmp_path, ScriptedRuntime(chunks, Exit(127))).run()


async def test_what_hunter_says_on_stderr_is_the_error(tmp_path: Path) -> None:
    stderr = "noise\nhunter: error: only 10 MiB are left; --force goes on\n"
    with pytest.raises(DeployError) as caught:
        await session(tmp_path, ScriptedRuntime([], Exit(3, "", stderr))).run()
    assert str(caught.value) == "hunter could not start: only 10 MiB are left; --force goes on"
    assert caught.value.exit_code == 3


async def test_a_hunter_that_says_nothing_is_waited_for_and_left(tmp_path: Path) -> None:
    runtime = ScriptedRuntime([])
    runtime.channel.hold = asyncio.Event().wait
    timeouts = replace(QUICK, hello=0.01)
    with pytest.raises(DeployError, match=r"said nothing for 0\.01 s"):
        await session(tmp_path, runtime, timeouts=timeouts).run()
    assert runtime.channel.closed


async def test_a_hunter_that_falls_silent_while_it_loads(tmp_path: Path) -> None:
    runtime = ScriptedRuntime([encode(replace(HELLO, loading=True))])
    runtime.channel.hold = asyncio.Event().wait
    timeouts = replace(QUICK, silence=0.01)
    with pytest.raises(DeployError, match=r"said nothing for 0\.01 s while it loaded its engine"):
        await session(tmp_path, runtime, timeouts=timeouts).run()
    assert runtime.channel.closed


async def test_a_hunter_that_falls_silent_breaks_the_stream(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 2)), Exit(None))
    runtime.channel.hold = asyncio.Event().wait
    timeouts = replace(QUICK, silence=0.01)
    summary = await session(tmp_path, runtime, timeouts=timeouts).run()
    assert (summary.exit_code, summary.received, summary.complete) == (4, 2, False)
    assert summary.end_reason == (
        "the stream broke: hunter was silent for 0.01 s; hunter does not run any more"
    )


async def test_totals_that_do_not_add_up_are_a_loss(tmp_path: Path) -> None:
    wrong = goodbye(5)
    wrong = type(wrong)(**{**wrong.__dict__, "seen": 9})
    summary = await session(
        tmp_path, ScriptedRuntime(stream(HELLO, process(), batch(0, 5), wrong))
    ).run()
    assert summary.exit_code == 4
    assert (summary.seen, summary.received, summary.lost) == (9, 5, 4)
    assert any("add up" in note for note in summary.notes)


async def test_more_received_than_hunter_says_it_saw(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 5), goodbye(3)))
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete) == (4, False)
    assert summary.seen == summary.received + summary.lost == 5


async def test_a_goodbye_that_misses_frames_is_noticed(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 5), goodbye(5, frames=9)))
    summary = await session(tmp_path, runtime).run()
    assert summary.exit_code == 4
    assert "hunter says it sent 9 frames, its Goodbye is number 4" in summary.notes


async def test_records_of_an_undeclared_process_are_lost(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 2), batch(2, 3, 9), goodbye(2)))
    summary = await session(tmp_path, runtime).run()
    assert summary.exit_code == 4
    assert "3 records belong to processes that hunter never declared" in summary.notes


async def test_huge_values_do_not_break_anything(tmp_path: Path) -> None:
    far = 1 << 80
    moment = type(event("exit"))(far, "exit", 4711, {"code": far, "nested": [[{"x": 1e308}]]})
    beat = Heartbeat(far, 0, far, far, far, 1e300, far)
    runtime = ScriptedRuntime(
        stream(
            HELLO, process(), moment, beat, sample(4711, rss_bytes=far), sample(-5, rss_bytes=-far),
            batch(0, 1), goodbye(1),
        )
    )  # fmt: skip
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.received) == (0, 1)
    assert json_lines(tmp_path, "events.jsonl")[0]["time"].startswith("9999-")
    assert document(tmp_path)["processes"][0]["peak_rss_bytes"] == far


async def test_a_hostile_name_stays_a_file_in_the_directory(tmp_path: Path) -> None:
    name = "../../etc/\x1b[2J\u202epasswd\n" + "x" * 500
    runtime = ScriptedRuntime(stream(HELLO, process(command=name), batch(0, 1), goodbye(1)))
    summary = await session(tmp_path, runtime).run()
    [log] = (tmp_path / "strace-logs").glob("*.log")
    assert log.name == f"{'_.._.._etc__' + '_2J_passwd_' + 'x' * 500:.64}-4711.log"
    assert all(line.isprintable() for line in summary.lines())


async def test_a_reused_pid_gets_a_log_of_its_own(tmp_path: Path) -> None:
    totals = goodbye(3)
    totals = type(totals)(
        **{
            **totals.__dict__,
            "processes": [
                {"ordinal": 1, "seen": 2, "lost": 0, "end_reason": "exited"},
                {"ordinal": 2, "seen": 1, "lost": 0, "end_reason": "detached"},
            ],
        }
    )
    runtime = ScriptedRuntime(
        stream(
            HELLO, process(1, start_time=5), batch(0, 2), process(2, start_time=99),
            batch(2, 1, ordinal=2), totals,
        )
    )  # fmt: skip
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete) == (0, True)
    assert log_numbers(tmp_path) == [0, 1]
    assert log_numbers(tmp_path, "leak-4711.2.log") == [2]
    assert [p["log"] for p in document(tmp_path)["processes"]] == [
        "leak-4711.log", "leak-4711.2.log"
    ]  # fmt: skip


async def test_cancelling_stops_at_once_and_keeps_the_spool(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 5)))
    reached = asyncio.Event()

    async def hold() -> None:
        reached.set()
        await asyncio.Event().wait()

    runtime.channel.hold = hold
    task = asyncio.ensure_future(session(tmp_path, runtime).run())
    await reached.wait()
    task.cancel()
    summary = await task
    spool = tmp_path / "strace-logs" / "records.hgs.partial"
    assert (summary.exit_code, summary.complete, summary.spool) == (1, False, spool)
    assert spool.read_bytes() == b"".join(stream(HELLO, process(), batch(0, 5)))
    assert document(tmp_path)["end_reason"] == "stopped at once"


async def test_cancelling_before_the_hello_is_an_error(tmp_path: Path) -> None:
    runtime = ScriptedRuntime([])
    reached = asyncio.Event()

    async def hold() -> None:
        reached.set()
        await asyncio.Event().wait()

    runtime.channel.hold = hold
    task = asyncio.ensure_future(session(tmp_path, runtime).run())
    await reached.wait()
    task.cancel()
    with pytest.raises(GathererError, match="interrupted before hunter had started"):
        await task


async def test_a_log_that_cannot_be_written_fails_the_capture(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 5)))
    runtime.channel.hold = asyncio.Event().wait

    class Failing(NumberedLines):
        def feed_rows(self, heads: bytes, captures: bytes, watermark: int) -> bytes:
            raise LogWriteError("cannot write leak-4711.log: No space left", "free some space")

    capture = session(tmp_path, runtime, lines=Failing)
    summary = await capture.run()
    assert (summary.exit_code, summary.complete) == (1, False)
    assert str(summary.failure) == "cannot write leak-4711.log: No space left; free some space"
    assert runtime.channel.closed
    assert summary.spool is not None
    final = document(tmp_path)
    assert final["error"].startswith("cannot write leak-4711.log")
    # The truth: all of it was received and is kept, none of it is in the log.
    assert (summary.received, summary.lost, final["records"]["received"]) == (5, None, 5)
    [leak] = summary.processes
    assert (leak.records, leak.log_bytes) == (5, 0)
    [line] = [line for line in summary.lines() if "leak-4711.log: 5" in line]
    assert "5 records, unknown lost" in line
    assert "NOT WRITTEN TO ITS END (0 B)" in line
    [kept] = [note for note in summary.notes if "of the stream were received and are kept" in note]
    assert kept.endswith(" were rendered; gatherer render does the rest")
    assert not any("not counted" in note for note in summary.notes)


async def test_a_clock_step_of_the_node_is_an_event(tmp_path: Path) -> None:
    steady = Heartbeat(1001 * SECOND, REALTIME + SECOND, 0, 0, 0, 0.1, 1 << 20)
    stepped = Heartbeat(1002 * SECOND, REALTIME + 62 * SECOND, 0, 0, 0, 0.1, 1 << 20)
    later = Heartbeat(1003 * SECOND, REALTIME + 63 * SECOND, 0, 0, 0, 0.1, 1 << 20)
    runtime = ScriptedRuntime(
        stream(HELLO, steady, stepped, later, process(), batch(0, 1), goodbye(1))
    )
    await session(tmp_path, runtime).run()
    [step] = json_lines(tmp_path, "events.jsonl")
    assert step == {"time": "2026-09-21T14:13:22.000000Z", "event": "clock_step", "seconds": 60.0}


async def test_denied_tracing_goes_on_with_memory_evidence(tmp_path: Path) -> None:
    hello = type(HELLO)(**{**HELLO.__dict__, "engine": "", "tracing": "denied: seccomp"})
    nothing = type(goodbye(0))(1003 * SECOND, "stop", 0, 0, [], 0.1, 1 << 20, 2)
    runtime = ScriptedRuntime(
        stream(hello, sample(None, usage_bytes=1, limit_bytes=2, oom_kills=0), nothing)
    )
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete) == (0, True)
    assert document(tmp_path)["tracing"] == "denied: seccomp"


async def test_a_process_that_could_not_be_attached_has_no_log(tmp_path: Path) -> None:
    refused = event("attach_failed", cause="CAP_SYS_PTRACE is missing")
    runtime = ScriptedRuntime(stream(HELLO, process(), refused, goodbye(0)))
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete) == (0, True)
    assert list((tmp_path / "strace-logs").glob("*.log")) == []
    [entry] = document(tmp_path)["processes"]
    assert (entry["log"], entry["attached"]) == (None, None)
    assert entry["end_reason"] == "not attached: CAP_SYS_PTRACE is missing"
    line = "  leak 4711: no log, not attached: CAP_SYS_PTRACE is missing"
    assert line in summary.lines()


async def test_the_last_of_the_named_processes_ends_the_capture(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(
        stream(HELLO, process(), batch(0, 1), goodbye(1, reason="no_targets"))
    )
    summary = await session(tmp_path, runtime, pids=(4711,)).run()
    assert (summary.exit_code, summary.end_reason) == (0, "target ended")
    assert runtime.arguments[0] == "--only-pids"


async def test_a_broken_channel_for_acknowledgements_is_told_by_the_reader(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 1)), Exit(None, "connection reset"))
    runtime.channel.broken = True
    summary = await session(tmp_path, runtime).run()
    assert summary.exit_code == 4
    assert summary.end_reason == (
        "the stream broke: connection reset; hunter does not run any more"
    )


async def test_lines_over_the_limit_are_told_everywhere(tmp_path: Path) -> None:
    view = RecordingView()
    runtime = ScriptedRuntime(
        stream(HELLO, process(), batch(0, 900), batch(900, 100), goodbye(1000))
    )
    summary = await session(tmp_path, runtime, view, max_log_size=4096).run()
    assert (summary.exit_code, summary.complete, summary.received) == (4, False, 1000)
    log = (tmp_path / "strace-logs" / "leak-4711.log").read_text().splitlines()
    dropped = 1000 - (len(log) - 1)
    assert log[-1].endswith(f"+++ DROPPED {dropped} lines (log size limit) +++")
    final = document(tmp_path)
    assert final["processes"][0]["dropped_lines"] == final["lines"]["dropped"] == dropped
    events = [e for e in json_lines(tmp_path, "events.jsonl") if e["event"] == "dropped"]
    assert [(e["pid"], e.get("lines"), e["limit_bytes"]) for e in events] == [
        (4711, None, 4096), (4711, dropped, 4096)
    ]  # fmt: skip
    assert any(f"{dropped} lines dropped (log size limit)" in line for line in summary.lines())


ENDING = replace(QUICK, stop=0.02, silence=60.0)
# Less than fifty pauses of 2 ms, which is what the slow link takes at least.
ENDING_BUSY = replace(ENDING, stop=0.09, progress=60.0, slack_bytes=0)


async def test_a_hunter_that_does_not_end_is_left(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 3)))
    runtime.channel.hold = asyncio.Event().wait
    summary = await session(tmp_path, runtime, duration=0.001, timeouts=ENDING).run()
    assert runtime.channel.stop_reason == "error"  # as it is left it is told that nobody comes back
    assert (summary.exit_code, summary.complete, summary.received) == (4, False, 3)
    assert summary.end_reason.endswith("hunter did not end within 0.02 s after it was asked to")
    assert log_numbers(tmp_path) == [0, 1, 2]


async def test_one_that_sends_what_it_has_may_take_longer(tmp_path: Path) -> None:
    rest = stream(*(batch(3 + n, 1) for n in range(50)), goodbye(53), start=4)
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 3)), after_stop=rest)

    async def slow_link() -> None:
        await asyncio.sleep(0.002)

    runtime.channel.hold = slow_link
    summary = await session(tmp_path, runtime, duration=0.001, timeouts=ENDING_BUSY).run()
    assert (summary.exit_code, summary.complete, summary.received) == (0, True, 53)


async def test_one_that_sends_without_end_is_left_too(tmp_path: Path) -> None:
    rest = stream(*(batch(3 + 40 * n, 40) for n in range(3000)), start=4)
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 3)), after_stop=rest)
    settings = {"duration": 0.001, "timeouts": ENDING_BUSY, "buffer": 1 << 16}
    summary = await session(tmp_path, runtime, **settings).run()
    assert summary.exit_code == 4
    assert "did not end within" in summary.end_reason


async def test_nobody_is_looked_for_when_the_capture_is_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = ScriptedRuntime(stream(HELLO, process(), batch(0, 3)), Exit(None, "it broke"))
    capture = session(tmp_path, runtime, timeouts=replace(QUICK, stop=0.0))

    async def rejoin(_session: str) -> None:
        capture.stop("interrupted")
        raise ClusterUnreachable("no connection")

    monkeypatch.setattr(runtime, "rejoin", rejoin)
    summary = await capture.run()
    assert summary.exit_code == 4
    assert "it broke; hunter did not end within 0 s" in summary.end_reason
