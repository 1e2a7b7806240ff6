"""One line for everything a view shows; text of the target is escaped in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatherer.targets import FleetStatus, TargetName
from gatherer.text import byte_count, counted, duration, printable
from gatherer.view import Start, Status, Waiting


def start_lines(start: Start) -> list[str]:
    """Returns the first lines: target, hunter, engine, threshold, directory."""
    target, hello = start.target, start.hello
    if target.runtime == "kubernetes":
        where = f"{target.namespace}/{target.pod}/{target.container} on node {target.node}"
    else:
        where = f"this machine, {target.node}"
    engine = hello.engine or "none"
    lines = [
        f"target: {printable(where, 400)}",
        f"hunter: {printable(hello.version, 40)} on Python {printable(hello.python, 40)}"
        f" ({printable(hello.executable, 200)}), {printable(hello.arch, 40)},"
        f" kernel {printable(hello.kernel, 100)}",
        f"engine: {printable(engine, 40)}, {printable(hello.engine_reason, 300)}",
    ]
    if target.runtime != "local":
        lines.insert(2, f"inject: {start.inject}, {printable(start.explanation, 600)}")
    if hello.tracing != "on":
        lines.append(
            f"NO SYSTEM CALLS ARE TRACED, {printable(hello.tracing, 400)};"
            " going on with memory evidence alone"
        )
    lines.append(f"threshold: {printable(start.threshold, 400)}")
    lines.append(f"writing to: {printable(str(start.directory), 400)}")
    return lines


def waiting_line(waiting: Waiting) -> str:
    """Returns why a target does not run, and how long it has been waited for."""
    words = f", {printable(waiting.message, 400)}" if waiting.message else ""
    of = f" of {duration(waiting.limit)}" if waiting.limit is not None else ""
    return (
        f"waiting for the container to run: {printable(waiting.reason, 100)}{words};"
        f" {duration(waiting.seconds)}{of}"
    )


def prefix(target: TargetName) -> str:
    """Returns what stands before lines about one of many targets, as kubectl logs has it."""
    return printable(f"[pod/{target.pod}/{target.container}] ", 200)


def target_line(start: Start) -> str:
    """Returns the first lines in one, for one of many targets."""
    hello = start.hello
    engine = printable(hello.engine or "none", 40)
    line = (
        f"on node {printable(start.target.node, 100)}: engine {engine},"
        f" inject {start.inject}, {printable(start.threshold, 300)},"
        f" writing to {printable(str(start.directory), 400)}"
    )
    if hello.tracing != "on":
        line += f"; tracing {printable(hello.tracing, 400)}, going on with memory evidence alone"
    return line


def fleet_status_line(status: FleetStatus) -> str:
    """Returns the state of the captures of many targets as one line."""
    counts = [f"{status.count('running')} of {counted(len(status.targets), 'target')} running"]
    for state in ("starting", "rendering", "failed"):
        if count := status.count(state):
            counts.append(f"{count} {state}")
    if status.waiting:
        counts.append(f"{status.waiting} wait for their container")
    line = (
        f"{status.seconds:.0f} s: {', '.join(counts)}, {status.traced} traced,"
        f" {counted(status.received, 'record')}, {status.lost} lost"
    )
    if status.backlog_bytes > 1 << 20:
        line += f", {byte_count(status.backlog_bytes)} to render"
    return line


def event_line(event: str, pid: int | None, fields: Mapping[str, Any]) -> str:
    """Returns an event as one line.

    Args:
        event: its name.
        pid: the process concerned.
        fields: the event's own fields, unchecked.
    """
    who = "" if pid is None else f" {pid}"
    if event == "scan":
        return printable(f"scan:{who} {_decision(fields)}", 400)
    if event == "smaps":
        return printable(f"smaps:{who} {_mappings(fields.get('mappings'))}", 400)
    if event == "hidden":
        return printable(f"NOT SEEN: {hidden_processes(fields)}", 400)
    if event == "attach_failed" and fields.get("denied") is True:
        cause = fields.get("cause", "?")
        return printable(f"NOT TRACED:{who}, only its memory is sampled: {cause}", 400)
    details = ", ".join(
        f"{key} {_value(key, value)}" for key, value in fields.items() if value is not None
    )
    return printable(f"{event}:{who}{' ' + details if details else ''}", 400)


def hidden_processes(fields: Mapping[str, Any]) -> str:
    """Returns which processes hunter could not see, and why, in one sentence.

    Args:
        fields: of the event `hidden`, unchecked.
    """
    count = fields.get("processes")
    number = counted(count, "process") if type(count) is int else "processes"
    return f"{number} of the target, {fields.get('cause', '?')}; {fields.get('remedy', '?')}"[:1000]


def status_line(status: Status) -> str:
    """Returns the state of a capture as one line."""
    traced = sum(process.state == "traced" for process in status.processes)
    line = f"{status.seconds:.0f} s: {traced} traced, {counted(status.received, 'record')},"
    line += f" {status.lost} lost"
    if status.usage_bytes is not None:
        line += f", container {byte_count(status.usage_bytes)} of {byte_count(status.limit_bytes)}"
    if status.backlog_bytes > 1 << 20:
        line += f", {byte_count(status.backlog_bytes)} to render"
    if status.attempts:
        line += f", hunter is out of reach (attempt {status.attempts})"
    return line


def _decision(fields: Mapping[str, Any]) -> str:
    """Returns a scan decision with its numerator, denominator and source."""
    command = fields.get("command", "?")
    text = f"{command} uses {_value('rss_bytes', fields.get('rss_bytes'))}"
    size, source = fields.get("of_bytes"), fields.get("source")
    if fields.get("percent") is not None and size:
        text += f" = {fields['percent']}% of {_value('of_bytes', size)} ({source})"
    if fields.get("threshold_bytes") is not None:
        text += f", threshold {_value('threshold_bytes', fields['threshold_bytes'])}"
    if fields.get("growth_bytes_per_second") is not None:
        text += f", grows {_value('x_bytes', fields['growth_bytes_per_second'])}/s"
    if fields.get("excluded"):
        return f"{text}: not traced, {fields['excluded']}"
    return f"{text}: chosen by {fields.get('reason', '?')}"


def _mappings(found: Any) -> str:
    """Returns the largest mappings in few words; all of them are in events.jsonl."""
    largest = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    # Of a process that is too large for a walk of its page tables the sizes alone are known.
    sized = any(type(item.get("rss_bytes")) is int for item in largest)
    key, what = ("rss_bytes", "memory is in") if sized else ("size_bytes", "addresses are in")
    named = (
        f"{item.get('name') or 'anonymous'} {byte_count(item[key])}"
        for item in largest[:3]
        if type(item.get(key)) is int
    )
    return f"most {what} {', '.join(named)}"


def _value(name: str, value: Any) -> str:
    if name.endswith("_bytes") and type(value) is int:
        return f"{value} bytes ({byte_count(value)})" if value >= 1024 else counted(value, "byte")
    return str(value)
