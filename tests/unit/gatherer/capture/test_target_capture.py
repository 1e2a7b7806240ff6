"""Captures that go through restarts of the target, driven by scripted hunters."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gatherer.errors import (
    ClusterUnreachable,
    DeployError,
    ExecError,
    GathererError,
    Interrupted,
    TargetNotFound,
    TargetNotRunning,
)
from gatherer.target.values import Exit, HunterImage, Target, TargetEnd
from tests.unit.gatherer.scripted import (
    HELLO,
    RecordingView,
    ScriptedChannel,
    ScriptedRuntime,
    batch,
    event,
    goodbye,
    process,
    sample,
    session,
    stream,
)

OOM = TargetEnd("OOMKilled", exit_code=137, restart_count=1, restarts=True)
LAST = TargetEnd("OOMKilled", exit_code=137, restart_count=2)
KILLED = Exit(137)
MIB = 1 << 20


def first_life(records: int = 5) -> list[bytes]:
    memory = sample(
        None, usage_bytes=127 * MIB, limit_bytes=128 * MIB, oom_kills=0, hunter_bytes=21 * MIB
    )
    return stream(HELLO, process(), event("attach"), batch(0, records), memory)


def document(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "strace-logs" / "session.json").read_text())


def target_ends(tmp_path: Path) -> list[dict[str, Any]]:
    lines = (tmp_path / "strace-logs" / "events.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == "target_ended"]


async def test_the_end_of_the_container_is_told_everywhere(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(first_life(), KILLED, end=LAST)
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.end_reason, summary.complete) == (0, "OOMKilled", False)
    line = (
        "container ended: OOMKilled, exit code 137, SIGKILL, memory at the last sample 127.0 MiB"
        " of 128.0 MiB, 21.0 MiB of it hunter's own, restarted 2 times so far"
    )
    assert line in summary.lines()
    [told] = target_ends(tmp_path)
    wanted = {
        "reason": "OOMKilled", "message": None, "container_id": "containerd://0",
        "exit_code": 137, "signal": "SIGKILL", "finished_at": None, "restart_count": 2,
        "restarts": False, "successor": None, "usage_bytes": 127 * MIB, "limit_bytes": 128 * MIB,
        "oom_kills": None, "hunter_bytes": 21 * MIB,
    }  # fmt: skip
    assert {key: told[key] for key in wanted} == wanted
    final = document(tmp_path)
    assert (final["end_reason"], final["restarts"], final["complete"]) == ("OOMKilled", 0, False)
    [instance] = final["instances"]
    assert instance["end"] == wanted
    assert instance["records"] == {"seen": 5, "received": 5, "lost": 0}
    assert final["tail"] == instance["tail"]
    unknown = final["tail"]["unknown_ms"]
    assert isinstance(unknown, float)
    why = f"hunter ended with its container, nothing is known of {unknown:.0f} ms before that"
    assert final["incomplete_reason"] == why
    assert any(line.endswith(f"0 lost; not complete: {why}") for line in summary.lines())
    [entry] = final["processes"]
    assert entry["ended"] == instance["ended"]
    assert (entry["end_reason"], entry["lost"]) == ("ended with its container (OOMKilled)", 0)
    log = (tmp_path / "strace-logs" / "leak-4711.log").read_text()
    assert log.endswith("+++ GAP from here on (hunter's last words did not arrive) +++\n")


async def test_what_an_earlier_container_run_has_lost_is_in_the_exit_code(tmp_path: Path) -> None:
    first = stream(HELLO, process(), batch(0, 5), batch(5, 5), batch(10, 5))
    del first[3]
    second = stream(HELLO, process(), batch(0, 3), goodbye(3))
    runtime = ScriptedRuntime(first, KILLED, end=OOM, restarts=[(second, None)])
    summary = await session(tmp_path, runtime).run()
    assert (summary.exit_code, summary.complete) == (4, False)
    runtime = ScriptedRuntime(first_life(), KILLED, end=OOM, restarts=[(second, None)])
    assert (await session(tmp_path / "whole", runtime).run()).exit_code == 0


async def test_a_restarted_container_is_traced_again_in_new_logs(tmp_path: Path) -> None:
    view = RecordingView()
    second = stream(HELLO, process(), batch(0, 3), goodbye(3))
    runtime = ScriptedRuntime(first_life(), KILLED, end=OOM, restarts=[(second, None)])
    summary = await session(tmp_path, runtime, view).run()
    directory = tmp_path / "strace-logs"
    assert len((directory / "leak-4711.log").read_text().splitlines()) == 6
    assert len((directory / "leak-4711.restart1.log").read_text().splitlines()) == 3
    assert (summary.seen, summary.received, summary.lost) == (8, 8, 0)
    assert not summary.complete
    assert [each.log.name for each in summary.processes if each.log] == [
        "leak-4711.log", "leak-4711.restart1.log"
    ]  # fmt: skip
    final = document(tmp_path)
    assert final["records"] == {"seen": 8, "received": 8, "lost": 0}
    assert (final["restarts"], len(final["instances"])) == (1, 2)
    assert final["target"]["container_id"] == "containerd://1"
    assert [entry["instance"] for entry in final["processes"]] == [0, 1]
    assert final["tail"] == {"unknown_ms": 0}
    assert final["bytes"]["records"] == 8 * 88
    assert list(directory.glob("*.partial")) == []
    assert len(view.starts) == 2
    assert any("waiting for the container to run again" in note for note in view.notes)
    assert runtime.channels[1].acked > 0


async def test_no_restart_ends_with_the_container(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(first_life(), KILLED, end=OOM, restarts=[(first_life(), LAST)])
    summary = await session(tmp_path, runtime, restart=False).run()
    assert (summary.exit_code, summary.end_reason) == (0, "OOMKilled")
    assert document(tmp_path)["restarts"] == 0


async def test_named_processes_are_not_looked_for_in_another_instance(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(first_life(), KILLED, end=OOM, restarts=[(first_life(), LAST)])
    await session(tmp_path, runtime, pids=(4711,)).run()
    assert document(tmp_path)["restarts"] == 0


async def test_a_second_capture_moves_the_logs_of_restarts_too(tmp_path: Path) -> None:
    second = stream(HELLO, process(), batch(0, 3), goodbye(3))
    for _ in range(2):
        runtime = ScriptedRuntime(first_life(), KILLED, end=OOM, restarts=[(second, None)])
        await session(tmp_path, runtime).run()
    [earlier] = (tmp_path / "strace-logs" / "previous").iterdir()
    assert (earlier / "leak-4711.restart1.log").exists()


async def test_ctrl_c_while_the_container_is_down_ends_the_capture(tmp_path: Path) -> None:
    class Down(ScriptedRuntime):
        asked = asyncio.Event()

        async def restarted(self) -> Target:
            self.asked.set()
            raise TargetNotRunning("it rests", "", "CrashLoopBackOff")

    runtime = Down(first_life(), KILLED, end=OOM)
    capture = session(tmp_path, runtime)
    running = asyncio.ensure_future(capture.run())
    await runtime.asked.wait()
    assert document(tmp_path)["end_reason"] is None
    capture.stop("interrupted")
    summary = await running
    assert (summary.exit_code, summary.end_reason) == (0, "OOMKilled")


@pytest.mark.parametrize(("how", "code"), [("terminated", 1), ("cancelled", 1)])
async def test_other_ends_while_the_container_is_down(tmp_path: Path, how: str, code: int) -> None:
    class Down(ScriptedRuntime):
        asked = asyncio.Event()

        async def restarted(self) -> Target:
            self.asked.set()
            raise TargetNotRunning("it rests", "", "CrashLoopBackOff")

    runtime = Down(first_life(), KILLED, end=OOM)
    capture = session(tmp_path, runtime)
    running = asyncio.ensure_future(capture.run())
    await runtime.asked.wait()
    if how == "cancelled":
        running.cancel()
    else:
        capture.stop(how)
    summary = await running
    assert (summary.exit_code, summary.received) == (code, 5)


async def test_a_pod_that_goes_while_its_container_is_down_names_its_successor(
    tmp_path: Path,
) -> None:
    class Replaced(ScriptedRuntime):
        async def ended(self) -> TargetEnd | None:
            if self.gone:
                return TargetEnd("Deleted", successor="web-7f9c-x2x4z")
            return OOM

        gone = False

        async def restarted(self) -> Target:
            self.gone = True
            return await super().restarted()

    view = RecordingView()
    summary = await session(tmp_path, Replaced(first_life(), KILLED, end=OOM), view).run()
    assert summary.end_reason == "OOMKilled"
    assert any("its successor is pod web-7f9c-x2x4z" in line for line in summary.lines())
    assert document(tmp_path)["instances"][0]["end"]["successor"] == "web-7f9c-x2x4z"


async def test_an_api_that_is_away_is_asked_again(tmp_path: Path) -> None:
    class Shy(ScriptedRuntime):
        refused = 0

        async def restarted(self) -> Target:
            self.refused += 1
            if self.refused < 3:
                raise ClusterUnreachable("no answer from the API server", "check the network")
            return await super().restarted()

    view = RecordingView()
    second = stream(HELLO, process(), batch(0, 3), goodbye(3))
    runtime = Shy(first_life(), KILLED, end=OOM, restarts=[(second, None)])
    summary = await session(tmp_path, runtime, view).run()
    assert summary.received == 8
    assert sum("trying again" in note for note in view.notes) == 1


class Unstartable(ScriptedRuntime):
    """Starts hunter in the first instance only."""

    def __init__(self, *arguments: Any, dead: bool, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._dead = dead
        self.tried = 0

    async def ended(self) -> TargetEnd | None:
        if self._number and self._dead:
            return LAST
        return await super().ended()

    async def start(self, hunter: HunterImage, arguments: Any) -> ScriptedChannel:
        if self._number:
            self.tried += 1
            raise DeployError("hunter did not start", "see the memory")
        return await super().start(hunter, arguments)


async def test_a_restarted_container_that_is_dead_before_hunter_is_in_it(tmp_path: Path) -> None:
    runtime = Unstartable(first_life(), KILLED, end=OOM, restarts=[([], None)], dead=True)
    capture = session(tmp_path, runtime)
    summary = await capture.run()
    assert (summary.exit_code, summary.end_reason, summary.failure) == (0, "OOMKilled", None)
    assert len(document(tmp_path)["instances"]) == 2


async def test_a_restarted_container_that_cannot_be_traced_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatherer.capture.target_capture.MAX_POLL_SECONDS", 0.001)
    runtime = Unstartable(first_life(), KILLED, end=OOM, restarts=[([], None)], dead=False)
    capture = session(tmp_path, runtime)
    summary = await capture.run()
    assert (summary.exit_code, runtime.tried) == (1, 3)
    assert summary.end_reason == "failed: hunter did not start"
    assert isinstance(summary.failure, DeployError)
    assert document(tmp_path)["records"]["received"] == 5


async def test_a_broken_stream_of_a_running_container_is_no_end_of_it(tmp_path: Path) -> None:
    class Unknown(ScriptedRuntime):
        async def ended(self) -> TargetEnd | None:
            raise ClusterUnreachable("no answer")

    summary = await session(tmp_path, Unknown(first_life(), Exit(None, "connection reset"))).run()
    reason = "the stream broke: connection reset; hunter does not run any more"
    assert (summary.exit_code, summary.end_reason) == (4, reason)


async def test_hunter_is_told_to_leave_when_gatherer_fails(tmp_path: Path) -> None:
    runtime = ScriptedRuntime(first_life())
    runtime.channel.hold = asyncio.Event().wait
    capture = session(tmp_path, runtime)

    async def fill_up() -> None:
        await asyncio.sleep(0)
        raise GathererError("cannot write session.json: No space left", "free some space")

    runtime.channel.hold = fill_up
    summary = await capture.run()
    assert (summary.exit_code, runtime.channel.stop_reason) == (1, "error")


async def test_the_memory_before_an_oom_kill_is_told(tmp_path: Path) -> None:
    before = sample(None, usage_bytes=127 * MIB, limit_bytes=128 * MIB, oom_kills=0)
    freed = sample(None, usage_bytes=85 * MIB, limit_bytes=128 * MIB, oom_kills=1)
    later = sample(None, usage_bytes=51 * MIB, limit_bytes=128 * MIB, oom_kills=1)
    runtime = ScriptedRuntime(stream(HELLO, process(), before, freed, later), KILLED, end=LAST)
    await session(tmp_path, runtime).run()
    [told] = target_ends(tmp_path)
    assert (told["usage_bytes"], told["oom_kills"]) == (127 * MIB, 1)


CREATING = TargetNotRunning("it is waiting (ContainerCreating)", "wait", "ContainerCreating")
LIFE = [HELLO, process(), batch(0, 3), goodbye(3)]


class Late(ScriptedRuntime):
    """A target that does not run at the first looks, and may lose its first instances.

    Args:
        looks: what they raise.
        missed: how many instances end while hunter is on its way.
    """

    def __init__(self, *looks: GathererError, missed: int = 0) -> None:
        lives = [stream(*LIFE)] * missed
        super().__init__(stream(*LIFE), restarts=[(life, None) for life in lives])
        self.looks = list(looks)
        self.missed = missed
        self.cause = "the exec channel ended without a status"
        self.asked = asyncio.Event()

    async def resolve(self) -> Target:
        self.asked.set()
        if self.looks:
            raise self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return await super().resolve()

    async def ended(self) -> TargetEnd | None:
        if self._number < self.missed:
            return TargetEnd("Error", exit_code=7, restarts=True)
        return None

    async def restarted(self) -> Target:
        if self.looks:
            raise self.looks.pop()
        return await super().restarted()

    async def start(self, hunter: HunterImage, arguments: Any) -> ScriptedChannel:
        if self._number < self.missed:
            raise ExecError(self.cause, "try again")
        return await super().start(hunter, arguments)


class Comes(Late):
    async def resolve(self) -> Target:
        if len(self.looks) == 1:
            self.looks.clear()
        return await super().resolve()


async def test_a_container_that_does_not_run_yet_is_waited_for(tmp_path: Path) -> None:
    view = RecordingView()
    summary = await session(tmp_path, Comes(CREATING, CREATING, CREATING), view).run()
    assert (summary.exit_code, summary.received) == (0, 3)
    assert {waiting.reason for waiting in view.waits} == {"ContainerCreating"}
    assert {waiting.limit for waiting in view.waits} == {300.0}
    assert document(tmp_path)["restarts"] == 0


async def test_without_patience_one_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    view = RecordingView()
    with pytest.raises(TargetNotRunning) as caught:
        await session(tmp_path, Late(CREATING), view, wait=0.0).run()
    assert caught.value.exit_code == 3
    assert view.waits == []
    assert not (tmp_path / "strace-logs").exists()


async def test_one_that_waited_in_vain_has_written_nothing(tmp_path: Path) -> None:
    with pytest.raises(TargetNotFound, match="in vain: it is waiting") as caught:
        await session(tmp_path, Late(CREATING), wait=0.02).run()
    assert caught.value.exit_code == 3
    assert not (tmp_path / "strace-logs").exists()


async def test_one_that_never_will_run_is_not_waited_for(tmp_path: Path) -> None:
    view = RecordingView()
    with pytest.raises(TargetNotFound, match="has ended"):
        await session(tmp_path, Late(CREATING, TargetNotFound("it has ended", "")), view).run()
    assert len({waiting.seconds for waiting in view.waits}) <= 2


async def test_ctrl_c_while_it_is_waited_for(tmp_path: Path) -> None:
    runtime = Late(CREATING)
    running = asyncio.ensure_future(session(tmp_path, runtime).run())
    await runtime.asked.wait()
    running.cancel()
    with pytest.raises(Interrupted) as caught:
        await running
    assert str(caught.value) == "interrupted while the container was waited for"
    assert caught.value.exit_code == 1
    assert str(caught.value.__cause__).startswith("waited 0s in vain: ")
    assert not (tmp_path / "strace-logs").exists()


async def test_instances_that_end_before_hunter_is_in_are_no_failure(tmp_path: Path) -> None:
    view = RecordingView()
    summary = await session(tmp_path, Late(missed=2), view).run()
    assert (summary.exit_code, summary.received) == (0, 3)
    notes = [note for note in view.notes if "ended before hunter was in it" in note]
    assert notes == ["the container ended before hunter was in it: Error, exit code 7"] * 2
    told = document(tmp_path)
    assert (told["restarts"], told["target"]["container_id"]) == (0, "containerd://2")
    assert [each["container_id"] for each in told["instances"]] == ["containerd://2"]


async def test_an_instance_that_was_missed_counts_against_the_patience(tmp_path: Path) -> None:
    class Over(Late):
        async def restarted(self) -> Target:
            raise CREATING

    with pytest.raises(TargetNotFound, match="in vain"):
        await session(tmp_path, Over(missed=1), wait=0.02).run()
    assert not (tmp_path / "strace-logs" / "session.json").exists()
    with pytest.raises(ExecError):
        await session(tmp_path, Over(missed=1), wait=0.0).run()


async def test_an_instance_that_was_missed_and_is_the_last_is_a_failure(tmp_path: Path) -> None:
    class Last(Late):
        async def ended(self) -> TargetEnd | None:
            return TargetEnd("Error", exit_code=7)

    with pytest.raises(ExecError):
        await session(tmp_path, Last(missed=1)).run()


async def test_a_hunter_that_cannot_start_in_a_container_that_runs_is_told_at_once(
    tmp_path: Path,
) -> None:
    class Runs(Late):
        async def ended(self) -> TargetEnd | None:
            return None

        async def changed(self, seconds: float) -> None:
            raise AssertionError("nothing is waited for")

    runtime = Runs(missed=1)
    runtime.cause = "the program could not be run"
    with pytest.raises(ExecError):
        await session(tmp_path, runtime).run()


async def test_the_end_of_a_container_may_be_told_a_little_later(tmp_path: Path) -> None:
    class Slow(Late):
        untold = 3

        async def ended(self) -> TargetEnd | None:
            self.untold -= 1
            return None if self.untold > 0 else await super().ended()

        async def start(self, hunter: HunterImage, arguments: Any) -> ScriptedChannel:
            if self._number < self.missed:
                raise DeployError("hunter ended before it began: it was killed by signal 9", "")
            return await super().start(hunter, arguments)

    summary = await session(tmp_path, Slow(missed=1)).run()
    assert (summary.exit_code, summary.received) == (0, 3)
