"""The command line: options in, one `CaptureConfig` out. Everything heavy is imported inside."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatherer import options
from gatherer.config import (
    DEFAULT_AGENT_INTERVAL,
    DEFAULT_BUFFER,
    DEFAULT_FREQUENCY,
    DEFAULT_LINGER,
    DEFAULT_MAX_EXECS,
    DEFAULT_MAX_LOG_SIZE,
    DEFAULT_MEMORY,
    DEFAULT_STRING_SIZE,
    CaptureConfig,
    FleetConfig,
    TargetConfig,
    ViewConfig,
)
from gatherer.errors import ConfigError, GathererError, unexpected
from hg_shared.version import __version__

if TYPE_CHECKING:
    # Generic since click 8.2 only.
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType

DEFAULT_COMMAND = "capture"
INJECTIONS = ("auto", "copy", "memory", "bundle", "ephemeral", "sidecar")
ENGINES = ("auto", "ebpf", "ptrace", "ptrace-python")
TIMESTAMPS = ("none", "time", "unix", "relative")


class Parsed(_ParamType):
    """A click type that is one of the parsers of gatherer.options.

    Args:
        parse: text in, value out; `ValueError` says what is wrong.
        name: shown as the metavar.
    """

    def __init__(self, parse: Callable[[str], Any], name: str) -> None:
        self._parse = parse
        self.name = name

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parses the text of the command line or the environment; other values pass."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            where = param.opts[-1] if param is not None else self.name
            raise ConfigError(f"bad value for {where}: {error}") from error


class DefaultGroup(click.Group):
    """A group that runs `capture` when the first word is no command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the default command in front where there is none."""
        first = args[0] if args else ""
        if first not in (*self.commands, "--help", "-h", "--version"):
            if first and not first.startswith("-"):
                raise ConfigError(
                    f"no command {options.shown(first)}",
                    f"commands are {', '.join(sorted(self.commands))}; a pod is given with -p POD",
                )
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


def _reference(text: str) -> str:
    """Returns what `-p` gives as it is, after checking that it stands for pods."""
    # Imported here: the package above it is not needed for anything else.
    from gatherer.kube.references import POD, parse_reference

    if not text:
        return text
    reference = parse_reference(text)
    return reference.name if reference.resource == POD else text


def _fleet(given: dict[str, Any]) -> FleetConfig | None:
    """Returns which targets when there may be many, None for the one that -p names."""
    pods = tuple(dict.fromkeys(filter(None, given["pod"])))
    selector = given["selector"] or ""
    many = selector or len(pods) > 1 or any("/" in pod for pod in pods)
    if not many and not (pods and given["container"] == "*"):
        return None
    return FleetConfig(pods, selector, given["max_execs"])


def _option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """Returns a click option with its environment variable GATHERER_<OPTION>."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "GATHERER_" + long[2:].upper().replace("-", "_")
    return click.option(*names, envvar=variable, **settings)


@click.group(
    cls=DefaultGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=False,
)
@click.version_option(__version__, prog_name="gatherer", message="%(prog)s %(version)s")
def cli() -> None:
    """Trace the processes that eat a container's memory, from your own machine."""


# \b, a backspace, keeps click from filling the paragraph.
cli.help = f"""{cli.callback.__doc__}

\b
  gatherer -p POD [-c CONTAINER] [-m 50] [-f 2]
  gatherer -l app=web -c '*'
  gatherer --runtime local -m 200Mi

The same as `gatherer capture …`; see `gatherer capture --help` for all options.
"""


@cli.command(context_settings={"max_content_width": 100})
@_option(
    "-p", "--pod", type=Parsed(_reference, "POD"), multiple=True,
    help="target pod, or deploy/NAME, sts/NAME, ds/NAME, rs/NAME, job/NAME (repeatable)",
)  # fmt: skip
@_option(
    "-l", "--selector", type=Parsed(options.parse_selector, "SELECTOR"),
    help="target every pod with these labels, also those that appear later: app=web",
)  # fmt: skip
@_option(
    "-c", "--container", metavar="C",
    help="target container, '*' for all of a pod  [the only or default one]",
)  # fmt: skip
@_option("-n", "--namespace", metavar="NS", help="namespace  [the context's]")
@_option("--context", metavar="NAME", help="kubeconfig context  [the current one]")
@_option("--kubeconfig", metavar="FILE", help="kubeconfig  [as kubectl]")
@_option(
    "-m", "--memory", type=Parsed(options.parse_memory, "LIMIT"),
    help=f"trace processes at or over it: 50, 12.3%, 200Mi  [{DEFAULT_MEMORY.percent}]",
)  # fmt: skip
@_option(
    "--of", type=click.Choice(["limit", "node"]), default="limit",
    help="what the percentage is of: the memory limit or the node's memory  [limit]",
)  # fmt: skip
@_option(
    "--growth", type=Parsed(options.parse_rate, "RATE"),
    help="also trace processes that grow this fast: 5Mi/s, 100Mi/min",
)  # fmt: skip
@_option(
    "-f", "--frequency", type=Parsed(options.parse_frequency, "SECONDS"),
    default=DEFAULT_FREQUENCY, help=f"seconds between scans  [{DEFAULT_FREQUENCY:g}]",
)  # fmt: skip
@_option(
    "-i", "--install", is_flag=True,
    help="accepted and without effect: hunter is always brought along and removed",
)  # fmt: skip
@_option(
    "--pid", type=Parsed(options.parse_pid, "PID"), multiple=True,
    help="trace this process whatever its memory (repeatable); without -m only these",
)  # fmt: skip
@_option(
    "-e", "--trace", type=Parsed(options.parse_trace_set, "SET"),
    help="which system calls: names, %memory %file %desc %network …, ! negates  [all]",
)  # fmt: skip
@_option(
    "-F", "--follow-forks", is_flag=True,
    help="trace the children of traced processes too, a log for each",
)  # fmt: skip
@_option(
    "-s", "--string-size", type=Parsed(options.parse_string_size, "N"),
    default=DEFAULT_STRING_SIZE, help=f"bytes kept of each string  [{DEFAULT_STRING_SIZE}]",
)  # fmt: skip
@_option(
    "-y", "--decode-fds", is_flag=True,
    help="show what descriptors refer to: paths, sockets with their endpoints",
)  # fmt: skip
@_option(
    "--timestamps", type=click.Choice(TIMESTAMPS), default="time",
    help="in front of each line: nothing, local time, seconds since 1970 or the last  [time]",
)  # fmt: skip
@_option("--raw", is_flag=True, help="keep the record stream as records.hgs, for gatherer render")
@_option(
    "--max-log-size", type=Parsed(options.parse_log_size, "SIZE"), default=DEFAULT_MAX_LOG_SIZE,
    help="bytes of each process's log; later lines are dropped and counted  [2Gi]",
)  # fmt: skip
@_option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("strace-logs"), metavar="DIR",
    help="the capture directory  [strace-logs]",
)  # fmt: skip
@_option(
    "--duration", type=Parsed(options.parse_duration, "T"),
    help="stop after 30, 30s, 5m  [at Ctrl-C]",
)  # fmt: skip
@_option(
    "--buffer", type=Parsed(options.parse_buffer, "SIZE"), default=DEFAULT_BUFFER,
    help="what hunter keeps while the link is slow  [4Mi]",
)  # fmt: skip
@_option(
    "--linger", type=Parsed(options.parse_linger, "SECONDS"), default=DEFAULT_LINGER,
    help=f"seconds hunter waits for a lost gatherer  [{DEFAULT_LINGER:g}]",
)  # fmt: skip
@_option(
    "--restart/--no-restart", default=True,
    help="trace a restarted container again, in new logs  [on]",
)  # fmt: skip
@_option(
    "--engine", type=click.Choice(ENGINES), default="auto", help="how to trace  [auto]",
)  # fmt: skip
@_option(
    "--placement", type=click.Choice(["auto", "off"]), default="auto",
    help="move a busy target to the tracer's CPU while that is faster  [auto]",
)  # fmt: skip
@_option(
    "--max-overhead", type=Parsed(options.parse_share, "P%"),
    help="trace in windows so that the target loses at most 10% of its time  [no limit]",
)  # fmt: skip
@_option(
    "--inject", type=click.Choice(INJECTIONS), default="auto",
    help="how hunter gets into a container  [auto: the best way it leaves open]",
)  # fmt: skip
@_option(
    "--image", metavar="IMAGE",
    help="image with Python 3.8 or newer for an ephemeral container  [the target's own, or "
    "python:3.13-slim]",
)  # fmt: skip
@_option(
    "--require-trace", is_flag=True,
    help="fail (exit code 3) where only memory evidence may be taken",
)  # fmt: skip
@_option(
    "--max-execs", type=Parsed(options.parse_execs, "N"), default=DEFAULT_MAX_EXECS,
    help=f"hunters brought in at the same time, with many targets  [{DEFAULT_MAX_EXECS}]",
)  # fmt: skip
@_option(
    "--agent", type=Parsed(options.parse_agent, "AGENT"), multiple=True,
    help="node agent to pull from: auto, none, coroot, parca, collector, URL (repeatable)  [auto]",
)  # fmt: skip
@_option(
    "--agent-interval", type=Parsed(options.parse_interval, "SECONDS"),
    default=DEFAULT_AGENT_INTERVAL,
    help=f"seconds between two scrapes of an agent  [{DEFAULT_AGENT_INTERVAL:g}]",
)  # fmt: skip
@_option("--agent-heap", is_flag=True, help="take a heap profile of each agent itself")
@_option("--force", is_flag=True, help="go on without memory headroom")
@_option(
    "--runtime", type=click.Choice(["kubernetes", "local"]), default="kubernetes",
    help="where: in a pod, or on this machine (needs -m or --pid)  [kubernetes]",
)  # fmt: skip
@_option("--plain", is_flag=True, help="plain lines instead of the live view")
@_option("--json", is_flag=True, help="events as JSON lines on stdout")
@_option("--no-color", is_flag=True, help="no colours")
@_option("-q", "--quiet", is_flag=True, help="only the summary")
@_option("-v", "--verbose", is_flag=True, help="a status line every second")
@_option("--debug", is_flag=True, help="tracebacks with errors")
def capture(**given: Any) -> int:
    """Trace the processes of a container that use much memory (the default command)."""
    config = capture_config(given, sys.stdout.isatty())
    from gatherer.supervisor import run_capture

    return run_capture(config, sys.stdout)


@cli.command(context_settings={"max_content_width": 100})
@_option(
    "-p", "--pod", type=Parsed(_reference, "POD"),
    help="pod to look at; deploy/NAME, sts/NAME … for one of its pods",
)  # fmt: skip
@_option("-c", "--container", metavar="C", help="its container  [the only or default one]")
@_option("-n", "--namespace", metavar="NS", help="namespace  [the context's]")
@_option("--context", metavar="NAME", help="kubeconfig context  [the current one]")
@_option("--kubeconfig", metavar="FILE", help="kubeconfig  [as kubectl]")
@_option("--json", is_flag=True, help="one JSON object on stdout instead of the table")
@_option("--debug", is_flag=True, help="tracebacks with errors")
def doctor(**given: Any) -> int:
    """Say whether a pod can be captured, what stands in the way, and what to do about it.

    Looks and leaves nothing behind; needs no Python in the container. Exit code 0 when a capture
    can run, 3 when something stops it.
    """
    if not given["pod"]:
        raise ConfigError("no target", "give a pod with -p POD")
    target = TargetConfig(
        "kubernetes",
        given["pod"],
        given["container"],
        given["namespace"],
        given["context"],
        given["kubeconfig"],
    )
    from gatherer.doctor import run_doctor

    return run_doctor(target, sys.stdout, as_json=given["json"])


@cli.command()
@_option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("strace-logs"), metavar="DIR",
    help="the capture directory  [strace-logs]",
)  # fmt: skip
@_option(
    "--duration", type=Parsed(options.parse_duration, "T"), default="10",
    help="how long to trace  [10]",
)  # fmt: skip
def demo(output: Path, duration: float) -> int:
    """Trace a small leaking program on this machine; needs no cluster."""
    from gatherer.demo import run_demo

    return run_demo(output, f"{duration:g}s", main, click.echo)


@cli.command(context_settings={"max_content_width": 100})
@click.argument("path", metavar="FILE-or-DIR", type=click.Path(path_type=Path))
@_option(
    "-e", "--trace", type=Parsed(options.parse_trace_set, "SET"),
    help="show only these system calls  [all that were recorded]",
)  # fmt: skip
@_option(
    "-s", "--string-size", type=Parsed(options.parse_string_size, "N"),
    help="bytes shown of each string, no more than were kept  [as captured]",
)  # fmt: skip
@_option(
    "-y/ ", "--decode-fds/--no-decode-fds", default=None,
    help="show what descriptors refer to  [as captured]",
)  # fmt: skip
@_option(
    "--timestamps", type=click.Choice(TIMESTAMPS),
    help="in front of each line: nothing, local time, seconds since 1970 or the last"
    "  [as captured]",
)  # fmt: skip
@_option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR",
    help="write the logs there instead of printing them",
)  # fmt: skip
@_option("--debug", is_flag=True, help="tracebacks with errors")
def render(path: Path, output: Path | None, debug: bool, **given: Any) -> int:
    """Print a record stream that capture --raw kept, or finish one that was left early.

    A capture directory with records.hgs.partial is finished: its logs are written to their end.
    Otherwise lines are printed, of several processes each under the name of its log.
    """
    from gatherer.replay import run_render

    del debug  # main looks for it itself
    names = {"trace": "trace_set"}
    changes = {names.get(name, name): value for name, value in given.items() if value is not None}
    return run_render(path, changes, output)


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
    config = CaptureConfig(
        target=TargetConfig(
            given["runtime"],
            given["pod"][0] if given["pod"] and fleet is None else "",
            given["container"],
            given["namespace"],
            given["context"],
            given["kubeconfig"],
        ),
        view=ViewConfig(style, not given["no_color"], given["verbose"] - given["quiet"]),
        memory=given["memory"],
        of=given["of"],
        growth=given["growth"],
        frequency=given["frequency"],
        pids=tuple(dict.fromkeys(given["pid"])),
        trace_set=given["trace"] or "",
        string_size=given["string_size"],
        decode_fds=given["decode_fds"],
        timestamps=given["timestamps"],
        raw=given["raw"],
        agents=tuple(dict.fromkeys(given["agent"])) or ("auto",),
        agent_interval=given["agent_interval"],
        agent_heap=given["agent_heap"],
        buffer=given["buffer"],
        linger=given["linger"],
        restart=given["restart"],
        follow_forks=given["follow_forks"],
        engine=given["engine"],
        placement=given["placement"],
        max_overhead=given["max_overhead"],
        force=given["force"],
        require_trace=given["require_trace"],
        inject=given["inject"],
        image=given["image"],
        max_log_size=given["max_log_size"],
        output=given["output"],
        duration=given["duration"],
        install=given["install"],
        fleet=fleet,
    )
    config.check()
    return config


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code; an error is one line on stderr.

    Args:
        arguments: without the program, sys.argv's by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words or bool(os.environ.get("GATHERER_DEBUG"))
    try:
        result = cli.main(words, prog_name="gatherer", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.UsageError as error:
        name = error.ctx.command.name if error.ctx is not None else None
        return _fail(ConfigError(_usage(error), f"see gatherer {name or 'capture'} --help"), debug)
    except GathererError as error:
        return _fail(error, debug)
    except (click.Abort, KeyboardInterrupt):
        return _fail(GathererError("interrupted"), debug)
    except Exception as error:
        return _fail(unexpected(error), debug)


def _fail(error: GathererError, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(error))
    try:
        print(f"gatherer: error: {line}", file=sys.stderr, flush=True)
    except OSError:
        pass  # A closed stderr changes nothing about the exit code.
    return error.exit_code


def _usage(error: click.UsageError) -> str:
    # Guesses at other options would be a second sentence.
    guessing = isinstance(error, click.NoSuchOption)
    message = error.message if guessing else error.format_message()
    return message.rstrip(".").replace("\n", " ")
