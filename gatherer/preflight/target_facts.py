"""Facts about a target, before any of them is evaluated. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatherer.errors import GathererError
from gatherer.kube.objects.models import Container, Pod
from gatherer.kube.objects.node import Node
from gatherer.kube.objects.review import Right
from gatherer.probe.facts import ContainerFacts


@dataclass(frozen=True)
class TargetRef:
    """The target that doctor was asked to look at.

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
class TargetFacts:
    """All answers; what was not asked, because an answer before made it pointless, is None.

    Attributes:
        target_ref: the target that was asked about.
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

    target_ref: TargetRef
    failure: GathererError | None = None
    version: str = ""
    user: str = ""
    rights: Mapping[Right, bool | None] = field(default_factory=dict)
    pod: Pod | None = None
    pod_failure: GathererError | None = None
    container: Container | None = None
    container_failure: GathererError | None = None
    node: Node | None = None
    interior: ContainerFacts | None = None
    interior_failure: GathererError | None = None
    others: Mapping[str, ContainerFacts | None] = field(default_factory=dict)
    refused: str = ""
    agents: tuple[Agent, ...] | None = None

    @property
    def namespace(self) -> str:
        """Namespace of the pod."""
        return self.target_ref.namespace

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
