"""The capture plan as the loop in C reads it."""

from struct import Struct

import pytest

from hg_shared.records import Abi
from hg_shared.syscalls import numbers
from hunter.calls import capture_plan
from hunter.engines.native.structures import encode_plan

CALL = Struct("<BBBxI")
ITEM = Struct("<BBBBI")
UNWANTED, ENTRY_PYTHON, EXIT_PYTHON = 1, 2, 4
NR = numbers(Abi.X86_64)


def encoded(wanted=None, limit=32):
    plan = encode_plan(capture_plan.plan(Abi.X86_64), wanted, limit)
    calls = list(CALL.iter_unpack(plan.calls))
    assert len(calls) == plan.call_count
    return calls, list(ITEM.iter_unpack(plan.items))


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("read", (capture_plan.BUF_RET, 1, 0, 1, 0)),
        ("write", (capture_plan.BUF_ARG, 1, 2, 0, 0)),
        ("openat", (capture_plan.PATH, 1, 0, 0, 0)),
        ("newfstatat", (capture_plan.PATH, 1, 0, 0, 0)),
    ],
)
def test_common_calls_are_read_in_c(name, item):
    calls, items = encoded()
    flags, entry_count, exit_count, first = calls[NR[name]]
    assert flags == 0
    assert entry_count == 0
    assert exit_count >= 1
    assert items[first] == item


def test_calls_with_structures_of_pointers_are_pythons():
    calls, _ = encoded()
    assert calls[NR["execve"]][0] & ENTRY_PYTHON
    assert calls[NR["writev"]][0] & EXIT_PYTHON
    assert calls[NR["sendmsg"]][0] & EXIT_PYTHON


def test_a_string_size_that_does_not_fit_is_pythons():
    name = "poll"
    small, _ = encoded(limit=8)
    large, _ = encoded(limit=4096)
    assert not small[NR[name]][0] & ENTRY_PYTHON
    assert large[NR[name]][0] & ENTRY_PYTHON


def test_unwanted_calls_are_marked_and_cost_nothing():
    calls, items = encoded(frozenset({NR["read"]}))
    assert calls[NR["write"]] == (UNWANTED, 0, 0, 0)
    assert calls[NR["read"]][0] == 0
    assert len(items) == 1
