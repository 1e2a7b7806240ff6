"""Groups of watched processes: their limits and OOM kills, also when they are not hunter's own.

The trees are as recorded on a machine with version 2 and one with version 1.
"""

from __future__ import annotations

from typing import Dict

import pytest

from hunter.memory import procfs
from hunter.memory.cgroup import Mount
from hunter.memory.container import POD_SPEC, Container

ROOT = "/sys/fs/cgroup"
V1_ROOT = "/sys/fs/cgroup/memory"
SECOND = 1_000_000_000
OWN = f"{ROOT}/system.slice/leak.service"


class Tree:
    """Files of a made-up /proc and /sys, whose directories are those of its files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: Dict[str, str] = {}
        monkeypatch.setattr(procfs, "read_text", lambda path: self.files.get(path, ""))
        monkeypatch.setattr(procfs, "living_thread", lambda pid: pid)
        monkeypatch.setattr(procfs.os.path, "isdir", self.is_directory)

    def is_directory(self, path: str) -> bool:
        return any(name.startswith(path + "/") for name in self.files)

    def remove(self, directory: str) -> None:
        self.files = {k: v for k, v in self.files.items() if not k.startswith(directory + "/")}


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(monkeypatch)


def on_version_2(tree: Tree) -> Container:
    """Hunter in a session's scope, the target in a service of its own with 48 MiB."""
    service = f"{ROOT}/system.slice/leak.service"
    tree.files.update({
        "/proc/self/cgroup": "0::/user.slice/session-3.scope\n",
        "/proc/70/cgroup": "0::/system.slice/leak.service\n",
        f"{ROOT}/user.slice/session-3.scope/memory.max": "max\n",
        f"{ROOT}/user.slice/session-3.scope/memory.current": "9000000\n",
        f"{ROOT}/user.slice/session-3.scope/memory.events": "oom 0\noom_kill 0\n",
        f"{ROOT}/system.slice/memory.max": "max\n",
        f"{ROOT}/system.slice/memory.events": "oom 2\noom_kill 2\n",
        f"{service}/memory.max": "50331648\n",
        f"{service}/memory.current": "40000000\n",
        f"{service}/memory.events": "oom 0\noom_kill 0\noom_group_kill 0\n",
        f"{service}/memory.stat": "anon 30000000\nkernel 500\ninactive_file 100\n",
        f"{service}/memory.swap.current": "12\n",
    })  # fmt: skip
    return Container(mount=Mount(2, "/", ROOT))


def kill(tree: Tree, *directories: str) -> None:
    for directory in directories:
        path = f"{directory}/memory.events"
        count = int(tree.files[path].split()[3])
        tree.files[path] = f"oom 1\noom_kill {count + 1}\n"


def test_the_container_is_the_group_of_the_first_watched_process(tree: Tree) -> None:
    container = on_version_2(tree)
    assert container.memory().limit is None
    assert container.holds_hunter
    container.watch(70)
    memory = container.memory()
    assert (memory.limit, memory.usage) == (50331648, 40_000_000)
    assert memory.source == f"{ROOT}/system.slice/leak.service/memory.max"
    assert memory.kinds["anonymous_bytes"] == 30_000_000
    assert (memory.kinds["kernel_bytes"], memory.kinds["swap_bytes"]) == (500, 12)
    assert not container.holds_hunter


def test_an_oom_kill_in_the_target_s_own_group(tree: Tree) -> None:
    container = on_version_2(tree)
    container.watch(70)
    assert not container.was_killed(70, SECOND)
    kill(tree, f"{ROOT}/system.slice/leak.service", f"{ROOT}/system.slice")
    del tree.files["/proc/70/cgroup"]
    assert container.was_killed(70, 2 * SECOND)
    assert container.memory().oom_kills == 1
    assert not container.was_killed(70, 4 * SECOND)


def test_the_kill_of_a_sibling_is_not_the_target_s(tree: Tree) -> None:
    container = on_version_2(tree)
    container.watch(70)
    kill(tree, f"{ROOT}/system.slice")
    assert not container.was_killed(70, SECOND)


def test_a_group_that_is_gone_is_told_of_by_the_one_above(tree: Tree) -> None:
    container = on_version_2(tree)
    container.watch(70)
    kill(tree, f"{ROOT}/system.slice/leak.service", f"{ROOT}/system.slice")
    tree.remove(f"{ROOT}/system.slice/leak.service")
    assert container.was_killed(70, SECOND)


def test_with_version_1_a_parent_does_not_count_for_its_children(tree: Tree) -> None:
    tree.files.update({
        "/proc/70/cgroup": "4:memory:/a/b\n",
        f"{V1_ROOT}/a/memory.oom_control": "oom_kill 5\n",
        f"{V1_ROOT}/a/b/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    })  # fmt: skip
    container = Container(mount=Mount(1, "/", V1_ROOT))
    container.watch(70)
    tree.files[f"{V1_ROOT}/a/memory.oom_control"] = "oom_kill 6\n"
    assert not container.was_killed(70, SECOND)
    tree.files[f"{V1_ROOT}/a/b/memory.oom_control"] = "oom_kill 1\n"
    assert container.was_killed(70, 2 * SECOND)
    tree.remove(f"{V1_ROOT}/a/b")
    tree.files[f"{V1_ROOT}/a/memory.oom_control"] = "oom_kill 7\n"
    assert not container.was_killed(70, 5 * SECOND)


def test_kills_in_groups_beside_the_container_are_told(tree: Tree) -> None:
    container = on_version_2(tree)
    other = f"{ROOT}/system.slice/other.service"
    tree.files[f"{other}/memory.events"] = "oom 0\noom_kill 3\n"
    tree.files["/proc/71/cgroup"] = "0::/system.slice/other.service\n"
    container.watch(70)
    container.watch(71)
    assert container.kills_elsewhere(OWN, SECOND) == []
    kill(tree, other, f"{ROOT}/system.slice/leak.service")
    assert container.kills_elsewhere(OWN, 2 * SECOND) == [(other, 1)]
    assert container.was_killed(70, 2 * SECOND)
    assert container.kills_elsewhere(OWN, 3 * SECOND) == []


def test_a_child_is_in_the_group_of_its_parent(tree: Tree) -> None:
    container = on_version_2(tree)
    container.watch(70)
    container.watch(71, parent=70)
    kill(tree, OWN)
    assert container.was_killed(71, SECOND)


def test_a_process_that_was_not_watched_is_not_said_to_be_killed(tree: Tree) -> None:
    assert not on_version_2(tree).was_killed(70, SECOND)


@pytest.mark.parametrize(
    ("own", "limit", "source"),
    [
        ("max", 300 << 20, POD_SPEC),
        (str(400 << 20), 300 << 20, POD_SPEC),
        (str(200 << 20), 200 << 20, f"{ROOT}/memory.max"),
    ],
)
def test_a_limit_of_the_whole_pod_is_not_visible_in_a_container(
    tree: Tree, own: str, limit: int, source: str
) -> None:
    tree.files.update({"/proc/self/cgroup": "0::/\n", f"{ROOT}/memory.max": own})
    container = Container("a" * 64, mount=Mount(2, "/", ROOT), pod_limit=300 << 20)
    memory = container.memory()
    assert (memory.limit, memory.source) == (limit, source)
