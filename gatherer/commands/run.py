"""A capture as a command: signals, time, the view, and the exit code."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Protocol, TextIO, TypeVar

from gatherer.capture.hunter_session import RendererFactory
from gatherer.capture.target_capture import TargetCapture
from gatherer.commands import event_loop
from gatherer.config import CaptureConfig
from gatherer.errors import GathererError
from gatherer.inject.plan import InjectionConfig
from gatherer.inject.zipapp import hunter_image
from gatherer.rendering.worker_client import RendererProcess
from gatherer.target.runtime import Runtime
from gatherer.view.base import View
from gatherer.view.styles import make_view

if TYPE_CHECKING:
    from gatherer.agents.attach import AgentAttacher
    from gatherer.kube.watch.pod_sources import PodSource
    from gatherer.storage.capture_directory import CaptureDirectory
    from gatherer.target.values import TargetName

Ended = TypeVar("Ended")
SIGTERM_SECONDS = 10.0
"""How long a clean end may take after SIGTERM; Kubernetes and systemd wait 30 and 90."""


def run_capture(config: CaptureConfig, stdout: TextIO) -> int:
    """Captures and returns the exit code.

    Args:
        config: what to do.
        stdout: where the view writes.

    Raises:
        GathererError: the capture could not start, or failed; the summary, if there is anything to
            say, has been shown.
    """
    _load(config)
    return event_loop.run(_run(config, stdout))


def _load(config: CaptureConfig) -> None:
    """Loads what the capture needs, while Ctrl-C still ends the program at once."""
    if config.target.runtime == "local":
        import gatherer.runtimes.local
    else:
        import gatherer.fleet.fleet
        import gatherer.kube.connection
        import gatherer.kube.watch.pod_sources
        import gatherer.preflight.before
        import gatherer.runtimes.kubernetes
    if config.view.style == "live":
        import gatherer.view.live  # noqa: F401


def make_runtime(config: CaptureConfig) -> Runtime:
    """Returns the runtime that was asked for. Must be called where an event loop runs.

    Args:
        config: what to do.

    Raises:
        ClusterUnreachable: no usable kubeconfig.
    """
    target = config.target
    if target.runtime == "local":
        from gatherer.runtimes.local import LocalRuntime

        return LocalRuntime(config.pids)
    from gatherer.kube.connection import ClusterConnection
    from gatherer.preflight.before import CheckedRuntime
    from gatherer.preflight.target_facts import TargetRef
    from gatherer.runtimes.kubernetes import KubernetesRuntime

    cluster = ClusterConnection(target.kubeconfig, target.context, 1)
    namespace = target.namespace or cluster.access.namespace
    runtime = KubernetesRuntime(
        target.pod,
        target.container,
        namespace=namespace,
        cluster=cluster,
        injection=_injection(config),
    )
    target_ref = TargetRef(
        namespace,
        target.pod,
        target.container,
        cluster.access.context,
        cluster.access.server,
        config.force,
    )
    return CheckedRuntime(runtime, cluster, target_ref)


def _injection(config: CaptureConfig) -> InjectionConfig:
    return InjectionConfig(config.inject, config.image, config.force)


def renderer_factory(config: CaptureConfig, view: Notes | None = None) -> RendererFactory:
    """Returns what makes the renderers of a capture, in a process of their own.

    Args:
        config: what to do.
        view: says what becomes of that process, None to say nothing.
    """
    note = view.note if view is not None else None
    return RendererProcess(config.lines, config.max_log_size, note).renderer


def make_attacher(config: CaptureConfig) -> AgentAttacher | None:
    """Returns what pulls node agents beside the captures, None when nothing is to be pulled.

    Args:
        config: what to do.
    """
    if not config.pulls_agents:
        return None
    from gatherer.agents.attach import AgentAttacher

    return AgentAttacher(config)


class Stoppable(Protocol):
    """A capture that can be asked to end: a `TargetCapture` or a `Fleet`."""

    @property
    def running(self) -> bool:
        """Whether a hunter runs."""
        ...

    def stop(self, reason: str) -> None:
        """Asks for an end in order."""
        ...


class Notes(Protocol):
    """The part of a view that is needed here."""

    def note(self, text: str) -> None:
        """Shows a sentence."""
        ...


class Supervisor:
    """Turns signals into what the user means by them.

    The first Ctrl-C ends the capture in order, the second one at once; SIGTERM and SIGHUP try the
    orderly end for a while.

    Args:
        capture: the capture, of one target or of many.
        view: says what is going on.
    """

    def __init__(self, capture: Stoppable, view: Notes) -> None:
        self._capture = capture
        self._view = view
        self._task: asyncio.Task[object] | None = None
        self._asked = False

    def watch(self, task: asyncio.Task[object]) -> None:
        """Takes signals from now on.

        Args:
            task: runs the capture.
        """
        self._task = task
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP):
            # nohup has SIGHUP ignored: then the capture shall outlive its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self.terminate)

    def unwatch(self) -> None:
        """Gives the signals back."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)

    def interrupt(self) -> None:
        """Ctrl-C."""
        if self._asked or not self._capture.running:
            self._cancel()
            return
        self._asked = True
        self._view.note("stopping; Ctrl-C again stops at once")
        self._capture.stop("interrupted")

    def terminate(self) -> None:
        """SIGTERM or SIGHUP."""
        if not self._capture.running:
            self._cancel()
            return
        if not self._asked:
            self._asked = True
            self._capture.stop("terminated")
            asyncio.get_running_loop().call_later(SIGTERM_SECONDS, self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def _run(config: CaptureConfig, stdout: TextIO) -> int:
    if config.fleet is not None:
        return await _run_fleet(config, stdout)
    runtime = make_runtime(config)
    view = make_view(config.view, stdout)
    attacher = make_attacher(config)
    capture = TargetCapture(
        config,
        runtime,
        hunter_image(),
        renderer_factory(config, view),
        view,
        attach=attacher.attach if attacher is not None else None,
    )
    try:
        summary = await _supervised(capture, capture.run(), view)
    finally:
        view.close()
        if attacher is not None:
            await attacher.aclose()
        await runtime.aclose()
    view.summary(summary)
    return _exit_code(summary.exit_code, capture.failure)


async def _run_fleet(config: CaptureConfig, stdout: TextIO) -> int:
    """Captures many targets; all share one connection, one renderer and one view."""
    from gatherer.fleet.fleet import Fleet
    from gatherer.kube.connection import ClusterConnection
    from gatherer.kube.objects.references import parse_reference
    from gatherer.kube.watch.pod_sources import SelectedPods, pod_source
    from gatherer.preflight.before import CheckedRuntime, check_rights
    from gatherer.preflight.target_facts import TargetRef
    from gatherer.runtimes.kubernetes import KubernetesRuntime
    from gatherer.view.styles import make_fleet_view

    fleet_config, target = config.fleet, config.target
    assert fleet_config is not None
    view = make_fleet_view(config.view, stdout)
    cluster = ClusterConnection(target.kubeconfig, target.context, fleet_config.max_execs)
    namespace = target.namespace or cluster.access.namespace
    image, renderer = hunter_image(), renderer_factory(config, view)
    attacher = make_attacher(config)
    attach = attacher.attach if attacher is not None else None

    def make_capture(
        name: TargetName, own: CaptureConfig, own_view: View, directory: CaptureDirectory
    ) -> TargetCapture:
        runtime = KubernetesRuntime(
            name.pod,
            name.container,
            namespace=name.namespace,
            cluster=cluster,
            injection=_injection(config),
        )
        target_ref = TargetRef(name.namespace, name.pod, name.container, cluster.access.context)
        checked = CheckedRuntime(runtime, cluster, target_ref, allowed=True)
        return TargetCapture(
            own, checked, image, renderer, own_view, attach=attach, directory=directory
        )

    if fleet_config.selector:
        sources: list[PodSource] = [
            SelectedPods(cluster.api, namespace, fleet_config.selector, view.note)
        ]
    else:
        references = map(parse_reference, fleet_config.pods)
        sources = [pod_source(cluster.api, namespace, one, view.note) for one in references]
    fleet = Fleet(config, sources, make_capture, view)
    try:
        await check_rights(cluster.api, TargetRef(namespace, ""))
        summary = await _supervised(fleet, fleet.run(), view)
    finally:
        view.close()
        if attacher is not None:
            await attacher.aclose()
        await cluster.aclose()
    view.summary(summary)
    return _exit_code(summary.exit_code, summary.failure())


async def _supervised(
    capture: Stoppable, run: Coroutine[object, object, Ended], view: Notes
) -> Ended:
    """Runs a capture to its end, signals included, and returns its summary."""
    supervisor = Supervisor(capture, view)
    task = asyncio.ensure_future(run)
    supervisor.watch(task)
    try:
        return await task
    except asyncio.CancelledError:
        raise GathererError("interrupted before hunter had started") from None
    finally:
        supervisor.unwatch()


def _exit_code(code: int, failure: GathererError | None) -> int:
    """Returns the exit code of a capture that has been summed up.

    Raises:
        GathererError: what made it fail, which is worth a line of its own.
    """
    if failure is not None:
        failure.exit_code = code
        raise failure
    return code
