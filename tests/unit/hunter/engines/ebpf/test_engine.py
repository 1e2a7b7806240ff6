"""Pure parts of the ebpf engine: rights, offsets, sizes, the table, programs of both machines."""

from __future__ import annotations

import mmap
import struct
from struct import Struct
from typing import Tuple

import pytest

from hg_shared.records import Abi
from hunter.engines.choose import choose, without_ptrace
from hunter.engines.ebpf import layout, loading
from hunter.engines.ebpf.calibration import clock_offset, find_offsets
from hunter.engines.ebpf.engine import ring_sizes
from hunter.engines.ebpf.maps import RINGS, state_size
from hunter.engines.ebpf.open_calls import parse_syscall
from hunter.engines.ebpf.settings import settings_of
from hunter.engines.ebpf.slots import Slots
from hunter.errors import HunterError

ALL = ["BPF", "PERFMON"]


@pytest.mark.parametrize(
    ("machine", "release", "capabilities", "cause"),
    [
        ("x86_64", "6.1.0-18-amd64", ALL, ""),
        ("aarch64", "5.8.0", ["SYS_ADMIN"], ""),
        ("x86_64", "6.1.0", ["SYS_PTRACE", "PERFMON"], "CAP_BPF missing"),
        ("x86_64", "6.1.0", ["BPF"], "CAP_PERFMON missing"),
        ("x86_64", "5.4.0-1", ALL, "kernel 5.4.0-1 has no BPF ring buffer, which came with 5.8"),
        ("riscv64", "6.1.0", ALL, "no syscall table for riscv64 machines"),
    ],
)
def test_what_is_missing(machine: str, release: str, capabilities: list[str], cause: str) -> None:
    assert loading.missing(machine, release, capabilities) == cause


@pytest.mark.parametrize(
    ("uid_map", "why"),
    [
        ("         0          0 4294967295\n", "seccomp"),
        ("", "seccomp"),
        ("         0     100000      65536\n", "user namespace"),
        ("0 0 1\n", "user namespace"),
    ],
)
def test_why_bpf_is_not_permitted(uid_map: str, why: str) -> None:
    assert why in loading.why_not_permitted(uid_map)


def test_the_choice_says_why() -> None:
    assert choose("auto", "x86_64", "6.1.0", "", "", "") == ("ebpf", "bpf(2) is allowed")
    assert choose("ebpf", "x86_64", "6.1.0", "EPERM", "", "") == ("ebpf", "asked for")
    fallen = choose("auto", "x86_64", "6.1.0", "", "", "CAP_BPF missing")
    assert fallen == ("ptrace", "ebpf: CAP_BPF missing")
    refused = choose("ebpf", "x86_64", "6.1.0", "", "", "CAP_BPF missing")
    assert refused.tracing == "denied: ebpf: CAP_BPF missing"


def test_offsets_in_a_task_struct() -> None:
    task = bytearray(4096)
    struct.pack_into("<4I", task, 1000, 0, 0x5B00, 17, 0)
    struct.pack_into("<2I", task, 200, 4711, 4711)
    struct.pack_into("<2I", task, 1100, 4711, 4711)
    assert find_offsets(bytes(task), 4711, 4711, 0x5B) == (1100, 1004)
    assert find_offsets(bytes(task), 4712, 4712, 0x5B) == (0, 0)
    assert find_offsets(bytes(task), 4711, 4711, 0x5C) == (0, 0)


OFFSETS = "monotonic         -86400         5\nboottime           7         0\n"


@pytest.mark.parametrize(
    ("kernel_ns", "told", "offset"),
    [
        (1_000_000, "", 0),
        (1_000_000, OFFSETS, 0),
        (1_000_000 + 86_400 * 10**9, OFFSETS, -86_400 * 10**9 + 5),
        # What is told is of the namespace of children, which hunter need not be in.
        (1_000_000 + 50 * 10**9, OFFSETS, -50 * 10**9),
        (1_000_000 - 50 * 10**3, "", 50_000),
    ],
)
def test_how_far_hunters_clock_is_ahead(kernel_ns: int, told: str, offset: int) -> None:
    assert clock_offset(kernel_ns, 1_000_000 - 1000, 1_000_000 + 1000, told) == offset


def test_what_the_programs_are_told_in_the_state() -> None:
    memory = mmap.mmap(-1, state_size(False))
    slots = Slots(memory)
    slot = slots.allocate(7)
    at = layout.STATE_PROCESSES + slot * layout.PROCESS_SIZE
    assert struct.unpack_from("<IIQQ", memory, at) == (0, 7, 0, 0)
    slots.begin(slot, 99)
    assert struct.unpack_from("<IIQQ", memory, at) == (0, 7, 0, 99)
    slots.set_epoch(5)
    slots.set_discovering(True)
    assert struct.unpack_from("<QII", memory, layout.STATE_EPOCH) == (5, 1, 0)
    assert not slots.crowded
    struct.pack_into("<I", memory, layout.STATE_CROWDED, 1)
    assert slots.crowded
    slots.forget_crowd()
    slots.set_discovering(False)
    slots.set_epoch(0)
    assert struct.unpack_from("<QII", memory, layout.STATE_EPOCH) == (0, 0, 0)


def test_a_number_that_a_program_has_learned_has_a_place_or_not() -> None:
    memory = mmap.mmap(-1, state_size(False))
    slots = Slots(memory)
    slot = slots.allocate(1)
    assert not slots.has_place(slot)
    slots.name(slot, 4711)
    assert not slots.has_place(slot), "another process was put in the same place"
    memory[4711 % layout.TABLE_SIZE + 2] = slot
    assert slots.has_place(slot)


@pytest.mark.parametrize("given", [1, 65536, 100_000, 4 << 20, (8 << 20) - 1])
def test_rings_are_powers_of_two(given: int) -> None:
    sizes = ring_sizes(given)
    assert tuple(sizes) == RINGS
    for size in sizes.values():
        assert size >= 65536
        assert size & (size - 1) == 0
    assert sizes["small"] <= max(given, 65536)


def test_the_call_in_which_a_thread_sleeps() -> None:
    text = "7 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffd 0x7f00\n"
    assert parse_syscall(text) == (7, (1, 2, 3, 4, 5, 6))
    for other in ("running\n", "-1 0x7ffd 0x7f00\n", ""):
        assert parse_syscall(other) is None


def test_the_table_finds_room_and_gives_it_back() -> None:
    memory = mmap.mmap(-1, state_size(False))
    slots = Slots(memory)
    like = [4711 + number * layout.TABLE_SIZE for number in range(layout.PROBES + 1)]
    taken = []
    for ordinal, tgid in enumerate(like[: layout.PROBES], 1):
        slot = slots.allocate(ordinal)
        slots.enter(slot, tgid)
        assert slots.tgid(slot) == tgid
        taken.append(slot)
    at = 4711 % layout.TABLE_SIZE
    assert list(memory[at : at + layout.PROBES]) == taken
    with pytest.raises(HunterError, match="like numbers"):
        slots.enter(slots.allocate(9), like[-1])
    slots.leave(taken[1])
    assert memory[at + 1] == layout.TOMBSTONE
    slots.enter(slots.allocate(10), like[-1])
    assert memory[at + 1] not in (0, layout.TOMBSTONE)
    slots.clear()
    assert not any(memory[: layout.TABLE_SIZE + layout.PROBES])


def test_more_processes_than_slots() -> None:
    slots = Slots(mmap.mmap(-1, state_size(False)))
    for ordinal in range(layout.SLOTS - 1):
        slots.allocate(ordinal)
    with pytest.raises(HunterError, match="more than 254"):
        slots.allocate(1)


def test_slots_of_children() -> None:
    memory = mmap.mmap(-1, state_size(True))
    slots = Slots(memory)
    taken = [slots.allocate(ordinal) for ordinal in range(1, 1001)]
    assert slots.free == layout.FOLLOW_SLOTS - 2 - 1000
    last = taken[-1]
    at = layout.STATE_PROCESSES + last * layout.PROCESS_SIZE
    # What the kernel writes when a child is born, and when another finds no slot.
    Struct("<I").pack_into(memory, at + layout.PROCESS_TGID, 4711)
    Struct("<QIIQ16s").pack_into(memory, at + layout.PROCESS_SINCE, 55, 7, 0, 3, b"kid")
    assert (slots.tgid(last), slots.born(last), slots.missed(last)) == (4711, (55, 7, b"kid"), 3)
    slots.leave(last)
    assert slots.tgid(last) == 0
    assert not any(memory[: layout.TABLE_SIZE + layout.PROBES])


@pytest.mark.parametrize(
    ("machine", "release", "told"),
    [
        ("x86_64", (5, 10), (Abi.X86_64, 8, 2)),
        ("x86_64", (5, 11), (Abi.X86_64, 16, 2)),
        ("aarch64", (5, 11), (Abi.AARCH64, 0, 1 << 22)),
    ],
)
def test_compat_calls_are_told_by_machine_and_kernel(
    machine: str, release: Tuple[int, int], told: Tuple[int, int, int]
) -> None:
    settings = settings_of(machine, release, (4, 0xEFFFFFFC), 32, False, False)
    assert (settings.abi, settings.compat_offset, settings.compat_bit) == told
    assert settings.pid_ns_initial
    assert not settings_of(machine, release, (4, 0xF0001234), 32, False, False).pid_ns_initial


def test_after_a_hunter_that_was_stuck_ptrace_is_not_used() -> None:
    assert without_ptrace(choose("auto", "x86_64", "6.1.0", "", "", "")).engine == "ebpf"
    for native in ("", "noexec"):
        refused = without_ptrace(choose("auto", "x86_64", "6.1.0", "", native, "CAP_BPF missing"))
        assert refused.engine == ""
        assert refused.reason.startswith("ebpf: CAP_BPF missing")
        assert refused.tracing.endswith("no ptrace after a hunter that was stuck")
