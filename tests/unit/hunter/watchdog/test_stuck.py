"""The watchdog's judgement, over threads and tracers that are values."""

import pytest

from hunter.watchdog.stuck import (
    ALL_THREADS,
    ALONE_SECONDS,
    HELD_SECONDS,
    IDLE_THREADS,
    Alone,
    HoldTracker,
    ThreadStatus,
    TracerState,
    is_held,
)

TRACER, OTHER = 9, 77
LOOK = 0.25
EVENT_STOP = 128 << 8
SIGTRAP, SIGCONT, SIGSTOP, SIGTSTP, SIGUSR1 = 5, 18, 19, 20, 10


def bit(number):
    return 1 << (number - 1)


@pytest.mark.parametrize(
    ("what", "thread", "listening", "held"),
    [
        ("runs", ThreadStatus("R"), False, False),
        ("waits in vfork", ThreadStatus("D"), False, False),
        ("stopped, by nobody's tracer", ThreadStatus("T"), False, False),
        ("syscall-stop, not taken", ThreadStatus("t", SIGTRAP | 0x80), False, True),
        ("any stop that was taken", ThreadStatus("t", 0), False, True),
        ("after PTRACE_INTERRUPT", ThreadStatus("t", SIGTRAP | EVENT_STOP), False, True),
        ("after fork", ThreadStatus("t", SIGTRAP | 1 << 8), False, True),
        ("a signal that is not delivered", ThreadStatus("t", SIGUSR1), False, True),
        ("group-stop, not taken", ThreadStatus("t", SIGSTOP | EVENT_STOP), False, False),
        ("group-stop of SIGTSTP", ThreadStatus("t", SIGTSTP | EVENT_STOP), False, False),
        ("PTRACE_LISTEN", ThreadStatus("t", 0), True, False),
        ("PTRACE_LISTEN, since 5.17", ThreadStatus("t", SIGSTOP), True, False),
        ("stopped as a whole, since 5.17", ThreadStatus("t", SIGSTOP), False, False),
        ("SIGTSTP, about to stop", ThreadStatus("t", SIGTSTP), False, False),
        ("SIGTSTP with a handler", ThreadStatus("t", SIGTSTP, caught=bit(SIGTSTP)), False, True),
        ("SIGSTOP has no handler", ThreadStatus("t", SIGSTOP, caught=bit(SIGTSTP)), False, False),
        ("continued, not told", ThreadStatus("t", SIGTRAP | EVENT_STOP), True, True),
        ("continued, held", ThreadStatus("t", SIGSTOP | EVENT_STOP, 0, bit(SIGCONT)), False, True),
        ("continued, listened", ThreadStatus("t", 0, 0, bit(SIGCONT)), True, True),
        ("another signal waits", ThreadStatus("t", 0, 0, bit(SIGUSR1)), True, False),
    ],
)
def test_every_stop_but_a_group_stop_holds(what, thread, listening, held):
    assert is_held(thread, listening) is held, what


class Target:
    """Threads by process; what is asked of them is counted."""

    def __init__(self, *tids, process=100):
        self.tids = {process: list(tids)}
        self.threads = {tid: ThreadStatus("S") for tid in tids}
        self.asked = 0
        self.holds = HoldTracker(lambda pid: self.tids.get(pid, []), self.look_at)

    def look_at(self, process, tid):
        self.asked += 1
        return self.threads.get(tid)

    def stop(self, tid, tracer=TRACER, code=0):
        self.threads[tid] = ThreadStatus("t", code, tracer)

    def look(self, stops=1, able=True, seconds=LOOK, listening=(), overflowed=False):
        tracer = TracerState(TRACER, stops, able, list(self.tids), list(listening), overflowed)
        return self.holds.update(tracer, seconds)

    def seconds(self, **how):
        hold = self.look(**how)
        return -1 if hold is None else hold.seconds


def test_a_thread_that_stands_while_its_tracer_takes_no_stop_is_held_longer_and_longer():
    target = Target(100, 101)
    target.stop(101)
    target.look()
    told = [target.look() for _ in range(round(HELD_SECONDS / LOOK) + 1)]
    assert told[0] == (101, 100, TRACER, 0.0)
    assert told[-1] == (101, 100, TRACER, HELD_SECONDS)


def test_one_that_has_ended_is_held_but_a_leader_only_when_it_is_the_last():
    assert is_held(ThreadStatus("Z"), False)
    assert not is_held(ThreadStatus("Z"), False, leads=True)
    target = Target(100, 101)
    target.threads[100] = ThreadStatus("Z", 0, TRACER)
    target.look()
    assert target.look() is None
    target.tids[100].remove(101)
    assert target.look() == (100, 100, TRACER, 0.0)
    target = Target(100, 101)
    target.threads[101] = ThreadStatus("Z", 0, TRACER)
    target.look()
    assert target.look() == (101, 100, TRACER, 0.0)
    target.threads[101] = ThreadStatus("Z", 0, OTHER)
    assert target.look() is None


def test_progress_begins_it_anew():
    target = Target(100)
    target.stop(100)
    target.look(stops=1)
    for _ in range(5):
        target.look(stops=1)
    assert target.look(stops=2) is None
    assert target.seconds(stops=2) == 0.0


def test_a_tracer_that_moves_costs_no_look_at_its_threads():
    target = Target(*range(100, 140))
    for stops in range(20):
        target.look(stops=stops)
    assert target.asked == 0


def test_a_thread_that_goes_on_is_held_no_longer_though_no_stop_was_taken():
    target = Target(100)
    target.stop(100)
    for _ in range(4):
        target.look()
    target.threads[100] = ThreadStatus("R")
    assert target.look() is None
    target.stop(100)
    assert target.seconds() == 0.0


def test_threads_of_another_tracer_are_its_own_affair():
    target = Target(100, 101)
    target.stop(100, OTHER)
    for _ in range(20):
        assert target.look(able=False) is None


def test_while_the_tracer_waits_some_threads_are_looked_at_each_time_and_all_in_turn():
    tids = range(1000, 1000 + 3 * IDLE_THREADS)
    target = Target(*tids, process=1000)
    target.look()
    target.look()
    assert target.asked == IDLE_THREADS
    target.stop(tids[-1])
    found = [target.look() for _ in range(3)]
    assert any(hold is not None and hold.thread == tids[-1] for hold in found)


def test_a_tracer_that_does_not_wait_has_more_of_its_threads_looked_at():
    tids = range(1000, 1000 + 2 * ALL_THREADS)
    target = Target(*tids, process=1000)
    target.look(able=False)
    target.look(able=False)
    assert target.asked == ALL_THREADS


def test_a_thread_that_is_gone_and_a_process_without_threads_are_passed_over():
    target = Target(100)
    del target.threads[100]
    target.tids[200] = []
    target.look()
    assert target.look() is None
    target.tids.clear()
    assert target.look() is None


def test_group_stops_that_were_answered_and_those_beyond_the_list_hold_nobody():
    target = Target(100, 101)
    target.stop(100)
    target.look(able=False, listening=[100])
    assert target.look(able=False, listening=[100]) is None
    target.stop(101)
    assert target.look(able=False, listening=[100], overflowed=True) is None
    assert target.look(able=False, listening=[100]) == (101, 100, TRACER, 0.0)


def test_a_long_time_between_two_looks_counts_for_a_second():
    target = Target(100)
    target.stop(100)
    target.look()
    target.look()
    assert target.seconds(seconds=60.0) == 1.0


def test_programs_that_run_alone_are_told_and_those_at_rest_are_not():
    alone = Alone()
    alone.update(True, 5, LOOK)
    for _ in range(round(ALONE_SECONDS / LOOK)):
        seconds = alone.update(True, 5, LOOK)
    assert seconds == ALONE_SECONDS
    assert alone.update(True, 6, LOOK) == 0.0
    assert alone.update(True, 6, 60.0) == 1.0
    assert alone.update(False, 6, LOOK) == 0.0
    assert alone.update(True, 6, LOOK) == LOOK
