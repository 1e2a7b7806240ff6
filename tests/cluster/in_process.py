"""A capture in this process, so that many can run and their network can be broken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gatherer.capture.hunter_session import RendererFactory
from gatherer.capture.target_capture import TargetCapture
from gatherer.config import CaptureConfig, TargetConfig
from gatherer.inject.plan import InjectionConfig
from gatherer.inject.zipapp import hunter_image
from gatherer.runtimes.kubernetes import KubernetesRuntime
from gatherer.timeouts import Timeouts
from gatherer.view.status import CaptureStatus, Start, Waiting
from gatherer.view.summary import Summary
from tests.cluster.faulty_proxy import FaultyProxy
from tests.cluster.kube_access import edited_kubeconfig
from tests.cluster.standin.harness import StandInCluster


class Watching:
    """A view that lets tests wait for what is shown."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.notes: list[str] = []
        self.states: list[CaptureStatus] = []
        self._changed = asyncio.Condition()
        self._waiters: set[asyncio.Future[None]] = set()

    def waiting(self, waiting: Waiting) -> None:
        self._add("waiting", {"reason": waiting.reason, "seconds": waiting.seconds})

    def started(self, start: Start) -> None:
        self._add("started", {})

    def event(self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]) -> None:
        self._add(event, dict(fields))

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._tell()

    def status(self, status: CaptureStatus) -> None:
        self.states.append(status)
        self._tell()

    def rendering(self, done: int, total: int) -> None:
        pass

    def summary(self, summary: Summary) -> None:
        pass

    def close(self) -> None:
        pass

    def of(self, name: str) -> list[dict[str, Any]]:
        """Returns the events of a name so far."""
        return [fields for event, fields in self.events if event == name]

    async def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> None:
        """Waits until a condition on what was shown holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                await asyncio.wait({waiter}, timeout=0.2)

    def _add(self, event: str, fields: dict[str, Any]) -> None:
        self.events.append((event, fields))
        self._tell()

    def _tell(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class ProxiedCapture:
    """A capture of one pod's first process through a proxy of its own.

    Args:
        cluster: the cluster.
        pod: name of the pod.
        directory: where kubeconfig and capture go.
        renderer: makes renderers.
        proxy: more about the proxy.
        options: more of `CaptureConfig`.
    """

    def __init__(
        self,
        cluster: StandInCluster,
        pod: str,
        directory: Path,
        renderer: Callable[[CaptureConfig], RendererFactory],
        proxy: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.view = Watching()
        self.output = directory / "logs"
        address = urlsplit(cluster.server)
        self.proxy = FaultyProxy(address.hostname or "", address.port or 0, **(proxy or {}))
        self._cluster = cluster
        self._kubeconfig = directory / "kubeconfig"
        settings: dict[str, Any] = {
            "pids": (1,), "trace_set": "lseek", "engine": "ptrace", "frequency": 0.5, **options
        }  # fmt: skip
        self.config = CaptureConfig(target=TargetConfig(pod=pod), output=self.output, **settings)
        self._make_renderer = renderer
        self.capture: TargetCapture
        self._runtime: KubernetesRuntime
        self._task: asyncio.Task[Summary]

    async def __aenter__(self) -> ProxiedCapture:
        await self.proxy.start()
        server = f"https://127.0.0.1:{self.proxy.port}"
        edited_kubeconfig(self._cluster, self._kubeconfig, server=server)
        self._runtime = KubernetesRuntime(
            self.config.target.pod,
            kubeconfig=str(self._kubeconfig),
            injection=InjectionConfig(self.config.inject),
        )
        self.capture = TargetCapture(
            self.config,
            self._runtime,
            hunter_image(),
            self._make_renderer(self.config),
            self.view,
            Timeouts(tick=0.1),
        )
        self._task = asyncio.ensure_future(self.capture.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._runtime.aclose()
        await self.proxy.aclose()

    async def attached(self) -> None:
        """Waits until the target is traced."""
        await self.until(lambda: self.view.of("attach"))

    async def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> None:
        """Waits until a condition holds, as long as the capture runs."""
        waiting = asyncio.ensure_future(self.view.until(condition, seconds))
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            summary = self._task.result()
            raise AssertionError(f"it ended: {summary.end_reason}, {self.view.notes}")
        await waiting

    async def finish(self, seconds: float = 90.0) -> Summary:
        """Waits for the end."""
        async with asyncio.timeout(seconds):
            return await asyncio.shield(self._task)

    async def stop(self) -> Summary:
        """Presses Ctrl-C and waits for the end."""
        self.capture.stop("interrupted")
        return await self.finish()

    def document(self) -> dict[str, Any]:
        """Returns session.json."""
        value: dict[str, Any] = json.loads((self.output / "session.json").read_text())
        return value
