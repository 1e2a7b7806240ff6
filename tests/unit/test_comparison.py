"""The comparison of logs that tests/integration judges with."""

from __future__ import annotations

import pytest

from tests.integration.comparison import GATE, agreement, plain, program, threads

STAMP = "12:34:56.123456"
LOG = f"""\
100   {STAMP} {GATE}, 16) = 3 <0.100000>
100   {STAMP} clone3({{flags=CLONE_THREAD}} => {{parent_tid=[101]}}, 88) = 101 <0.000050>
101   {STAMP} read(3,  <unfinished ...>
100   {STAMP} write(4, "x", 1) = 1 <0.000004>
101   {STAMP} <... read resumed>"x", 1)        = 1 <0.000400>
100   {STAMP} fork() = 102 <0.000050>
102   {STAMP} kill(100, SIGTERM)      = 0 <0.000003>
100   {STAMP} +++ RENAMED a to b +++
100   {STAMP} --- SIGTERM {{si_signo=SIGTERM, si_code=SI_USER, si_pid=102, si_uid=0}} ---
101   {STAMP} futex(0x7f0000000990, FUTEX_WAIT, 0, NULL <unfinished ...>
100   {STAMP} +++ killed by SIGTERM +++
"""


def test_threads_have_their_calls_joined() -> None:
    found = threads(LOG)
    assert [each.tid for each in found] == [100, 101, 102]
    assert found[1].lines[0] == 'read(3, "x", 1)        = 1 <0.000400>'
    assert found[1].lines[1].endswith("<unfinished ...>")
    assert not any("RENAMED" in line for line in found[0].lines)


def test_a_program_begins_behind_its_gate_and_has_its_threads() -> None:
    found = program(threads(LOG), 100)
    assert [each.tid for each in found] == [100, 101, 102]
    assert found[0].lines[0].startswith("clone3(")
    helper = LOG.replace("kill(100, SIGTERM)", 'prctl(PR_SET_NAME, "helper")')
    assert [each.tid for each in program(threads(helper), 100)] == [100, 101]


def test_numbers_of_a_run_are_taken_out_and_nothing_else() -> None:
    [leader, thread, _] = plain(program(threads(LOG), 100), [77])
    assert leader == [
        "clone3({flags=CLONE_THREAD} => {parent_tid=[child]}, 88) = pid1",
        'write(4, "x", 1) = 1',
        "fork() = pid2",
        "--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=pid2, si_uid=0} ---",
        "+++ killed by SIGTERM +++",
    ]
    assert thread[0] == 'read(3, "x", 1) = 1'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("getppid() = 77", "getppid() = other0"),
        ("read(77, 0x1000, 770) = 0", "read(other0, 0x1000, 770) = 0"),
        ("brk(NULL) = 0x55d0c0de1000", "brk(NULL) = ADDRESS"),
        (
            "mmap(NULL, 4096, 0x80000, 0x12345678) = -1",
            "mmap(NULL, 4096, 0x80000, 0x12345678) = -1",
        ),
        (
            "clock_gettime(CLOCK_REALTIME, {tv_sec=1795, tv_nsec=500}) = 0",
            "clock_gettime(CLOCK_REALTIME, {tv_sec=T, tv_nsec=T}) = 0",
        ),
        (
            "nanosleep({tv_sec=1, tv_nsec=500}, NULL) = 0",
            "nanosleep({tv_sec=1, tv_nsec=500}, NULL) = 0",
        ),
        ("time(NULL) = 1795 (2026-11-24T23:00:00+0000)", "time(NULL) = TIME"),
        ('getrandom("\\x01", 1, 0) = 1', "getrandom(RANDOM, 1, 0) = 1"),
    ],
)
def test_what_no_two_runs_share(line: str, expected: str) -> None:
    log = f"41 {STAMP} {GATE}, 16) = 3 <0.100000>\n41 {STAMP} {line} <0.000001>\n"
    assert plain(program(threads(log), 41), [77]) == [[expected]]


def test_agreement_counts_lines_in_order() -> None:
    judged = agreement([["a", "b", "c"], ["d"]], [["a", "x", "c", "c"]])
    assert (judged.agreed, judged.lines) == (2, 5)
    assert judged.differences == ["- b", "+ x", "+ c", "- d"]
    assert agreement([["a"]], [["a"]]).share == 1.0


def test_lines_of_another_form_are_an_error() -> None:
    with pytest.raises(ValueError, match="not a line"):
        threads("strace: Process 5 attached\n")
