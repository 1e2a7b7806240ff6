"""Memory cgroups over recorded texts: v1 with and without a namespace, v2, hybrid."""

from __future__ import annotations

from typing import Dict

import pytest

from hunter.memory import cgroup, cgroup_files, procfs
from hunter.memory.cgroup import Mount, directories, parse_limit, parse_membership, parse_mounts

V1 = (
    "29 23 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec - tmpfs tmpfs ro,mode=755\n"
    "33 29 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 29 0:32 / /sys/fs/cgroup/memory rw,relatime shared:16 - cgroup cgroup rw,memory\n"
)
V1_CONTAINER = (
    "812 801 0:32 /kubepods/burstable/pod1f/4ac /sys/fs/cgroup/memory ro,nosuid,nodev "
    "master:16 - cgroup cgroup rw,memory\n"
)
V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = V1 + "37 29 0:34 / /sys/fs/cgroup/unified rw,nosuid shared:5 - cgroup2 cgroup2 rw\n"


def test_mounts_of_version_1() -> None:
    assert parse_mounts(V1) == [Mount(1, "/", "/sys/fs/cgroup/memory")]
    assert parse_mounts(V1_CONTAINER) == [
        Mount(1, "/kubepods/burstable/pod1f/4ac", "/sys/fs/cgroup/memory")
    ]


def test_mounts_of_version_2() -> None:
    assert parse_mounts(V2) == [Mount(2, "/", "/sys/fs/cgroup")]


def test_a_hybrid_system_prefers_version_1() -> None:
    assert [mount.version for mount in parse_mounts(HYBRID)] == [1, 2]


@pytest.mark.parametrize(
    "text",
    ["", "\n", "no separator here at all", "1 2 3 4 - cgroup", "1 2 0:1 / /m rw - cgroup cgroup"],
)
def test_other_lines_of_mountinfo_are_passed_over(text: str) -> None:
    assert parse_mounts(text) == []


def test_a_controller_whose_name_begins_like_memory_is_not_it() -> None:
    line = "35 29 0:32 / /sys/fs/cgroup/x rw - cgroup cgroup rw,memoryless,cpu\n"
    assert parse_mounts(line) == []


def test_membership() -> None:
    v1 = "9:name=systemd:/\n4:memory:/kubepods/pod1f/4ac\n3:cpuset:/x\n0::/\n"
    assert parse_membership(v1) == {1: "/kubepods/pod1f/4ac", 2: "/"}
    assert parse_membership("0::/kubepods.slice/a:b.scope\n") == {2: "/kubepods.slice/a:b.scope"}
    assert parse_membership("6:cpu,memory:/both\n") == {1: "/both"}
    assert parse_membership("") == {}


POINT = "/sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [
        # The whole hierarchy is mounted.
        ("/", "/", [""]),
        ("/", "/a/b", ["/a/b", "/a", ""]),
        ("/", "//a//b/", ["/a/b", "/a", ""]),
        # A container without a cgroup namespace: the mount shows its own group.
        ("/kubepods/pod1/c1", "/kubepods/pod1/c1", [""]),
        ("/kubepods/pod1/c1", "/kubepods/pod1/c1/child", ["/child", ""]),
        # A process of another container, as seen from an ephemeral one.
        ("/kubepods/pod1/c1", "/kubepods/pod1/c2", [""]),
        ("/kubepods/pod1/c1", "/kubepods/pod1/c11", [""]),
        # With a cgroup namespace, what lies outside of it is shown with "..".
        ("/", "/../c2", [""]),
        ("/", "/..", [""]),
        ("/../..", "/", [""]),
        ("/", "/a..b/c", ["/a..b/c", "/a..b", ""]),
    ],
)
def test_directories_whose_limits_apply(root: str, path: str, expected: list[str]) -> None:
    assert directories(Mount(1, root, POINT), path) == [POINT + each for each in expected]


def test_a_hierarchy_that_is_mounted_at_the_root() -> None:
    assert directories(Mount(2, "/", "/"), "/a") == ["/a", ""]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("max\n", None),
        ("9223372036854771712\n", None),
        ("134217728\n", 128 << 20),
        ("0\n", 0),
        ("", None),
        ("-1\n", None),
        ("garbage", None),
        (str((1 << 60) - 4096), (1 << 60) - 4096),
    ],
)
def test_limits(text: str, limit: int | None) -> None:
    assert parse_limit(text) == limit


def test_counters_skip_what_is_no_counter() -> None:
    text = "cache 4096\noom_kill_disable 0\nhierarchical memory limit 5\nx -3\ny\n"
    assert cgroup.parse_counters(text) == {"cache": 4096, "oom_kill_disable": 0}


class Files:
    """A file tree that procfs reads instead of the machine's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, files: Dict[str, str]) -> None:
        folders = {"/"}
        for path in files:
            while path != "/":
                path = path.rpartition("/")[0] or "/"
                folders.add(path)
        monkeypatch.setattr(procfs, "read_text", lambda path: files.get(path, ""))
        monkeypatch.setattr("os.path.isdir", lambda path: path in folders)


def test_the_lowest_limit_of_all_levels_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    point = "/sys/fs/cgroup"
    Files(
        monkeypatch,
        {
            "/proc/7/cgroup": "0::/pod/container\n",
            f"{point}/pod/container/memory.max": "max\n",
            f"{point}/pod/container/memory.current": "5000\n",
            f"{point}/pod/container/memory.stat": "anon 1\ninactive_file 300\n",
            f"{point}/pod/container/memory.events": "low 0\noom 2\noom_kill 1\n",
            f"{point}/pod/memory.max": "8192\n",
            f"{point}/memory.max": "9000\n",
        },
    )
    memory = cgroup_files.container_memory(7, Mount(2, "/", point))
    assert memory[:6] == (2, 8192, f"{point}/pod/memory.max of a parent cgroup", 5000, 300, 1)
    # What the pod uses is not told here: its container's usage is the least it can be.
    assert (memory.directory, memory.limited_usage) == (f"{point}/pod/container", 4700)
    assert memory.kinds == {"anonymous_bytes": 1, "file_inactive_bytes": 300}


def test_version_1_in_a_container_without_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    Files(
        monkeypatch,
        {
            "/proc/7/cgroup": "4:memory:/kubepods/pod1/c1\n",
            f"{POINT}/memory.limit_in_bytes": "134217728\n",
            f"{POINT}/memory.usage_in_bytes": "5000\n",
            f"{POINT}/memory.stat": "inactive_file 7\ntotal_inactive_file 300\n",
            f"{POINT}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        },
    )
    memory = cgroup_files.container_memory(7, Mount(1, "/kubepods/pod1/c1", POINT))
    assert memory[:6] == (1, 128 << 20, f"{POINT}/memory.limit_in_bytes", 5000, 300, 3)


def test_the_siblings_count_against_the_limit_of_a_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    Files(
        monkeypatch,
        {
            "/proc/7/cgroup": "0::/pod/c\n",
            "/sys/fs/cgroup/pod/c/memory.max": "9000\n",
            "/sys/fs/cgroup/pod/c/memory.current": "5000\n",
            "/sys/fs/cgroup/pod/memory.max": "8192\n",
            "/sys/fs/cgroup/pod/memory.current": "8000\n",
            "/sys/fs/cgroup/pod/memory.stat": "inactive_file 100\n",
        },
    )
    memory = cgroup_files.container_memory(7, Mount(2, "/", "/sys/fs/cgroup"))
    assert (memory.limit, memory.usage, memory.limited_usage) == (8192, 5000, 7900)


@pytest.mark.parametrize("own", ["9223372036854771712", "209715200"])
def test_version_1_tells_a_limit_above_what_is_mounted(
    monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    """A container sees its own cgroup alone; the limit is on that of the pod."""
    Files(
        monkeypatch,
        {
            "/proc/7/cgroup": "4:memory:/kubepods/pod1/c1\n",
            f"{POINT}/memory.limit_in_bytes": f"{own}\n",
            f"{POINT}/memory.usage_in_bytes": "5000\n",
            f"{POINT}/memory.kmem.usage_in_bytes": "77\n",
            f"{POINT}/memory.stat": "hierarchical_memory_limit 134217728\ntotal_rss 4\n",
        },
    )
    memory = cgroup_files.container_memory(7, Mount(1, "/kubepods/pod1/c1", POINT))
    assert memory.limit == 128 << 20
    assert memory.source == (
        f"{POINT}/memory.stat hierarchical_memory_limit of a parent cgroup not visible here"
    )
    assert memory.kinds == {"anonymous_bytes": 4, "kernel_bytes": 77}


def test_version_1_without_any_limit_above(monkeypatch: pytest.MonkeyPatch) -> None:
    Files(
        monkeypatch,
        {
            "/proc/7/cgroup": "4:memory:/c1\n",
            f"{POINT}/memory.limit_in_bytes": "134217728\n",
            f"{POINT}/memory.stat": "hierarchical_memory_limit 134217728\n",
        },
    )
    memory = cgroup_files.container_memory(7, Mount(1, "/c1", POINT))
    assert (memory.limit, memory.source) == (128 << 20, f"{POINT}/memory.limit_in_bytes")


def test_without_a_limit_the_innermost_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Files(
        monkeypatch,
        {
            "/proc/self/cgroup": "4:memory:/a\n",
            f"{POINT}/a/memory.limit_in_bytes": "9223372036854771712\n",
            f"{POINT}/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    memory = cgroup_files.container_memory("self", Mount(1, "/", POINT))
    assert (memory.limit, memory.source) == (None, f"{POINT}/a/memory.limit_in_bytes")
    assert (memory.usage, memory.oom_kills) == (None, None)


def test_a_group_that_is_not_mounted_here_is_read_at_the_mount(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Files(
        monkeypatch,
        {"/proc/7/cgroup": "0::/host/path\n", "/sys/fs/cgroup/memory.max": "4096\n"},
    )
    memory = cgroup_files.container_memory(7, Mount(2, "/", "/sys/fs/cgroup"))
    assert (memory.limit, memory.source) == (4096, "/sys/fs/cgroup/memory.max")


def test_no_hierarchy_is_no_limit() -> None:
    assert cgroup_files.container_memory("self", None)[:6] == (0, None, "", None, 0, None)


@pytest.mark.parametrize(
    ("mountinfo", "controllers", "version"),
    [(V1, "", 1), (V2, "cpu io memory pids", 2), (V2, "cpu io", 0), (HYBRID, "", 1), ("", "", 0)],
)
def test_the_hierarchy_that_accounts_memory(
    monkeypatch: pytest.MonkeyPatch, mountinfo: str, controllers: str, version: int
) -> None:
    files = {"/proc/self/mountinfo": mountinfo, "/sys/fs/cgroup/cgroup.controllers": controllers}
    Files(monkeypatch, files)
    mount = cgroup_files.memory_mount()
    assert (mount.version if mount else 0) == version
