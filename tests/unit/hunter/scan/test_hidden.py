"""Processes that cannot be seen, over recorded mounts and cgroup files."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import pytest

from hunter.memory import procfs
from hunter.scan.hidden import ANOTHER_NAMESPACE, Hidden, hidepid

PROC = "21 28 0:20 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw{}\n"
PROCS = "/sys/fs/cgroup/cgroup.procs"


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ("", ("", None)),
        (",hidepid=0", ("", None)),
        (",hidepid=off", ("", None)),
        (",gid=27,hidepid=2", ("invisible", 27)),
        (",hidepid=invisible", ("invisible", None)),
        (",hidepid=1", ("noaccess", None)),
        (",hidepid=ptraceable", ("ptraceable", None)),
    ],
)
def test_hidepid(options: str, how: Tuple[str, Optional[int]]) -> None:
    other = "30 28 0:40 / /mnt/proc rw - proc proc rw,hidepid=2\n30 bad\n"
    assert hidepid(PROC.format(options) + other) == how


def test_the_last_mount_covers_the_others() -> None:
    assert hidepid(PROC.format(",hidepid=2") + PROC.format("")) == ("", None)


class Files:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: Dict[str, str] = {
            "/proc/self/mountinfo": PROC.format(""),
            "/proc/self/cgroup": "0::/\n",
            "/sys/fs/cgroup/memory.current": "5\n",
            PROCS: "1\n7\n",
        }
        monkeypatch.setattr(procfs, "read_text", lambda path: self.files.get(path, ""))

    def hidden(self, capabilities: List[str]) -> Hidden:
        return Hidden(capabilities)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(monkeypatch)


def test_nothing_is_said_when_all_is_seen(files: Files) -> None:
    hidden = files.hidden([])
    files.files[PROCS] = "1\n7\n9\n"  # one has just begun
    assert hidden.inspect({1: 5, 7: 5}, "/sys/fs/cgroup", 1) is None
    assert hidden.inspect({1: 5, 7: 5, 9: 5}, "/sys/fs/cgroup", 2) is None


def test_hidden_members_of_the_cgroup_are_counted(files: Files) -> None:
    files.files["/proc/self/mountinfo"] = PROC.format(",hidepid=invisible")
    files.files[PROCS] = "1\n7\n8\n9\n"
    hidden = files.hidden(["CHOWN"])
    first = hidden.inspect({1: 5}, "/sys/fs/cgroup", 1)
    assert first is not None
    assert first.event == "hidden"
    assert first.fields["processes"] is None
    second = hidden.inspect({1: 5}, "/sys/fs/cgroup", 2)
    assert second is not None
    assert second.fields["processes"] == 3
    assert "hidepid=invisible" in second.fields["cause"]
    assert hidden.inspect({1: 5}, "/sys/fs/cgroup", 3) is None


def test_a_hunter_that_sees_through_hidepid_says_nothing(files: Files) -> None:
    files.files["/proc/self/mountinfo"] = PROC.format(",hidepid=2")
    assert files.hidden(["SYS_PTRACE"]).inspect({1: 5, 7: 5}, "/sys/fs/cgroup", 1) is None
    files.files["/proc/self/mountinfo"] = PROC.format(",hidepid=ptraceable")
    assert files.hidden(["SYS_PTRACE"]).inspect({1: 5, 7: 5}, "/sys/fs/cgroup", 1) is not None


@pytest.mark.parametrize("procs", ["1\n7\n0\n0\n", "1\n7\n30\n31\n"])
def test_processes_of_another_namespace(files: Files, procs: str) -> None:
    files.files[PROCS] = procs
    hidden = files.hidden(["SYS_PTRACE"])
    assert hidden.inspect({1: 5, 7: 5}, "/sys/fs/cgroup", 1) is None
    event = hidden.inspect({1: 5, 7: 5}, "/sys/fs/cgroup", 2)
    assert event is not None
    assert event.fields["processes"] == 2
    assert event.fields["cause"] == ANOTHER_NAMESPACE
