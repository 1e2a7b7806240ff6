"""One target of many: its capture, and how that stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from gatherer.clock import rfc3339
from gatherer.config import CaptureConfig
from gatherer.errors import GathererError
from gatherer.fleet.start_limiter import StartPermit
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.target.values import TargetName
from gatherer.view.base import CaptureView
from gatherer.view.fleet_summary import TargetOutcome
from gatherer.view.summary import Summary
from gatherer.view.target_view import TargetView


class Capture(Protocol):
    """The capture of one target; see gatherer.capture.target_capture."""

    @property
    def running(self) -> bool:
        """Whether hunter runs."""
        ...

    def stop(self, reason: str) -> None:
        """Asks for its end."""
        ...

    async def run(self) -> Summary:
        """Captures to the end."""
        ...


CaptureFactory = Callable[[TargetName, CaptureConfig, CaptureView, CaptureDirectory], Capture]
"""Makes the capture of one target, with its directory."""


@dataclass
class Member:
    """One target of the fleet.

    Attributes:
        name: of the target.
        uid: of its pod.
        instance: id of the container that runs.
        live: whether its pod was found by a selector or workload, not by its name.
        capture: of the target, None when it cannot be captured.
        view: shows it.
        task: runs the capture.
        slot: among the hunters that start.
        joined_ns: when it was found, nanoseconds since the epoch.
        ended_ns: when its capture ended.
        summary: how it ended.
        error: what went wrong.
        remark: why there is no capture, though nothing failed.
        in_vain: whether it did not run in time; it is captured all the same if it runs later.
    """

    name: TargetName
    uid: str
    instance: str
    live: bool
    capture: Capture | None = None
    view: TargetView | None = None
    task: asyncio.Task[None] | None = None
    slot: StartPermit | None = None
    joined_ns: int = field(default_factory=time.time_ns)
    ended_ns: int | None = None
    summary: Summary | None = None
    error: GathererError | None = None
    remark: str = ""
    in_vain: bool = False

    @property
    def active(self) -> bool:
        """Whether its capture goes on."""
        return self.task is not None and self.ended_ns is None

    @property
    def has_run(self) -> bool:
        """Whether its hunter has ever run."""
        return self.capture is not None and self.capture.running

    @property
    def state(self) -> str:
        """See `TargetStatus`."""
        if not self.active:
            return "failed" if self.error is not None else "ended"
        if not self.has_run:
            return "starting"
        return "rendering" if self.view is not None and self.view.rendered else "running"

    def outcome(self) -> TargetOutcome:
        """Returns how it ended."""
        return TargetOutcome(self.name, self.summary, self.error, self.remark)

    def as_json(self) -> dict[str, Any]:
        """Returns the target as targets.json holds it."""
        summary = self.summary
        return {
            **self.name.as_json(),
            "directory": self.name.directory if self.capture is not None else None,
            "state": self.state,
            "joined": rfc3339(self.joined_ns),
            "ended": rfc3339(self.ended_ns) if self.ended_ns is not None else None,
            "end_reason": summary.end_reason if summary else self.remark or None,
            "error": str(self.error) if self.error is not None else None,
            "complete": summary.complete if summary else False,
            "exit_code": None if self.active else self.outcome().exit_code,
            "records": {
                "seen": summary.seen if summary else None,
                "received": summary.received if summary else None,
                "lost": summary.lost if summary else None,
            },
        }
