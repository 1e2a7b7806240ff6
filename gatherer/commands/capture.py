"""`gatherer capture`: its options, and the `CaptureConfig` they make."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Any

import click

from gatherer.commands import option_values
from gatherer.commands.click_options import (
    TIMESTAMPS,
    Parsed,
    cluster_options,
    debug_option,
    option,
    output_option,
    pod_reference,
)
from gatherer.config import (
    DEFAULT_AGENT_INTERVAL,
    DEFAULT_BUFFER,
    DEFAULT_FREQUENCY,
    DEFAULT_LINGER,
    DEFAULT_MAX_EXECS,
    DEFAULT_MAX_LOG_SIZE,
    DEFAULT_MEMORY,
    DEFAULT_STRING_SIZE,
    DEFAULT_WAIT,
    CaptureConfig,
    FleetConfig,
    TargetConfig,
    ViewConfig,
)
from gatherer.errors import ConfigError

INJECTIONS = ("auto", "copy", "memory", "bundle", "ephemeral", "sidecar")
ENGINES = ("auto", "ebpf", "ptrace", "ptrace-python")


@click.command(context_settings={"max_content_width": 100})
@option(
    "-p", "--pod", type=Parsed(pod_reference, "POD"), multiple=True,
    help="target pod, or deploy/NAME, sts/NAME, ds/NAME, rs/NAME, job/NAME (repeatable)",
)  # fmt: skip
@option(
    "-l", "--selector", type=Parsed(option_values.parse_selector, "SELECTOR"),
    help="target every pod with these labels, also those that appear later: app=web",
)  # fmt: skip
@option(
    "-c", "--container", metavar="C",
    help="target container, '*' for all of a pod  [the only or default one]",
)  # fmt: skip
@cluster_options
@option(
    "-m", "--memory", type=Parsed(option_values.parse_memory, "LIMIT"),
    help=f"trace processes at or over it: 50, 12.3%, 200Mi  [{DEFAULT_MEMORY.percent}]",
)  # fmt: skip
@option(
    "--of", type=click.Choice(["limit", "node"]), default="limit",
    help="what the percentage is of: the memory limit or the node's memory  [limit]",
)  # fmt: skip
@option(
    "--growth", type=Parsed(option_values.parse_rate, "RATE"),
    help="also trace processes that grow this fast: 5Mi/s, 100Mi/min",
)  # fmt: skip
@option(
    "-f", "--frequency", type=Parsed(option_values.parse_frequency, "SECONDS"),
    default=DEFAULT_FREQUENCY, help=f"seconds between scans  [{DEFAULT_FREQUENCY:g}]",
)  # fmt: skip
@option(
    "-i", "--install", is_flag=True,
    help="accepted and without effect: hunter is always brought along and removed",
)  # fmt: skip
@option(
    "--pid", type=Parsed(option_values.parse_pid, "PID"), multiple=True,
    help="trace this process whatever its memory (repeatable); without -m only these",
)  # fmt: skip
@option(
    "-e", "--trace", type=Parsed(option_values.parse_trace_set, "SET"),
    help="which system calls: names, %memory %file %desc %network …, ! negates  [all]",
)  # fmt: skip
@option(
    "-F", "--follow-forks", is_flag=True,
    help="trace the children of traced processes too, a log for each",
)  # fmt: skip
@option(
    "-s", "--string-size", type=Parsed(option_values.parse_string_size, "N"),
    default=DEFAULT_STRING_SIZE, help=f"bytes kept of each string  [{DEFAULT_STRING_SIZE}]",
)  # fmt: skip
@option(
    "-y", "--decode-fds", is_flag=True,
    help="show what descriptors refer to: paths, sockets with their endpoints",
)  # fmt: skip
@option(
    "--timestamps", type=click.Choice(TIMESTAMPS), default="time",
    help="in front of each line: nothing, local time, seconds since 1970 or the last  [time]",
)  # fmt: skip
@option("--raw", is_flag=True, help="keep the record stream as records.hgs, for gatherer render")
@option(
    "--max-log-size", type=Parsed(option_values.parse_log_size, "SIZE"),
    default=DEFAULT_MAX_LOG_SIZE,
    help="bytes of each process's log; later lines are dropped and counted  [2Gi]",
)  # fmt: skip
@output_option
@option(
    "--duration", type=Parsed(option_values.parse_duration, "T"),
    help="stop after 30, 30s, 5m  [at Ctrl-C]",
)  # fmt: skip
@option(
    "--buffer", type=Parsed(option_values.parse_buffer, "SIZE"), default=DEFAULT_BUFFER,
    help="what hunter keeps while the link is slow  [4Mi]",
)  # fmt: skip
@option(
    "--linger", type=Parsed(option_values.parse_linger, "SECONDS"), default=DEFAULT_LINGER,
    help=f"seconds hunter waits for a lost gatherer  [{DEFAULT_LINGER:g}]",
)  # fmt: skip
@option(
    "--wait", type=Parsed(option_values.parse_wait, "T"), default=DEFAULT_WAIT,
    help="how long a container that does not run yet is waited for, 0 for not at all  [5m]",
)  # fmt: skip
@option(
    "--restart/--no-restart", default=True,
    help="trace a restarted container again, in new logs  [on]",
)  # fmt: skip
@option(
    "--engine", type=click.Choice(ENGINES), default="auto", help="how to trace  [auto]",
)  # fmt: skip
@option(
    "--placement", type=click.Choice(["auto", "off"]), default="auto",
    help="move a busy target to the tracer's CPU while that is faster  [auto]",
)  # fmt: skip
@option(
    "--max-overhead", type=Parsed(option_values.parse_share, "P%"),
    help="trace in windows so that the target loses at most 10% of its time  [no limit]",
)  # fmt: skip
@option(
    "--inject", type=click.Choice(INJECTIONS), default="auto",
    help="how hunter gets into a container  [auto: the best way it leaves open]",
)  # fmt: skip
@option(
    "--image", metavar="IMAGE",
    help="image with Python 3.8 or newer for an ephemeral container  [the target's own, or "
    "python:3.13-slim]",
)  # fmt: skip
@option(
    "--require-trace", is_flag=True,
    help="fail (exit code 3) where of a process only memory evidence may be taken",
)  # fmt: skip
@option(
    "--max-execs", type=Parsed(option_values.parse_execs, "N"), default=DEFAULT_MAX_EXECS,
    help=f"hunters brought in at the same time, with many targets  [{DEFAULT_MAX_EXECS}]",
)  # fmt: skip
@option(
    "--agent", type=Parsed(option_values.parse_agent, "AGENT"), multiple=True,
    help="node agent to pull from: auto, none, coroot, parca, collector, URL (repeatable)  [auto]",
)  # fmt: skip
@option(
    "--agent-interval", type=Parsed(option_values.parse_interval, "SECONDS"),
    default=DEFAULT_AGENT_INTERVAL,
    help=f"seconds between two scrapes of an agent  [{DEFAULT_AGENT_INTERVAL:g}]",
)  # fmt: skip
@option("--agent-heap", is_flag=True, help="take a heap profile of each agent itself")
@option("--force", is_flag=True, help="go on without memory headroom")
@option(
    "--runtime", type=click.Choice(["kubernetes", "local"]), default="kubernetes",
    help="where: in a pod, or on this machine (needs -m or --pid)  [kubernetes]",
)  # fmt: skip
@option("--plain", is_flag=True, help="plain lines instead of the live view")
@option("--json", is_flag=True, help="events as JSON lines on stdout")
@option("--no-color", is_flag=True, help="no colours")
@option("-q", "--quiet", is_flag=True, help="only the summary")
@option("-v", "--verbose", is_flag=True, help="a status line every second")
@debug_option
def capture(**given: Any) -> int:
    """Trace the processes of a container that use much memory (the default command)."""
    config = capture_config(given, sys.stdout.isatty())
    from gatherer.commands.run import run_capture

    return run_capture(config, sys.stdout)


def capture_config(given: dict[str, Any], terminal: bool) -> CaptureConfig:
    """Returns the checked configuration of a capture.

    Args:
        given: the values of all options, by parameter name.
        terminal: whether stdout is a terminal.

    Raises:
        ConfigError: options that contradict each other, or no target.
    """
    for one, other in (("plain", "json"), ("quiet", "verbose"), ("quiet", "json")):
        if given[one] and given[other]:
            raise ConfigError(f"--{one} and --{other} exclude each other", "leave one of them out")
    if given["json"]:
        style = "json"
    else:
        redrawn = terminal and not (given["plain"] or given["quiet"] or given["verbose"])
        style = "live" if redrawn else "plain"
    fleet = _fleet(given)
    target = _same_name(TargetConfig, given)
    target["pod"] = given["pod"][0] if given["pod"] and fleet is None else ""
    options = _same_name(CaptureConfig, given) | {
        "target": TargetConfig(**target),
        "view": ViewConfig(style, not given["no_color"], given["verbose"] - given["quiet"]),
        "pids": tuple(dict.fromkeys(given["pid"])),
        "trace_set": given["trace"] or "",
        "agents": tuple(dict.fromkeys(given["agent"])) or ("auto",),
        "fleet": fleet,
    }
    config = CaptureConfig(**options)
    config.check()
    return config


def _same_name(config: type[TargetConfig | CaptureConfig], given: dict[str, Any]) -> dict[str, Any]:
    """Returns the options that are fields of a configuration."""
    return {field.name: given[field.name] for field in fields(config) if field.name in given}


def _fleet(given: dict[str, Any]) -> FleetConfig | None:
    """Returns which targets when there may be many, None for the one that -p names."""
    pods = tuple(dict.fromkeys(filter(None, given["pod"])))
    selector = given["selector"] or ""
    many = selector or len(pods) > 1 or any("/" in pod for pod in pods)
    if not many and not (pods and given["container"] == "*"):
        return None
    return FleetConfig(pods, selector, given["max_execs"])
