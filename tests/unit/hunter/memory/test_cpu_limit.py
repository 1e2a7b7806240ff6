"""The lowest CPU limit above hunter, from files that are values."""

import pytest

from hunter.memory import cpu_limit
from hunter.memory.cpu_limit import CpuLimit

V1 = "30 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "31 24 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"


@pytest.fixture
def files(monkeypatch):
    """Files by path; every other one is empty."""
    held = {}
    monkeypatch.setattr(cpu_limit.procfs, "read_text", lambda path: held.get(path, ""))
    return held


def test_version_2_the_lowest_of_all_above(files):
    files["/proc/self/mountinfo"] = V2
    files["/proc/self/cgroup"] = "0::/pod/inner\n"
    files["/sys/fs/cgroup/pod/inner/cpu.max"] = "50000 100000\n"
    files["/sys/fs/cgroup/pod/cpu.max"] = "5000 100000\n"
    assert cpu_limit.cpu_limit() == CpuLimit(0.05, "/sys/fs/cgroup/pod/cpu.max")


def test_version_1(files):
    files["/proc/self/mountinfo"] = V1 + V2
    files["/proc/self/cgroup"] = "4:memory:/other\n3:cpu,cpuacct:/pod\n0::/\n"
    files["/sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us"] = "1000\n"
    files["/sys/fs/cgroup/cpu/pod/cpu.cfs_period_us"] = "100000\n"
    assert cpu_limit.cpu_limit() == CpuLimit(0.01, "/sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us")


def test_without_a_limit_or_without_cgroups_there_is_none(files):
    assert cpu_limit.cpu_limit() is None
    files["/proc/self/mountinfo"] = V2
    files["/proc/self/cgroup"] = "0::/\n"
    files["/sys/fs/cgroup/cpu.max"] = "max 100000\n"
    assert cpu_limit.cpu_limit() is None
