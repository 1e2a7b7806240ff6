"""Hunter in a container of a pod, over the exec subresource of the Kubernetes API."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from gatherer.bootstrap import RECEIVED
from gatherer.deploy import StartedHunter, deploy
from gatherer.errors import ExecError
from gatherer.kube.answers import one_line
from gatherer.kube.channels import STDOUT, ExecExited, ExecFailed, ExecInterrupted, StreamData
from gatherer.kube.targets import check_running, choose_container
from gatherer.runtimes import Exit, HunterChannel, HunterImage, Target

if TYPE_CHECKING:
    from gatherer.kube.access import ClusterAccess
    from gatherer.kube.api import KubernetesApi
    from gatherer.kube.connection import ClusterConnection
    from gatherer.kube.exec_session import ExecSession


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
    ) -> None:
        self._pod = pod
        self._container = container
        self._namespace = namespace
        self._context = context
        self._kubeconfig = kubeconfig
        self._access: ClusterAccess | None = None
        self._api: KubernetesApi | None = None
        self._target: Target | None = None
        self._cluster = cluster
        if cluster is not None:
            self._access, self._api = cluster.access, cluster.api

    async def resolve(self) -> Target:
        """Finds the container and checks that it runs.

        Raises:
            TargetNotFound: there is no such container, or it does not run.
            ApiError: the API server refused; NotFound when there is no such pod.
            ClusterUnreachable: no usable kubeconfig, or no connection.
        """
        # Imported here: the kubernetes package takes longer to load than --help may take.
        from gatherer.kube.api import KubernetesApi
        from gatherer.kube.credentials import load_access

        if self._access is None:
            self._access = load_access(self._kubeconfig, self._context)
        if self._api is None:
            self._api = KubernetesApi(self._access)
        namespace = self._namespace or self._access.namespace
        pod = await self._api.read_pod(namespace, self._pod)
        container = choose_container(pod, self._container)
        check_running(pod, container)
        self._target = Target(
            runtime="kubernetes",
            context=self._access.context,
            namespace=namespace,
            pod=self._pod,
            container=container.name,
            node=pod.node,
            image=container.image,
        )
        return self._target

    async def start(self, hunter: HunterImage, arguments: Sequence[str]) -> HunterChannel:
        """Sends hunter over the stdin of an exec and starts it.

        Raises:
            DeployError: no interpreter, nothing writable, or the digest does not fit.
            ExecError: the channel could not be opened or broke.
            ApiError: the API server refused the exec.
        """
        target = self._target or await self.resolve()
        name = f"container {target.container!r} of pod {target.pod!r}"
        # Hunter tells its digest in Hello; the bootstrap has checked it by then.
        command = [*arguments, "--sha256", hunter.sha256]
        async with self._cluster.starts if self._cluster is not None else nullcontext():
            started = await deploy(self._open_exec, name, hunter.data, hunter.sha256, command)
        return ExecHunterChannel(started)

    async def aclose(self) -> None:
        """Closes the connections to the API server; a running hunter keeps its own."""
        if self._api is not None and self._cluster is None:
            await self._api.aclose()
            self._api = None

    async def _open_exec(self, command: Sequence[str], stdin: bool) -> ExecSession:
        from gatherer.kube.exec_session import open_exec

        assert self._access is not None
        assert self._target is not None
        target = self._target
        return await open_exec(
            self._access, target.namespace, target.pod, target.container, command, stdin=stdin
        )


class ExecHunterChannel:
    """Hunter at the other end of an exec.

    Args:
        started: hunter as `gatherer.deploy` started it.
    """

    inject = "copy"

    def __init__(self, started: StartedHunter) -> None:
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
        self._exit = Exit(code=code, message=message, stderr=self._stderr.text)
