"""Runs a capture: signals, time, the view, and the exit code."""

from __future__ import annotations

import asyncio
import signal
from typing import TextIO

from gatherer.capture import Capture
from gatherer.config import CaptureConfig
from gatherer.errors import GathererError
from gatherer.renderer_process import RendererProcess
from gatherer.runtimes import Runtime
from gatherer.session import RendererFactory
from gatherer.view import View, make_view
from gatherer.zipapp import hunter_image

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
    return asyncio.run(_run(config, stdout))


def make_runtime(config: CaptureConfig) -> Runtime:
    """Returns the runtime that was asked for.

    Args:
        config: what to do.
    """
    target = config.target
    if target.runtime == "local":
        from gatherer.runtimes.local import LocalRuntime

        return LocalRuntime(config.pids)
    from gatherer.runtimes.kubernetes import KubernetesRuntime

    return KubernetesRuntime(
        target.pod,
        target.container,
        namespace=target.namespace,
        context=target.context,
        kubeconfig=target.kubeconfig,
    )


def renderer_factory(config: CaptureConfig) -> RendererFactory:
    """Returns what makes the renderers of a capture, in a process of their own.

    Args:
        config: what to do.
    """
    return RendererProcess(config.lines, config.max_log_size).renderer


class Supervisor:
    """Turns signals into what the user means by them.

    The first Ctrl-C ends the capture in order, the second one at once; SIGTERM and SIGHUP try the
    orderly end for a while.

    Args:
        capture: the capture.
        view: says what is going on.
    """

    def __init__(self, capture: Capture, view: View) -> None:
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
    runtime = make_runtime(config)
    view = make_view(config.view, stdout)
    capture = Capture(config, runtime, hunter_image(), renderer_factory(config), view)
    supervisor = Supervisor(capture, view)
    task = asyncio.ensure_future(capture.run())
    supervisor.watch(task)
    try:
        summary = await task
    except asyncio.CancelledError:
        raise GathererError("interrupted before hunter had started") from None
    finally:
        view.close()
        supervisor.unwatch()
        await runtime.aclose()
    view.summary(summary)
    if capture.failure is not None:
        error = capture.failure
        error.exit_code = summary.exit_code
        raise error
    return summary.exit_code
