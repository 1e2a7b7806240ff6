from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from gatherer.inject.injector import Injector
from gatherer.kube.connection import ClusterConnection
from gatherer.kube.objects.models import Container, ContainerState, Pod
from gatherer.runtimes.kubernetes import KubernetesRuntime
from gatherer.target.values import HunterImage, Target


async def test_no_more_hunters_are_brought_in_at_once_than_the_limit_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    container = Container("main", state=ContainerState(kind="running"))

    async def read_pod(*_: object) -> Pod:
        return Pod("default", "web", containers=(container,))

    api = SimpleNamespace(read_pod=read_pod)
    cluster = cast(
        "ClusterConnection", SimpleNamespace(access=None, api=api, starts=asyncio.Semaphore(3))
    )
    at_once, most = 0, 0

    async def enter(*_: object) -> object:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(5):
            await asyncio.sleep(0)
        at_once -= 1
        interpreter = SimpleNamespace(path="/usr/bin/python3")
        started = SimpleNamespace(interpreter=interpreter, streams=None, stdout=b"", stderr=None)
        return SimpleNamespace(started=started, inject="copy", explanation="", container="main")

    monkeypatch.setattr(Injector, "inject", enter)
    runtimes = [KubernetesRuntime(f"web-{number}", cluster=cluster) for number in range(10)]
    for runtime in runtimes:
        runtime._target = Target("kubernetes", pod="web", container="main")
    image = HunterImage(b"zipapp", "00" * 32)
    channels = await asyncio.gather(*(runtime.start(image, []) for runtime in runtimes))
    # The streams stay open, and do not count any more.
    assert len(channels) == 10
    assert most == 3
