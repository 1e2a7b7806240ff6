"""The bounded queue: what fits is sent in order, what does not is counted."""

from __future__ import annotations

from itertools import product
from typing import Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hg_shared.batch import Batch
from hg_shared.records import HEAD, HEAD_SIZE, Kind, LossCause, Record
from hunter.engines.record_queue import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, RecordQueue


def head(number: int, process: int = 1, length: int = 0, kind: Kind = Kind.SYSCALL) -> bytes:
    return HEAD.pack(number, 0, 0, 0, 0, 0, 0, 0, 0, 7, process, 0, kind, 0, length)


def records(batches: List[Batch]) -> List[Record]:
    return [record for batch in batches for record in batch.records()]


def fill(queue: RecordQueue, count: int, process: int = 1, size: int = 0) -> None:
    for number in range(count):
        queue.put(head(number, process, size), b"c" * size, process, number)


def test_records_come_out_as_they_went_in() -> None:
    queue = RecordQueue(2, 1 << 16)
    queue.put(head(1, 1, 3), b"abc", 1, 0)
    queue.put(head(2, 2), b"", 2, 0)
    assert queue.waiting() == 2
    assert queue.size() == 2 * HEAD_SIZE + 3
    (batch,) = queue.dequeue(99)
    assert (batch.source, batch.first, batch.watermark) == (2, 0, 99)
    assert [(r.start, r.captures) for r in batch.records()] == [(1, b"abc"), (2, b"")]
    assert queue.dequeue(99) == []
    assert queue.size() == 0
    assert queue.sent() == {1: 1, 2: 1}
    assert queue.lost() == {}
    assert queue.empty(123) == Batch(2, 2, 123, b"", b"")


def test_a_head_without_its_captures_is_never_taken() -> None:
    """The tracer appends captures first: the writer may come in between."""
    queue = RecordQueue(0, 1 << 16)
    queue.captures += b"abc"
    assert queue.dequeue(0) == []
    queue.heads += head(1, 1, 3)
    queue.captures += b"next"
    assert [r.captures for r in records(queue.dequeue(0))] == [b"abc"]
    queue.heads += head(2, 1, 4)
    assert [r.captures for r in records(queue.dequeue(0))] == [b"next"]


def test_what_does_not_fit_is_counted_by_process() -> None:
    queue = RecordQueue(0, 4 * HEAD_SIZE)
    fill(queue, 5)
    assert queue.lost() == {}
    fill(queue, 2, process=1)
    fill(queue, 3, process=2)
    assert queue.limit == -1
    assert queue.lost() == {1: 2, 2: 3}
    assert len(records(queue.dequeue(0))) == 5


def test_a_loss_is_noted_before_the_next_record() -> None:
    queue = RecordQueue(0, 4 * HEAD_SIZE)
    fill(queue, 7, process=1)
    fill(queue, 2, process=2)
    queue.dequeue(0)
    queue.put(head(50), b"", 1, 5000)
    queue.put(head(51), b"", 1, 5001)
    noted = records(queue.dequeue(0))
    assert [r.kind for r in noted] == [Kind.LOST, Kind.LOST, Kind.SYSCALL, Kind.SYSCALL]
    assert [(r.process, r.args[0], r.args[1], r.start) for r in noted[:2]] == [
        (1, 2, LossCause.QUEUE_FULL, 5000),
        (2, 2, LossCause.QUEUE_FULL, 5000),
    ]
    assert queue.sent() == {1: 7, 2: 0}
    assert queue.lost() == {1: 2, 2: 2}
    assert queue.limit == 4 * HEAD_SIZE


def test_half_of_the_room_must_be_free_again() -> None:
    queue = RecordQueue(0, 8 * HEAD_SIZE)
    fill(queue, 12)
    assert queue.lost() == {1: 3}
    # The writer took some, but less than half.
    del queue.heads[: 4 * HEAD_SIZE]
    queue.put(head(1), b"", 1, 0)
    assert queue.lost() == {1: 4}
    del queue.heads[:HEAD_SIZE]
    queue.put(head(2), b"", 1, 0)
    assert queue.lost() == {1: 4}
    kinds = [r.kind for r in records(queue.dequeue(0))]
    assert kinds == [Kind.SYSCALL] * 4 + [Kind.LOST, Kind.SYSCALL]


def test_losses_at_the_end_are_noted_without_another_record() -> None:
    queue = RecordQueue(0, HEAD_SIZE)
    fill(queue, 9)
    queue.dequeue(0)
    queue.flush_losses(77)
    (note,) = records(queue.dequeue(0))
    assert (note.kind, note.args[0], note.start) == (Kind.LOST, 7, 77)
    queue.flush_losses(78)
    assert queue.dequeue(0) == []


def test_calls_in_flight_go_in_front_and_count() -> None:
    queue = RecordQueue(0, 1 << 16)
    queue.put(head(5, 1, 1), b"z", 1, 0)
    flight = head(3, 2, 2, Kind.IN_FLIGHT)
    got = records(queue.dequeue(0, (flight, b"ab")))
    assert [(r.kind, r.captures) for r in got] == [(Kind.IN_FLIGHT, b"ab"), (Kind.SYSCALL, b"z")]
    assert queue.sent() == {1: 1, 2: 1}
    assert len(records(queue.dequeue(0, (flight, b"ab")))) == 1


@pytest.mark.parametrize("count", [1, 511, 512, 513, 1024, 1300])
def test_many_records_are_cut_into_batches(count: int) -> None:
    queue = RecordQueue(0, 1 << 24)
    fill(queue, count, size=5)
    batches = queue.dequeue(42)
    assert [r.start for r in records(batches)] == list(range(count))
    assert all(r.captures == b"ccccc" for r in records(batches))
    assert max(batch.count for batch in batches) <= MAX_BATCH_RECORDS
    firsts = [batch.first for batch in batches]
    assert firsts == list(range(0, count, MAX_BATCH_RECORDS))
    # Only the last of them may say that nothing older follows.
    assert [batch.watermark for batch in batches] == [0] * (len(batches) - 1) + [42]
    assert queue.empty(1).first == count


def test_big_records_are_cut_into_batches_by_bytes() -> None:
    queue = RecordQueue(0, 1 << 26)
    fill(queue, 40, size=60_000)
    batches = queue.dequeue(0)
    assert len(batches) == 3
    assert all(len(batch.captures) <= MAX_BATCH_BYTES for batch in batches)
    assert [len(r.captures) for r in records(batches)] == [60_000] * 40
    for batch in batches:
        assert Batch.decode(batch.encode()) == batch


Step = Tuple[str, int, int]


def play(steps: List[Step], limit: int) -> None:
    """Runs steps and checks that nothing is unaccounted for at any time."""
    queue = RecordQueue(0, limit)
    put: Dict[int, List[int]] = {1: [], 2: []}
    got: List[Record] = []
    number = 0

    def dequeue() -> None:
        first = queue.empty(0).first
        for batch in queue.dequeue(number):
            assert batch.first == first
            first += batch.count
            got.extend(batch.records())

    for verb, process, size in steps:
        if verb == "put":
            number += 1
            put[process].append(number)
            queue.put(head(number, process, size), b"x" * size, process, number)
            assert queue.size() <= limit + HEAD_SIZE * 4 + 100
        else:
            dequeue()
    queue.flush_losses(number)
    dequeue()
    for process, numbers in put.items():
        mine = [r for r in got if r.process == process]
        sent = [r.start for r in mine if r.kind == Kind.SYSCALL]
        noted = sum(r.args[0] for r in mine if r.kind == Kind.LOST)
        lost = queue.lost().get(process, 0)
        assert len(numbers) == len(sent) + lost
        assert noted == lost
        assert queue.sent().get(process, 0) == len(sent)
        assert sent == sorted(sent)
        assert set(sent) <= set(numbers)
        # A note stands between what was sent before and what was sent after the loss.
        missing = 0
        reached = 0
        for record in mine:
            if record.kind == Kind.LOST:
                missing += record.args[0]
            else:
                reached += 1
                assert numbers.index(record.start) + 1 == reached + missing


def test_every_short_interleaving_accounts_for_every_record() -> None:
    choices: List[Step] = [("put", 1, 0), ("put", 2, 30), ("take", 0, 0)]
    for steps in product(choices, repeat=7):
        play(list(steps), 2 * HEAD_SIZE)


STEP = st.tuples(st.sampled_from(["put", "put", "put", "take"]), st.integers(1, 2), st.just(9))


@given(st.lists(STEP, max_size=120), st.integers(0, 20))
def test_long_interleavings_account_for_every_record(steps: List[Step], room: int) -> None:
    play(steps, room * HEAD_SIZE)
