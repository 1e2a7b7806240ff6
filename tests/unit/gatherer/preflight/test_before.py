"""What is checked before a capture, and how a start that failed is explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gatherer.errors import (
    ClusterUnreachable,
    DeployError,
    Forbidden,
    GathererError,
    ServerError,
    TargetNotFound,
)
from gatherer.kube.objects.review import Right
from gatherer.preflight import before
from gatherer.preflight.before import CheckedRuntime, check_rights
from gatherer.preflight.target_facts import TargetFacts, TargetRef
from gatherer.target.values import HunterImage, Target

from .situations import USER, healthy, seen, target, without

QUESTION = TargetRef("default", "problempod", "buggycontainer", "prod")
FOUND = Target("kubernetes", pod="problempod")


class ScriptedServer:
    """Answers about rights; everything not named is allowed."""

    def __init__(self, answers: dict[Right, bool | None] | None = None, version: str = "v1.36.2"):
        self.answers = answers or {}
        self.told = version
        self.asked: list[str] = []

    async def may(self, right: Right, namespace: str) -> bool:
        assert namespace == "default"
        self.asked.append(str(right))
        answer = self.answers.get(right, True)
        if answer is None:
            raise ServerError("no answer")
        return answer

    async def version(self) -> str:
        return self.told

    async def user(self) -> str:
        return USER


class ScriptedCluster:
    access = None

    def __init__(self, server: ScriptedServer) -> None:
        self.api = server
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


class ScriptedRuntime:
    def __init__(self, error: GathererError | None = None) -> None:
        self.error = error
        self.resolved = 0
        self.closed = 0

    async def resolve(self) -> Target:
        self.resolved += 1
        if isinstance(self.error, TargetNotFound):
            raise self.error
        return FOUND

    async def ended(self) -> None:
        return None

    async def restarted(self) -> Target | None:
        return FOUND

    async def rejoin(self, session: str) -> Any:
        return session

    async def start(self, hunter: HunterImage, arguments: Sequence[str]) -> Any:
        if self.error is not None:
            raise self.error
        return "channel"

    async def aclose(self) -> None:
        self.closed += 1


def checked(
    server: ScriptedServer | None = None, error: GathererError | None = None, allowed: bool = False
) -> tuple[CheckedRuntime, ScriptedRuntime, ScriptedCluster]:
    runtime, cluster = ScriptedRuntime(error), ScriptedCluster(server or ScriptedServer())
    made = CheckedRuntime(runtime, cluster, QUESTION, allowed=allowed)  # type: ignore[arg-type]
    return made, runtime, cluster


async def test_rights_are_asked_for_once() -> None:
    server = ScriptedServer()
    made, runtime, _ = checked(server)
    assert await made.resolve() == FOUND
    assert server.asked == ["get pods", "get pods/exec", "create pods/exec"]
    await made.resolve()
    assert len(server.asked) == 3
    assert runtime.resolved == 2


async def test_a_missing_right_is_the_error_whatever_else_fails() -> None:
    server = ScriptedServer(without(("get", "pods/exec"), ("create", "pods/exec")))
    made, _, _ = checked(server, TargetNotFound("no pod"))
    with pytest.raises(Forbidden) as caught:
        await made.resolve()
    assert caught.value.cause == (
        f"get and create pods/exec are not allowed in namespace default for {USER}"
    )
    assert "--verb=get,create --resource=pods/exec" in caught.value.remedy
    assert caught.value.exit_code == 3


async def test_a_missing_target_is_told_in_the_runtimes_words() -> None:
    made, _, _ = checked(error=TargetNotFound("no pod", "name another"))
    with pytest.raises(TargetNotFound, match="no pod; name another"):
        await made.resolve()


async def test_what_the_server_does_not_say_stops_nothing() -> None:
    silent = ScriptedServer(dict.fromkeys(before.rights.NEEDED))
    assert await checked(silent)[0].resolve() == FOUND
    old = ScriptedServer(without(("create", "pods/exec")), "v1.31.0")
    await check_rights(old, QUESTION)  # type: ignore[arg-type]
    with pytest.raises(Forbidden, match="create pods/exec is not allowed"):
        await check_rights(ScriptedServer(old.answers), QUESTION)  # type: ignore[arg-type]


async def test_rights_checked_for_another_target_are_not_asked_for_again() -> None:
    server = ScriptedServer()
    made, _, _ = checked(server, allowed=True)
    await made.resolve()
    assert server.asked == []


def asked(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], TargetFacts]) -> None:
    async def ask(*_: object) -> TargetFacts:
        return answer()

    monkeypatch.setattr(before, "ask", ask)


async def failure(error: GathererError) -> GathererError:
    made, _, _ = checked(error=error)
    with pytest.raises(type(error)) as caught:
        await made.start(HunterImage(b"", ""), [])
    return caught.value


async def test_a_start_that_fails_is_explained_as_doctor_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interior = replace(seen("problempod"), interpreters=(), places=())
    # With the right to add one, hunter would run in an ephemeral container.
    rights = without(("patch", "pods/ephemeralcontainers"))
    seen_so = replace(target("problempod"), interior=interior, rights=rights)
    asked(monkeypatch, lambda: seen_so)
    error = await failure(DeployError("exit code 127", "look"))
    assert "neither in container 'buggycontainer': it has no Python" in error.cause
    assert error.remedy
    assert error.exit_code == 3


async def test_a_start_that_fails_for_no_known_cause_keeps_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked(monkeypatch, healthy)
    assert str(await failure(DeployError("exit code 127", "look"))) == "exit code 127; look"

    def unreachable() -> TargetFacts:
        raise ClusterUnreachable("gone")

    asked(monkeypatch, unreachable)
    assert str(await failure(DeployError("exit code 127", "look"))) == "exit code 127; look"


async def test_a_start_that_succeeds_asks_nothing() -> None:
    server = ScriptedServer()
    made, _, _ = checked(server)
    assert await made.start(HunterImage(b"", ""), []) == "channel"  # type: ignore[comparison-overlap]
    assert server.asked == []


async def test_ends_restarts_and_rejoining_are_the_runtimes_business() -> None:
    made, _, _ = checked()
    assert await made.ended() is None
    assert await made.restarted() == FOUND
    assert await made.rejoin("name") == "name"  # type: ignore[comparison-overlap]


async def test_both_connections_are_closed() -> None:
    made, runtime, cluster = checked()
    await made.aclose()
    assert (runtime.closed, cluster.closed) == (1, 1)
