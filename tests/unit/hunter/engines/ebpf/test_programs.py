"""The compiled programs: what they need of the kernel and of hunter, and their links to maps."""

from __future__ import annotations

import struct

import pytest

from hg_shared import records
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.program import BY_VALUE, SETTING, Program, compiled
from hunter.engines.ebpf.settings import Settings, settings_of

MAPS = BY_VALUE | frozenset(
    "plans selections threads resumed entries scratches pid_discovery routes members spares "
    "small large events".split()
)
SETTINGS = settings_of("x86_64", (6, 1), (4, 0xF0001234), 64, True, False)
LOAD_ADDRESS, CALL, MOVE, DIVIDE = 0x18, 0x85, 0xB0, 0x30
ATOMICS = (0xC3, 0xDB)
RINGBUF_OUTPUT = 130
"""The newest helper of kernel 5.8 that is used."""


@pytest.mark.parametrize("name", sorted(compiled()))
def test_a_program_is_one_that_kernel_5_8_knows(name: str) -> None:
    program = compiled()[name]
    assert program.kind == "raw_tp"
    assert set(program.relocations) <= MAPS | {SETTING + name for name in Settings._fields}
    instructions = list(struct.iter_unpack("<BBhi", program.code))
    assert instructions[-1][0] & 0xF7 in (0x95, 0x05), "ends in exit or a jump"
    loads = [at for at, each in enumerate(instructions) if each[0] == LOAD_ADDRESS]
    related = sorted(at for places in program.relocations.values() for at in places)
    assert [at for at in loads if instructions[at][1] >> 4 == 0 and at in related] == related
    behind = {at + 1 for at in loads}
    for at, (opcode, registers, offset, immediate) in enumerate(instructions):
        kind = opcode & 7
        if opcode == CALL:
            assert registers >> 4 == 0, "a call of a function, which tail calls forbid on aarch64"
            assert 0 < immediate <= RINGBUF_OUTPUT
        elif opcode in ATOMICS:
            assert immediate == 0, "an atomic operation other than adding came with 5.12"
        elif kind in (4, 7):
            assert offset == 0, "signed division or extension, of 6.6"
            assert opcode & 0xF0 <= 0xD0
        elif kind in (1, 2, 3):
            assert opcode & 0xE0 == 0x60, "a load with sign, of 6.6"
        elif kind == 6:
            assert opcode & 0xF0 not in (0x00, 0x80, 0x90), "a long jump, of 6.6"
        elif at not in behind:
            assert kind == 5 or opcode == LOAD_ADDRESS, hex(opcode)


def test_links() -> None:
    load = bytes.fromhex("1801000000000000 0000000000000000")
    value = bytes.fromhex("1802000008200000 0000000000000000")
    places = {"threads": [0], "state": [2], "spares": [4], "settings.clock_offset": [6]}
    program = Program("raw_tp", load + value + load + load, places)
    linked = program.link({"threads": 7, "state": 9}, SETTINGS._replace(clock_offset=-3))
    assert linked.hex(" ", 8).split() == [
        *("1811000007000000", "0000000000000000"),
        *("1822000009000000", "0000000008200000"),
        *("1801000000000000", "0000000000000000"),
        *("18010000fdffffff", "00000000ffffffff"),
    ]
    assert program.code == load + value + load + load


def test_records_are_those_of_the_wire() -> None:
    assert layout.RECORD.format == records.HEAD.format
    assert layout.CAPTURE.format == records.CAPTURE.format
    for kind in records.Kind:
        assert getattr(layout, f"KIND_{kind.name}", kind) == kind
    for abi in records.Abi:
        assert getattr(layout, f"ABI_{abi.name}") == abi
    for name in ("AT_ENTRY", "UNREADABLE", "UNKNOWN_LENGTH", "BIG_NUMBER"):
        assert getattr(layout, name) == getattr(records, name)
    assert layout.KIND_SENT not in set(records.Kind)
