"""targets.json: the targets of a capture, and how each of them ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gatherer.clock import rfc3339
from gatherer.config import CaptureConfig
from gatherer.fleet.member import Member
from gatherer.rendering.accounting import known_sum

SCHEMA = 1


@dataclass(frozen=True)
class FleetEnd:
    """The end of a capture of many targets.

    Attributes:
        reason: why it ended.
        exit_code: what gatherer exits with.
    """

    reason: str
    exit_code: int


def fleet_document(
    config: CaptureConfig, started_ns: int, members: Sequence[Member], end: FleetEnd | None
) -> dict[str, Any]:
    """Returns targets.json, JSON values only.

    Args:
        config: what was asked for.
        started_ns: nanoseconds since the epoch.
        members: the targets.
        end: None while it goes on.
    """
    summaries = [member.summary for member in members if member.summary is not None]
    complete = all(
        member.summary.complete if member.summary else member.error is None and not member.active
        for member in members
    )
    return {
        "schema": SCHEMA,
        "started": rfc3339(started_ns),
        "ended": rfc3339(time.time_ns()) if end is not None else None,
        "end_reason": end.reason if end is not None else None,
        "options": config.as_json(),
        "targets": [member.as_json() for member in members],
        "records": {
            "seen": known_sum(summary.seen for summary in summaries),
            "received": sum(summary.received for summary in summaries),
            "lost": known_sum(summary.lost for summary in summaries),
        },
        "complete": end is not None and complete,
        "exit_code": end.exit_code if end is not None else None,
    }
