"""The command line: its commands, and errors as one line. Everything heavy is imported inside."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gatherer.commands import option_values
from gatherer.commands.capture import capture
from gatherer.commands.click_options import (
    TIMESTAMPS,
    Parsed,
    cluster_options,
    debug_option,
    option,
    output_option,
    pod_reference,
    unknown_variables,
)
from gatherer.config import TargetConfig
from gatherer.errors import ConfigError, GathererError, unexpected
from gatherer.text import quoted
from hg_shared.nearest import did_you_mean
from hg_shared.version import __version__

DEFAULT_COMMAND = "capture"


class DefaultGroup(click.Group):
    """A group that runs `capture` when the first word is no command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the default command in front where there is none."""
        first = args[0] if args else ""
        if first not in (*self.commands, "--help", "-h", "--version"):
            if first and not first.startswith("-"):
                near = did_you_mean(first, self.commands)
                raise ConfigError(
                    f"no command {quoted(first)}{near}",
                    f"commands are {', '.join(sorted(self.commands))}; a pod is given with -p POD",
                )
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; click would answer Ctrl-C with an empty line.

        Raises:
            GathererError: Ctrl-C was pressed.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise GathererError("interrupted") from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands, and the options of the default one."""
        super().format_options(ctx, formatter)
        default = self.commands[DEFAULT_COMMAND]
        with click.Context(default, ctx, DEFAULT_COMMAND) as inner:
            records = [each.get_help_record(inner) for each in default.params]
        with formatter.section(f"Options of {DEFAULT_COMMAND}, the default command"):
            formatter.write_dl([record for record in records if record is not None])


@click.group(
    cls=DefaultGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=False,
)
@click.version_option(__version__, prog_name="gatherer", message="%(prog)s %(version)s")
def cli() -> None:
    """Trace the processes that eat a container's memory, from your own machine."""
    for line in unknown_variables(os.environ, cli.commands.values()):
        print(f"gatherer: warning: {line}", file=sys.stderr, flush=True)


# \b, a backspace, keeps click from filling the paragraph.
cli.help = f"""{cli.callback.__doc__}

\b
  gatherer -p POD [-c CONTAINER] [-m 50] [-f 2]
  gatherer -l app=web -c '*'
  gatherer --runtime local -m 200Mi

The same as `gatherer capture …`. Each option can be set as GATHERER_<OPTION> in the environment.
"""
cli.add_command(capture)


@cli.command(context_settings={"max_content_width": 100})
@option(
    "-p", "--pod", type=Parsed(pod_reference, "POD"),
    help="pod to look at; deploy/NAME, sts/NAME … for one of its pods",
)  # fmt: skip
@option("-c", "--container", metavar="C", help="its container  [the only or default one]")
@cluster_options
@option("--json", is_flag=True, help="one JSON object on stdout instead of the table")
@debug_option
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
    from gatherer.commands.doctor import run_doctor

    return run_doctor(target, sys.stdout, as_json=given["json"])


@cli.command()
@output_option
@option(
    "--duration", type=Parsed(option_values.parse_duration, "T"), default="10",
    help="how long to trace  [10]",
)  # fmt: skip
def demo(output: Path, duration: float) -> int:
    """Trace a small leaking program on this machine; needs no cluster."""
    from gatherer.commands.demo import run_demo

    return run_demo(output, f"{duration:g}s", main, click.echo)


@cli.command(context_settings={"max_content_width": 100})
@click.argument("path", metavar="FILE-or-DIR", type=click.Path(path_type=Path))
@option(
    "-e", "--trace", type=Parsed(option_values.parse_trace_set, "SET"),
    help="show only these system calls  [all that were recorded]",
)  # fmt: skip
@option(
    "-s", "--string-size", type=Parsed(option_values.parse_string_size, "N"),
    help="bytes shown of each string, no more than were kept  [as captured]",
)  # fmt: skip
@option(
    "-y/ ", "--decode-fds/--no-decode-fds", default=None,
    help="show what descriptors refer to  [as captured]",
)  # fmt: skip
@option(
    "--timestamps", type=click.Choice(TIMESTAMPS),
    help="in front of each line: nothing, local time, seconds since 1970 or the last"
    "  [as captured]",
)  # fmt: skip
@option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR",
    help="write the logs there instead of printing them",
)  # fmt: skip
@debug_option
def render(path: Path, output: Path | None, debug: bool, **given: Any) -> int:
    """Print a record stream that capture --raw kept, or finish one that was left early.

    A capture directory with records.hgs.partial is finished: its logs are written to their end.
    Otherwise lines are printed, of several processes each under the name of its log.
    """
    from gatherer.commands.render import run_render

    del debug  # main looks for it itself
    names = {"trace": "trace_set"}
    changes = {names.get(name, name): value for name, value in given.items() if value is not None}
    return run_render(path, changes, output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code; an error is one line on stderr.

    Args:
        arguments: without the program, sys.argv's by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words or bool(os.environ.get("GATHERER_DEBUG"))
    # Of what nobody waits for, a connection that is reset while it is closed, asyncio prints a
    # traceback; of what is interrupted before it begins, Python prints a warning.
    logging.getLogger("asyncio").setLevel(logging.NOTSET if debug else logging.CRITICAL + 1)
    if not debug:
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
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
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EPIPE):
            problem = f"stdout cannot be written: {error.strerror}"
            return _fail(GathererError(problem, "see where it leads"), debug)
        return _fail(unexpected(error), debug)
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
    if isinstance(error, click.NoSuchOption):
        command = error.ctx.command if error.ctx is not None else None
        names = [name for each in command.params for name in each.opts] if command else []
        near = did_you_mean(error.option_name, [name for name in names if name.startswith("--")])
        return f"no option {quoted(error.option_name)}{near}"
    return error.format_message().rstrip(".").replace("\n", " ")
