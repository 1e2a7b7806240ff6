"""Rights, why ptrace(2) was refused, and the engine that follows."""

from __future__ import annotations

from typing import Dict, Optional

import pytest

from hg_shared.rights import CAPABILITIES, Rights, parse_rights, why_refused
from hunter.engines.choose import ENGINES, choose
from hunter.errors import UsageError

STATUS = {
    "Uid": "1000\t1001\t1000\t1000",
    "CapEff": "00000000a80425fb",
    "Seccomp": "2",
    "NoNewPrivs": "1",
}


def test_rights_of_a_container() -> None:
    rights = parse_rights(STATUS, "1\n")
    assert rights.uid == 1001
    assert (
        rights.capabilities
        == (
            "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW "
            "SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP"
        ).split()
    )
    assert (rights.seccomp, rights.no_new_privs, rights.yama) == (2, True, 1)


def test_all_capabilities_and_none() -> None:
    every = parse_rights({"CapEff": "000001ffffffffff"}, "")
    assert every.capabilities == CAPABILITIES
    assert len(CAPABILITIES) == 41
    assert (CAPABILITIES[19], CAPABILITIES[21], CAPABILITIES[39]) == (
        "SYS_PTRACE", "SYS_ADMIN", "BPF",
    )  # fmt: skip
    assert parse_rights({}, "") == Rights(0, [], 0, False, None)


def mine(caps: str = "", yama: Optional[int] = None, uid: int = 1000) -> Rights:
    return Rights(uid, caps.split(), 0, False, yama)


SAME_USER = {"Uid": "1000\t1000\t1000\t1000", "TracerPid": "0"}


@pytest.mark.parametrize(
    ("rights", "target", "cause", "remedy"),
    [
        (mine("SYS_PTRACE"), {"TracerPid": "77"}, "already traced by pid 77", "end that tracer"),
        (mine("SYS_PTRACE", 3), SAME_USER, "Yama ptrace_scope is 3", "reboot the node"),
        (mine("SYS_PTRACE", 1), SAME_USER, "although SYS_PTRACE is held", "seccomp profile"),
        (mine("CHOWN", 1), SAME_USER, "Yama ptrace_scope is 1", "add SYS_PTRACE"),
        (mine("", 2), SAME_USER, "Yama ptrace_scope is 2", "add SYS_PTRACE"),
        (mine("", 0), {"Uid": "0\t0\t0\t0"}, "runs as uid 0, hunter as 1000", "add SYS_PTRACE"),
        (mine(), {"Uid": "1000\t0\t1000\t1000"}, "hunter as 1000", "add SYS_PTRACE"),
        (mine("", 0), SAME_USER, "more capabilities than hunter or is not dumpable", "add SYS_"),
        (mine(), {}, "more capabilities than hunter", "add SYS_PTRACE"),
    ],
)
def test_each_refusal_has_a_cause_and_a_remedy(
    rights: Rights, target: Dict[str, str], cause: str, remedy: str
) -> None:
    said = str(why_refused(rights, target))
    assert cause in said
    assert remedy in said
    assert "\n" not in said


def test_an_engine_that_was_asked_for_is_taken() -> None:
    for name in ENGINES[-2:]:
        choice = choose(name, "x86_64", "6.1.0-18-amd64", "")
        assert (choice.engine, choice.reason, choice.tracing) == (name, "asked for", "on")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_auto_takes_what_is_allowed(machine: str) -> None:
    choice = choose("auto", machine, "5.4.0", "")
    assert choice.engine in ENGINES[1:]
    assert choice.tracing == "on"


@pytest.mark.parametrize(
    ("machine", "release", "refused", "cause"),
    [
        ("riscv64", "6.1.0", "", "no syscall table for riscv64"),
        ("x86_64", "5.2.21", "", "kernel 5.2.21 has no PTRACE_GET_SYSCALL_INFO"),
        ("x86_64", "4.19.0-27-amd64", "", "came with 5.3"),
        ("x86_64", "6.1.0", "Operation not permitted", "forbidden (Operation not permitted)"),
    ],
)
def test_what_stands_in_the_way_is_said(
    machine: str, release: str, refused: str, cause: str
) -> None:
    choice = choose("auto", machine, release, refused)
    assert choice.engine == ""
    assert cause in choice.reason
    assert choice.tracing == f"denied: {choice.reason}"


def test_kernel_5_3_and_later_majors_are_new_enough() -> None:
    for release in ("5.3.0", "5.10.0-28-cloud-amd64", "6.0", "10.1.2"):
        assert choose("ptrace-python", "x86_64", release, "").engine == "ptrace-python"


def test_an_unknown_engine_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="no engine 'magic'; there are auto, "):
        choose("magic", "x86_64", "6.1.0", "")
