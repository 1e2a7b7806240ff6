"""What people and scripts see while a capture runs: plain lines, JSON lines, or a live table.

A view only shows; nothing it does or fails to do changes a capture. Text from the target is
escaped here, by every view, before it reaches a stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from gatherer.config import ViewConfig
from gatherer.runtimes import Target
from gatherer.summary import Summary
from hg_shared.messages import Hello

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Start:
    """What is known when hunter has said Hello.

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
class Status:
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
    """Tells which of the states of a target that does not run are worth a line."""

    def __init__(self) -> None:
        self._said: Waiting | None = None

    def worth(self, waiting: Waiting, seconds: float) -> bool:
        """Whether the reason has changed, or enough time has passed.

        Args:
            waiting: the state now.
            seconds: how much is enough.
        """
        said = self._said
        same = said is not None and (said.reason, said.message) == (waiting.reason, waiting.message)
        if said is not None and same and 0 <= waiting.seconds - said.seconds < seconds:
            return False
        self._said = waiting
        return True


class View(Protocol):
    """Shows one capture."""

    def waiting(self, waiting: Waiting) -> None:
        """The target does not run; about once a second, and at once when the reason changes."""
        ...

    def started(self, start: Start) -> None:
        """Hunter runs."""
        ...

    def event(self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]) -> None:
        """Something happened; the values are those of events.jsonl."""
        ...

    def note(self, text: str) -> None:
        """Something gatherer has to say."""
        ...

    def status(self, status: Status) -> None:
        """The state of things, about once a second."""
        ...

    def rendering(self, done: int, total: int) -> None:
        """Bytes of the spool rendered, after the stream has ended."""
        ...

    def summary(self, summary: Summary) -> None:
        """The capture has ended."""
        ...

    def close(self) -> None:
        """Gives the terminal back; may be called twice."""
        ...


def make_view(config: ViewConfig, stream: TextIO) -> View:
    """Returns the view that was asked for.

    Args:
        config: style, colours, verbosity.
        stream: where it writes.
    """
    if config.style == "json":
        from gatherer.view.json_lines import JsonView

        return JsonView(stream)
    from gatherer.view.folding import FoldedView

    if config.style == "live":
        from gatherer.view.live import LiveView

        return FoldedView(LiveView(stream, color=config.color))
    from gatherer.view.plain import PlainView

    view = PlainView(stream, verbosity=config.verbosity)
    # Who asks for more wants each event.
    return view if config.verbosity > 0 else FoldedView(view)
