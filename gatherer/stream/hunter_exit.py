"""The end of hunter's process: its exit code and the last lines of its stderr. Pure."""

from __future__ import annotations

from gatherer.errors import DeployError, GathererError, TargetNotFound
from gatherer.stream.receiver import Receiver
from gatherer.target.values import SILENT, Exit
from gatherer.text import printable

NOTHING_TO_TRACE = ("no process", "process ", "processes ")
"""The beginning of hunter's message when it finds none of the processes it was asked for."""
_ERROR_PREFIX = "hunter: error: "
_STUCK_PREFIX = "hunter: stuck: "


def no_hello(receiver: Receiver, ended: Exit, waited: float) -> GathererError:
    """Returns the error for a hunter that never introduced itself.

    Args:
        receiver: what came instead.
        ended: how its process ended; code None without a message while it runs.
        waited: seconds it was waited for.
    """
    said = hunter_error(ended.stderr)
    if said:
        cause, _, remedy = said.partition("; ")
        if cause.startswith(NOTHING_TO_TRACE):
            return TargetNotFound(cause, remedy)
        return DeployError(f"hunter could not start: {cause}", remedy)
    if receiver.preview and not receiver.loading:
        text = printable(receiver.preview.decode("utf-8", "replace"), 120)
        return DeployError(
            f"what runs as hunter does not speak its protocol, it wrote '{text}'",
            "check what the container's python writes to stdout when it starts",
        )
    last = ended.stderr.strip().splitlines()[-1:]
    message = f": {printable(last[0], 200)}" if last else ""
    if ended.code is None and not ended.message:
        return DeployError(
            f"hunter said nothing for {waited:g} s"
            f"{' while it loaded its engine' if receiver.loading else ''}{message}",
            "see whether the target is out of CPU or memory",
        )
    return DeployError(
        f"hunter ended before it began: {exit_text(ended)}{message}",
        "see whether the target is out of memory, and run again with --debug",
    )


def hunter_error(stderr: str) -> str:
    """Returns what hunter gave as its error, empty when it gave none.

    Args:
        stderr: the last lines of its stderr.
    """
    for line in reversed(stderr.splitlines()):
        if line.startswith(_ERROR_PREFIX):
            return printable(line.removeprefix(_ERROR_PREFIX).strip(), 400)
    return ""


def stuck(ended: Exit) -> str:
    """Returns why hunter's watchdog has ended it, empty when it has not.

    Args:
        ended: how hunter's process ended.
    """
    for line in reversed(ended.stderr.splitlines()):
        if line.startswith(_STUCK_PREFIX):
            return printable(line.removeprefix(_STUCK_PREFIX).strip(), 400)
    return ""


def exit_text(ended: Exit) -> str:
    """Returns how hunter's process ended, as a clause.

    Args:
        ended: its end.
    """
    if ended.code is None:
        return printable(ended.message, 200) or "hunter did not say how it ended"
    if ended.code == SILENT:
        return "hunter ended without a word, as when it is killed"
    if ended.code > 128:
        return f"hunter was killed by signal {ended.code - 128}"
    exited = f"hunter ended with exit code {ended.code}"
    last = ended.stderr.strip().splitlines()[-1:]
    return f"{exited}, {printable(last[0], 200)}" if last else exited
