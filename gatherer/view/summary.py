"""The end of a capture, as people read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gatherer.errors import GathererError
from gatherer.text import byte_count, counted, number, printable

MAX_LINES = 40
"""Processes that have a line of their own on the terminal."""


@dataclass(frozen=True)
class ProcessSummary:
    """One process at the end of a capture.

    Attributes:
        command: its name, unchecked.
        pid: process id.
        log: path of its log, None when it was never attached.
        records: records received.
        lost: records lost, None when that is not known.
        dropped_lines: lines left out of the log, which had reached its size limit.
        peak_rss_bytes: highest sample, None when there was none.
        end_reason: why tracing ended, empty when it was traced to the end.
        log_bytes: bytes of the log, where it was not written to its end; else None.
    """

    command: str
    pid: int
    log: Path | None
    records: int
    lost: int | None
    dropped_lines: int
    peak_rss_bytes: int | None
    end_reason: str
    log_bytes: int | None = None

    def line(self, short: bool) -> str:
        """Returns the process as a line of text.

        Args:
            short: whether its log is named without the directory.
        """
        end = f", {printable(self.end_reason, 200)}" if self.end_reason else ""
        if self.log is None:
            return f"{printable(self.command, 64)} {self.pid}: no log{end}"
        if self.dropped_lines:
            end = f", {counted(self.dropped_lines, 'line')} dropped (log size limit){end}"
        if self.log_bytes is not None:
            end = f", NOT WRITTEN TO ITS END ({byte_count(self.log_bytes)}){end}"
        return (
            f"{printable(self.log.name if short else str(self.log))}:"
            f" {counted(self.records, 'record')}, {number(self.lost)} lost,"
            f" peak rss {byte_count(self.peak_rss_bytes)}{end}"
        )


@dataclass(frozen=True)
class Summary:
    """The end of a capture.

    Attributes:
        directory: the capture directory.
        processes: in the order in which they were chosen.
        seen: records hunter took, None when that is not known.
        received: records that arrived.
        lost: records that did not, None when that is not known.
        end_reason: why the capture ended.
        complete: whether everything hunter saw is in the logs.
        notes: what is missing or wrong, a sentence each.
        hunter_peak_pss_bytes: highest Pss of hunter, None when it did not say.
        hunter_cpu_seconds: CPU time of hunter, None when it did not say.
        spool: the spool when it was kept.
        exit_code: what gatherer exits with.
        tracing: `on`, or `denied: <cause>`.
        ends: how each instance of the target ended, as far as that is known.
        agents: what node agents gave, as lines.
        incomplete: why it is not complete, empty when it is.
        hidden: which processes could not be seen and why, empty when all could.
        failure: what ended the capture before its time, None when it ended as it should.
    """

    directory: Path
    processes: tuple[ProcessSummary, ...]
    seen: int | None
    received: int
    lost: int | None
    end_reason: str
    complete: bool
    notes: tuple[str, ...]
    hunter_peak_pss_bytes: int | None
    hunter_cpu_seconds: float | None
    spool: Path | None
    exit_code: int
    tracing: str = "on"
    ends: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    incomplete: str = ""
    hidden: str = ""
    failure: GathererError | None = None

    def lines(self) -> list[str]:
        """Returns the summary as lines of text; nothing in them can move a cursor."""
        lines = [f"capture ended: {printable(self.end_reason, 300)}"]
        lines += [f"container ended: {printable(end, 1000)}" for end in self.ends]
        if self.tracing != "on":
            lines.append(
                f"NO SYSTEM CALLS WERE TRACED, {printable(self.tracing, 400)};"
                " memory.jsonl and events.jsonl have the memory evidence"
            )
        lines += [f"  {line}" for line in self.process_lines()]
        if not self.processes:
            lines.append("  no process was traced")
        if self.hidden:
            lines.append(f"not seen: {printable(self.hidden, 400)}")
        lines.append(
            f"records: {number(self.seen)} seen = {self.received} received"
            f" + {number(self.lost)} lost; {self.completeness()}"
        )
        if self.hunter_peak_pss_bytes is not None:
            cpu = self.hunter_cpu_seconds or 0.0
            lines.append(
                f"hunter: peak {byte_count(self.hunter_peak_pss_bytes)} of memory,"
                f" {cpu:.2f} s of CPU"
            )
        lines += [printable(line, 500) for line in self.agents]
        lines += [f"note: {printable(note, 500)}" for note in self.notes]
        if self.spool is not None:
            lines.append(f"what was not rendered is in {printable(str(self.spool))}")
        lines.append(f"capture directory: {printable(str(self.directory))}")
        return lines

    def process_lines(self, short: bool = False) -> list[str]:
        """Returns a line for each process, or for those that matter and one for the others.

        Args:
            short: whether logs are named without their directory.
        """
        shown, others = _most(self.processes)
        lines = [process.line(short) for process in shown]
        if others:
            logs = sum(process.log is not None for process in others)
            records = counted(sum(process.records for process in others), "record")
            lost = sum(process.lost or 0 for process in others)
            lines.append(
                f"and {len(others)} more, {logs} of them with a log: {records}, {lost} lost;"
                " session.json has all of them"
            )
        return lines

    def completeness(self) -> str:
        """Returns whether it is complete, and why not."""
        if self.complete:
            return "complete"
        return (
            f"not complete: {printable(self.incomplete, 300)}"
            if self.incomplete
            else ("not complete")
        )

    def as_json(self) -> dict[str, object]:
        """Returns the summary as one JSON object."""
        return {
            "directory": str(self.directory),
            "processes": [
                {
                    "command": process.command,
                    "pid": process.pid,
                    "log": str(process.log) if process.log else None,
                    "records": process.records,
                    "lost": process.lost,
                    "dropped_lines": process.dropped_lines,
                    "peak_rss_bytes": process.peak_rss_bytes,
                    "end_reason": process.end_reason or None,
                    "log_bytes": process.log_bytes,
                }
                for process in self.processes
            ],
            "records": {"seen": self.seen, "received": self.received, "lost": self.lost},
            "end_reason": self.end_reason,
            "tracing": self.tracing,
            "container_ends": list(self.ends),
            "complete": self.complete,
            "incomplete_reason": self.incomplete or None,
            "hidden": self.hidden or None,
            "notes": list(self.notes),
            "agents": list(self.agents),
            "spool": str(self.spool) if self.spool else None,
            "exit_code": self.exit_code,
        }


def _most(
    processes: tuple[ProcessSummary, ...],
) -> tuple[list[ProcessSummary], list[ProcessSummary]]:
    """Returns the processes that get a line, in their order, and the others.

    Of more than `MAX_LINES` those with losses and with the most records are shown.
    """
    if len(processes) <= MAX_LINES:
        return list(processes), []
    order = sorted(range(len(processes)), key=lambda at: _weight(processes[at]), reverse=True)
    chosen = set(order[:MAX_LINES])
    shown = [process for at, process in enumerate(processes) if at in chosen]
    return shown, [process for at, process in enumerate(processes) if at not in chosen]


def _weight(process: ProcessSummary) -> tuple[int, int, int]:
    return process.lost or 0, process.records, process.peak_rss_bytes or 0
