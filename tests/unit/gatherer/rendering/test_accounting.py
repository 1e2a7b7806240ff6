from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatherer.rendering.accounting import Accounts, reconcile
from hg_shared.batch import Batch
from hg_shared.messages import Goodbye
from tests.unit.gatherer.scripted import batch

COUNT = st.integers(0, 1 << 70)


def said(processes: list[dict[str, Any]], seen: int = -1, lost: int = -1) -> Goodbye:
    seen = sum(p["seen"] for p in processes) if seen < 0 else seen
    lost = sum(p["lost"] for p in processes) if lost < 0 else lost
    return Goodbye(0, "stop", seen, lost, processes, 0.0, 0, 0)


def of(ordinal: int, seen: int, lost: int = 0) -> dict[str, Any]:
    return {"ordinal": ordinal, "seen": seen, "lost": lost, "end_reason": "detached"}


def test_an_honest_stream_adds_up() -> None:
    accounts = Accounts()
    accounts.received(1, 10)
    accounts.lost(1, 5)
    accounts.received(2, 3)
    books = reconcile(accounts, said([of(1, 15, 5), of(2, 3), of(3, 0)]), {1: "a", 2: "b", 3: "c"})
    assert (books.seen, books.received, books.lost, books.transit) == (18, 13, 5, 0)
    assert books.discrepancies == ()
    assert books.processes[1].end_reason == "detached"


def test_what_was_sent_and_did_not_arrive_is_lost_in_transit() -> None:
    accounts = Accounts()
    accounts.received(1, 10)
    books = reconcile(accounts, said([of(1, 15, 2)]), {1: "a"})
    assert (books.seen, books.received, books.lost, books.transit) == (15, 10, 5, 3)
    assert books.discrepancies == ()


def test_a_lost_note_that_is_lost_itself_is_still_counted() -> None:
    accounts = Accounts()
    accounts.received(1, 10)
    books = reconcile(accounts, said([of(1, 50, 40)]), {1: "a"})
    assert (books.lost, books.transit) == (40, 0)


def test_what_waits_in_the_spool_is_received_and_not_lost() -> None:
    accounts = Accounts()
    accounts.received(1, 10)
    books = reconcile(accounts, said([of(1, 15, 2), of(2, 7)]), {1: "a", 2: "b"}, spooled=True)
    assert (books.seen, books.received, books.lost, books.transit) == (22, 20, 2, 0)
    assert books.waiting == 10
    assert (books.processes[1].received, books.processes[2].received) == (13, 7)


def test_a_process_without_totals_is_a_discrepancy() -> None:
    accounts = Accounts()
    accounts.received(4, 1)
    books = reconcile(accounts, said([]), {4: "leak-7"})
    assert books.discrepancies == ("hunter gives no totals of leak-7",)


def test_totals_that_cannot_be_read_are_discrepancies() -> None:
    for entry in (
        {}, {"ordinal": 1, "seen": "9", "lost": 0}, {"ordinal": 1, "seen": True, "lost": 0},
        {"ordinal": 1, "seen": 2, "lost": -1}, {"ordinal": 1, "seen": 2, "lost": 3},
        {"ordinal": 1, "seen": 1.0, "lost": 0},
        {"ordinal": 1, "seen": 1, "lost": 0, "end_reason": 5},
    ):  # fmt: skip
        books = reconcile(Accounts(), Goodbye(0, "stop", 0, 0, [entry], 0.0, 0, 0), {})
        assert len(books.discrepancies) == 1, entry


def test_without_totals_gaps_are_the_loss_that_is_known() -> None:
    accounts = Accounts()
    assert accounts.place(batch(0, 5)) == (0, 0)
    assert accounts.place(batch(9, 1)) == (4, 0)
    accounts.received(1, 6)
    books = reconcile(accounts, None, {1: "a"})
    assert (books.seen, books.received, books.lost, books.transit) == (10, 6, 4, 4)


def test_sources_have_sequences_of_their_own() -> None:
    accounts = Accounts()
    assert accounts.place(batch(0, 5, source=0)) == (0, 0)
    assert accounts.place(batch(0, 5, source=1)) == (0, 0)
    assert accounts.place(batch(5, 5, source=1)) == (0, 0)
    assert accounts.missing == 0


def test_repeated_records_are_left_out() -> None:
    accounts = Accounts()
    accounts.place(batch(0, 10))
    assert accounts.place(batch(5, 10)) == (0, 5)
    assert accounts.place(batch(0, 3)) == (0, 3)
    assert accounts.place(batch(15, 1)) == (0, 0)
    assert (accounts.missing, accounts.repeated) == (0, 8)


def test_a_batch_from_far_away_is_a_gap_and_no_crash() -> None:
    accounts = Accounts()
    missing, _ = accounts.place(Batch(0, (1 << 64) - 1, 0, b"", b""))
    assert missing == (1 << 64) - 1


@given(
    st.dictionaries(st.integers(1, 5), st.tuples(COUNT, COUNT)),
    st.lists(st.tuples(st.integers(1, 5), COUNT, COUNT)),
    st.one_of(st.none(), st.tuples(COUNT, COUNT)),
    COUNT,
)
def test_seen_is_received_and_lost_whatever_hunter_says(
    got: dict[int, tuple[int, int]],
    totals: list[tuple[int, int, int]],
    sums: tuple[int, int] | None,
    missing: int,
) -> None:
    accounts = Accounts(missing=missing)
    for ordinal, (received, lost) in got.items():
        accounts.received(ordinal, received)
        accounts.lost(ordinal, lost)
    goodbye = None
    if sums is not None:
        goodbye = said([of(*total) for total in totals], *sums)
    books = reconcile(accounts, goodbye, {1: "a", 2: "b"})
    assert books.seen == books.received + books.lost
    assert books.received == sum(received for received, _ in got.values())
    for process in books.processes.values():
        assert process.seen == process.received + process.lost
        assert min(process.received, process.lost, process.transit) >= 0
