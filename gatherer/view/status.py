"""The state of captures at one moment, as documents and views share it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gatherer.target.values import Target, TargetName
from hg_shared.messages import Hello


@dataclass(frozen=True)
class Start:
    """The facts when hunter has said Hello.

    Attributes:
        target: what is captured.
        hello: hunter's Hello.
        inject: how hunter got in.
        explanation: why that way.
        threshold: which processes are traced, as a sentence.
        directory: the capture directory.
        max_overhead: share of its time that the target may lose, None for any.
    """

    target: Target
    hello: Hello
    inject: str
    explanation: str
    threshold: str
    directory: Path
    max_overhead: float | None = None


@dataclass(frozen=True)
class ProcessStatus:
    """One process while the capture runs.

    Attributes:
        command: its name, unchecked.
        pid: process id.
        log: name of its log.
        state: `traced`, or why not any more.
        rss_bytes: latest sample.
        records: records received.
        lost: records lost.
    """

    command: str
    pid: int
    log: str
    state: str
    rss_bytes: int | None
    records: int
    lost: int


@dataclass(frozen=True)
class CaptureStatus:
    """The capture at one moment.

    Attributes:
        seconds: since the Hello.
        processes: in the order in which they were chosen.
        received: records received.
        lost: records lost.
        usage_bytes: memory usage of the container, latest sample.
        limit_bytes: its limit.
        backlog_bytes: bytes of the spool that wait to be rendered.
        stopping: whether hunter has been asked to stop.
        attempts: how often a lost hunter has been looked for; 0 when it is there.
    """

    seconds: float
    processes: tuple[ProcessStatus, ...]
    received: int
    lost: int
    usage_bytes: int | None
    limit_bytes: int | None
    backlog_bytes: int
    stopping: bool
    attempts: int = 0


@dataclass(frozen=True)
class Waiting:
    """A target that does not run yet, or not again.

    Attributes:
        reason: why not, in a word of Kubernetes, such as `CrashLoopBackOff`.
        message: the words to it, may be empty.
        seconds: how long it has been waited for.
        limit: how long it will be, None for as long as it takes.
    """

    reason: str
    message: str
    seconds: float
    limit: float | None


class WaitingNews:
    """The states of targets that do not run: which of them are worth a line."""

    def __init__(self) -> None:
        self._said: dict[TargetName | None, Waiting] = {}

    def worth(self, waiting: Waiting, seconds: float, target: TargetName | None) -> bool:
        """Whether the reason has changed, or enough time has passed.

        Args:
            waiting: the state now.
            seconds: how much is enough.
            target: which one, None for the only one.
        """
        said = self._said.get(target)
        same = said is not None and (said.reason, said.message) == (waiting.reason, waiting.message)
        if said is not None and same and 0 <= waiting.seconds - said.seconds < seconds:
            return False
        self._said[target] = waiting
        return True


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
    status: CaptureStatus | None


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
