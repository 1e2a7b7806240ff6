"""Facts seen inside a container. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatherer.probe.interpreters import Interpreter
from hg_shared.rights import Rights


@dataclass(frozen=True)
class WritableDir:
    """A directory of the container that its user may write to.

    Attributes:
        path: absolute.
        executable: whether programs in it may be run: its mount is not noexec.
        in_memory: whether it is on a tmpfs: what is written counts against the memory limit.
    """

    path: str
    executable: bool
    in_memory: bool = False


@dataclass(frozen=True)
class Memory:
    """The memory cgroup the container sees.

    Attributes:
        version: of cgroups, 1 or 2.
        limit: bytes, None when unlimited.
        usage: bytes, None when it cannot be read.
        inactive_file: bytes of page cache that go away at once.
        parent: the limit is that of a parent cgroup.
    """

    version: int
    limit: int | None
    usage: int | None
    inactive_file: int
    parent: bool = False


@dataclass(frozen=True)
class Process:
    """A process in the container's PID namespace that may be traced.

    Attributes:
        pid: in that namespace.
        command: its name, as the process chose it.
        rss_bytes: resident memory.
        status: fields of /proc/PID/status that `hg_shared.rights.why_refused` looks at.
        opens: whether /proc/PID/mem could be opened, which is what ptrace(2) would be answered.
        own: whether it is in the container's cgroup; in a shared PID namespace others are not.
    """

    pid: int
    command: str
    rss_bytes: int
    status: Mapping[str, str]
    opens: bool
    own: bool = True

    @property
    def tracer(self) -> int:
        """Process that traces it, 0 for none."""
        text = self.status.get("TracerPid", "0").strip()
        return int(text) if text.isdigit() else 0


@dataclass(frozen=True)
class ContainerFacts:
    """The facts that the probe saw inside the container.

    Attributes:
        asked: the program that answered: a shell, or a Python where there is no shell.
        shell: the shell, empty when the container has none that runs.
        rights: of a process that is started in the container.
        bounding: capabilities that it could have at most, without `CAP_`.
        user_namespace: whether it is in one of its own, where no capability counts for bpf(2).
        release: of the kernel, empty when unknown.
        machine: as uname(2) says, empty when unknown.
        memory: its memory cgroup, None when none can be seen.
        cpus: limit of its CPU cgroup in CPUs, None for none or when none can be seen.
        places: where it may write.
        processes: that could be traced: the container's own first, the biggest of them first.
        cut: there are more processes than were looked at.
        interpreters: Pythons, in the order in which they were tried.
        calls: errno that a harmless call was answered with, 0 for success, by name.
        killed: a Python that was ended by a signal while it was asked, and the signal's number.
    """

    asked: str
    shell: str
    rights: Rights
    bounding: tuple[str, ...] = ()
    user_namespace: bool = False
    release: str = ""
    machine: str = ""
    memory: Memory | None = None
    cpus: float | None = None
    places: tuple[WritableDir, ...] = ()
    processes: tuple[Process, ...] = ()
    cut: bool = False
    interpreters: tuple[Interpreter, ...] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    killed: tuple[str, int] | None = None

    @property
    def python(self) -> Interpreter | None:
        """The Python hunter would run on."""
        return next((found for found in self.interpreters if found.usable), None)
