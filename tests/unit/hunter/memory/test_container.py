"""Which processes are in the container, over recorded cgroup texts; its memory seen from beside."""

from __future__ import annotations

from typing import Dict, List

import pytest

from hunter.memory import procfs
from hunter.memory.cgroup import Mount
from hunter.memory.container import SPEC, Container

TARGET = "4ac" + "0" * 61
OTHER = "bee" + "0" * 61
V1 = Mount(1, "/", "/sys/fs/cgroup/memory")
V2 = Mount(2, "/", "/sys/fs/cgroup")


class Proc:
    """Files of a made-up /proc and /sys."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: Dict[str, str] = {}
        monkeypatch.setattr(procfs, "read_text", lambda path: self.files.get(path, ""))
        monkeypatch.setattr(procfs, "pids", self.pids)
        monkeypatch.setattr(procfs.os.path, "isdir", lambda path: False)

    def pids(self) -> List[int]:
        return [int(path.split("/")[2]) for path in self.files if path.endswith("/cgroup")
                and path.split("/")[2].isdigit()]  # fmt: skip

    def own(self, path: str) -> None:
        self.files["/proc/self/cgroup"] = f"4:memory:{path}\n0::{path}\n"

    def add(self, pid: int, path: str) -> str:
        text = self.files[f"/proc/{pid}/cgroup"] = f"4:memory:{path}\n0::{path}\n"
        return text


@pytest.fixture
def proc(monkeypatch: pytest.MonkeyPatch) -> Proc:
    return Proc(monkeypatch)


def member(path: str) -> str:
    return f"4:memory:{path}\n0::{path}\n"


def test_without_an_id_everything_is_in_it() -> None:
    assert Container().includes("anything")


@pytest.mark.parametrize("mount", [V1, V2, None])
def test_inside_with_a_cgroup_namespace(proc: Proc, mount: Mount) -> None:
    proc.own("/")
    container = Container(TARGET, mount=mount)
    assert container.includes(member("/"))
    assert container.includes(member("/init.scope"))
    assert not container.includes(member(f"/../{OTHER}"))
    assert not container.includes(member(f"/../cri-containerd-{OTHER}.scope"))


def test_inside_without_a_cgroup_namespace(proc: Proc) -> None:
    proc.own(f"/kubepods/burstable/pod1f/{TARGET}")
    container = Container(TARGET, mount=V1)
    assert container.includes(member(f"/kubepods/burstable/pod1f/{TARGET}"))
    assert container.includes(member(f"/kubepods/burstable/pod1f/{TARGET}/child"))
    assert not container.includes(member(f"/kubepods/burstable/pod1f/{OTHER}"))
    assert not container.includes(member("/kubepods"))


def test_outside_only_the_target_is_in_it(proc: Proc) -> None:
    proc.own("/")
    proc.add(1, f"/../{TARGET}")
    container = Container(TARGET, outside=True, mount=V2)
    assert container.includes(member(f"/../{TARGET}"))
    assert container.includes(member(f"/../cri-containerd-{TARGET}.scope/child"))
    assert not container.includes(member("/"))
    assert not container.includes(member(f"/../{OTHER}"))


def test_outside_where_the_runtime_names_cgroups_otherwise_pid_1_tells(proc: Proc) -> None:
    proc.own("/")
    proc.add(1, "/../lxc.payload.web")
    container = Container(TARGET, outside=True, mount=V2)
    assert container.includes(member("/../lxc.payload.web"))
    assert not container.includes(member("/../other"))
    assert not container.includes(member("/"))


def test_no_membership_can_be_read(proc: Proc) -> None:
    assert Container(TARGET).includes("")


def outside(proc: Proc, version: int) -> Container:
    proc.own("/")
    proc.add(7, f"/../{TARGET}")
    proc.add(3, "/")
    point = "/sys/fs/cgroup/memory" if version == 1 else "/sys/fs/cgroup"
    kind = "cgroup cgroup rw,memory" if version == 1 else "cgroup2 cgroup2 rw"
    line = f"35 29 0:32 /../{TARGET} {point} ro - {kind}\n"
    proc.files["/proc/7/mountinfo"] = line
    root = f"/proc/7/root{point}"
    if version == 1:
        proc.files[f"{root}/memory.limit_in_bytes"] = "134217728\n"
        proc.files[f"{root}/memory.usage_in_bytes"] = "50000000\n"
        proc.files[f"{root}/memory.stat"] = "total_inactive_file 1000\n"
        proc.files[f"{root}/memory.oom_control"] = "oom_kill 2\n"
    else:
        proc.files[f"{root}/cgroup.controllers"] = "cpu memory\n"
        proc.files[f"{root}/memory.max"] = "134217728\n"
        proc.files[f"{root}/memory.current"] = "50000000\n"
        proc.files[f"{root}/memory.stat"] = "inactive_file 1000\n"
        proc.files[f"{root}/memory.events"] = "oom_kill 2\n"
    return Container(TARGET, True, 200 << 20, V1 if version == 1 else V2)


@pytest.mark.parametrize("version", [1, 2])
def test_memory_seen_from_beside(proc: Proc, version: int) -> None:
    memory = outside(proc, version).memory()
    assert (memory.limit, memory.usage, memory.inactive_file) == (128 << 20, 50_000_000, 1000)
    assert (memory.version, memory.oom_kills) == (version, 2)
    assert memory.source.startswith("/proc/7/root/sys/fs/cgroup")


def test_memory_of_the_spec_where_the_cgroup_may_not_be_read(proc: Proc) -> None:
    container = outside(proc, 2)
    del proc.files["/proc/7/mountinfo"]  # EACCES without SYS_PTRACE
    memory = container.memory()
    assert (memory.limit, memory.source, memory.usage) == (200 << 20, SPEC, None)
    assert memory.oom_kills is None


def test_another_process_is_asked_when_the_first_is_gone(proc: Proc) -> None:
    container = outside(proc, 2)
    container.memory()
    proc.files = {path.replace("/proc/7/", "/proc/9/"): text for path, text in proc.files.items()}
    assert container.memory().source == "/proc/9/root/sys/fs/cgroup/memory.max"
