from __future__ import annotations

from collections.abc import Sequence

import pytest

from gatherer.errors import ApiError, ClusterUnreachable, Forbidden
from gatherer.kube.objects.models import Pod, Status
from gatherer.kube.watch.pod_watch import PodWatch
from gatherer.kube.watch.watch_events import PodList, WatchEvent
from tests.unit.gatherer.kube.scripted_api import ScriptedApi, ScriptEnded, Step, pod

A, B, C = pod("a"), pod("b"), pod("c")
OUTAGE = ClusterUnreachable("no answer")
FORBIDDEN = Forbidden("pods is forbidden", verb="watch", resource="pods")


def added(added: Pod, version: str) -> WatchEvent:
    return WatchEvent("ADDED", added, version)


def gone(code: int = 410) -> WatchEvent:
    return WatchEvent("ERROR", status=Status(False, "too old resource version", code=code))


async def played(
    lists: Sequence[PodList | Exception], watches: Sequence[Sequence[Step] | Exception]
) -> tuple[list[list[tuple[str, bool]]], ScriptedApi, list[str]]:
    """Runs a watch to the end of its script; returns changes, the API and the notes."""
    api, notes = ScriptedApi(lists, watches), []
    watch = PodWatch(api, "default", "app=web", notes.append, api.sleep)
    seen = []
    try:
        async for changes in watch.changes():
            seen.append([(change.pod.name, change.gone) for change in changes])
    except ScriptEnded:
        pass
    return seen, api, notes


async def test_the_pods_there_are_come_first_then_what_changes() -> None:
    seen, api, notes = await played(
        [PodList((A, B), "5")],
        [[added(C, "6"), WatchEvent("BOOKMARK", version="9"), WatchEvent("DELETED", A, "10")]],
    )
    assert seen == [[("a", False), ("b", False)], [("c", False)], [("a", True)]]
    assert [asked[-1] for asked in api.asked] == ["app=web", "5", "10"]
    assert (notes, api.pauses) == ([], [])


async def test_no_pods_at_all_are_told_as_such() -> None:
    seen, _, _ = await played([PodList((), "5")], [])
    assert seen == [[]]


async def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    seen, api, _ = await played([PodList((A,), "5")], [[added(B, "6")], [added(C, "7")], []])
    assert seen[1:] == [[("b", False)], [("c", False)]]
    assert [asked[-1] for asked in api.asked] == ["app=web", "5", "6", "7", "7"]
    # A watch that ends at once and tells nothing is not asked for again at once.
    assert api.pauses == [1.0]


@pytest.mark.parametrize("how", [[gone()], ApiError("expired", "", 410)])
async def test_a_version_that_is_forgotten_means_to_list_again(
    how: Sequence[Step] | Exception,
) -> None:
    seen, api, notes = await played([PodList((A, B), "5"), PodList((B, C), "90")], [how])
    assert seen == [[("a", False), ("b", False)], [("a", True), ("c", False)]]
    assert [asked[0] for asked in api.asked] == ["list", "watch", "list", "watch"]
    assert api.asked[-1][-1] == "90"
    assert notes == []


async def test_versions_that_are_forgotten_again_and_again_slow_it_down() -> None:
    lists = [PodList((A,), str(n)) for n in range(9)]
    _, api, _ = await played(lists, [[gone()]] * 8)
    assert api.pauses == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_an_outage_is_noted_once_and_survived() -> None:
    watches: list[Sequence[Step] | Exception] = [OUTAGE, OUTAGE, OUTAGE, [added(B, "6")], OUTAGE]
    seen, api, notes = await played([PodList((A,), "5")], watches)
    assert seen[1:] == [[("b", False)]]
    assert len(notes) == 2, "one note for each outage"
    assert "no answer; trying again" in notes[0]
    # The first success ends the backoff.
    assert api.pauses == [1, 2, 4, 1]
    assert [asked[-1] for asked in api.asked if asked[0] == "watch"] == ["5"] * 4 + ["6"] * 2


async def test_an_error_of_the_watch_means_to_list_again() -> None:
    seen, api, notes = await played([PodList((A,), "5"), OUTAGE], [[gone(500)], [added(B, "6")]])
    assert seen == [[("a", False)], [("b", False)]]
    assert len(notes) == 1
    assert [asked[0] for asked in api.asked] == ["list", "watch", "list", "watch", "watch"]


async def test_without_the_verb_watch_it_lists_again_and_again() -> None:
    lists = [PodList((A,), "5"), PodList((A,), "6"), OUTAGE, PodList((B,), "9")]
    seen, api, notes = await played(lists, [FORBIDDEN])
    assert seen == [[("a", False)], [("a", True), ("b", False)]]
    assert notes[0] == "pods is forbidden; pods are listed every 5 s instead"
    assert [asked[0] for asked in api.asked] == ["list", "watch", "list", "list", "list", "list"]


async def test_what_cannot_be_listed_at_the_start_is_an_error() -> None:
    api = ScriptedApi([OUTAGE])
    with pytest.raises(ClusterUnreachable):
        async for _ in PodWatch(api, "default", "a=b", print, api.sleep).changes():
            pass
