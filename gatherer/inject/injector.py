"""The injection of hunter into a pod, in the way that was asked for or the best one left.

The order of `auto`: in the target, by its own Python, or by a bundled one; in a container that
shares its PID namespace, when the target has no room for hunter or no right to trace; in an
ephemeral container. Where a container can be entered but nothing may be traced from anywhere that
is there already, hunter goes in all the same, for the memory evidence: an ephemeral container stays
in the pod's spec for good, so it is not made for that alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from gatherer.errors import ApiError, DeployError
from gatherer.inject.ephemeral_container import start_beside
from gatherer.inject.exec_start import StartedHunter, start_hunter, start_relay
from gatherer.inject.plan import (
    DEFAULT_IMAGE,
    INSIDE,
    Injection,
    InjectionConfig,
    Refusal,
    free_memory,
    goes_inside,
    in_sidecar,
    inside,
    limit_of_all,
    no_room_beside,
    sidecar_reason,
    why_not_inside,
)
from gatherer.inject.portable_python import find_bundle
from gatherer.inject.portable_python_upload import PortablePythonUploader
from gatherer.kube.objects.models import Container, Pod
from gatherer.probe.container_probe import PROBE_SECONDS, glance_inside, look_inside
from gatherer.probe.facts import ContainerFacts, Memory
from gatherer.probe.interpreters import Interpreter, find_python, locate_python
from gatherer.probe.run_command import ExecStreams, OpenExec
from gatherer.target.values import HunterImage
from gatherer.text import byte_count
from gatherer.timeouts import within
from hg_shared.headroom import HEADROOM_BYTES

if TYPE_CHECKING:
    from gatherer.kube.api import KubernetesApi

OpenExecIn = Callable[[str, Sequence[str], bool], Awaitable[ExecStreams]]
"""Starts a command in a container of the pod, given its name first."""


Join = Callable[[str], Awaitable[StartedHunter]]
Again = Callable[["Injector", HunterImage, Sequence[str]], Awaitable["InjectedHunter"]]
"""Takes a way that is known; the injector is that of the next instance."""


@dataclass(frozen=True)
class InjectedHunter:
    """Hunter, running.

    Attributes:
        started: its streams.
        inject: `copy`, `memory`, `bundle`, `sidecar` or `ephemeral`.
        container: in which it runs.
        explanation: why this way, in one line.
        join: starts another channel to it, given the name of its socket.
        again: brings hunter the same way into the next instance of the target.
    """

    started: StartedHunter
    inject: str
    container: str
    explanation: str
    join: Join
    again: Again


class Injector:
    """The ways into one container of a pod.

    Args:
        api: of the server.
        open_exec: starts commands in containers of the pod.
        pod: as it is now.
        container: the target.
        injection: how hunter shall get in.
    """

    def __init__(
        self,
        api: KubernetesApi,
        open_exec: OpenExecIn,
        pod: Pod,
        container: Container,
        injection: InjectionConfig,
    ) -> None:
        self._api = api
        self._open_exec = open_exec
        self._pod = pod
        self._target = container
        self._inject = injection.kind
        self._image = injection.image
        self._force = injection.force
        self._refused = ""

    async def inject(
        self, hunter: HunterImage, arguments: Sequence[str], before: InjectedHunter | None = None
    ) -> InjectedHunter:
        """Brings hunter in and starts it.

        Args:
            hunter: the zipapp.
            arguments: its command line, without what depends on the way.
            before: how it got into an earlier instance of the container, which has the same image:
                that way is taken without another look, as far as it leads.

        Raises:
            DeployError: no way leads in; the message says what stands in each.
            ExecError: a channel could not be opened or broke.
            ApiError: the API server refused.
        """
        command = [*arguments, "--sha256", hunter.sha256, *self._about_target()]
        if before is not None:
            try:
                return await before.again(self, hunter, command)
            except DeployError:
                pass  # Something is not as it was: it is looked for anew.
        if self._inject == "ephemeral":
            memory, own = await self._glance()
            self._check_room(memory)
            return await self._beside("" if self._image else own, "asked for", hunter, command)
        if self._inject == "sidecar":
            found = await self._in_sidecar("asked for", hunter, command)
            if found is None:
                raise DeployError(
                    f"no other container of pod {self._pod.name!r} can run hunter for"
                    f" {self._target.name!r}: {self._no_sidecar()}",
                    "use --inject ephemeral",
                )
            return found
        interior = await self._probe(self._target.name)
        way = inside(interior, self._inject, self._force)
        if interior is None and isinstance(way, Refusal) and self._refused:
            way = Refusal(f"{way.cause} ({self._refused})")
        if self._inject in INSIDE:
            if isinstance(way, Refusal):
                raise self._refusal(way)
            return await self._go_in(way, interior, hunter, command)
        return await self._best(interior, way, hunter, command)

    async def _best(
        self,
        interior: ContainerFacts | None,
        way: Injection | Refusal,
        hunter: HunterImage,
        command: Sequence[str],
    ) -> InjectedHunter:
        if goes_inside(way, interior, self._pod.shares_process_namespace):
            try:
                return await self._go_in(way, interior, hunter, command)
            except DeployError as error:
                if way.kind != "bundle":
                    raise
                way = Refusal(f"{way.reason}; {error.cause}")
        reason = why_not_inside(way)
        found = await self._in_sidecar(reason, hunter, command)
        if found is not None:
            return found
        if isinstance(way, Injection):
            return await self._go_in(way, interior, hunter, command)
        try:
            self._check_room(interior.memory if interior is not None else None)
            return await self._beside(
                interior.python if interior is not None else None, reason, hunter, command
            )
        except (ApiError, DeployError) as error:
            remedy = error.remedy
            if way.lacks_headroom and "--force" not in remedy:
                remedy = f"{remedy}, or go on with --force" if remedy else "go on with --force"
            raise DeployError(
                f"hunter cannot run in {self._name(self._target.name)}: {reason}; nor beside it:"
                f" {error.cause}",
                remedy,
            ) from error

    async def _probe(self, container: str) -> ContainerFacts | None:
        try:
            async with within(PROBE_SECONDS):
                seen, self._refused = await look_inside(self._exec_in(container))
                return seen
        except TimeoutError as error:
            raise DeployError(
                f"looking into {self._name(container)} took more than {PROBE_SECONDS:.0f} s",
                "see whether the container is out of CPU: `kubectl top pod`",
            ) from error

    async def _go_in(
        self,
        way: Injection,
        interior: ContainerFacts | None,
        hunter: HunterImage,
        command: Sequence[str],
        container: str = "",
    ) -> InjectedHunter:
        """Takes a way into the target, or into another container that was found to do."""
        where = container or self._target.name
        if way.kind == "bundle":
            assert interior is not None
            return await self._bundled(way, interior, hunter, command, where)
        assert way.python is not None
        started = await start_hunter(
            self._exec_in(where), self._name(where), way.python, hunter.data, hunter.sha256,
            command, way.kind,
        )  # fmt: skip
        join = partial(start_relay, self._exec_in(where), way.python)
        return InjectedHunter(
            started, way.kind, where, way.reason, join, _inside_again(way, interior)
        )

    async def _bundled(
        self,
        way: Injection,
        interior: ContainerFacts,
        hunter: HunterImage,
        command: Sequence[str],
        where: str,
    ) -> InjectedHunter:
        bundle = await asyncio.to_thread(find_bundle, interior.machine, hunter)
        left = free_memory(interior)
        places = [
            place
            for place in way.places
            # A file on a tmpfs is memory of the container, also when it has lost its name.
            if not place.in_memory
            or self._force
            or left is None
            or left >= HEADROOM_BYTES + bundle.size
        ]
        failure = DeployError(
            f"a Python of {byte_count(bundle.size)} has no room in {self._name(where)}: what is"
            " writable there is memory below its limit",
            "use --inject ephemeral, or --force",
        )
        for place in places:
            porter = PortablePythonUploader(
                self._exec_in(where), self._name(where), interior.shell, place.path, bundle
            )
            try:
                started = await porter.start(hunter.data, hunter.sha256, command)
            except DeployError as error:
                failure = error
                continue
            why = (
                f"{way.reason}; Python {bundle.version} of {byte_count(bundle.size)} was brought to"
                f" {place.path} and removed once it was loaded"
            )
            again = _inside_again(way, interior)
            return InjectedHunter(started, "bundle", where, why, porter.join, again)
        raise failure

    async def _in_sidecar(
        self, reason: str, hunter: HunterImage, command: Sequence[str]
    ) -> InjectedHunter | None:
        """Starts hunter in another container that sees the target's processes, if one will do."""
        if not self._pod.shares_process_namespace:
            return None
        for other in (*self._pod.containers, *self._pod.init_containers):
            if other.name == self._target.name or other.state.kind != "running":
                continue
            interior = await self._probe(other.name)
            way = in_sidecar(interior, self._force)
            if way is None:
                continue
            try:
                injected = await self._go_in(
                    way, interior, hunter, [*command, "--outside"], other.name
                )
            except DeployError:
                continue
            return self._from_sidecar(injected, other.name, reason, way, interior)
        return None

    def _from_sidecar(
        self,
        injected: InjectedHunter,
        name: str,
        reason: str,
        way: Injection,
        interior: ContainerFacts | None,
    ) -> InjectedHunter:
        """Returns what was entered as the target's sidecar."""

        async def again(
            injector: Injector, hunter: HunterImage, command: Sequence[str]
        ) -> InjectedHunter:
            arguments = [*command, "--outside"]
            injected = await injector._go_in(way, interior, hunter, arguments, name)
            return injector._from_sidecar(injected, name, reason, way, interior)

        why = sidecar_reason(name, reason, way)
        return replace(injected, inject="sidecar", explanation=why, again=again)

    def _no_sidecar(self) -> str:
        if not self._pod.shares_process_namespace:
            return "the pod does not set shareProcessNamespace"
        return "none has a Python or a place for one, and the right to trace"

    async def _glance(self) -> tuple[Memory | None, str]:
        """Returns the target's memory, and where it has a Python; takes next to no memory."""
        open_exec = self._exec_in(self._target.name)
        try:
            async with within(PROBE_SECONDS):
                seen = await glance_inside(open_exec)
                return seen or (None, await locate_python(open_exec))
        except TimeoutError:
            return None, ""

    def _check_room(self, memory: Memory | None) -> None:
        """Makes sure that the pod has room for an ephemeral container, or it is to be forced in.

        Raises:
            DeployError: it has not: what is killed then may be the target.
        """
        refused = "" if self._force else no_room_beside(self._pod, self._target, memory)
        if refused:
            raise DeployError(refused, "raise resources.limits.memory, or go on with --force")

    async def _beside(
        self,
        own: Interpreter | str | None,
        reason: str,
        hunter: HunterImage,
        command: Sequence[str],
    ) -> InjectedHunter:
        """Starts hunter in an ephemeral container.

        Args:
            own: a Python of the target that hunter can run on, or the path of one that is there.
            reason: why there.
            hunter: the zipapp.
            command: its command line.
        """
        images = [self._image or DEFAULT_IMAGE]
        if own and not self._image:
            # The node has it, and may pull it.
            images.insert(0, self._target.image)
        for image in images:
            # A Python of the target may lie on a volume, which an ephemeral container has not.
            first = len(images) > 1 and image == images[0]
            path = str(getattr(own, "path", own)) if first else "python3"
            try:
                name = await self._start_beside(image, path)
                if first and isinstance(own, Interpreter):
                    found = own
                else:
                    found = await find_python(self._exec_in(name), self._name(name))
                break
            except DeployError:
                if not first:
                    raise
        return await self._in_ephemeral(name, image, found, reason, hunter, command)

    async def _beside_with(
        self,
        image: str,
        python: Interpreter,
        reason: str,
        hunter: HunterImage,
        command: Sequence[str],
    ) -> InjectedHunter:
        """Starts hunter in an ephemeral container of an image whose Python is known."""
        name = await self._start_beside(image, python.path)
        return await self._in_ephemeral(name, image, python, reason, hunter, command)

    async def _start_beside(self, image: str, python: str) -> str:
        return await start_beside(
            self._api, self._pod.namespace, self._pod.name, self._target.name, image, python
        )

    async def _in_ephemeral(
        self,
        name: str,
        image: str,
        found: Interpreter,
        reason: str,
        hunter: HunterImage,
        command: Sequence[str],
    ) -> InjectedHunter:
        """Starts hunter in an ephemeral container that runs."""
        started = await start_hunter(
            self._exec_in(name), self._name(name), found, hunter.data, hunter.sha256,
            [*command, "--outside"], "memory",
        )  # fmt: skip
        limit = limit_of_all(self._pod)
        within_pod = f", within the pod's of {byte_count(limit)}," if limit is not None else ""
        why = (
            f"{reason}; container {name!r} of image {image!r} runs outside the target's memory"
            f" limit{within_pod} and ends with the capture, Kubernetes keeps its entry in the"
            " pod's spec"
        )
        join = partial(start_relay, self._exec_in(name), found)

        async def again(
            injector: Injector, hunter: HunterImage, command: Sequence[str]
        ) -> InjectedHunter:
            return await injector._beside_with(image, found, reason, hunter, command)

        return InjectedHunter(started, "ephemeral", name, why, join, again)

    def _about_target(self) -> list[str]:
        """Returns what tells hunter which processes are the target's."""
        arguments = []
        identifier = self._target.container_id.rpartition("//")[2]
        if identifier:
            arguments += ["--container-id", identifier]
        if self._target.memory_limit is not None:
            arguments += ["--spec-limit", str(self._target.memory_limit)]
        if self._pod.memory_limit is not None:
            arguments += ["--pod-limit", str(self._pod.memory_limit)]
        return arguments

    def _refusal(self, way: Refusal) -> DeployError:
        remedy = "leave --inject out, or use --inject ephemeral"
        if way.lacks_headroom:
            remedy = "use --inject ephemeral, or go on with --force"
        return DeployError(
            f"hunter cannot run in {self._name(self._target.name)}: {way.cause}", remedy
        )

    def _exec_in(self, container: str) -> OpenExec:
        async def open_exec(command: Sequence[str], stdin: bool) -> ExecStreams:
            return await self._open_exec(container, command, stdin)

        return open_exec

    def _name(self, container: str) -> str:
        return f"container {container!r} of pod {self._pod.name!r}"


def _inside_again(way: Injection, interior: ContainerFacts | None) -> Again:
    """Returns how a way into the target is taken once more."""

    async def again(
        injector: Injector, hunter: HunterImage, command: Sequence[str]
    ) -> InjectedHunter:
        return await injector._go_in(way, interior, hunter, command)

    return again
