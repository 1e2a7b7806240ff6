"""Instructions are encoded as the kernel's instruction set says."""

from __future__ import annotations

import pytest

from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R9, Assembler


def one(emit: str, *arguments: object) -> str:
    made = Assembler()
    getattr(made, emit)(*arguments)
    return made.code().hex(" ", 8)


@pytest.mark.parametrize(
    ("emit", "arguments", "code"),
    [
        ("mov", (R1, R2), "bf21000000000000"),
        ("mov", (R1, -1), "b7010000ffffffff"),
        ("mov32", (R1, -1), "b4010000ffffffff"),
        ("alu", ("add", R2, -8), "07020000f8ffffff"),
        ("alu", ("rsh", R0, 32), "7700000020000000"),
        ("load", (8, R1, FP, -16), "79a1f0ff00000000"),
        ("load", (1, R1, R9, 3), "7191030000000000"),
        ("store", (4, FP, -8, R1), "631af8ff00000000"),
        ("store", (8, FP, -8, 0), "7a0af8ff00000000"),
        ("atomic_add", (R1, 8, R2), "db21080000000000"),
        ("call", (14,), "850000000e000000"),
        ("constant", (R1, 0xF0000000E0000000), "18010000000000e0 00000000000000f0"),
        ("map", (R1, 7), "1811000007000000 0000000000000000"),
        ("map_value", (R1, 7, 4096), "1821000007000000 0000000000100000"),
        ("exit", (), "b700000000000000 9500000000000000"),
    ],
)
def test_encoding(emit: str, arguments: tuple[object, ...], code: str) -> None:
    assert one(emit, *arguments) == code


def test_jumps_count_from_the_next_instruction() -> None:
    made = Assembler()
    made.label("begin")
    made.jump_if("eq", R0, 0, "end")
    made.jump_if("slt", R1, R2, "begin")
    made.label("end")
    made.exit()
    assert made.code().hex(" ", 8).split()[:2] == ["1500010000000000", "cd21feff00000000"]


def test_a_jump_that_nothing_reaches_is_left_out() -> None:
    made = Assembler()
    made.jump("end")
    made.jump("end")
    made.label("end")
    made.exit()
    assert len(made) == 3


def test_labels_are_unique_and_known() -> None:
    made = Assembler()
    made.label("here")
    with pytest.raises(ValueError, match="twice"):
        made.label("here")
    made.jump("nowhere")
    with pytest.raises(KeyError):
        made.code()
    assert made.fresh("a") != made.fresh("a")
