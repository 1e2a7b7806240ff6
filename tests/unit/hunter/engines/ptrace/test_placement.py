"""CPU placement as a state machine, over threads that are values."""

import pytest

from hunter.engines.ptrace import placement
from hunter.engines.ptrace.placement import PROBE_NS, SETTLED_NS, Placement
from hunter.watchdog.masks import (
    MAX_THREADS,
    TABLE_BYTES,
    MaskTable,
    SavedMask,
    decode_mask,
    encode_mask,
)

ALL = frozenset({0, 1, 2, 3})
TRACER = 9


@pytest.fixture
def machine(monkeypatch):
    """CPU masks by thread id; process 100 has threads 100 and 101, on CPU 2 last."""
    masks = {TRACER: ALL, 100: ALL, 101: ALL}
    monkeypatch.setattr(placement.os, "sched_getaffinity", lambda tid: set(masks[tid]))

    def set_mask(tid, mask):
        masks[tid] = frozenset(mask)

    monkeypatch.setattr(placement.os, "sched_setaffinity", set_mask)
    monkeypatch.setattr(placement.procfs, "thread_ids", lambda pid: sorted(set(masks) - {TRACER}))
    monkeypatch.setattr(placement.procfs, "pids", list)
    fields = " ".join(["100 (x) S"] + ["0"] * 35 + ["2"])
    monkeypatch.setattr(placement.procfs, "read_text", lambda path: fields)
    return masks


def placed_by(table, report):
    return Placement(table, lambda: [TRACER], lambda tid: 0, report)


def made(reports):
    return placed_by(MaskTable(memoryview(bytearray(TABLE_BYTES))), reports.append)


def trial(tried, before, after, now=SETTLED_NS * 2):
    """Runs one trial: stops per second before and while narrowed. Returns the time after it."""
    pids, stops = {100: 0}, 0
    tried.tick(now, stops, pids)
    now += PROBE_NS
    stops += before * PROBE_NS // 10**9
    tried.tick(now, stops, pids)
    now += PROBE_NS
    stops += after * PROBE_NS // 10**9
    tried.tick(now, stops, pids)
    return now


def test_what_is_faster_is_kept_and_undone_at_the_end(machine):
    reports = []
    tried = made(reports)
    trial(tried, 20_000, 200_000)
    assert tried.placed
    assert machine[100] == machine[101] == machine[TRACER] == {2}
    assert reports[0]["placement"] == "on"
    tried.undo()
    assert machine == {TRACER: ALL, 100: ALL, 101: ALL}


def test_what_is_not_faster_is_undone_at_once_and_said_once(machine):
    reports = []
    tried = made(reports)
    now = trial(tried, 20_000, 21_000)
    assert not tried.placed
    assert machine == {TRACER: ALL, 100: ALL, 101: ALL}
    trial(tried, 20_000, 21_000, now + 10**12)
    assert [report["placement"] for report in reports] == ["off"]


def test_a_quiet_target_is_left_alone(machine):
    tried = made([])
    trial(tried, 100, 100)
    assert not tried.placed
    assert machine[100] == ALL


def test_a_program_that_just_started_is_left_alone(machine):
    tried = made([])
    pids, now = {100: SETTLED_NS}, SETTLED_NS + PROBE_NS
    tried.tick(now, 0, pids)
    tried.tick(now + PROBE_NS, 10_000, pids)
    assert machine[100] == ALL


def test_a_thread_that_chose_its_own_mask_keeps_it(machine):
    tried = made([])
    trial(tried, 20_000, 200_000)
    machine[101] = frozenset({3})
    tried.undo()
    assert machine[101] == {3}
    assert machine[100] == ALL


def test_a_thread_born_narrowed_gets_its_process_mask(machine):
    tried = made([])
    trial(tried, 20_000, 200_000)
    machine[102] = frozenset({2})
    tried.undo()
    assert machine[102] == ALL


def test_the_number_of_a_thread_that_has_ended_may_be_a_strangers(machine, monkeypatch):
    tried = made([])
    trial(tried, 20_000, 200_000)
    assert machine[101] == {2}
    # 101 has ended; another process has pinned the thread that has this number now.
    monkeypatch.setattr(placement.procfs, "thread_ids", lambda pid: [100] if pid == 100 else [])
    tried.undo()
    assert machine[100] == ALL
    assert machine[101] == {2}


def test_a_child_gets_the_mask_its_parent_had(machine):
    tried = made([])
    trial(tried, 20_000, 200_000)
    machine[200] = frozenset({2})
    tried.release_child(200, 100)
    assert machine[200] == ALL


def test_masks_are_wide_while_tracing_pauses(machine):
    tried = made([])
    now = trial(tried, 20_000, 200_000)
    tried.pause(True, now, 0)
    assert machine[100] == machine[TRACER] == ALL
    tried.pause(False, now + 10**9, 0)
    assert machine[100] == {2}


def test_the_end_of_the_last_target_gives_everything_back(machine):
    tried = made([])
    now = trial(tried, 20_000, 200_000)
    tried.tick(now + PROBE_NS, 0, {})
    assert machine[TRACER] == ALL


def test_each_tracer_has_a_cpu_with_its_threads(machine):
    reports = []
    machine[8] = ALL
    owners = {100: 0, 101: 1}
    table = MaskTable(memoryview(bytearray(TABLE_BYTES)))
    tried = Placement(table, lambda: [TRACER, 8], lambda tid: owners.get(tid, -1), reports.append)
    machine[102] = ALL  # not traced yet: left alone
    trial(tried, 20_000, 200_000)
    assert machine[TRACER] == machine[100] == {2}
    assert machine[8] == machine[101] == {0}
    assert machine[102] == ALL
    assert [report["cpus"] for report in reports] == [[2, 0]]
    assert [(saved.tid, saved.cpu) for saved in table.entries()] == [(100, 2), (101, 0)]
    tried.undo()
    assert set(machine.values()) == {ALL}
    assert table.entries() == []


def test_masks_round_trip():
    for mask in (frozenset({0}), ALL, frozenset({5, 1023})):
        assert decode_mask(encode_mask(mask)) == mask


def test_the_table_holds_what_was_saved_and_no_more_than_fits():
    table = MaskTable(memoryview(bytearray(TABLE_BYTES)))
    assert table.entries() == []
    assert table.save(SavedMask(11, 10, ALL, 3))
    assert table.entries() == [SavedMask(11, 10, ALL, 3)]
    for tid in range(MAX_THREADS - 1):
        assert table.save(SavedMask(tid, 10, ALL, 3))
    assert not table.save(SavedMask(1, 1, ALL, 3))
    table.clear()
    assert table.entries() == []


def test_masks_of_processes_that_ended_are_forgotten_but_not_at_once(machine, monkeypatch):
    table = MaskTable(memoryview(bytearray(TABLE_BYTES)))
    tried = placed_by(table, lambda _: None)
    now = trial(tried, 20_000, 200_000)
    assert [saved.tid for saved in table.entries()] == [100, 101]
    machine[200] = machine[201] = ALL
    monkeypatch.setattr(
        placement.procfs, "thread_ids", {100: [100, 101], 200: [200, 201]}.__getitem__
    )
    tried.tick(now + PROBE_NS, 10**9, {100: 0, 200: 0})
    assert [saved.tid for saved in table.entries()] == [100, 101, 200, 201]
    tried.tick(now + PROBE_NS + 1, 10**9, {200: 0})
    # A child of the ended process can still be given the mask that its parent had.
    machine[300] = frozenset({2})
    tried.release_child(300, 100)
    assert machine[300] == ALL
    tried.tick(now + PROBE_NS + 2, 10**9, {200: 0})
    assert table.entries() == [SavedMask(200, 200, ALL, 2), SavedMask(201, 200, ALL, 2)]


def test_a_child_that_just_started_is_not_narrowed_with_the_others(machine, monkeypatch):
    tried = made([])
    now = trial(tried, 20_000, 200_000)
    machine[200] = ALL
    monkeypatch.setattr(placement.procfs, "thread_ids", lambda pid: [pid])
    tried.tick(now + PROBE_NS, 10**9, {100: 0, 200: now})
    assert machine[200] == ALL
