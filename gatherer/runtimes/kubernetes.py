"""Hunter in a container of a pod, over the exec subresource of the Kubernetes API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gatherer.errors import (
    ApiError,
    ExecError,
    GathererError,
    HunterGone,
    NotFound,
    TargetGone,
    TargetNotRunning,
)
from gatherer.guest import rejoin_relay
from gatherer.guest.receive_hunter import RECEIVED
from gatherer.inject.injector import InjectedHunter, Injector
from gatherer.inject.plan import InjectionConfig
from gatherer.kube.exec.channels import STDOUT, ExecExited, ExecFailed, ExecInterrupted, StreamData
from gatherer.kube.objects.containers import check_running, choose_container
from gatherer.kube.objects.endings import (
    Instance,
    instance_end,
    node_end,
    replaced_since,
    running_instance,
    sibling_selector,
    successor,
)
from gatherer.kube.objects.ephemeral import find
from gatherer.kube.watch.last_seen import LastSeen
from gatherer.target.runtime import HunterChannel
from gatherer.target.values import Exit, HunterImage, Target, TargetEnd
from gatherer.text import one_line
from gatherer.timeouts import within
from hg_shared.messages import SOCKET_PREFIX

if TYPE_CHECKING:
    from gatherer.kube.api import KubernetesApi
    from gatherer.kube.auth.access import ClusterAccess
    from gatherer.kube.connection import ClusterConnection
    from gatherer.kube.exec.session import ExecSession
    from gatherer.kube.objects.models import Pod

SUCCESSOR_SECONDS = 5.0
"""How long a controller may take to make a pod in the place of another."""
SUCCESSOR_POLL_SECONDS = 0.5
END_SECONDS = 6.0
"""How long the end of an ephemeral container is waited for."""
END_POLL_SECONDS = 0.3
POLL_SECONDS = 0.5
"""Time between two looks at a pod that nobody watches."""
COMES_UP_SECONDS = 3.0
"""How long the kubelet may take to find a container that it says runs."""
RETRY_SECONDS = 0.1


class KubernetesRuntime:
    """One container of one pod.

    Args:
        pod: its name.
        container: its name; None for the only one, or the pod's default one.
        namespace: None for that of the context.
        context: of the kubeconfig; None for the current one.
        kubeconfig: path; None for where kubectl looks.
        cluster: a connection to the cluster that many targets share, whose context and kubeconfig
            count; None for one of its own.
        injection: how hunter shall get in.
    """

    def __init__(
        self,
        pod: str,
        container: str | None = None,
        *,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: str | None = None,
        cluster: ClusterConnection | None = None,
        injection: InjectionConfig | None = None,
    ) -> None:
        self._pod = pod
        self._container = container
        self._namespace = namespace
        self._context = context
        self._kubeconfig = kubeconfig
        self._access: ClusterAccess | None = None
        self._api: KubernetesApi | None = None
        self._target: Target | None = None
        self._instance: Instance | None = None
        self._injection = injection or InjectionConfig()
        self._injected: InjectedHunter | None = None
        self._fresh_pod: Pod | None = None
        self._began_at = 0.0
        self._seen: LastSeen | None = None
        self._cluster = cluster
        if cluster is not None:
            self._access, self._api = cluster.access, cluster.api

    async def resolve(self) -> Target:
        """Finds the container and checks that it runs.

        Raises:
            TargetNotRunning: it does not run yet, and may later; may be called again then.
            TargetNotFound: there is no such container, or it never will run.
            ApiError: the API server refused; NotFound when there is no such pod.
            ClusterUnreachable: no usable kubeconfig, or no connection.
        """
        # Imported here: aiohttp takes longer to load than --help may take.
        from gatherer.kube.api import KubernetesApi
        from gatherer.kube.auth.configuration import load_access

        if self._access is None:
            self._access = load_access(self._kubeconfig, self._context)
        if self._api is None:
            self._api = KubernetesApi(self._access)
        namespace = self._namespace or self._access.namespace
        try:
            pod = await self._api.read_pod(namespace, self._pod)
        except NotFound:
            self._check_made_anew()
            raise
        container = choose_container(pod, self._container)
        await self._follow(pod)
        check_running(pod, container)
        self._fresh_pod = pod
        self._target = Target(
            runtime="kubernetes",
            context=self._access.context,
            namespace=namespace,
            pod=self._pod,
            container=container.name,
            node=pod.node,
            image=container.image,
            container_id=container.container_id,
            seccomp=container.security.profile,
        )
        self._instance = Instance(pod.uid, container.name, container.container_id, pod.node)
        return self._target

    async def changed(self, seconds: float) -> None:
        """Returns when the API server has told news of the pod, or after a while."""
        if self._seen is None:
            await asyncio.sleep(min(seconds, POLL_SECONDS))
        else:
            await self._seen.changed(seconds)

    async def ended(self) -> TargetEnd | None:
        """Asks how the instance that was found last ended; None while it runs.

        Raises:
            GathererError: the API server refused or did not answer.
        """
        instance, pod = self._instance, await self._look()
        if instance is None:
            return None
        end = instance_end(instance, pod)
        if end is None:
            end = await self._node_end(instance)
        elif self._seen is not None and (pod is None or pod.uid != instance.pod_uid):
            # The pod is gone, but not what was seen of its end.
            seen = instance_end(instance, self._seen.pod)
            if seen is not None:
                end = replace(seen, restarts=False, successor=end.successor)
        if end is None or end.restarts or end.successor:
            return end
        return replace(end, successor=await self._successor())

    async def restarted(self) -> Target:
        """Asks for the instance after the one that was found last, and goes over to it.

        Raises:
            TargetNotRunning: it does not run yet.
            TargetGone: it will not run again.
            GathererError: the API server refused or did not answer.
        """
        instance, pod = self._instance, await self._look()
        assert instance is not None
        assert self._target is not None
        end = instance_end(instance, pod)
        if end is not None and not end.restarts:
            raise TargetGone(f"container {instance.container!r} does not run again: {end.reason}")
        assert pod is not None, "one that does not exist has ended"
        running = running_instance(pod, instance.container)
        if running == instance.container_id:
            # What the kubelet says is a little old.
            name = f"container {instance.container!r} of pod {pod.name!r}"
            raise TargetNotRunning(f"{name} has ended", "", "Terminated")
        if not running:
            check_running(pod, choose_container(pod, instance.container))
        self._fresh_pod = pod
        self._instance = replace(instance, container_id=running)
        self._target = replace(self._target, container_id=running)
        return self._target

    async def start(self, hunter: HunterImage, arguments: Sequence[str]) -> HunterChannel:
        """Brings hunter in by the way that was asked for, or the best one, and starts it.

        Raises:
            DeployError: no way leads in.
            ExecError: the channel could not be opened or broke.
            ApiError: the API server refused.
        """
        target = self._target or await self.resolve()
        assert self._api is not None
        async with self._cluster.starts if self._cluster is not None else nullcontext():
            pod, self._fresh_pod = self._fresh_pod, None
            # A second attempt in the same instance does not rely on what the first one did.
            before = self._injected if pod is not None else None
            if pod is None:
                pod = await self._api.read_pod(target.namespace, target.pod)
            self._began_at = time.monotonic()
            container = choose_container(pod, target.container)
            injector = Injector(self._api, self._open_exec_in, pod, container, self._injection)
            self._injected = await injector.inject(hunter, arguments, before)
        return ExecHunterChannel(self._injected)

    async def rejoin(self, session: str) -> HunterChannel:
        """Starts a relay to hunter's socket over another exec.

        A refusal is no sign that hunter is gone: a kubelet that has just started knows neither its
        pods nor their containers. `ended` asks the API server.

        Raises:
            HunterGone: nobody listens on its socket; raised by the channel's `receive`.
            GathererError: it did not work this time.
        """
        assert self._injected is not None, "nothing was started"
        name = SOCKET_PREFIX + session
        async with self._cluster.starts if self._cluster is not None else nullcontext():
            started = await self._injected.join(name)
        return RelayChannel(replace(self._injected, started=started))

    async def aclose(self) -> None:
        """Closes the connections to the API server; a running hunter keeps its own.

        An ephemeral container is waited for: it ends a moment after hunter.
        """
        injected = self._injected
        if self._api is not None and injected is not None and injected.inject == "ephemeral":
            await self._see_it_end(self._api, injected.container)
        if self._seen is not None:
            await self._seen.aclose()
            self._seen = None
        if self._api is not None and self._cluster is None:
            await self._api.aclose()
            self._api = None

    async def _follow(self, pod: Pod) -> None:
        """Watches the pod; a later one of the same name in the place of the one before."""
        assert self._api is not None
        if self._seen is not None and self._seen.pod.uid != pod.uid:
            await self._seen.aclose()
            self._seen = None
        if self._seen is None:
            self._seen = LastSeen(self._api, pod)
            self._seen.start()
        self._seen.update(pod)

    def _check_made_anew(self) -> None:
        """Tells a pod that its StatefulSet makes anew from one that is gone.

        Raises:
            TargetNotRunning: it comes back under its name.
        """
        before = self._seen.pod if self._seen is not None else None
        if before is not None and before.owner.kind == "StatefulSet":
            successor = f"StatefulSet {before.owner.name!r} makes it anew"
            raise TargetNotRunning(
                f"pod {before.name!r} was deleted, and {successor}", "", "Deleted", successor
            )

    async def _look(self) -> Pod | None:
        """Reads the pod again; None when it does not exist."""
        assert self._api is not None
        assert self._target is not None
        try:
            pod = await self._api.read_pod(self._target.namespace, self._target.pod)
        except NotFound:
            return None
        if self._seen is not None:
            self._seen.update(pod)
        return pod

    async def _node_end(self, instance: Instance) -> TargetEnd | None:
        assert self._api is not None
        try:
            return node_end(await self._api.read_node(instance.node))
        except NotFound:
            return node_end(None)
        except GathererError:
            # Few may read nodes. Then nobody tells, until the pod is deleted.
            return None

    async def _successor(self) -> str:
        """Returns the pod that takes the target's place, empty when there is none."""
        assert self._api is not None
        assert self._target is not None
        pod = self._seen.pod if self._seen is not None else None
        selector = sibling_selector(pod) if pod is not None else ""
        if pod is None or not selector:
            return ""
        since = replaced_since(pod, datetime.now(timezone.utc))  # noqa: UP017
        for _ in range(int(SUCCESSOR_SECONDS / SUCCESSOR_POLL_SECONDS)):
            try:
                others = await self._api.list_pods(self._target.namespace, selector)
            except GathererError:
                return ""  # Not everybody may list pods.
            name = successor(pod, others.pods, since)
            if name:
                return name
            await asyncio.sleep(SUCCESSOR_POLL_SECONDS)
        return ""

    async def _see_it_end(self, api: KubernetesApi, name: str) -> None:
        """Waits until an ephemeral container has ended, as far as that takes no time."""
        assert self._target is not None
        try:
            async with within(END_SECONDS):
                while True:
                    pod = await api.read_pod(self._target.namespace, self._target.pod)
                    container = find(pod, name)
                    if container is None or container.state.kind == "terminated":
                        return
                    await asyncio.sleep(END_POLL_SECONDS)
        except (TimeoutError, GathererError):
            pass  # The pod is gone, or it ends later: it needs nobody for that.

    async def _open_exec_in(
        self, container: str, command: Sequence[str], stdin: bool
    ) -> ExecSession:
        from gatherer.kube.exec.session import open_exec

        assert self._access is not None
        assert self._target is not None
        target = self._target
        while True:
            try:
                return await open_exec(
                    self._access, target.namespace, target.pod, container, command, stdin=stdin
                )
            except ApiError as error:
                if not self._comes_up(container, error):
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    def _comes_up(self, container: str, error: ApiError) -> bool:
        """Whether the runtime may only not have heard yet that a container has started."""
        unknown = "container not found" in error.cause or "pod does not exist" in error.cause
        if not unknown or time.monotonic() > self._began_at + COMES_UP_SECONDS:
            return False
        return self._seen is None or bool(running_instance(self._seen.pod, container))


class ExecHunterChannel:
    """Hunter at the other end of an exec.

    Args:
        injected: hunter as `gatherer.inject.injector` brought it in.
    """

    def __init__(self, injected: InjectedHunter) -> None:
        started = injected.started
        self.inject = injected.inject
        self.explanation = injected.explanation
        self.container = injected.container
        self.python = started.interpreter.path
        self._streams = started.streams
        self._stdout = started.stdout
        self._stderr = started.stderr
        self._exit: Exit | None = None

    async def receive(self) -> bytes:
        """Returns the next bytes of stdout, b"" after the last."""
        if self._stdout:
            first, self._stdout = self._stdout, b""
            return first
        while self._exit is None:
            try:
                event = await self._streams.receive()
            except ExecError as error:
                self._end(None, error.cause)
                break
            if isinstance(event, StreamData):
                if event.channel == STDOUT:
                    return event.data
                self._stderr.add(event.data)
                self._stderr.remove(RECEIVED)  # when stdout overtook it
            elif isinstance(event, ExecExited):
                self._end(event.code, "")
            elif isinstance(event, ExecFailed):
                self._end(None, one_line(event.status.message))
            elif isinstance(event, ExecInterrupted):
                self._end(None, f"the exec channel ended without a status: {event.reason}")
        return b""

    async def send(self, data: bytes) -> None:
        """Writes to hunter's stdin.

        Raises:
            ExecError: the channel is broken.
        """
        await self._streams.send_stdin(data)

    async def close_stdin(self) -> None:
        """Half-closes stdin; with v4 nothing happens, hunter sees the end when the channel goes."""
        if self._streams.can_close_stdin:
            await self._streams.close_stdin()

    async def wait(self) -> Exit:
        """Returns how hunter ended, reading the rest of its streams first."""
        while self._exit is None:
            await self.receive()
        return self._exit

    async def aclose(self) -> None:
        """Drops the channel; hunter sees the end of its stdin."""
        await self._streams.aclose()

    def _end(self, code: int | None, message: str) -> None:
        self._exit = Exit(code, message, self._stderr.text, certain=False)


class RelayChannel(ExecHunterChannel):
    """A hunter that was joined again: what ends here is the relay to it."""

    def _end(self, code: int | None, message: str) -> None:
        if code == rejoin_relay.NOBODY:
            raise HunterGone("hunter does not run any more")
        if code is not None:
            message = "hunter has closed the connection"
        super()._end(None, message)
