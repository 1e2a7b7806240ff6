"""What the probe prints, recorded in containers of two kernels, and what nobody should print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.probe.facts import WritableDir
from gatherer.probe.output import interior, sections
from tests.unit.gatherer.preflight.situations import FIXTURES, probe_output, seen

DEBIAN = sorted(
    path.stem.removesuffix(".seize") for path in (FIXTURES / "probe").glob("*.seize.txt")
)


def test_a_container_on_cgroup_v1() -> None:
    found = seen("problempod")
    assert found.rights.uid == 0
    assert "SYS_PTRACE" in found.rights.capabilities
    assert set(found.bounding) == set(found.rights.capabilities)
    assert found.rights.yama is None
    assert found.memory is not None
    assert (found.memory.version, found.memory.limit) == (1, 256 << 20)
    assert found.machine == "x86_64"
    (process,) = found.processes
    assert (process.pid, process.command, process.tracer, process.opens) == (1, "python3", 0, True)
    assert found.calls == {"ptrace": 3, "process_vm_readv": 0, "bpf": 22}
    assert found.python is not None
    assert not found.user_namespace


def test_version_1_tells_the_limit_of_a_parent_cgroup() -> None:
    output = probe_output("problempod")
    found = interior(output, "python3", "")
    assert found is not None
    assert found.memory is not None
    assert not found.memory.parent
    lower = output.replace(
        b"hierarchical_memory_limit 268435456", b"hierarchical_memory_limit 134217728"
    )
    assert lower != output
    found = interior(lower, "python3", "")
    assert found is not None
    assert found.memory is not None
    assert (found.memory.limit, found.memory.parent) == (128 << 20, True)


def test_read_only_roots_and_noexec_mounts() -> None:
    assert seen("lockedpod").places == (WritableDir("/dev/shm", False, True),)
    assert WritableDir("/tmp", True) in seen("problempod").places
    assert WritableDir("/dev/shm", False, True) in seen("problempod").places


def test_a_container_without_python() -> None:
    found = seen("barepod")
    assert found.interpreters == ()
    assert found.python is None
    assert found.calls == {}
    assert [process.command for process in found.processes] == ["sleep"]


@pytest.mark.parametrize("name", DEBIAN)
def test_opening_mem_is_answered_as_ptrace_is(name: str) -> None:
    (told,) = (FIXTURES / "probe" / f"{name}.seize.txt").read_text().splitlines()
    (process,) = seen(name).processes
    assert process.opens is (told == "seize 0")


@pytest.mark.parametrize("name", DEBIAN)
def test_shell_and_python_see_the_same(name: str) -> None:
    by_shell = seen(name)
    by_python = interior(probe_output(f"{name}.python"), "python3", "")
    assert by_python is not None
    for field in ("rights", "bounding", "release", "machine", "places", "calls", "interpreters"):
        assert getattr(by_python, field) == getattr(by_shell, field), field
    assert by_python.memory is not None
    assert by_shell.memory is not None
    assert by_python.memory.limit == by_shell.memory.limit
    assert [p.opens for p in by_python.processes] == [p.opens for p in by_shell.processes]


def test_a_kernel_with_yama_and_cgroup_v2() -> None:
    found = seen("cgroup2-tight")
    assert found.rights.yama == 1
    assert found.release.startswith("6.1.0-")
    assert found.memory is not None
    assert (found.memory.version, found.memory.limit) == (2, 64 << 20)
    assert seen("yama1-ebpf").memory is not None
    assert seen("yama1-ebpf").memory.limit is None  # type: ignore[union-attr]


def test_a_user_namespace_shows_in_its_map() -> None:
    output = probe_output("problempod").replace(
        b"         0          0 4294967295", b"         0     100000      65536"
    )
    found = interior(output, "sh", "sh")
    assert found is not None
    assert found.user_namespace


def test_a_python_that_was_killed() -> None:
    head, _, _ = probe_output("problempod").partition(b"@python")
    found = interior(head + b"@python\nkilled 159 python3\n@end\n", "sh", "sh")
    assert found is not None
    assert found.killed == ("python3", 31)
    assert found.python is None


def test_what_a_login_script_prints_before_is_passed_over() -> None:
    found = interior(b"Welcome!\n@self\nUid:\t7\n" + probe_output("problempod"), "sh", "sh")
    assert found is not None
    assert found.rights.uid == 0


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"sh: syntax error\n",
        b"@begin\n",
        b"@begin\n@self\nUid:\tx\ty\n",
        b"@begin\n@self\nSeccomp:\t" + b"9" * 5000,
    ],
)
def test_something_else_is_none_of_the_probes(output: bytes) -> None:
    assert interior(output, "sh", "sh") is None


def test_sections_need_their_beginning() -> None:
    assert sections(b"@self\nUid:\t0\n") is None


@given(
    st.lists(
        st.sampled_from(
            ["@begin", "@self", "- a b c",
             "@mounts", "@processes", "@opens", "@python", "@stat2", "@limit2",
             "@places", "@me", "@cpu2", "@quota1", "@period1", "1 100",
             "Name:\tx", "Pid:\t1", "PPid:\t1", "VmRSS:\t9 kB", "/tmp", "1", "",
             "max", "killed 137 x", "call ptrace 1", "3.11.2 ctypes /x", "1 2 3:4 / / ro"]
        )
        | st.text(max_size=20)
    )
)  # fmt: skip
def test_no_output_is_too_odd(lines: list[str]) -> None:
    interior("\n".join(["@begin", "@self", *lines]).encode("utf-8", "surrogatepass"), "sh", "sh")


@pytest.mark.parametrize(
    ("told", "cpus"),
    [
        (["@cpu2", "1000 100000"], 0.01),
        (["@cpu2", "max 100000"], None),
        (["@quota1", "5000", "@period1", "100000"], 0.05),
        (["@quota1", "-1", "@period1", "100000"], None),
        (["@quota1", "5000"], None),
        ([], None),
    ],
)
def test_the_cpu_limit_of_both_versions(told: list[str], cpus: float | None) -> None:
    seen = interior("\n".join(["@begin", "@self", "Seccomp:\t0", *told]).encode(), "sh", "sh")
    assert seen is not None
    assert seen.cpus == cpus
