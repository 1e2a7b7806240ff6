"""Where agents are looked for, with all rights and with few; what selects this machine's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from gatherer.agents.attach import own_container_filter
from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.scrape.source import kind_of
from gatherer.agents.scrape.sources import Sources
from gatherer.errors import Forbidden, ServerError
from gatherer.kube.answers import RawAnswer
from gatherer.target.values import Target

TARGET = Target("kubernetes", "ctx", "shop", "web-0", "app", "node1")
AGENT = {
    "metadata": {"name": "coroot-node-agent-1", "namespace": "coroot", "uid": "1"},
    "spec": {"nodeName": "node1", "containers": [{"name": "coroot-node-agent", "image": "x"}]},
    "status": {
        "phase": "Running",
        "containerStatuses": [{"name": "coroot-node-agent", "state": {"running": {}}}],
    },
}
ELSEWHERE = {**AGENT, "spec": {**AGENT["spec"], "nodeName": "node2"}}


class ScriptedWays:
    """Answers lists of pods; `answer` takes the namespace, empty for all, and the selectors."""

    def __init__(self, answer: Callable[[str, dict[str, str]], list[Any] | Exception]) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self.proxy = self
        self.access = object()

    async def exchange(self, method: str, path: str, **more: object) -> RawAnswer:
        parts = urlsplit(path)
        words = parts.path.split("/")
        namespace = words[4] if "namespaces" in words else ""
        query = {key: unquote(values[0]) for key, values in parse_qs(parts.query).items()}
        self.asked.append(namespace)
        answer = self._answer(namespace, query)
        if isinstance(answer, Exception):
            raise answer
        return RawAnswer(200, "application/json", json.dumps({"items": answer}).encode())

    async def aclose(self) -> None:
        pass


def sources(
    answer: Callable[[str, dict[str, str]], list[Any] | Exception], *wanted: str
) -> tuple[Sources, ScriptedWays]:
    made = Sources(wanted or ("auto",), lambda: None)  # type: ignore[arg-type,return-value]
    ways = ScriptedWays(answer)
    made.routes = ways  # type: ignore[assignment]
    return made, ways


async def test_the_pods_of_the_node_are_listed_once_for_all_captures() -> None:
    made, ways = sources(lambda namespace, query: [AGENT])
    ((one,), gaps) = await made.find(TARGET)
    ((same,), _) = await made.find(TARGET)
    assert one is same
    assert (one.kind, gaps, ways.asked) == ("coroot", [], [""])


async def test_who_may_not_list_all_pods_gets_those_of_the_usual_namespaces() -> None:
    def answer(namespace: str, query: dict[str, str]) -> list[Any] | Exception:
        if namespace in ("", "parca"):
            return Forbidden("pods is forbidden", "ask for it")
        return [AGENT] if namespace == "coroot" else []

    made, ways = sources(answer)
    ((agent,), gaps) = await made.find(TARGET)
    assert (agent.kind, gaps) == ("coroot", [])
    assert ways.asked[:3] == ["", "shop", "coroot"]


async def test_who_may_list_nothing_is_told_so() -> None:
    made, _ = sources(lambda namespace, query: Forbidden("pods is forbidden", "bind a role"))
    found, (gap,) = await made.find(TARGET)
    assert found == []
    assert gap.cause == "agents cannot be looked for: pods is forbidden"
    assert gap.remedy == "bind a role"


async def test_an_agent_elsewhere_and_none() -> None:
    def answer(namespace: str, query: dict[str, str]) -> list[Any]:
        return [ELSEWHERE] if "labelSelector" in query else []

    made, _ = sources(answer, "coroot")
    _, (gap,) = await made.find(TARGET)
    assert gap.cause == "no coroot-node-agent on node node1, it runs on node2"
    made, _ = sources(lambda namespace, query: [], "coroot")
    _, (gap,) = await made.find(TARGET)
    assert gap.cause == "no coroot-node-agent on node node1"
    assert gap.shown is False
    _, (again,) = await made.find(TARGET)
    assert again.shown is True


async def test_a_server_that_fails_is_a_gap() -> None:
    made, _ = sources(lambda namespace, query: ServerError("the API server failed (500)", "again"))
    found, (gap,) = await made.find(TARGET)
    assert found == []
    assert "failed (500)" in gap.cause


async def test_on_this_machine_only_urls_are_asked() -> None:
    made, ways = sources(lambda namespace, query: [AGENT], "auto", "http://localhost:9100")
    ((source,), gaps) = await made.find(Target("local", node="here"))
    assert (source.where, source.path, gaps, ways.asked) == (
        "http://localhost:9100",
        "/metrics",
        [],
        [],
    )


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("container_resources_memory_rss_bytes", "node_info"), "coroot"),
        (("go_goroutines", "parca_agent_num_cpu"), "parca"),
        (("rox_collector_events",), "collector"),
        (("node_cpu_seconds", "node_memory_MemFree_bytes"), "prometheus"),
        ((), "prometheus"),
    ],
)
def test_what_a_url_turns_out_to_be(names: tuple[str, ...], kind: str) -> None:
    assert kind_of(names) == kind


def test_the_own_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert own_container_filter(tmp_path) == ContainerFilter()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert own_container_filter(tmp_path) == ContainerFilter()
    (tmp_path / "namespace").write_text("shop\n")
    monkeypatch.setattr("platform.node", lambda: "web-0")
    own = own_container_filter(tmp_path)
    assert own == ContainerFilter("shop", "web-0", "")
    assert own.matches({"container_id": "/k8s/shop/web-0/app"})
    assert not own.matches({"container_id": "/k8s/shop/web-1/app"})
