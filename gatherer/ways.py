"""How hunter gets in: the best way a container leaves open, and why. Pure.

- `copy`: the container's Python runs hunter from a file without a name, where it may write;
- `memory`: the same from a file in memory, for read-only roots;
- `bundle`: a Python is brought along, for containers that have a shell and no Python;
- `sidecar`: any of the three in another container of a pod that shares its PID namespace;
- `ephemeral`: in an ephemeral container beside the target, outside its memory limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from gatherer.interpreters import MINIMUM_VERSION, Interpreter
from gatherer.preflight.evidence import Interior, Place, Process
from gatherer.text import byte_count
from hg_shared.headroom import HEADROOM_BYTES, headroom

INJECTIONS = ("auto", "copy", "memory", "bundle", "ephemeral", "sidecar")
INSIDE = ("copy", "memory", "bundle")

_SHARED_MEMORY = PurePosixPath("/dev")


@dataclass(frozen=True)
class Injection:
    """How hunter shall get in.

    Attributes:
        kind: one of `INJECTIONS`.
        image: for an ephemeral container; None for one that suits.
        force: go on without memory headroom.
    """

    kind: str = "auto"
    image: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Way:
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
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class NoWay:
    """Why hunter cannot run in a container.

    Attributes:
        cause: what stands in the way.
        crowded: whether it is want of memory alone, which `--force` overrides.
    """

    cause: str
    crowded: bool = False


def inside(interior: Interior | None, asked: str = "auto", force: bool = False) -> Way | NoWay:
    """Returns how hunter can run in a container.

    Args:
        interior: what the probe saw; None when neither a shell nor a Python could be run.
        asked: `auto`, or the kind that must be taken.
        force: go on without memory headroom.
    """
    if interior is None:
        return NoWay("it has no shell and no Python that can be run")
    crowded = "" if force else too_crowded(interior)
    if crowded:
        return NoWay(crowded, crowded=True)
    python = interior.python
    kind = asked
    if asked == "auto":
        kind = "bundle" if python is None else "copy" if on_disk(interior) else "memory"
    if kind == "bundle":
        return _bundle(interior, asked != "auto")
    if python is None:
        return NoWay(f"it has {lack_of_python(interior)}")
    if kind == "copy":
        if not interior.places:
            return NoWay("nothing in it is writable")
        where = (on_disk(interior) or interior.places)[0].path
        return Way("copy", f"{python} runs it from a file without a name in {where}", python)
    why = "" if asked != "auto" else ", as nothing on its disk is writable"
    return Way("memory", f"{python} runs it from memory{why}", python)


def _bundle(interior: Interior, asked: bool) -> Way | NoWay:
    why = "asked for" if asked else f"it has {lack_of_python(interior)}"
    if not interior.shell:
        return NoWay(f"it has {lack_of_python(interior)} and no shell to bring one with")
    places = [place for place in interior.places if place.executable]
    if not places:
        return NoWay(f"it has {lack_of_python(interior)}, and no writable place to run one from")
    places.sort(key=lambda place: place.in_memory)
    return Way("bundle", why, None, tuple(places))


def on_disk(interior: Interior) -> tuple[Place, ...]:
    """Returns the places that are more than the pod's shared memory."""
    return tuple(
        place
        for place in interior.places
        if not PurePosixPath(place.path).is_relative_to(_SHARED_MEMORY)
    )


def lack_of_python(interior: Interior) -> str:
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


def free_memory(interior: Interior) -> int | None:
    """Returns the bytes left below the container's memory limit, None for no limit."""
    memory = interior.memory
    if memory is None:
        return None
    return headroom(memory.limit, memory.usage, memory.inactive_file)


def too_crowded(interior: Interior) -> str:
    """Returns why hunter must not add its memory to the container's, empty when it may."""
    left = free_memory(interior)
    if left is None or left >= HEADROOM_BYTES:
        return ""
    limit = interior.memory.limit if interior.memory is not None else None
    return (
        f"only {byte_count(left)} are left below its memory limit of {byte_count(limit)},"
        f" {byte_count(HEADROOM_BYTES)} are asked for"
    )


def may_trace(interior: Interior) -> bool:
    """Tells whether a process started in the container may trace the biggest one there.

    It is guesswork where the probe found nothing that speaks against it.
    """
    if interior.calls.get("ptrace", 0) in (1, 38):  # EPERM, ENOSYS: a seccomp profile
        return False
    target = biggest(interior)
    return target is None or target.opens


def biggest(interior: Interior) -> Process | None:
    """Returns the biggest process that nobody traces."""
    return next((each for each in interior.processes if not each.tracer), None)
