from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gatherer.config import CaptureConfig, FleetConfig, TargetConfig
from gatherer.errors import (
    DeployError,
    ExecError,
    GathererError,
    Interrupted,
    LogWriteError,
    NotFound,
    OutputUnusable,
    TargetNotFound,
    WaitedInVain,
)
from gatherer.fleet import fleet as fleet_module
from gatherer.fleet.fleet import Fleet
from gatherer.kube.objects.models import Container, ContainerState, Pod
from gatherer.kube.watch.pod_watch import PodChange
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.target.values import TargetName
from gatherer.view.base import CaptureView
from gatherer.view.fleet_summary import FleetSummary, worst
from gatherer.view.status import FleetStatus, Start, Waiting
from gatherer.view.summary import Summary
from tests.unit.gatherer.kube.scripted_api import RUNNING, pod
from tests.unit.gatherer.scripted import HELLO

WAITING = ContainerState("waiting", "ContainerCreating")
ENDED = ContainerState("terminated", "Completed", exit_code=0)


class ScriptedSource:
    """Pods as a test tells them."""

    def __init__(self, *pods: Pod, live: bool = True, error: GathererError | None = None) -> None:
        self.live = live
        self.done = not live
        self._error = error
        self._queue: asyncio.Queue[tuple[PodChange, ...]] = asyncio.Queue()
        self._queue.put_nowait(tuple(map(PodChange, pods)))
        self._end = not live

    def keep_open(self) -> None:
        """Has it go on: it is followed, not only listed."""
        self._end = False

    def tell(self, *changes: PodChange) -> None:
        self._queue.put_nowait(changes)

    async def changes(self) -> AsyncIterator[tuple[PodChange, ...]]:
        if self._error is not None:
            raise self._error
        while not (self._end and self._queue.empty()):
            yield await self._queue.get()

    async def exhausted(self) -> bool:
        return self.done


class ScriptedCapture:
    """A capture that begins and ends as a test says."""

    def __init__(
        self,
        name: TargetName,
        config: CaptureConfig,
        view: CaptureView,
        directory: CaptureDirectory,
    ) -> None:
        self.name = name
        self.directory = directory
        self.config = config
        self.running = False
        self.begun = False
        self.stop_reason = ""
        self.fails_with = GathererError("interrupted before hunter had started")
        self._view = view
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def greet(self) -> None:
        self.running = True
        self.directory.begin()
        self._view.started(
            Start(None, HELLO, "copy", "its Python", "over 2%", self.config.output)  # type: ignore[arg-type]
        )

    def end(self, code: int = 0) -> None:
        self.directory.close()
        self._ended.set_result(code)

    def fail(self, error: Exception) -> None:
        self._ended.set_exception(error)

    def stop(self, reason: str) -> None:
        self.stop_reason = reason
        self.end()

    def rest(self) -> None:
        """Its container does not run after all."""
        self._view.waiting(Waiting("Error", "", 0.0, 300.0))

    async def run(self) -> Summary:
        self.begun = True
        try:
            code = await self._ended
        except asyncio.CancelledError:
            if not self.running:
                raise self.fails_with from self.fails_with.__cause__
            code = 1
        return Summary(
            self.config.output, (), 10, 10 - code, code, self.stop_reason or "target ended",
            code == 0, (), 20 << 20, 0.5, None, code,
        )  # fmt: skip


class SilentView:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.states: list[FleetStatus] = []
        self.waits: list[tuple[str, Waiting]] = []

    def waiting(self, waiting: Waiting, target: TargetName) -> None:
        self.waits.append((target.pod, waiting))

    def note(self, text: str, target: TargetName | None = None) -> None:
        self.notes.append(f"{target}: {text}" if target else text)

    def status(self, status: FleetStatus) -> None:
        self.states.append(status)

    def started(self, *_: object) -> None: ...
    def event(self, *_: object) -> None: ...
    def rendering(self, *_: object) -> None: ...


class Scene:
    """A fleet under test."""

    def __init__(
        self,
        tmp_path: Path,
        *sources: ScriptedSource,
        container: str | None = None,
        duration: float | None = None,
        wait: float = 300.0,
        max_execs: int = 20,
    ) -> None:
        self.view = SilentView()
        self.captures: dict[str, ScriptedCapture] = {}
        self.output = tmp_path / "strace-logs"
        config = CaptureConfig(
            target=TargetConfig(container=container),
            output=self.output,
            duration=duration,
            wait=wait,
            fleet=FleetConfig(selector="app=web", max_execs=max_execs),
        )
        self.fleet = Fleet(config, sources, self._make, self.view)  # type: ignore[arg-type]
        self.task = asyncio.ensure_future(self.fleet.run())

    def _make(
        self,
        name: TargetName,
        config: CaptureConfig,
        view: CaptureView,
        directory: CaptureDirectory,
    ) -> ScriptedCapture:
        made = ScriptedCapture(name, config, view, directory)
        self.captures[f"{name.pod}/{name.container}"] = made
        return made

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                assert not self.task.done(), self.task
                await asyncio.sleep(0)

    async def captured(self, *names: str) -> list[ScriptedCapture]:
        """Waits for captures and lets their hunters run."""
        await self.until(lambda: set(names) <= set(self.captures))
        for name in names:
            self.captures[name].greet()
        return [self.captures[name] for name in names]

    async def end(self) -> FleetSummary:
        async with asyncio.timeout(20):
            return await self.task

    def document(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.output / "targets.json").read_text())
        return document


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "EXHAUSTED_SECONDS", 0.01)
    monkeypatch.setattr(fleet_module, "TICK_SECONDS", 0.001)
    monkeypatch.setattr(fleet_module, "WENT_SECONDS", 0.2)


async def test_each_container_has_a_capture_of_its_own(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("web-1"), pod("web-2")), duration=300.0)
    captures = await scene.captured("web-1/main", "web-2/main")
    for capture in captures:
        assert capture.config.fleet is None
        assert capture.config.duration is None
        assert capture.config.target.pod == capture.name.pod
        assert capture.config.output == scene.output / f"default_{capture.name.pod}_main"
    await scene.until(lambda: scene.view.states and scene.view.states[-1].count("running") == 2)
    scene.fleet.stop("interrupted")
    scene.fleet.stop("terminated")
    summary = await scene.end()
    assert [capture.stop_reason for capture in captures] == ["interrupted"] * 2
    assert (summary.exit_code, summary.end_reason, summary.complete) == (0, "interrupted", True)
    document = scene.document()
    assert document["records"] == {"seen": 20, "received": 20, "lost": 0}
    assert (document["complete"], document["exit_code"]) == (True, 0)


async def test_pods_that_appear_join_and_pods_that_go_end(tmp_path: Path) -> None:
    source = ScriptedSource(pod("web-1"), pod("web-2", state=WAITING))
    scene = Scene(tmp_path, source)
    await scene.captured("web-1/main")
    await scene.until(lambda: scene.view.states and scene.view.states[-1].waiting == 1)
    source.tell(PodChange(pod("web-2")), PodChange(pod("web-3")))
    await scene.captured("web-2/main", "web-3/main")
    source.tell(PodChange(pod("web-1"), gone=True))
    scene.captures["web-1/main"].end()
    await scene.until(lambda: "default/web-1/main: capture ended: target ended" in scene.view.notes)
    assert not scene.task.done()
    scene.fleet.stop("interrupted")
    summary = await scene.end()
    assert len(summary.captured) == 3


async def test_a_container_is_captured_once(tmp_path: Path) -> None:
    web = pod("web-1")
    source, other = ScriptedSource(web), ScriptedSource(web)
    scene = Scene(tmp_path, source, other)
    [capture] = await scene.captured("web-1/main")
    capture.end()
    await scene.until(lambda: scene.view.notes)
    source.tell(PodChange(replace(web, message="changed")))
    other.tell(PodChange(pod("web-2")))
    await scene.captured("web-2/main")
    assert scene.captures["web-1/main"] is capture
    scene.fleet.stop("interrupted")
    assert len((await scene.end()).targets) == 2


async def test_a_successor_of_the_same_name_waits_for_the_directory(tmp_path: Path) -> None:
    source = ScriptedSource(pod("db-0", "old"))
    scene = Scene(tmp_path, source)
    [first] = await scene.captured("db-0/main")
    source.tell(PodChange(pod("db-0", "old"), gone=True), PodChange(pod("db-0", "new")))
    await scene.until(lambda: scene.view.states and scene.view.states[-1].waiting == 1)
    assert scene.captures["db-0/main"] is first
    first.end()
    await scene.until(lambda: scene.captures["db-0/main"] is not first)
    scene.captures["db-0/main"].greet()
    scene.fleet.stop("interrupted")
    assert len((await scene.end()).captured) == 2


async def test_all_containers_sidecars_included(tmp_path: Path) -> None:
    whole = replace(
        pod("web-1", containers=("main", "proxy")),
        init_containers=(
            Container("setup", "init", state=ENDED),
            Container("mesh", "init", state=RUNNING, restart_policy="Always"),
        ),
        ephemeral_containers=(Container("debug", "ephemeral", state=RUNNING),),
    )
    scene = Scene(tmp_path, ScriptedSource(whole, live=False), container="*")
    for capture in await scene.captured("web-1/main", "web-1/proxy", "web-1/mesh"):
        capture.end()
    assert len((await scene.end()).targets) == 3


async def test_a_selector_takes_pods_without_the_container_too(tmp_path: Path) -> None:
    source = ScriptedSource(pod("web-1"), pod("job-1", containers=("worker",)))
    scene = Scene(tmp_path, source, container="main")
    await scene.captured("web-1/main")
    scene.fleet.stop("interrupted")
    summary = await scene.end()
    assert summary.exit_code == 0
    assert any("has no container 'main'" in note for note in scene.view.notes)


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([ScriptedSource], "all pods that were found are being deleted"),
        ([lambda: ScriptedSource(error=NotFound("no such pod"))], "no such pod"),
        ([lambda: ScriptedSource(pod("a", state=WAITING), live=False)], "is not running"),
        ([lambda: ScriptedSource(pod("a", phase="Succeeded", state=ENDED))], "has ended"),
        ([lambda: ScriptedSource(pod("a", containers=("x", "y")))], "has 2 containers"),
        (
            [
                lambda: ScriptedSource(error=NotFound("first")),
                lambda: ScriptedSource(error=NotFound("second")),
            ],
            "first",
        ),
    ],
)
async def test_nothing_to_capture_is_an_error_that_touches_no_directory(
    tmp_path: Path, sources: list[Callable[[], ScriptedSource]], words: str
) -> None:
    scene = Scene(tmp_path, *(make() for make in sources), wait=0.0)
    with pytest.raises(GathererError, match=words) as caught:
        await scene.end()
    assert caught.value.exit_code == 3
    assert not scene.output.exists()
    # What is raised is shown by whoever catches it: nothing is said twice, nothing not at all.
    assert not any(str(caught.value) in note for note in scene.view.notes)
    assert scene.view.notes == (["second"] if words == "first" else [])


async def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    first = Scene(tmp_path, ScriptedSource(pod("web-1")))
    await first.captured("web-1/main")
    with pytest.raises(OutputUnusable, match="another capture is writing"):
        await Scene(tmp_path, ScriptedSource(pod("web-1"))).end()
    first.fleet.stop("interrupted")
    await first.end()


async def test_the_exit_code_is_the_worst_and_the_error_names_the_first(tmp_path: Path) -> None:
    pods = [pod(name) for name in ("a", "b", "c", "d")]
    scene = Scene(tmp_path, ScriptedSource(*pods, live=False))
    a, b, c, d = await scene.captured("a/main", "b/main", "c/main", "d/main")
    a.end()
    b.end(4)
    c.running = False
    c.fail(DeployError("no python", "take another image"))
    d.fail(RuntimeError("boom"))
    summary = await scene.end()
    assert summary.exit_code == 1
    assert [target.exit_code for target in summary.targets] == [0, 4, 3, 1]
    assert not summary.complete
    assert str(summary.failure) == (
        "2 of 4 targets failed, first default/d/main: unexpected RuntimeError: boom;"
        " run again with --debug and report it"
    )
    text = "\n".join(summary.lines())
    assert "  default_c_main: not captured: no python; take another image" in text
    assert "targets: 4 = 1 complete + 1 not complete + 2 not captured" in text
    assert "records: 20 seen = 16 received + 4 lost" in text


async def test_the_error_of_the_only_target_is_not_said_twice(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("a"), live=False))
    await scene.until(lambda: len(scene.captures) == 1)
    for capture in scene.captures.values():
        capture.fail(ExecError("refused", "ask for the right"))
    with pytest.raises(ExecError, match="refused"):
        await scene.end()
    assert not any("refused" in note for note in scene.view.notes)


async def test_the_error_of_the_only_target_is_said_while_others_may_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatherer.fleet.fleet.ALONE_SECONDS", 0.0)
    monkeypatch.setattr(ScriptedSource, "exhausted", never)
    scene = Scene(tmp_path, ScriptedSource(pod("a"), live=True))
    await scene.until(lambda: len(scene.captures) == 1)
    for capture in scene.captures.values():
        capture.fail(ExecError("refused", "ask for the right"))
    await scene.until(lambda: "default/a/main: refused; ask for the right" in scene.view.notes)
    scene.fleet.stop("interrupted")
    with pytest.raises(ExecError):
        await scene.end()


async def never(_source: ScriptedSource) -> bool:
    return False


async def test_when_none_can_be_captured_the_error_is_theirs(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("a"), pod("b"), live=False))
    await scene.until(lambda: len(scene.captures) == 2)
    for capture in scene.captures.values():
        capture.fail(ExecError("refused", "ask for the right"))
    with pytest.raises(GathererError) as caught:
        await scene.end()
    assert str(caught.value) == (
        "2 of 2 targets failed, first default/a/main: refused; ask for the right"
    )
    assert caught.value.exit_code == 3
    assert scene.document()["exit_code"] == 3


async def test_a_pod_that_goes_before_its_capture_is_no_failure(tmp_path: Path) -> None:
    source = ScriptedSource(pod("a"), pod("b"))
    scene = Scene(tmp_path, source)
    await scene.captured("a/main")
    await scene.until(lambda: "b/main" in scene.captures)
    scene.captures["b/main"].fail(TargetNotFound("pod b has ended"))
    # The watch tells a moment later.
    source.tell(PodChange(pod("b"), gone=True))
    await scene.until(lambda: any("b has ended" in note for note in scene.view.notes))
    scene.fleet.stop("interrupted")
    summary = await scene.end()
    assert (summary.exit_code, summary.complete, summary.failure) == (0, True, None)


async def test_an_instance_that_ends_under_hunters_start_is_followed_by_the_next(
    tmp_path: Path,
) -> None:
    source = ScriptedSource(pod("a"))
    scene = Scene(tmp_path, source)
    await scene.until(lambda: scene.captures)
    first = scene.captures["a/main"]
    first.fail(DeployError("exit code 137"))
    source.tell(PodChange(pod("a", state=WAITING)))
    await scene.until(lambda: any("exit code 137" in note for note in scene.view.notes))
    source.tell(PodChange(pod("a")))
    await scene.until(lambda: scene.captures["a/main"] is not first)
    await scene.captured("a/main")
    scene.fleet.stop("interrupted")
    assert (await scene.end()).exit_code == 0


async def test_without_targets_it_goes_on_until_no_more_can_come(tmp_path: Path) -> None:
    source = ScriptedSource(pod("a"))
    scene = Scene(tmp_path, source)
    [capture] = await scene.captured("a/main")
    capture.end()
    await scene.until(lambda: scene.view.notes)
    for _ in range(20):
        await asyncio.sleep(0.005)
        assert not scene.task.done()
    source.done = True
    assert (await scene.end()).end_reason == "target ended"


async def test_stopping_cancels_what_has_not_started(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("a"), pod("b")))
    [a] = await scene.captured("a/main")
    await scene.until(lambda: "b/main" in scene.captures)
    scene.fleet.stop("interrupted")
    summary = await scene.end()
    assert a.stop_reason == "interrupted"
    assert summary.exit_code == 0
    assert summary.targets[1].remark == "interrupted before hunter had started"


async def test_cancelling_ends_all_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("a"), pod("b")))
    await scene.captured("a/main", "b/main")
    assert scene.fleet.running
    scene.task.cancel()
    summary = await scene.end()
    assert (summary.exit_code, summary.end_reason) == (1, "stopped at once")
    assert [target.exit_code for target in summary.targets] == [1, 1]
    assert scene.document()["end_reason"] == "stopped at once"


async def test_cancelling_before_any_hunter_runs_is_not_a_capture(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("a")))
    await scene.until(lambda: scene.captures)
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.end()


async def test_the_duration_begins_when_all_are_traced(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("a"), pod("b")), duration=0.02)
    [a] = await scene.captured("a/main")
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert a.stop_reason == ""
    await scene.captured("b/main")
    assert (await scene.end()).end_reason == "duration"


async def test_the_duration_does_not_wait_for_stragglers_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "STRAGGLER_SECONDS", 0.02)
    scene = Scene(tmp_path, ScriptedSource(pod("a"), pod("b")), duration=0.02)
    await scene.captured("a/main")
    summary = await scene.end()
    assert summary.end_reason == "duration"
    assert summary.targets[1].remark == "interrupted before hunter had started"


async def test_the_duration_ends_a_capture_in_which_nothing_ever_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "STRAGGLER_SECONDS", 0.02)
    scene = Scene(tmp_path, ScriptedSource(pod("a", state=WAITING)), duration=0.02, wait=0.0)
    with pytest.raises(TargetNotFound, match="no container of the pods that were found has run"):
        await scene.end()


async def test_a_source_that_failed_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    failed = ScriptedSource(error=NotFound("no such deployment"))
    scene = Scene(tmp_path, failed, ScriptedSource(pod("a"), live=False))
    [capture] = await scene.captured("a/main")
    capture.end()
    assert (await scene.end()).exit_code == 3


async def test_an_error_in_a_source_that_should_not_be_is_told(tmp_path: Path) -> None:
    broken = ScriptedSource(error=RuntimeError("boom"))  # type: ignore[arg-type]
    with pytest.raises(GathererError, match="unexpected RuntimeError: boom"):
        await Scene(tmp_path, broken).end()


async def test_a_full_disk_keeps_the_list_that_fitted_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("a")))
    await scene.captured("a/main")
    await scene.until(lambda: (scene.output / "targets.json").exists())

    def full(*_: object) -> None:
        raise LogWriteError("cannot write targets.json: No space left on device", "free some")

    monkeypatch.setattr(fleet_module, "replace_json", full)
    scene.fleet.stop("interrupted")
    summary = await scene.end()
    assert summary.exit_code == 0
    assert scene.view.notes[-1].startswith("cannot write targets.json")
    assert scene.document()["exit_code"] is None


@pytest.mark.parametrize(
    ("codes", "code"),
    [([], 0), ([0, 0], 0), ([0, 4], 4), ([4, 3, 0], 3), ([3, 4, 1, 0], 1), ([0, 7], 7)],
)
def test_worst_exit_code(codes: list[int], code: int) -> None:
    assert worst(codes) == code


async def test_a_pod_that_waits_holds_up_no_other(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path,
        ScriptedSource(pod("a")),
        ScriptedSource(pod("b", state=WAITING), live=False),
    )
    [a] = await scene.captured("a/main")
    await scene.until(lambda: scene.view.waits)
    name, waiting = scene.view.waits[0]
    assert (name, waiting.reason, waiting.limit) == ("b", "ContainerCreating", 300.0)
    assert 0 <= waiting.seconds < 300
    scene.fleet.stop("interrupted")
    assert a.stop_reason == "interrupted"
    assert (await scene.end()).exit_code == 0


async def test_one_that_waited_in_vain_is_code_3_beside_others(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path,
        ScriptedSource(pod("a"), live=False),
        ScriptedSource(pod("b", state=WAITING), live=False),
        wait=0.05,
    )
    [a] = await scene.captured("a/main")
    await scene.until(lambda: any("in vain" in note for note in scene.view.notes))
    a.end()
    summary = await scene.end()
    assert (summary.exit_code, len(summary.captured)) == (3, 1)
    [waited] = [target for target in summary.targets if target.error is not None]
    assert str(waited.error).startswith("waited 0s in vain: container 'main' of pod 'b' is not")


async def test_a_selector_whose_pods_all_waited_in_vain_ends(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("a", state=WAITING)), wait=0.02)
    with pytest.raises(TargetNotFound, match="in vain") as caught:
        await scene.end()
    assert caught.value.exit_code == 3


async def test_one_that_runs_after_all_is_captured(tmp_path: Path) -> None:
    source = ScriptedSource(pod("a"), pod("b", state=WAITING))
    scene = Scene(tmp_path, source, wait=0.02)
    await scene.captured("a/main")
    await scene.until(lambda: any("in vain" in note for note in scene.view.notes))
    source.tell(PodChange(pod("b")))
    await scene.captured("b/main")
    scene.fleet.stop("interrupted")
    summary = await scene.end()
    assert (summary.exit_code, len(summary.captured)) == (0, 2)


async def test_a_named_pod_that_is_deleted_while_it_is_waited_for(tmp_path: Path) -> None:
    waiting = pod("a", state=WAITING)
    source = ScriptedSource(waiting, live=False)
    source.keep_open()
    scene = Scene(tmp_path, source)
    await scene.until(lambda: scene.view.waits)
    source.tell(PodChange(waiting, gone=True))
    with pytest.raises(TargetNotFound, match="pod 'a' was deleted while it was waited for"):
        await scene.end()


async def test_a_named_pod_that_is_made_anew_is_waited_for_on(tmp_path: Path) -> None:
    first = pod("db-0", "one", state=WAITING)
    source = ScriptedSource(first, live=False)
    source.keep_open()
    scene = Scene(tmp_path, source)
    await scene.until(lambda: scene.view.waits)
    source.tell(PodChange(first, gone=True), PodChange(pod("db-0", "two")))
    [capture] = await scene.captured("db-0/main")
    capture.end()
    summary = await scene.end()
    assert (summary.exit_code, len(summary.targets)) == (0, 1)


async def test_the_duration_begins_with_the_first_hunter(tmp_path: Path) -> None:
    source = ScriptedSource(pod("a", state=WAITING))
    scene = Scene(tmp_path, source, duration=0.02)
    await scene.until(lambda: len(scene.view.states) + len(scene.view.waits) > 20)
    source.tell(PodChange(pod("a")))
    await scene.captured("a/main")
    assert (await scene.end()).end_reason == "duration"


async def test_a_named_pod_that_is_waited_for_when_the_duration_ends_is_code_3(
    tmp_path: Path,
) -> None:
    named = ScriptedSource(pod("b", state=WAITING), live=False)
    live = ScriptedSource(pod("a"), pod("c", state=WAITING))
    scene = Scene(tmp_path, live, named, duration=0.02)
    await scene.captured("a/main")
    summary = await scene.end()
    assert (summary.end_reason, summary.exit_code) == ("duration", 3)
    [_, waited] = summary.targets
    assert waited.name.pod == "b"
    assert str(waited.error).startswith("waited 0s in vain: container 'main' of pod 'b' is not")


async def test_a_named_pod_whose_capture_waits_when_the_duration_ends_is_code_3(
    tmp_path: Path,
) -> None:
    source = ScriptedSource(pod("a"), pod("b"), live=False)
    scene = Scene(tmp_path, source, duration=300.0)
    await scene.until(lambda: "b/main" in scene.captures)
    await scene.captured("a/main")
    interrupted = Interrupted("interrupted while the container was waited for")
    interrupted.__cause__ = WaitedInVain("waited 9s in vain: CrashLoopBackOff")
    scene.captures["b/main"].fails_with = interrupted
    await scene.until(lambda: scene.captures["b/main"].begun)
    scene.fleet.stop("duration")
    summary = await scene.end()
    assert [str(target.error) for target in summary.targets if target.error] == [
        "waited 9s in vain: CrashLoopBackOff"
    ]
    assert summary.exit_code == 3


async def test_a_capture_that_waits_gives_its_place_among_those_that_start_to_others(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, ScriptedSource(pod("a"), pod("b")), max_execs=1)
    await scene.until(lambda: any(one.begun for one in scene.captures.values()))
    assert not all(one.begun for one in scene.captures.values())
    first = next(one for one in scene.captures.values() if one.begun)
    first.rest()
    await scene.until(lambda: all(one.begun for one in scene.captures.values()))
    scene.fleet.stop("interrupted")
    await scene.end()
