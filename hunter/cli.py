"""Command line of hunter; gatherer writes it, people rarely do."""

from __future__ import annotations

import argparse
import math
import os
import sys
from typing import List, Optional

from hg_shared.records import MAX_CAPTURE
from hg_shared.version import __version__
from hunter.config import Config, Threshold
from hunter.engines.choose import ENGINES
from hunter.errors import HunterError
from hunter.watchdog.launch import Watchdog


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        sys.stderr.write(f"hunter: error: {message}; see hunter.pyz --help\n")
        raise SystemExit(2)


def _number(text: str) -> float:
    """Returns a number, NaN (which is in no range) for any other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number such as 2")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 0.1")
    return value


def _string_size(text: str) -> int:
    value = _number(text)
    if not 0 <= value <= MAX_CAPTURE or value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and {MAX_CAPTURE}")
    return int(value)


def _pid(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a process id such as 4711")
    return int(text)


def _bytes(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**40:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes such as 4194304")
    return int(text)


def _container_id(text: str) -> str:
    if (text and len(text) < 12) or not all(c.isalnum() or c in "-_" for c in text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a container")
    return text


def _owner(text: str) -> str:
    if not all(32 < ord(c) < 127 for c in text) or len(text) > 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name such as alice@laptop")
    return text


def _memory(text: str) -> str:
    number = text[:-1] if text.endswith("%") else text
    if not 0 <= _number(number) < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a percentage such as 50% nor bytes")
    return text


def parser() -> argparse.ArgumentParser:
    """Returns the argument parser."""
    made = _Parser(
        prog="hunter.pyz",
        description="Traces the processes of this container that use much memory. Frames go to "
        "stdout and come from stdin: gatherer starts it and speaks them.",
    )
    made.add_argument("--version", action="version", version=f"hunter {__version__}")
    made.add_argument(
        "--memory", type=_memory, metavar="50%|BYTES", help="trace processes at or over it"
    )
    made.add_argument("--of", choices=("limit", "node"), default="limit", help="what 50%% is of")
    made.add_argument("--growth", type=_positive, metavar="BYTES_PER_SECOND")
    made.add_argument("--frequency", type=_positive, default=5.0, metavar="SECONDS")
    made.add_argument("--pid", type=_pid, action="append", default=[], metavar="PID")
    made.add_argument("--only-pids", action="store_true", help="trace no other processes")
    made.add_argument("--exclude-pid", type=_pid, action="append", default=[], metavar="PID")
    made.add_argument("--trace", default="", metavar="SET", help="as strace -e trace=SET")
    made.add_argument("--string-size", type=_string_size, default=32, metavar="BYTES")
    made.add_argument("--buffer", type=_bytes, default=4 << 20, metavar="BYTES")
    made.add_argument("--linger", type=_positive, default=10.0, metavar="SECONDS")
    made.add_argument("--follow-forks", action="store_true", help="trace children too")
    made.add_argument("--decode-fds", action="store_true", help="say what descriptors refer to")
    made.add_argument("--engine", choices=ENGINES, default="auto")
    made.add_argument("--no-ptrace", action="store_true", help="never use ptrace(2)")
    made.add_argument("--placement", choices=("auto", "off"), default="auto")
    made.add_argument("--max-overhead", type=_share, metavar="SHARE", help="such as 0.1")
    made.add_argument("--force", action="store_true", help="go on without memory headroom")
    made.add_argument(
        "--owner",
        type=_owner,
        default="",
        metavar="USER@HOST",
        help="whose hunter it is, for those who meet it",
    )
    made.add_argument("--sha256", default="", metavar="HEX", help="digest of this file")
    made.add_argument("--remove-self", action="store_true", help="delete this file once loaded")
    made.add_argument("--container-id", type=_container_id, default="", metavar="HEX")
    made.add_argument("--outside", action="store_true", help="that is another container")
    made.add_argument("--spec-limit", type=_bytes, metavar="BYTES", help="of the pod's spec")
    made.add_argument("--pod-limit", type=_bytes, metavar="BYTES", help="of the whole pod")
    return made


def parse(arguments: Optional[List[str]] = None) -> Config:
    """Returns the options of a command line.

    Args:
        arguments: without the program, sys.argv's by default.

    Raises:
        SystemExit: usage error (2), --help or --version (0).
    """
    given = parser().parse_args(arguments)
    percent, size = None, None
    if given.memory is not None and not given.only_pids:
        if given.memory.endswith("%"):
            percent = float(given.memory[:-1])
        else:
            size = int(float(given.memory))
    return Config(
        threshold=Threshold(percent, size, given.of, given.growth),
        frequency=given.frequency,
        pids=tuple(given.pid),
        only_pids=given.only_pids,
        exclude=tuple(given.exclude_pid),
        trace=given.trace,
        string_size=given.string_size,
        buffer_bytes=max(given.buffer, 1 << 16),
        linger=given.linger,
        engine=given.engine,
        placement=given.placement,
        max_overhead=given.max_overhead,
        force=given.force,
        sha256=given.sha256,
        remove_self=given.remove_self,
        container_id=given.container_id,
        outside=given.outside,
        spec_limit=given.spec_limit,
        pod_limit=given.pod_limit,
        follow_forks=given.follow_forks,
        decode_fds=given.decode_fds,
        no_ptrace=given.no_ptrace,
    )


def main(watchdog: Watchdog) -> int:
    """Runs hunter and returns its exit code; what is wrong is one line on stderr.

    Args:
        watchdog: ends hunter when it holds its target; it runs already.
    """
    config = parse()
    try:
        from hunter.app import Hunter

        return Hunter(config, watchdog).run()
    except HunterError as error:
        _say(" ".join(str(error).split()))
        return error.exit_code
    except Exception as error:
        if os.environ.get("HUNTER_DEBUG"):
            raise
        _say(f"{type(error).__name__}: {error}; set HUNTER_DEBUG=1 for a traceback")
        return 1


def _say(text: str) -> None:
    """Writes an error to stderr, as far as anybody is there."""
    try:
        sys.stderr.write(f"hunter: error: {text}\n")
        sys.stderr.flush()
    except OSError:
        pass
