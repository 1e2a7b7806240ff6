"""The targets of a capture of many: their names, and how each of them stands."""

from __future__ import annotations

from dataclasses import dataclass

from gatherer.output_directory import target_directory
from gatherer.view import Status


@dataclass(frozen=True, order=True)
class TargetName:
    """One container of one pod.

    Attributes:
        namespace: of the pod.
        pod: its name.
        container: its name.
    """

    namespace: str
    pod: str
    container: str

    @property
    def directory(self) -> str:
        """Name of its capture directory."""
        return target_directory(self.namespace, self.pod, self.container)

    def as_json(self) -> dict[str, str]:
        """Returns the name as JSON objects hold it."""
        return {"namespace": self.namespace, "pod": self.pod, "container": self.container}

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}/{self.container}"


@dataclass(frozen=True)
class TargetStatus:
    """One target at one moment.

    Attributes:
        name: of the target.
        state: `starting`, `running`, `rendering`, `ended`, or `failed`.
        status: the latest state of its capture, None before its hunter runs.
    """

    name: TargetName
    state: str
    status: Status | None


@dataclass(frozen=True)
class FleetStatus:
    """The captures of all targets at one moment.

    Attributes:
        seconds: since the first hunter ran.
        targets: in the order in which they were found.
        waiting: containers that do not run yet.
        stopping: whether all hunters have been asked to stop.
    """

    seconds: float
    targets: tuple[TargetStatus, ...]
    waiting: int
    stopping: bool

    @property
    def received(self) -> int:
        """Records received."""
        return sum(target.status.received for target in self.targets if target.status)

    @property
    def lost(self) -> int:
        """Records lost."""
        return sum(target.status.lost for target in self.targets if target.status)

    @property
    def backlog_bytes(self) -> int:
        """Bytes of all spools that wait to be rendered."""
        return sum(target.status.backlog_bytes for target in self.targets if target.status)

    @property
    def traced(self) -> int:
        """Processes that are traced now."""
        return sum(
            process.state == "traced"
            for target in self.targets
            if target.status and target.state == "running"
            for process in target.status.processes
        )

    def count(self, state: str) -> int:
        """Returns how many targets are in a state."""
        return sum(target.state == state for target in self.targets)
