"""A capture whose channel breaks: it goes on over another one, or ends and says why."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gatherer.errors import ClusterUnreachable, HunterGone, NotFound, ServerError
from gatherer.target.values import Exit, TargetEnd
from tests.unit.gatherer.scripted import (
    HELLO,
    QUICK,
    JoinableChannel,
    NumberedLines,
    RecordingView,
    ScriptedRuntime,
    batch,
    goodbye,
    process,
    session,
    stream,
)

FRAMES = stream(HELLO, process(), *(batch(10 * n, 10) for n in range(8)), goodbye(80))
BROKEN = Exit(None, "the connection broke")


def log(tmp_path: Path) -> list[str]:
    return (tmp_path / "strace-logs" / "leak-4711.log").read_text().splitlines()


def numbers(tmp_path: Path) -> list[int]:
    return [int(line.split()[1]) for line in log(tmp_path) if "+++" not in line]


def broken(*chunks: bytes) -> ScriptedRuntime:
    return ScriptedRuntime(chunks, BROKEN)


async def test_the_stream_goes_on_where_it_broke(tmp_path: Path) -> None:
    view = RecordingView()
    runtime = broken(*FRAMES[:4], FRAMES[4][:11])
    second = JoinableChannel(runtime, [*FRAMES[4:6], FRAMES[6][:1]], BROKEN)
    third = JoinableChannel(runtime, [b"".join(FRAMES[6:])])
    runtime.rejoined = [ClusterUnreachable("no connection"), second, third]
    summary = await session(tmp_path, runtime, view).run()
    assert (summary.exit_code, summary.complete, summary.notes) == (0, True, ())
    assert numbers(tmp_path) == list(range(80))
    assert (second.joined_at, third.joined_at) == (4, 6)
    assert third.acked == len(FRAMES)
    assert all(channel.closed for channel in (runtime.channel, second, third))
    assert runtime.channel.session_key is not None
    assert runtime.sessions == [runtime.channel.session_key.session] * 3
    reconnects = [fields for _, event, _, fields in view.events if event == "reconnect"]
    assert [(f["attempts"], f["missing_frames"], f["cause"]) for f in reconnects] == [
        (2, 0, "the connection broke"), (1, 0, "the connection broke")
    ]  # fmt: skip
    document = json.loads((tmp_path / "strace-logs" / "session.json").read_text())
    assert (document["reconnects"], document["complete"]) == (2, True)
    events = (tmp_path / "strace-logs" / "events.jsonl").read_text()
    assert events.count('"event":"reconnect"') == 2
    assert [note for note in view.notes if "the connection to hunter is lost" in note]


async def test_frames_that_came_before_come_again_in_vain(tmp_path: Path) -> None:
    runtime = broken(*FRAMES[:5])
    runtime.rejoined = [JoinableChannel(runtime, FRAMES[3:])]
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.received) == (0, 80)
    assert numbers(tmp_path) == list(range(80))


async def test_what_hunter_gave_up_meanwhile_is_a_gap(tmp_path: Path) -> None:
    runtime = broken(*FRAMES[:4])
    runtime.rejoined = [JoinableChannel(runtime, FRAMES[6:])]
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete) == (4, False)
    assert (summary.seen, summary.received, summary.lost) == (80, 60, 20)
    assert numbers(tmp_path) == [*range(20), *range(40, 80)]
    [gap] = [line for line in log(tmp_path) if "GAP" in line]
    assert gap.endswith("+++ GAP 20 records (lost in transit) +++")


async def test_a_hunter_that_is_gone_ends_the_capture(tmp_path: Path) -> None:
    runtime = broken(*FRAMES[:4])
    runtime.rejoined = [ClusterUnreachable("no connection"), HunterGone("hunter is not there")]
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete, summary.received) == (4, False, 20)
    assert summary.end_reason == "the stream broke: the connection broke; hunter is not there"


async def test_it_is_not_looked_for_for_ever(tmp_path: Path) -> None:
    runtime = broken(*FRAMES[:4])
    runtime.rejoined = [ClusterUnreachable("no connection")] * 5000
    timeouts = replace(QUICK, margin=0.02, fate=0.05)
    summary = await session(tmp_path, runtime, timeouts=timeouts, linger=0.03).run()
    assert summary.exit_code == 4
    assert "it could not be reached again: no connection" in summary.end_reason
    assert len(runtime.sessions) >= 2


async def test_somebody_else_on_the_socket_is_not_believed(tmp_path: Path) -> None:
    runtime = broken(*FRAMES[:4])
    stranger = ScriptedRuntime([b"".join(FRAMES[4:])]).channel
    runtime.rejoined = [stranger, JoinableChannel(runtime, FRAMES[4:])]
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.received) == (0, 80)
    assert len(runtime.sessions) == 2


async def test_an_attempt_that_is_not_answered_is_given_up(tmp_path: Path) -> None:
    runtime = broken(*FRAMES[:4])
    silent = JoinableChannel(runtime, [])
    silent.send = _swallow  # type: ignore[method-assign]
    runtime.rejoined = [silent, JoinableChannel(runtime, FRAMES[4:])]
    summary = await session(tmp_path, runtime, timeouts=replace(QUICK, join=0.05)).run()
    assert (summary.exit_code, summary.received) == (0, 80)


async def _swallow(data: bytes) -> None:
    pass


async def test_stop_is_said_again_over_the_new_channel(tmp_path: Path) -> None:
    runtime = broken(*FRAMES[:6])
    second = JoinableChannel(runtime, FRAMES[6:-1], after_stop=FRAMES[-1:])
    runtime.rejoined = [second]
    capture = session(tmp_path, runtime)

    async def stop() -> None:
        capture.stop("interrupted")
        runtime.channel.hold = None
        while not runtime.channel.stop_reason:
            await asyncio.sleep(0)

    runtime.channel.hold = stop
    summary = await capture.run()
    assert second.stop_reason == "interrupted"
    assert (summary.exit_code, summary.end_reason, summary.received) == (0, "interrupted", 80)


async def test_a_channel_that_takes_nothing_is_closed_all_the_same(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(FRAMES[:4])
    runtime.channel.hold = asyncio.Event().wait
    runtime.channel.send = _hang  # type: ignore[method-assign]
    timeouts = replace(QUICK, stop=0.01, progress=0.01, close=0.01)
    summary = await session(tmp_path, runtime, duration=0.001, timeouts=timeouts).run()
    assert summary.received == 20
    assert runtime.channel.closed


async def _hang(data: bytes) -> None:
    await asyncio.Event().wait()


async def test_a_goodbye_needs_no_other_channel(tmp_path: Path) -> None:
    runtime = broken(*FRAMES)
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete) == (0, True)
    assert runtime.sessions == []


async def test_an_exit_code_is_an_end(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(FRAMES[:4], Exit(137))
    summary = await session(tmp_path, runtime, lines=NumberedLines).run()
    assert summary.end_reason == "the stream broke: hunter was killed by signal 9"
    assert runtime.sessions == []


RESTARTED = Exit(0, certain=False)
"""What an exec says when the container runtime is restarted."""
BOOTING = (
    ServerError("error dialing backend: dial tcp 10.0.0.1:10250: connect: connection refused"),
    NotFound("pod does not exist"),
    ServerError('container not found ("buggy")'),
)
"""What an exec is answered while a kubelet is down and when it has just started."""


@pytest.mark.parametrize("ended", [RESTARTED, Exit(137, certain=False), Exit(255, certain=False)])
async def test_the_end_of_an_exec_is_not_that_of_hunter(tmp_path: Path, ended: Exit) -> None:
    view = RecordingView()
    runtime = ScriptedRuntime(FRAMES[:4], ended)
    runtime.rejoined = [JoinableChannel(runtime, FRAMES[4:])]
    summary = await session(tmp_path, runtime, view).run()
    assert (summary.exit_code, summary.complete, summary.received) == (0, True, 80)
    [reconnect] = [fields for _, event, _, fields in view.events if event == "reconnect"]
    assert reconnect["cause"] == f"its exec ended with exit code {ended.code}"
    assert not [note for note in view.notes if "lost" in note], "it was there again at once"


async def test_what_a_kubelet_says_that_has_just_started_ends_nothing(tmp_path: Path) -> None:
    view = RecordingView()
    runtime = broken(*FRAMES[:4])
    runtime.rejoined = [*BOOTING, JoinableChannel(runtime, FRAMES[4:])]
    summary = await session(tmp_path, runtime, view).run()
    assert (summary.exit_code, summary.complete, summary.received) == (0, True, 80)
    [reconnect] = [fields for _, event, _, fields in view.events if event == "reconnect"]
    assert reconnect["attempts"] == len(BOOTING) + 1


@pytest.mark.parametrize(
    ("code", "words"),
    [(137, "hunter was killed by signal 9"), (0, "hunter ended with exit code 0")],
)
async def test_a_hunter_that_nobody_finds_has_ended_as_its_exec_did(
    tmp_path: Path, code: int, words: str
) -> None:
    view = RecordingView()
    runtime = ScriptedRuntime(FRAMES[:4], Exit(code, certain=False))
    timeouts = replace(QUICK, fate=0.05)
    summary = await session(tmp_path, runtime, view, timeouts=timeouts).run()
    assert (summary.exit_code, summary.end_reason) == (4, f"the stream broke: {words}")
    assert len(runtime.sessions) == 1
    assert not [note for note in view.notes if "lost" in note]


async def test_nor_is_an_exit_code_believed_when_time_is_over(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(FRAMES[:4], RESTARTED)
    runtime.rejoined = [BOOTING[0]] * 5000
    timeouts = replace(QUICK, margin=0.02, fate=0.05)
    summary = await session(tmp_path, runtime, timeouts=timeouts, linger=0.03).run()
    assert summary.exit_code == 4
    assert summary.end_reason.startswith(
        "the stream broke: its exec ended with exit code 0; it could not be reached again: error"
    )


async def test_the_pods_own_status_ends_the_search(tmp_path: Path) -> None:
    oom = TargetEnd("OOMKilled", exit_code=137)
    runtime = ScriptedRuntime(FRAMES[:4], Exit(137, certain=False), end=oom)
    runtime.rejoined = [BOOTING[2]] * 5000
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.end_reason) == (0, "OOMKilled")


async def test_a_node_that_is_silent_may_come_back(tmp_path: Path) -> None:
    silent = TargetEnd("NodeLost", "Kubelet stopped posting node status.", certain=False)
    runtime = ScriptedRuntime(FRAMES[:4], Exit(None, "the connection broke"), end=silent)
    asked = asyncio.Event()

    async def ended() -> TargetEnd:
        asked.set()
        return silent

    async def rejoin(session: str) -> JoinableChannel:
        await asked.wait()
        await asyncio.sleep(0)
        return JoinableChannel(runtime, FRAMES[4:])

    runtime.ended = ended  # type: ignore[method-assign]
    runtime.rejoin = rejoin  # type: ignore[method-assign]
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete, summary.received) == (0, True, 80)


@pytest.mark.parametrize("inject", ["ephemeral", "sidecar"])
async def test_a_hunter_outside_the_target_has_last_words(tmp_path: Path, inject: str) -> None:
    runtime = ScriptedRuntime(FRAMES[:4], BROKEN, end=TargetEnd("OOMKilled", exit_code=137))
    runtime.channel.inject = inject
    last = stream(goodbye(80, reason="no_targets"), start=len(FRAMES))
    asked = asyncio.Event()
    ended = runtime.ended

    async def ask() -> TargetEnd | None:
        asked.set()
        return await ended()

    async def rejoin(session: str) -> JoinableChannel:
        await asked.wait()
        await asyncio.sleep(0.01)
        return JoinableChannel(runtime, [*FRAMES[4:-1], *last])

    runtime.ended = ask  # type: ignore[method-assign]
    runtime.rejoin = rejoin  # type: ignore[method-assign]
    summary = await session(tmp_path, runtime).run()
    assert (summary.received, summary.end_reason) == (80, "target ended")
