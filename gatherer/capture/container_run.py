"""The instances of a target in one capture: a container that restarts is traced again.

Each has a hunter of its own, and so a stream, a spool, ordinals and totals of its own; session.json
lists them and adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gatherer.clock import CaptureClock
from gatherer.stream.receiver import Receiver
from gatherer.target.values import TargetEnd
from gatherer.text import byte_count, how_often, printable
from hg_shared.linux_abi import signal_name
from hg_shared.messages import Goodbye, Hello, Sample

OOM_KILLED = "OOMKilled"
_KILLED = 128
_LAST_SIGNAL = 64
MAX_DISCREPANCIES = 20
"""Sentences about what does not add up that are kept."""


@dataclass(frozen=True)
class ContainerMemory:
    """The latest sample of the container's memory cgroup.

    Attributes:
        time_ns: CLOCK_MONOTONIC of the node when it was read.
        usage_bytes: memory usage, None when unknown.
        limit_bytes: its limit, None when unlimited.
        oom_kills: processes the kernel has killed in it so far, None when unknown.
        before_kill_bytes: usage before the latest of them, None when there was none.
        hunter_bytes: what hunter itself had of the usage, None when unknown.
    """

    time_ns: int = 0
    usage_bytes: int | None = None
    limit_bytes: int | None = None
    oom_kills: int | None = None
    before_kill_bytes: int | None = None
    hunter_bytes: int | None = None

    def after(self, sample: Sample) -> ContainerMemory:
        """Returns the state after another sample.

        Those that are taken right after an OOM kill find the victim's memory half freed: what was
        used before it is what matters then.

        Args:
            sample: of the container.
        """
        values = sample.values
        usage, kills = values.get("usage_bytes"), values.get("oom_kills")
        before = self.before_kill_bytes
        if kills is not None and self.oom_kills is not None and kills > self.oom_kills:
            before = max(usage or 0, self.usage_bytes or 0)
        return ContainerMemory(
            sample.time_ns,
            usage,
            values.get("limit_bytes"),
            kills,
            before,
            values.get("hunter_bytes", self.hunter_bytes),
        )


@dataclass
class ContainerRun:
    """One instance of the target and what came from the hunter in it.

    Attributes:
        number: 0 for the first.
        container_id: as the runtime names it, empty when it does not.
        hello: hunter's Hello.
        clock: the capture clock, None before the Hello.
        goodbye: hunter's Goodbye.
        started: RFC 3339 time of the Hello.
        ended: RFC 3339 time, None while it runs.
        end: how it ended, None while it runs or when nobody told.
        end_reason: why the capture of it ended, empty while it goes on.
        again: it is the same instance as the one before, with another hunter in it.
        tail_unknown_ms: time before its end of which nothing is known.
        memory: of the container, latest sample.
        seen: records hunter took.
        received: records that arrived.
        lost: records that did not.
        wire_bytes: bytes received.
        record_bytes: record bytes after decompression.
        undecoded: calls whose lines have their arguments in hexadecimal.
        unknown_frames: frames of types that are not known here.
        repeated_frames: frames that came twice, as after a reconnect.
        discrepancies: what does not add up in its stream, a sentence each.
        totals_unknown: nobody knows what hunter saw after the last that was received.
    """

    number: int = 0
    container_id: str = ""
    hello: Hello | None = None
    clock: CaptureClock | None = None
    goodbye: Goodbye | None = None
    started: str | None = None
    ended: str | None = None
    end: TargetEnd | None = None
    end_reason: str = ""
    again: bool = False
    tail_unknown_ms: float | None = None
    memory: ContainerMemory = ContainerMemory()
    seen: int = 0
    received: int = 0
    lost: int = 0
    wire_bytes: int = 0
    record_bytes: int = 0
    undecoded: int = 0
    unknown_frames: int = 0
    repeated_frames: int = 0
    discrepancies: list[str] = field(default_factory=list)
    totals_unknown: bool = False

    def count_frames(self, receiver: Receiver) -> None:
        """Takes what is known of the frames of its stream that are in no log."""
        self.unknown_frames = receiver.unknown_frames
        self.repeated_frames = receiver.repeated_frames

    def disagree(self, sentence: str) -> None:
        """Takes a sentence about what does not add up; beyond the first twenty they are left."""
        if len(self.discrepancies) < MAX_DISCREPANCIES:
            self.discrepancies.append(sentence)

    @property
    def last_usage_bytes(self) -> int | None:
        """Memory usage before the end: at the last sample, or before the OOM kill that was it."""
        killed = self.end is not None and self.end.reason == OOM_KILLED
        before = self.memory.before_kill_bytes
        return before if killed and before is not None else self.memory.usage_bytes

    @property
    def oom_kills(self) -> int | None:
        """OOM kills in it so far, None when unknown.

        The kill that ended the container is seldom seen: no sample was taken after it.
        """
        killed = self.end is not None and self.end.reason == OOM_KILLED
        return None if killed and self.memory.before_kill_bytes is None else self.memory.oom_kills

    def records(self) -> dict[str, int | None]:
        """Returns what hunter saw, as session.json has it: null where it is not known."""
        unknown = self.totals_unknown
        return {
            "seen": None if unknown else self.seen,
            "received": self.received,
            "lost": None if unknown else self.lost,
        }

    def end_fields(self) -> dict[str, Any]:
        """Returns how it ended, as session.json and events.jsonl have it; empty when unknown."""
        end = self.end
        if end is None:
            return {}
        memory = self.memory
        return {
            "reason": end.reason,
            "message": end.message or None,
            "container_id": self.container_id or None,
            "exit_code": end.exit_code,
            "signal": _signal(end) or None,
            "finished_at": end.finished_at or None,
            "restart_count": end.restart_count,
            "restarts": end.restarts,
            "successor": end.successor or None,
            "usage_bytes": self.last_usage_bytes,
            "limit_bytes": memory.limit_bytes,
            "oom_kills": self.oom_kills,
            "hunter_bytes": memory.hunter_bytes,
        }

    def end_line(self) -> str:
        """Returns how it ended as one sentence, empty when unknown."""
        end = self.end
        if end is None:
            return ""
        parts = [printable(end.reason, 100)]
        if end.exit_code is not None:
            parts.append(f"exit code {end.exit_code}")
        if signal := _signal(end):
            parts.append(signal)
        memory = self.memory
        usage = self.last_usage_bytes
        if usage is not None:
            limit = memory.limit_bytes
            of = f" of {byte_count(limit)}" if limit is not None else ", no limit"
            own = memory.hunter_bytes
            share = f", {byte_count(own)} of it hunter's own" if own else ""
            parts.append(f"memory at the last sample {byte_count(usage)}{of}{share}")
        if end.restart_count:
            parts.append(f"restarted {how_often(end.restart_count)} so far")
        if end.message:
            parts.append(printable(end.message, 300))
        if end.successor:
            parts.append(f"its successor is pod {printable(end.successor, 253)}")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Returns the instance as session.json lists it."""
        return {
            "container_id": self.container_id or None,
            "started": self.started,
            "ended": self.ended,
            "end": self.end_fields() or None,
            "end_reason": self.end_reason or None,
            "tail": {"unknown_ms": self.tail_unknown_ms},
            "records": self.records(),
        }


def _signal(end: TargetEnd) -> str:
    """Returns the name of the signal that ended the container's first process, empty for none."""
    code = end.exit_code or 0
    number = end.signal or (code - _KILLED if _KILLED < code <= _KILLED + _LAST_SIGNAL else 0)
    return signal_name(number) if 0 < number <= _LAST_SIGNAL else ""
