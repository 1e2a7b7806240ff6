from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gatherer.errors import ClusterUnreachable, Forbidden, GathererError
from gatherer.kube.objects.models import Pod, Status
from gatherer.kube.watch import last_seen
from gatherer.kube.watch.last_seen import LastSeen
from gatherer.kube.watch.watch_events import WatchEvent

POD = Pod("default", "web-0", uid="one", phase="Running")


class Watches:
    """Plays one list of events, or an error, for each watch; then waits."""

    def __init__(self, *plays: list[WatchEvent] | GathererError) -> None:
        self.plays = list(plays)
        self.asked: list[tuple[object, ...]] = []
        self.played = asyncio.Event()

    async def watch_pods(
        self, namespace: str, selector: str, version: str, seconds: int, name: str = ""
    ) -> AsyncIterator[WatchEvent]:
        self.asked.append((namespace, selector, version, name))
        if not self.plays:
            self.played.set()
            await asyncio.Event().wait()
        play = self.plays.pop(0)
        if isinstance(play, GathererError):
            raise play
        for event in play:
            yield event


ERROR = WatchEvent("ERROR", status=Status(False, "RequestWatchProgress is disabled", code=500))
VERSIONED = replace(POD, resource_version="7")


async def test_a_watch_goes_on_from_the_version_that_is_known() -> None:
    later = replace(POD, reason="Evicted")
    api = Watches([WatchEvent("MODIFIED", later, "8")], [WatchEvent("MODIFIED", later, "9")])
    seen = LastSeen(api, VERSIONED)
    seen.start()
    await api.played.wait()
    assert [version for _, _, version, _ in api.asked] == ["7", "8", "9"]
    await seen.aclose()


async def test_a_version_that_the_server_does_not_take_is_followed_by_another() -> None:
    api = Watches([ERROR], [ERROR], [ERROR], [WatchEvent("MODIFIED", POD, "9")])
    seen = LastSeen(api, VERSIONED)
    seen.start()
    await api.played.wait()
    assert [version for _, _, version, _ in api.asked] == ["7", "0", "7", "0", "9"]
    await seen.aclose()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_seen, "PAUSE_SECONDS", 0)


async def test_the_last_state_of_a_deleted_pod_stays() -> None:
    gone = replace(POD, phase="Failed", deletion_timestamp="2026-11-21T08:40:30Z")
    api = Watches([WatchEvent("ADDED", POD), WatchEvent("DELETED", gone), WatchEvent("BOOKMARK")])
    seen = LastSeen(api, POD)
    seen.start()
    await api.played.wait()
    assert seen.pod == gone
    assert api.asked[0] == ("default", "", "0", "web-0")
    await seen.aclose()


async def test_another_pod_of_the_name_is_another_pod() -> None:
    api = Watches([WatchEvent("ADDED", replace(POD, uid="two", phase="Pending"))])
    seen = LastSeen(api, POD)
    seen.start()
    await api.played.wait()
    assert seen.pod == POD
    await seen.aclose()


async def test_a_watch_that_fails_is_tried_again() -> None:
    later = replace(POD, reason="Evicted")
    api = Watches(ClusterUnreachable("no answer"), [WatchEvent("MODIFIED", later)])
    seen = LastSeen(api, POD)
    seen.start()
    await api.played.wait()
    assert seen.pod == later
    await seen.aclose()


async def test_a_watch_that_is_not_allowed_is_left() -> None:
    api = Watches(Forbidden("you may not watch pods"), [WatchEvent("MODIFIED", POD)])
    seen = LastSeen(api, POD)
    seen.start()
    assert seen._task is not None
    await seen._task
    assert len(api.asked) == 1
    await seen.aclose()
    await LastSeen(api, POD).aclose()


async def test_news_of_the_pod_end_the_wait_for_them() -> None:
    api = Watches([WatchEvent("ADDED", POD)])
    seen = LastSeen(api, POD)
    seen.start()
    async with asyncio.timeout(20):
        await seen.changed(3600)
    await api.played.wait()
    await seen.aclose()


async def test_without_a_watch_the_wait_for_news_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_seen, "POLL_SECONDS", 0.001)
    seen = LastSeen(Watches(Forbidden("you may not watch pods")), POD)
    seen.start()
    async with asyncio.timeout(20):
        await seen.changed(3600)
    await seen.aclose()
