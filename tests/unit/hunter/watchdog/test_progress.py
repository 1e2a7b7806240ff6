"""What the watchdog sees of the tracers, in memory that two processes would share."""

import ctypes
from struct import pack_into

from hunter.watchdog.progress import MAX_IDS, MAX_TRACERS, Progress


def test_ids_are_there_once_until_they_are_taken_out():
    held = Progress().tracers[0].held
    assert held.read() == []
    for number in (7, 8, 9, 7):
        assert held.add(number)
    assert sorted(held.read()) == [7, 8, 9]
    held.discard(8)
    held.discard(8)
    held.discard(1234)
    assert sorted(held.read()) == [7, 9]
    assert held.add(10)
    assert sorted(held.read()) == [7, 9, 10]


def test_a_handler_that_enters_one_between_two_steps_hides_none():
    held = Progress().tracers[0].held
    held.add(1)
    taken = next(held._fresh)  # by an `add` that was interrupted here
    held.add(3)
    assert sorted(held.read()) == [1, 3]
    held._memory[taken] = 2
    assert sorted(held.read()) == [1, 2, 3]


def test_a_full_table_says_so_and_a_group_stop_beyond_it_is_remembered():
    tracer = Progress().tracers[1]
    for tid in range(1, MAX_IDS + 1):
        assert tracer.listening.add(tid)
    assert not tracer.overflowed
    tracer.listen(MAX_IDS)
    assert not tracer.overflowed
    tracer.listen(MAX_IDS + 1)
    assert tracer.overflowed
    assert len(tracer.listening.read()) == MAX_IDS


def test_each_tracer_has_words_and_tables_of_its_own():
    progress = Progress()
    for number, tracer in enumerate(progress.tracers):
        tracer.thread = 100 + number
        tracer.words[0] += number
        tracer.held.add(1000 + number)
        tracer.listen(2000 + number)
    progress.programs.active = True
    progress.count_look()
    found = [
        (t.thread, t.stops, t.waiting, t.held.read(), t.listening.read()) for t in progress.tracers
    ]
    assert found == [(100 + n, n, False, [1000 + n], [2000 + n]) for n in range(MAX_TRACERS)]
    assert (progress.beat, progress.programs.active, progress.programs.steps) == (1, True, 0)
    progress.programs.count_step()
    progress.programs.active = False
    assert (progress.programs.active, progress.programs.steps) == (False, 1)


def test_a_loop_in_c_counts_and_waits_in_the_same_words():
    tracer = Progress().tracers[2]
    words = (ctypes.c_uint64 * 2).from_address(tracer.address)
    pack_into("<QQ", words, 0, 41, 1)
    assert (tracer.stops, tracer.waiting) == (41, True)
    tracer.words[0] += 1
    tracer.words[1] = 0
    assert list(words) == [42, 0]
