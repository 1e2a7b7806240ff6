"""What was learned before any of it is judged. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatherer.errors import GathererError
from gatherer.interpreters import Interpreter
from gatherer.kube.objects.models import Container, Pod
from gatherer.kube.objects.node import Node
from gatherer.kube.objects.review import Right
from hg_shared.rights import Rights


@dataclass(frozen=True)
class Question:
    """What doctor was asked to look at.

    Attributes:
        namespace: of the pod.
        pod: its name.
        container: its name, None for the only or default one.
        context: kubeconfig context, empty when there is none.
        server: URL of the API server, empty when no kubeconfig could be read.
        force: whether a capture would go on without memory headroom.
    """

    namespace: str
    pod: str
    container: str | None = None
    context: str = ""
    server: str = ""
    force: bool = False


@dataclass(frozen=True)
class Place:
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
class Interior:
    """What the probe saw inside the container.

    Attributes:
        asked: the program that answered: a shell, or a Python where there is no shell.
        shell: the shell, empty when the container has none that runs.
        rights: of a process that is started in the container.
        bounding: capabilities that it could have at most, without `CAP_`.
        permitted: capabilities it could make effective.
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
    permitted: tuple[str, ...] = ()
    user_namespace: bool = False
    release: str = ""
    machine: str = ""
    memory: Memory | None = None
    cpus: float | None = None
    places: tuple[Place, ...] = ()
    processes: tuple[Process, ...] = ()
    cut: bool = False
    interpreters: tuple[Interpreter, ...] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    killed: tuple[str, int] | None = None

    @property
    def python(self) -> Interpreter | None:
        """The Python hunter would run on."""
        return next((found for found in self.interpreters if found.usable), None)


@dataclass(frozen=True)
class Agent:
    """An agent on the target's node, or why there is none.

    Attributes:
        title: what people call it.
        name: its pod with the namespace.
        ports: where it may listen, most likely first.
        diagnosis: what it says about itself, empty when it was not asked.
        problem: why it gives nothing, empty when it runs.
        remedy: what to do, empty when nothing needs to be done.
    """

    title: str
    name: str = ""
    ports: tuple[int, ...] = ()
    diagnosis: str = ""
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Evidence:
    """All answers; what was not asked, because an answer before made it pointless, is None.

    Attributes:
        question: what was asked about.
        failure: what kept the API server from answering anything at all.
        version: of the API server, empty when it did not tell.
        user: who it takes the user for, empty when it did not tell.
        rights: answers by right, None where the server would not say.
        pod: the pod.
        pod_failure: why there is none.
        container: the container that is meant.
        container_failure: why there is none, or why it cannot be captured now.
        node: the pod's node, None when it may not be read.
        interior: what the probe saw.
        interior_failure: why it saw nothing, although the container runs.
        others: what it saw in the pod's other containers, by name; asked where they share the PID
            namespace and the target's own container will not do.
        refused: what the runtime said to the shells and Pythons that could not be run.
        agents: on the node, None when they were not looked for.
    """

    question: Question
    failure: GathererError | None = None
    version: str = ""
    user: str = ""
    rights: Mapping[Right, bool | None] = field(default_factory=dict)
    pod: Pod | None = None
    pod_failure: GathererError | None = None
    container: Container | None = None
    container_failure: GathererError | None = None
    node: Node | None = None
    interior: Interior | None = None
    interior_failure: GathererError | None = None
    others: Mapping[str, Interior | None] = field(default_factory=dict)
    refused: str = ""
    agents: tuple[Agent, ...] | None = None

    @property
    def namespace(self) -> str:
        """Namespace of the pod."""
        return self.question.namespace

    @property
    def machine(self) -> str:
        """Architecture in the words of uname(2), empty when nobody told."""
        if self.interior is not None and self.interior.machine:
            return self.interior.machine
        told = self.node.architecture if self.node is not None else ""
        return {"amd64": "x86_64", "arm64": "aarch64"}.get(told, told)

    @property
    def kernel(self) -> str:
        """Kernel release, empty when nobody told."""
        if self.interior is not None and self.interior.release:
            return self.interior.release
        return self.node.kernel if self.node is not None else ""
