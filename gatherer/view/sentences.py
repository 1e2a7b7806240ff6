"""One line for everything a view shows; text of the target is escaped in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatherer.target.values import TargetName
from gatherer.text import byte_count, counted, duration, printable
from gatherer.view.status import CaptureStatus, FleetStatus, Start, Waiting
from hg_shared.messages import Hello


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
    lines += [cost] if (cost := cost_line(hello, start.max_overhead)) else []
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


SLOWDOWNS = {"ptrace": 30, "ptrace-python": 50}
"""How much slower a process becomes that only makes system calls (docs/performance.md)."""
_ANOTHER_HUNTER = "another hunter of this node"


def cost_line(hello: Hello, max_overhead: float | None) -> str:
    """Returns what a ptrace engine costs, and the cheaper way; empty for another engine.

    Args:
        hello: hunter's Hello.
        max_overhead: share of its time that the target may lose, None for any.
    """
    times = SLOWDOWNS.get(hello.engine)
    if times is None:
        return ""
    if max_overhead is None:
        cost = f"each system call stops its process, {times} times slower if it does nothing else"
        budget = "--max-overhead 10%, "
    else:
        cost = f"at most about {100 * max_overhead:g}% of a process's time, traced in windows"
        budget = ""
    if hello.engine_reason == "asked for":
        ebpf = "ebpf (--engine auto takes it where it may)"
    elif _ANOTHER_HUNTER in hello.engine_reason:
        ebpf = "ebpf when that other hunter has ended"
    else:
        ebpf = "ebpf (needs BPF and PERFMON)"
    return (
        f"cost: {cost}; epoll_wait, semop and the like return EINTR at the attach;"
        f" cheaper: {budget}{ebpf}"
    )


def waiting_line(waiting: Waiting) -> str:
    """Returns why a target does not run, and how long it has been waited for."""
    message = f", {printable(waiting.message, 400)}" if waiting.message else ""
    of = f" of {duration(waiting.limit)}" if waiting.limit is not None else ""
    return (
        f"waiting for the container to run: {printable(waiting.reason, 100)}{message};"
        f" {duration(waiting.seconds)}{of}"
    )


def prefix(target: TargetName | None) -> str:
    """Returns what stands before lines about one of many targets, as kubectl logs has it."""
    return printable(f"[pod/{target.pod}/{target.container}] ", 200) if target is not None else ""


def first_lines(start: Start, target: TargetName | None) -> list[str]:
    """Returns what there is to say when a hunter runs, of one of many targets in one line."""
    return start_lines(start) if target is None else [prefix(target) + _target_line(start)]


def _target_line(start: Start) -> str:
    hello = start.hello
    engine = printable(hello.engine or "none", 40)
    line = (
        f"on node {printable(start.target.node, 100)}: engine {engine},"
        f" inject {start.inject}, {printable(start.threshold, 300)},"
        f" writing to {printable(str(start.directory), 400)}"
    )
    if hello.engine in SLOWDOWNS and start.max_overhead is None:
        line += (
            f"; up to {SLOWDOWNS[hello.engine]} times slower while it makes system calls,"
            " --max-overhead 10% bounds that"
        )
    if hello.tracing != "on":
        line += f"; tracing {printable(hello.tracing, 400)}, going on with memory evidence alone"
    return line


def status_line(status: CaptureStatus | FleetStatus) -> str:
    """Returns the state of one capture, or of all of them, as one line."""
    line = _capture_line(status) if isinstance(status, CaptureStatus) else _fleet_line(status)
    if status.backlog_bytes > 1 << 20:
        line += f", {byte_count(status.backlog_bytes)} to render"
    if isinstance(status, CaptureStatus) and status.attempts:
        line += f", hunter is out of reach (attempt {status.attempts})"
    return line


def _fleet_line(status: FleetStatus) -> str:
    counts = [f"{status.count('running')} of {counted(len(status.targets), 'target')} running"]
    for state in ("starting", "rendering", "failed"):
        if count := status.count(state):
            counts.append(f"{count} {state}")
    if status.waiting:
        counts.append(f"{status.waiting} wait for their container")
    return (
        f"{status.seconds:.0f} s: {', '.join(counts)}, {status.traced} traced,"
        f" {counted(status.received, 'record')}, {status.lost} lost"
    )


def hidden_processes(fields: Mapping[str, Any]) -> str:
    """Returns which processes hunter could not see, and why, in one sentence.

    Args:
        fields: of the event `hidden`, unchecked.
    """
    count = fields.get("processes")
    number = counted(count, "process") if type(count) is int else "processes"
    return f"{number} of the target, {fields.get('cause', '?')}; {fields.get('remedy', '?')}"[:1000]


def _capture_line(status: CaptureStatus) -> str:
    traced = sum(process.state == "traced" for process in status.processes)
    line = f"{status.seconds:.0f} s: {traced} traced, {counted(status.received, 'record')},"
    line += f" {status.lost} lost"
    if status.usage_bytes is not None:
        line += f", container {byte_count(status.usage_bytes)}"
        if status.limit_bytes is not None:
            line += f" of {byte_count(status.limit_bytes)}"
    return line
