"""The capture plan as the programs read it."""

from __future__ import annotations

from typing import Dict, List, Tuple

import pytest

from hg_shared.records import Abi
from hg_shared.syscalls import numbers
from hunter.calls import capture_plan
from hunter.engines.ebpf import layout, plan_table
from hunter.engines.ebpf.settings import small_captures

# Which forms beyond the simple ones a program reads (src/*.bpf.c), and of how many items.
ROUTES: Dict[Tuple[int, int], Tuple[Tuple[int, ...], int]] = {
    (0, layout.ENTRY_SIMPLE): ((layout.SIGSET, layout.SIGFRAME), layout.MAX_ITEMS),
    (0, layout.ENTRY_STRINGS): ((layout.STRINGS,), layout.STRINGS_ITEMS),
    (1, 0): ((layout.SIGSET,), layout.MAX_ITEMS),
    (1, layout.EXIT_VECTORS): ((layout.VECTOR, layout.MESSAGE), layout.VECTORS_ITEMS),
    (1, layout.EXIT_ENTRIES): ((layout.ENTRIES,), layout.ENTRIES_ITEMS),
}
SIMPLE = range(layout.BY_ARGUMENT, layout.BY_PAGES + 1)


def items(plan: bytes) -> List[Tuple[int, ...]]:
    fields = [
        layout.ITEM.unpack_from(plan, 8 + number * layout.ITEM_SIZE)
        for number in range(layout.MAX_ITEMS)
    ]
    return [item for item in fields if item[0]]


def call(table: plan_table.PlanTable, name: str, abi: int = Abi.X86_64) -> Tuple[int, ...]:
    index = numbers(abi)[name] | (512 if abi == Abi.I386 else 0)
    return layout.CALL.unpack_from(table.calls, index * layout.CALL_SIZE)


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.AARCH64])
def test_every_plan_fits_the_program_that_reads_it(abi: Abi) -> None:
    table = plan_table.plan_table(abi, 32, None)
    planned = 0
    for at in range(0, len(table.calls), layout.CALL_SIZE):
        _, _, entry, leave, entry_route, exit_route, _ = layout.CALL.unpack_from(table.calls, at)
        for stop, plan, route in ((0, entry, entry_route), (1, leave, exit_route)):
            if plan:
                check(table.plans[plan], stop, route)
                planned += 1
    for key, value in table.selections.items():
        stop = layout.SELECTION_KEY.unpack(key)[0] >> 16
        if value & 0xFFFF:
            check(table.plans[value & 0xFFFF], stop, value >> 16)
            planned += 1
    assert planned > 200


def check(plan: bytes, stop: int, route: int) -> None:
    forms, most = ROUTES[stop, route]
    found = items(plan)
    assert 0 < len(found) <= most
    for form, arg, length, out, _, _, bound in found:
        assert form in SIMPLE or form in forms
        assert arg < 6
        assert length < 6
        assert out in (0, 1, 2)
        assert bound <= layout.MAX_PIECE


def test_all_items_of_the_capture_plan_are_read_but_those_of_two_forms() -> None:
    table = plan_table.plan_table(Abi.X86_64, 32, None)
    for name, number in numbers(Abi.X86_64).items():
        plan = capture_plan.call_plan(Abi.X86_64, number)
        fields = call(table, name)
        for stop, wanted in enumerate(plan or ((), ())):
            if wanted and wanted[0][0] == capture_plan.SELECT:
                continue
            left_out = (capture_plan.MMSGHDR, capture_plan.POINTED)
            expected = [item for item in wanted if item[0] not in left_out]
            assert len(items(table.plans[fields[2 + stop]])) == len(expected), name


def test_known_calls() -> None:
    table = plan_table.plan_table(Abi.X86_64, 32, None)
    assert items(table.plans[call(table, "openat")[3]]) == [(layout.AS_STRING, 1, 0, 0, 0, 0, 4096)]
    assert items(table.plans[call(table, "write")[3]]) == [(layout.BY_ARGUMENT, 1, 2, 0, 1, 0, 32)]
    assert items(table.plans[call(table, "read")[3]]) == [(layout.BY_RETURN, 1, 0, 1, 1, 0, 32)]
    assert call(table, "close")[2:4] == (0, 0)
    assert call(table, "execve")[4] == layout.ENTRY_STRINGS


def test_a_filter_marks_calls_of_both_abis() -> None:
    wanted = {Abi.X86_64: frozenset({1}), Abi.I386: frozenset({4})}
    table = plan_table.plan_table(Abi.X86_64, 32, wanted)
    flags = table.calls[:: layout.CALL_SIZE]
    assert [nr for nr in range(1024) if flags[nr] & layout.CALL_WANTED] == [1, 512 | 4]
    maybe = [nr for nr in range(512) if flags[nr] & layout.CALL_MAYBE_WANTED]
    assert maybe == [1, 4]
    everything = plan_table.plan_table(Abi.X86_64, 32, None).calls[:: layout.CALL_SIZE]
    assert all(each & layout.CALL_WANTED for each in everything)


def test_bytes_of_captures_in_the_first_ring() -> None:
    assert small_captures(32) == small_captures(0) == layout.SMALL_MIN == 40
    assert small_captures(65000) == layout.SMALL_MAX == 136
    assert small_captures(33) % 8 == 0
