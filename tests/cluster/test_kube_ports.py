"""gatherer's pods/proxy and port-forward against the stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gatherer.errors import Forbidden, NotFound, PortForwardError, ServerError
from gatherer.kube.answers import AnswerCutShort, AnswerTooBig
from gatherer.kube.exec.port_forward import open_port_forward
from gatherer.kube.pods_proxy import PodsProxy
from tests.cluster.kube_access import access_to
from tests.cluster.standin.harness import StandInCluster

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def ask(
    cluster: StandInCluster,
    path: str,
    *,
    context: str | None = None,
    limit: int = 1 << 20,
    seconds: float = 30.0,
) -> bytes:
    api = PodsProxy(access_to(cluster, context))
    try:
        answer = await api.exchange(
            "GET",
            f"/api/v1/namespaces/default/pods/{path}",
            limit=limit,
            seconds=seconds,
            resource="pods/proxy",
        )
    finally:
        await api.aclose()
    return answer.body


async def forwarded(
    cluster: StandInCluster, pod: str, port: int, context: str | None = None
) -> bytes:
    connection = await open_port_forward(access_to(cluster, context), "default", pod, port)
    try:
        await connection.send(REQUEST)
        received = b""
        async with asyncio.timeout(30):
            while data := await connection.receive():
                received += data
    finally:
        await connection.aclose()
    return received


async def test_the_proxy_passes_on_what_the_pod_answers(
    cluster: StandInCluster, make_agent: Callable[..., str]
) -> None:
    name = make_agent("parca")
    path = f"{name}:7071/proxy/"
    assert b"parca_agent_num_cpu" in await ask(cluster, path + "metrics", context="proxier")
    assert await ask(cluster, path + "nothing") == b"404 page not found\n"
    with pytest.raises(AnswerTooBig):
        await ask(cluster, path + "metrics", limit=100)
    cluster.proxy(f"{name}:7071", "standin/fault", b"broken")
    with pytest.raises(AnswerCutShort):
        await ask(cluster, path + "metrics")
    cluster.proxy(f"{name}:7071", "standin/fault", b"slow")
    with pytest.raises(TimeoutError):
        await ask(cluster, path + "metrics", seconds=0.2)
    cluster.proxy(f"{name}:7071", "standin/fault", b"401")
    assert await ask(cluster, path + "metrics") == b"Unauthorized\n"


async def test_the_proxy_s_own_failures_are_errors(cluster: StandInCluster) -> None:
    with pytest.raises(Forbidden) as forbidden:
        await ask(cluster, "problempod:8080/proxy/", context="forwarder")
    assert (forbidden.value.verb, forbidden.value.resource) == ("get", "pods/proxy")
    with pytest.raises(ServerError, match="connection refused"):
        await ask(cluster, "problempod:81/proxy/")
    with pytest.raises(NotFound):
        await ask(cluster, "nopod:81/proxy/")


async def test_port_forward_reaches_loopback(
    cluster: StandInCluster, make_agent: Callable[..., str]
) -> None:
    name = make_agent("parca", listen="127.0.0.1:7071")
    assert b"parca_agent_num_cpu" in await forwarded(cluster, name, 7071, "forwarder")


async def test_port_forward_refusals_are_errors(cluster: StandInCluster) -> None:
    with pytest.raises(PortForwardError, match="connection refused") as refused:
        await forwarded(cluster, "problempod", 81)
    assert refused.value.remedy
    with pytest.raises(Forbidden) as forbidden:
        await forwarded(cluster, "problempod", 81, "proxier")
    assert forbidden.value.resource == "pods/portforward"
    assert "--verb=get,create --resource=pods/portforward" in forbidden.value.remedy
    with pytest.raises(NotFound):
        await forwarded(cluster, "nopod", 81)
