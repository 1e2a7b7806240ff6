"""The order of the ways in, over scripted containers; tests/cluster takes them in real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gatherer.errors import DeployError, Forbidden
from gatherer.inject import injector as module
from gatherer.inject.exec_start import StartedHunter
from gatherer.inject.injector import InjectedHunter, Injector
from gatherer.inject.plan import InjectionConfig
from gatherer.inject.portable_python import PortablePython
from gatherer.kube.objects.models import Container, ContainerState, Pod
from gatherer.probe.facts import ContainerFacts, Memory, Process, WritableDir
from gatherer.probe.interpreters import Interpreter
from gatherer.probe.run_command import ExecStreams, StderrTail
from gatherer.target.values import HunterImage
from hg_shared.rights import Rights

PYTHON = Interpreter("/usr/bin/python3", (3, 11, 2))
HUNTER = HunterImage(b"zipapp", "ab" * 32)
RUNNING = ContainerState(kind="running")
APP = Container(
    "app", image="app:1", memory_limit=128 << 20, state=RUNNING, container_id="containerd://abc123"
)
SIDECAR = Container("tools", image="tools:1", state=RUNNING)
POD = Pod("shop", "web-1", containers=(APP, SIDECAR))
SHARED = replace(POD, shares_process_namespace=True)

FULL = ContainerFacts(
    asked="sh",
    shell="sh",
    rights=Rights(0, [], 0, False, None),
    machine="x86_64",
    memory=Memory(2, 128 << 20, 10 << 20, 0),
    places=(WritableDir("/tmp", True), WritableDir("/dev/shm", False, True)),
    interpreters=(PYTHON,),
    processes=(Process(1, "app", 1 << 20, {}, True),),
)
BARE = replace(FULL, interpreters=())
SEALED = replace(BARE, places=())
TIGHT = replace(FULL, memory=Memory(2, 128 << 20, 120 << 20, 0))
DENIED = replace(FULL, processes=(Process(1, "app", 1 << 20, {}, False),))


class World:
    """What containers show, and what was done in them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seen: ContainerFacts | None) -> None:
        self.seen = seen
        self.done: list[tuple[Any, ...]] = []
        self.commands: list[list[str]] = []
        self.no_bundle = False
        self.no_ephemeral = False
        self.unfit = ""
        self.spoiled = False
        self.refused = ""
        for name in (
            "look_inside",
            "start_hunter",
            "start_beside",
            "find_python",
            "locate_python",
            "glance_inside",
        ):
            monkeypatch.setattr(module, name, getattr(self, name))
        monkeypatch.setattr(module, "PortablePythonUploader", partial(ScriptedPorter, self))
        monkeypatch.setattr(module, "find_bundle", self.find_bundle)

    async def open_exec(self, container: str, command: Sequence[str], stdin: bool) -> ExecStreams:
        raise AssertionError(container)

    async def look_inside(self, open_exec: Any) -> tuple[ContainerFacts | None, str]:
        try:
            await open_exec((), False)
        except AssertionError as error:
            name = str(error)
            self.done.append(("probe", name))
            return self.seen[name], self.refused
        raise AssertionError

    def find_bundle(self, machine: str, hunter: HunterImage) -> PortablePython:
        if self.no_bundle:
            raise DeployError("there is no bundled Python for x86_64", "make one")
        return PortablePython(machine, "3.12.1", {"lib/ld.so": b"x" * (8 << 20)})

    async def start_hunter(
        self, _: Any, name: str, python: Interpreter, data: bytes, sha256: str,
        command: list[str], where: str,
    ) -> StartedHunter:  # fmt: skip
        self.done.append((where, name.split("'")[1]))
        self.commands.append(command)
        if self.spoiled:
            self.spoiled = False
            raise DeployError("its Python is gone", "")
        return self.started(python)

    def started(self, python: Interpreter) -> StartedHunter:
        return StartedHunter(None, python, b"", StderrTail())  # type: ignore[arg-type]

    async def start_beside(
        self, api: Any, namespace: str, pod: str, target: str, image: str, python: str
    ) -> str:
        if self.no_ephemeral:
            raise Forbidden("cannot patch pods/ephemeralcontainers", "ask for the right")
        self.done.append(("beside", target, image, python))
        if image == self.unfit:
            raise DeployError("ended at once", "name an image")
        return "hunter-1"

    async def find_python(self, open_exec: Any, name: str) -> Interpreter:
        return PYTHON

    async def glance_inside(self, open_exec: Any) -> tuple[Memory | None, str] | None:
        seen, _ = await self.look_inside(open_exec)
        self.done[-1] = ("glance", self.done[-1][1])
        if seen is None:
            return None
        return seen.memory, seen.python.path if seen.python is not None else ""

    async def locate_python(self, open_exec: Any) -> str:
        return ""

    def inject(
        self,
        pod: Pod = POD,
        inject: str = "auto",
        before: InjectedHunter | None = None,
        **more: Any,
    ) -> InjectedHunter:
        injector = Injector(
            None,  # type: ignore[arg-type]
            self.open_exec,
            pod,
            APP,
            InjectionConfig(inject, **more),
        )
        return asyncio.run(injector.inject(HUNTER, ["--frequency", "5"], before))


class ScriptedPorter:
    def __init__(
        self,
        world: World,
        open_exec: Any,
        name: str,
        shell: str,
        place: str,
        bundle: PortablePython,
    ) -> None:
        self.world = world
        self.name = name.split("'")[1]
        self.place = place

    async def start(self, data: bytes, sha256: str, command: list[str]) -> StartedHunter:
        self.world.done.append(("bundle", self.name, self.place))
        self.world.commands.append(command)
        if self.place == "/full":
            raise DeployError("no space left", "")
        return self.world.started(PYTHON)

    async def join(self, name: str) -> StartedHunter:
        return self.world.started(PYTHON)


ABOUT = ["--container-id", "abc123", "--spec-limit", str(128 << 20)]


def test_a_python_in_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, app=FULL)
    injected = world.inject()
    assert world.done == [("probe", "app"), ("copy", "app")]
    assert world.commands == [["--frequency", "5", "--sha256", HUNTER.sha256, *ABOUT]]
    assert (injected.inject, injected.container) == ("copy", "app")


def test_hunter_is_told_of_a_limit_of_the_whole_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, app=FULL)
    world.inject(replace(POD, memory_limit=1 << 30))
    assert world.commands[0][-4:] == [*ABOUT[-2:], "--pod-limit", str(1 << 30)]


def test_no_python_brings_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, app=BARE)
    injected = world.inject()
    assert world.done[-1] == ("bundle", "app", "/tmp")
    assert injected.explanation == (
        "it has no Python; Python 3.12.1 of 8.0 MiB was brought to /tmp and removed once it was"
        " loaded"
    )


def test_a_place_without_room_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    places = (WritableDir("/full", True), WritableDir("/data", True))
    world = World(monkeypatch, app=replace(BARE, places=places))
    world.inject()
    assert world.done[1:] == [("bundle", "app", "/full"), ("bundle", "app", "/data")]


def test_a_tmpfs_counts_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = Memory(2, 128 << 20, 75 << 20, 0)  # 53 MiB are left: enough for hunter alone
    places = (WritableDir("/tmp", True, True),)
    world = World(monkeypatch, app=replace(BARE, places=places, memory=crowd))
    assert world.inject().inject == "ephemeral"
    assert world.inject(force=True).inject == "bundle"


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (SEALED, "it has no Python, and no writable place to run one from"),
        (None, "it has no shell and no Python that can be run"),
    ],
)
def test_what_cannot_be_entered_is_traced_from_beside(
    monkeypatch: pytest.MonkeyPatch, seen: ContainerFacts | None, reason: str
) -> None:
    world = World(monkeypatch, app=seen)
    injected = world.inject()
    assert world.done[1:] == [("beside", "app", "python:3.13-slim", "python3"),
                              ("memory", "hunter-1")]  # fmt: skip
    assert world.commands[-1][-5:] == [*ABOUT, "--outside"]
    assert injected.explanation.startswith(reason)
    assert (injected.inject, injected.container) == ("ephemeral", "hunter-1")


def test_without_a_bundle_too(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, app=BARE)
    world.no_bundle = True
    injected = world.inject()
    assert injected.inject == "ephemeral"
    assert "no Python; there is no bundled Python for x86_64" in injected.explanation


def test_without_headroom_the_targets_own_image_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, app=TIGHT)
    world.inject()
    assert world.done[1] == ("beside", "app", "app:1", "/usr/bin/python3")
    world.inject(image="mine:2")
    assert world.done[-2] == ("beside", "app", "mine:2", "python3")


def test_without_headroom_and_rights_both_causes_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, app=TIGHT)
    world.no_ephemeral = True
    with pytest.raises(DeployError) as caught:
        world.inject()
    assert str(caught.value) == (
        "hunter cannot run in container 'app' of pod 'web-1': only 8.0 MiB are left below its"
        " memory limit of 128.0 MiB, 48.0 MiB are asked for; nor beside it: cannot patch"
        " pods/ephemeralcontainers; ask for the right, or go on with --force"
    )
    assert world.inject(force=True).inject == "copy"


def test_a_sidecar_comes_before_an_ephemeral_container(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, app=SEALED, tools=FULL)
    injected = world.inject(SHARED)
    assert world.done[1:] == [("probe", "tools"), ("copy", "tools")]
    assert world.commands[-1][-1] == "--outside"
    assert (injected.inject, injected.container) == ("sidecar", "tools")
    assert "container 'tools' shares the PID namespace (it has no Python" in injected.explanation
    assert world.inject(POD).inject == "ephemeral"


def test_a_sidecar_without_python_can_have_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, app=DENIED, tools=BARE)
    injected = world.inject(SHARED)
    assert world.done[1:] == [("probe", "tools"), ("bundle", "tools", "/tmp")]
    assert "nothing may be traced from inside it" in injected.explanation


def test_a_sidecar_that_may_not_trace_is_no_help(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, app=DENIED, tools=DENIED)
    assert world.inject(SHARED).inject == "copy"
    world = World(monkeypatch, app=SEALED, tools=DENIED)
    assert world.inject(SHARED).inject == "ephemeral"


def test_denied_tracing_alone_makes_no_ephemeral_container(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert World(monkeypatch, app=DENIED).inject().inject == "copy"


@pytest.mark.parametrize(
    ("inject", "seen", "words"),
    [
        ("copy", BARE, "hunter cannot run in container 'app' of pod 'web-1': it has no Python"),
        ("memory", BARE, "leave --inject out, or use --inject ephemeral"),
        ("bundle", SEALED, "no writable place to run one from"),
        ("memory", TIGHT, "use --inject ephemeral, or go on with --force"),
        ("sidecar", FULL, "the pod does not set shareProcessNamespace"),
    ],
)
def test_a_way_that_is_asked_for_and_closed(
    monkeypatch: pytest.MonkeyPatch, inject: str, seen: ContainerFacts, words: str
) -> None:
    world = World(monkeypatch, app=seen)
    with pytest.raises(DeployError) as caught:
        world.inject(inject=inject)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("seen", "image", "beside"),
    [
        (FULL, None, ("app:1", "/usr/bin/python3")),
        (BARE, None, ("python:3.13-slim", "python3")),
        (None, None, ("python:3.13-slim", "python3")),
        (FULL, "mine:2", ("mine:2", "python3")),
    ],
)
def test_asked_for_beside_the_target_its_own_image_is_taken_where_that_has_a_python(
    monkeypatch: pytest.MonkeyPatch, seen: ContainerFacts | None, image: str | None, beside: Any
) -> None:
    world = World(monkeypatch, app=seen)
    injected = world.inject(inject="ephemeral", image=image)
    assert world.done == [("glance", "app"), ("beside", "app", *beside), ("memory", "hunter-1")]
    assert injected.explanation.startswith(
        f"asked for; container 'hunter-1' of image {beside[0]!r} runs"
    )
    assert injected.explanation.endswith("Kubernetes keeps its entry in the pod's spec")


def test_an_own_image_whose_python_lies_on_a_volume_is_followed_by_the_default_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, app=FULL)
    world.unfit = "app:1"
    assert "of image 'python:3.13-slim'" in world.inject(inject="ephemeral").explanation
    assert world.done[1:3] == [
        ("beside", "app", "app:1", "/usr/bin/python3"),
        ("beside", "app", "python:3.13-slim", "python3"),
    ]
    world.unfit = "mine:2"
    with pytest.raises(DeployError, match="ended at once"):
        world.inject(inject="ephemeral", image="mine:2")


def test_what_keeps_programs_from_running_is_told_with_the_way_that_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, app=None)
    world.refused = 'exec: "sh": exec format error'
    assert world.inject().explanation.startswith(
        'it has no shell and no Python that can be run (exec: "sh": exec format error);'
    )


@pytest.mark.parametrize(
    ("pod", "seen", "inject"),
    [
        (POD, {"app": FULL}, "auto"),
        (POD, {"app": FULL}, "memory"),
        (POD, {"app": BARE}, "auto"),
        (SHARED, {"app": SEALED, "tools": FULL}, "auto"),
        (SHARED, {"app": SEALED, "tools": FULL}, "sidecar"),
        (POD, {"app": TIGHT}, "auto"),
        (POD, {"app": FULL}, "ephemeral"),
        (POD, {"app": BARE}, "ephemeral"),
    ],
)
def test_the_next_instance_is_entered_the_same_way_without_a_look(
    monkeypatch: pytest.MonkeyPatch, pod: Pod, seen: dict[str, ContainerFacts | None], inject: str
) -> None:
    world = World(monkeypatch, **seen)
    first = world.inject(pod, inject)
    steps, commands = world.done[:], world.commands[:]
    world.done.clear()
    world.commands.clear()
    injected = first
    for _ in range(2):
        injected = world.inject(pod, inject, injected)
        assert not any(step[0] in ("probe", "glance") for step in world.done)
        assert world.done[-1] == steps[-1]
        assert world.commands[-1] == commands[-1]
        facts = ("inject", "container", "explanation")
        assert [getattr(injected, name) for name in facts] == [
            getattr(first, name) for name in facts
        ]


def test_a_way_that_does_not_lead_in_any_more_is_looked_for_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, app=FULL)
    first = world.inject()
    world.spoiled = True
    world.seen["app"] = BARE
    assert world.inject(before=first).inject == "bundle"
    assert [step[0] for step in world.done] == ["probe", "copy", "copy", "probe", "bundle"]


ALONE = replace(POD, containers=(APP,))


@pytest.mark.parametrize("inject", ["auto", "ephemeral"])
def test_beside_a_target_whose_pod_has_no_room_either_nothing_is_added(
    monkeypatch: pytest.MonkeyPatch, inject: str
) -> None:
    world = World(monkeypatch, app=TIGHT)
    with pytest.raises(DeployError) as caught:
        world.inject(ALONE, inject)
    assert str(caught.value).endswith(
        "an ephemeral container counts against the pod's memory limit of 128.0 MiB, of which only"
        " 8.0 MiB are left, 48.0 MiB are asked for; raise resources.limits.memory, or go on with"
        " --force"
    )
    assert not any(step[0] == "beside" for step in world.done)
    assert world.inject(ALONE, inject, force=True).inject in ("copy", "ephemeral")


def test_beside_a_target_with_room_in_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    explained = World(monkeypatch, app=FULL).inject(ALONE, "ephemeral").explanation
    assert "outside the target's memory limit, within the pod's of 128.0 MiB, and" in explained
    sealed = World(monkeypatch, app=None).inject(ALONE)
    assert sealed.inject == "ephemeral"
