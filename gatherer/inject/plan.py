"""The plan of an injection: the best way a container leaves open, and why. Pure.

- `copy`: the container's Python runs hunter from a file without a name, where it may write;
- `memory`: the same from a file in memory, for read-only roots;
- `bundle`: a Python is brought along, for containers that have a shell and no Python;
- `sidecar`: any of the three in another container of a pod that shares its PID namespace;
- `ephemeral`: in an ephemeral container beside the target, outside its memory limit but not the
  limit of its pod.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeGuard

from gatherer.kube.objects.models import Container, Pod
from gatherer.probe.facts import ContainerFacts, Memory, Process, WritableDir
from gatherer.probe.interpreters import MINIMUM_VERSION, Interpreter
from gatherer.text import byte_count
from hg_shared.headroom import HEADROOM_BYTES, headroom

INJECTIONS = ("auto", "copy", "memory", "bundle", "ephemeral", "sidecar")
INSIDE = ("copy", "memory", "bundle")
DEFAULT_IMAGE = "python:3.13-slim"
"""Image of an ephemeral container beside a target that has no Python."""

_SHARED_MEMORY = PurePosixPath("/dev")


@dataclass(frozen=True)
class InjectionConfig:
    """The injection that was asked for.

    Attributes:
        kind: one of `INJECTIONS`.
        image: for an ephemeral container; None for one that suits.
        force: go on without memory headroom.
    """

    kind: str = "auto"
    image: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Injection:
    """One way in.

    Attributes:
        kind: `copy`, `memory` or `bundle`.
        reason: why this one, for one line.
        python: of the container; None for a bundle.
        places: where a bundle may be brought to, the best one first.
    """

    kind: str
    reason: str
    python: Interpreter | None = None
    places: tuple[WritableDir, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A reason why hunter cannot run in a container.

    Attributes:
        cause: what stands in the way.
        lacks_headroom: whether it is want of memory alone, which `--force` overrides.
    """

    cause: str
    lacks_headroom: bool = False


def inside(
    interior: ContainerFacts | None, asked: str = "auto", force: bool = False
) -> Injection | Refusal:
    """Returns how hunter can run in a container.

    Args:
        interior: what the probe saw; None when neither a shell nor a Python could be run.
        asked: `auto`, or the kind that must be taken.
        force: go on without memory headroom.
    """
    if interior is None:
        return Refusal("it has no shell and no Python that can be run")
    refused = "" if force else why_no_headroom(interior)
    if refused:
        return Refusal(refused, lacks_headroom=True)
    python = interior.python
    kind = asked
    if asked == "auto":
        kind = "bundle" if python is None else "copy" if on_disk(interior) else "memory"
    if kind == "bundle":
        return _bundle(interior, asked != "auto")
    if python is None:
        return Refusal(f"it has {lack_of_python(interior)}")
    if kind == "copy":
        if not interior.places:
            return Refusal("nothing in it is writable")
        where = (on_disk(interior) or interior.places)[0].path
        return Injection("copy", f"{python} runs it from a file without a name in {where}", python)
    why = "" if asked != "auto" else ", as nothing on its disk is writable"
    return Injection("memory", f"{python} runs it from memory{why}", python)


@dataclass(frozen=True)
class InjectionPlan:
    """The way that `auto` takes, as far as it can be told before it is tried.

    Attributes:
        inject: `copy`, `memory`, `bundle`, `sidecar` or `ephemeral`.
        container: in which hunter runs, empty for an ephemeral one.
        reason: why this way, for one line.
        interior: what the probe saw in that container; None for an ephemeral one.
        lacks_headroom: whether want of memory alone keeps hunter out of the target.
    """

    inject: str
    container: str
    reason: str
    interior: ContainerFacts | None = None
    lacks_headroom: bool = False


def plan(
    name: str,
    interior: ContainerFacts | None,
    others: Iterable[tuple[str, ContainerFacts | None]] | None = None,
    force: bool = False,
) -> InjectionPlan:
    """Returns the way that `auto` takes.

    Args:
        name: of the target's container.
        interior: what the probe saw in it.
        others: the pod's other containers that run, None where its PID namespace is not shared.
        force: go on without memory headroom.
    """
    way = inside(interior, force=force)
    if goes_inside(way, interior, others is not None):
        return InjectionPlan(way.kind, name, way.reason, interior)
    reason = why_not_inside(way)
    for other, seen in others or ():
        sidecar = in_sidecar(seen, force)
        if sidecar is not None:
            return InjectionPlan("sidecar", other, sidecar_reason(other, reason, sidecar), seen)
    if isinstance(way, Injection):
        return InjectionPlan(way.kind, name, way.reason, interior)
    return InjectionPlan("ephemeral", "", reason, None, way.lacks_headroom)


def goes_inside(
    way: Injection | Refusal, interior: ContainerFacts | None, shared: bool
) -> TypeGuard[Injection]:
    """Tells whether hunter goes into the target before any other container is looked at.

    Args:
        way: into the target.
        interior: of the target.
        shared: whether the pod's containers share a PID namespace.
    """
    traceable = interior is not None and may_trace(interior)
    return isinstance(way, Injection) and (traceable or not shared)


def why_not_inside(way: Injection | Refusal) -> str:
    """Returns why hunter does not go into the target, when `goes_inside` says so."""
    return way.cause if isinstance(way, Refusal) else "nothing may be traced from inside it"


def in_sidecar(interior: ContainerFacts | None, force: bool = False) -> Injection | None:
    """Returns how hunter can run in a container that sees the target's processes, if it can.

    Args:
        interior: what the probe saw in it.
        force: go on without memory headroom.
    """
    way = inside(interior, force=force)
    if isinstance(way, Refusal) or interior is None or not may_trace(interior):
        return None
    return way


def sidecar_reason(name: str, reason: str, way: Injection) -> str:
    """Returns why hunter runs in a sidecar, in one line."""
    return f"container {name!r} shares the PID namespace ({reason}); {way.reason}"


def limit_of_all(pod: Pod) -> int | None:
    """Returns the memory limit of a pod's own cgroup, in bytes; None when it has none.

    It holds all of its containers, ephemeral ones too. The kubelet sets it to what the spec gives
    for the pod, else to the sum of the limits where every container has one.

    Args:
        pod: as the API server tells it.
    """
    if pod.memory_limit is not None:
        return pod.memory_limit
    sidecars = [one for one in pod.init_containers if one.restart_policy == "Always"]
    limits = [one.memory_limit for one in (*pod.containers, *sidecars)]
    known = [limit for limit in limits if limit is not None]
    return sum(known) if known and len(known) == len(limits) else None


def room_beside(pod: Pod, target: Container, memory: Memory | None) -> int | None:
    """Returns the bytes that are left for an ephemeral container, None where nothing limits it.

    What the other containers use is not known: it is taken to be all that they may.

    Args:
        pod: as the API server tells it.
        target: the container to be captured.
        memory: of the target; None when it could not be read, which counts as nothing used.
    """
    limit = limit_of_all(pod)
    if limit is None:
        return None
    others = [
        one.memory_limit or 0
        for one in (*pod.containers, *pod.init_containers)
        if one.name != target.name and (one.kind != "init" or one.restart_policy == "Always")
    ]
    used = 0
    if memory is not None and memory.usage is not None:
        used = max(0, memory.usage - (memory.inactive_file or 0))
    return max(0, limit - sum(others) - used)


def no_room_beside(pod: Pod, target: Container, memory: Memory | None) -> str:
    """Returns why hunter must not run in an ephemeral container, empty when it may.

    Args:
        pod: as the API server tells it.
        target: the container to be captured.
        memory: of the target, None when it could not be read.
    """
    left = room_beside(pod, target, memory)
    if left is None or left >= HEADROOM_BYTES:
        return ""
    return (
        f"an ephemeral container counts against the pod's memory limit of"
        f" {byte_count(limit_of_all(pod))}, of which only {byte_count(left)} are left,"
        f" {byte_count(HEADROOM_BYTES)} are asked for"
    )


def own_image(container: Container, interior: ContainerFacts | None) -> str | None:
    """Returns the target's own image where an ephemeral container can use it: it has a Python.

    The node has it already, and may pull it.

    Args:
        container: the target.
        interior: what the probe saw in it.
    """
    has_python = interior is not None and interior.python is not None
    return container.image if has_python and container.image else None


def _bundle(interior: ContainerFacts, asked: bool) -> Injection | Refusal:
    why = "asked for" if asked else f"it has {lack_of_python(interior)}"
    if not interior.shell:
        return Refusal(f"it has {lack_of_python(interior)} and no shell to bring one with")
    places = [place for place in interior.places if place.executable]
    if not places:
        return Refusal(f"it has {lack_of_python(interior)}, and no writable place to run one from")
    places.sort(key=lambda place: place.in_memory)
    return Injection("bundle", why, None, tuple(places))


def on_disk(interior: ContainerFacts) -> tuple[WritableDir, ...]:
    """Returns the places that are more than the pod's shared memory."""
    return tuple(
        place
        for place in interior.places
        if not PurePosixPath(place.path).is_relative_to(_SHARED_MEMORY)
    )


def lack_of_python(interior: ContainerFacts) -> str:
    """Returns what the container has instead of a Python for hunter."""
    wanted = ".".join(map(str, MINIMUM_VERSION))
    if interior.interpreters:
        first = interior.interpreters[0]
        lack = "without ctypes" if first.version >= MINIMUM_VERSION else f"older than {wanted}"
        return f"only {first}, {lack}"
    if interior.killed is not None:
        path, number = interior.killed
        return f"no Python that runs ({path} was killed by signal {number})"
    return "no Python"


def free_memory(interior: ContainerFacts) -> int | None:
    """Returns the bytes left below the container's memory limit, None for no limit."""
    memory = interior.memory
    if memory is None:
        return None
    return headroom(memory.limit, memory.usage, memory.inactive_file)


def why_no_headroom(interior: ContainerFacts) -> str:
    """Returns why hunter must not add its memory to the container's, empty when it may."""
    left = free_memory(interior)
    if left is None or left >= HEADROOM_BYTES:
        return ""
    limit = interior.memory.limit if interior.memory is not None else None
    return (
        f"only {byte_count(left)} are left below its memory limit of {byte_count(limit)},"
        f" {byte_count(HEADROOM_BYTES)} are asked for"
    )


def may_trace(interior: ContainerFacts) -> bool:
    """Tells whether a process started in the container may trace the biggest one there.

    It is guesswork where the probe found nothing that speaks against it.
    """
    if interior.calls.get("ptrace", 0) in (1, 38):  # EPERM, ENOSYS: a seccomp profile
        return False
    target = biggest(interior)
    return target is None or target.opens


def biggest(interior: ContainerFacts) -> Process | None:
    """Returns the biggest process that nobody traces."""
    return next((each for each in interior.processes if not each.tracer), None)
