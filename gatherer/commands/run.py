"""A capture as a command: signals, time, the view, and the exit code."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol, TextIO

from gatherer.capture.hunter_session import RendererFactory
from gatherer.capture.target_capture import TargetCapture
from gatherer.commands import event_loop
from gatherer.config import CaptureConfig
from gatherer.errors import GathererError
from gatherer.inject.plan import InjectionConfig
from gatherer.inject.zipapp import hunter_image
from gatherer.rendering.worker_client import RendererProcess
from gatherer.view.base import CaptureView, View
from gatherer.view.fleet_summary import FleetSummary
from gatherer.view.styles import make_view
from gatherer.view.summary import Summary

if TYPE_CHECKING:
    from gatherer.agents.attach import AgentAttacher
    from gatherer.fleet.fleet import Fleet
    from gatherer.storage.capture_directory import CaptureDirectory
    from gatherer.target.values import TargetName

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

    def __init__(self, capture: TargetCapture | Fleet, view: Notes) -> None:
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
    """Captures one target or many; all share one connection, one renderer and one view."""
    view = make_view(config.view, stdout)
    async with AsyncExitStack() as resources:
        attacher = make_attacher(config)
        if attacher is not None:
            resources.push_async_callback(attacher.aclose)
        make_target_capture = partial(
            TargetCapture,
            image=hunter_image(),
            renderer=renderer_factory(config, view),
            attach=attacher.attach if attacher is not None else None,
        )
        capture: TargetCapture | Fleet
        if config.target.runtime == "local":
            from gatherer.runtimes.local import LocalRuntime

            runtime = LocalRuntime(config.pids)
            resources.push_async_callback(runtime.aclose)
            capture = make_target_capture(config, runtime, view=view)
        else:
            capture = await _in_cluster(config, make_target_capture, view, resources)
        resources.callback(view.close)
        summary = await _supervised(capture, view)
    view.summary(summary)
    if summary.failure is not None:
        # What made it fail is worth a line of its own.
        raise summary.failure.replace(exit_code=summary.exit_code)
    return summary.exit_code


async def _in_cluster(
    config: CaptureConfig,
    make_target_capture: Callable[..., TargetCapture],
    view: View,
    resources: AsyncExitStack,
) -> TargetCapture | Fleet:
    """Returns the capture of the pod that was named, or of all that there may be.

    Args:
        config: what to do.
        make_target_capture: makes the capture of one target, whose runtime and view are given.
        view: shows all of them.
        resources: gets what is to be closed at the end.

    Raises:
        GathererError: no usable kubeconfig, or no right to capture.
    """
    from gatherer.kube.connection import ClusterConnection
    from gatherer.preflight.before import CheckedRuntime
    from gatherer.preflight.target_facts import TargetRef
    from gatherer.runtimes.kubernetes import KubernetesRuntime

    target = config.target
    starts = config.fleet.max_execs if config.fleet is not None else 1
    cluster = ClusterConnection(target.kubeconfig, target.context, starts)
    namespace = target.namespace or cluster.access.namespace
    injection = InjectionConfig(config.inject, config.image, config.force)
    access = cluster.access

    def runtime(namespace: str, pod: str, container: str | None, allowed: bool) -> CheckedRuntime:
        return CheckedRuntime(
            KubernetesRuntime(
                pod, container, namespace=namespace, cluster=cluster, injection=injection
            ),
            cluster,
            TargetRef(namespace, pod, container, access.context, access.server, config.force),
            allowed=allowed,
        )

    if config.fleet is None:
        only = runtime(namespace, target.pod, target.container, allowed=False)
        resources.push_async_callback(only.aclose)
        return make_target_capture(config, only, view=view)

    from gatherer.fleet.fleet import Fleet
    from gatherer.kube.objects.references import parse_reference
    from gatherer.kube.watch.pod_sources import PodSource, SelectedPods, pod_source
    from gatherer.preflight.before import check_rights

    def make_capture(
        name: TargetName, own: CaptureConfig, own_view: CaptureView, directory: CaptureDirectory
    ) -> TargetCapture:
        checked = runtime(name.namespace, name.pod, name.container, allowed=True)
        return make_target_capture(own, checked, view=own_view, directory=directory)

    resources.push_async_callback(cluster.aclose)
    await check_rights(cluster.api, TargetRef(namespace, ""))
    sources: list[PodSource] = [
        pod_source(cluster.api, namespace, parse_reference(pod), view.note)
        for pod in config.fleet.pods
    ]
    if config.fleet.selector:
        sources = [SelectedPods(cluster.api, namespace, config.fleet.selector, view.note)]
    return Fleet(config, sources, make_capture, view)


async def _supervised(capture: TargetCapture | Fleet, view: Notes) -> Summary | FleetSummary:
    """Runs a capture to its end, signals included, and returns its summary."""
    supervisor = Supervisor(capture, view)
    run: Coroutine[object, object, Summary | FleetSummary] = capture.run()
    task = asyncio.ensure_future(run)
    supervisor.watch(task)
    try:
        return await task
    except asyncio.CancelledError:
        raise GathererError("interrupted before hunter had started") from None
    finally:
        supervisor.unwatch()
