"""The look inside a container: programs of the probe, run by an exec. Nothing stays there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gatherer.kube.answers import exec_error, is_refused_program
from gatherer.kube.exec.channels import ExecExited
from gatherer.probe.facts import ContainerFacts, Memory
from gatherer.probe.interpreters import CANDIDATES, SHELLS
from gatherer.probe.output import glance, interior
from gatherer.probe.program import glance_script, python_program, shell_script
from gatherer.probe.run_command import OpenExec, run_command
from gatherer.text import one_line

PROBE_SECONDS = 60.0
_MAX_REFUSED = 200  # characters


@dataclass(frozen=True)
class _Answer:
    """The result of a program that was run in the container.

    Attributes:
        output: its stdout.
        refused: the runtime's message when it could not be run, empty when it was.
    """

    output: bytes = b""
    refused: str = ""


async def glance_inside(open_exec: OpenExec) -> tuple[Memory | None, str] | None:
    """Asks the first shell that runs for memory and a Python; None where no shell does.

    Args:
        open_exec: starts commands in the container.
    """
    for shell in SHELLS:
        seen = glance((await _run(open_exec, (shell, "-c", glance_script()))).output)
        if seen is not None:
            return seen
    return None


async def look_inside(open_exec: OpenExec) -> tuple[ContainerFacts | None, str]:
    """Asks the first shell that runs, else the first Python; tells what refused to run."""
    refused = ""
    for shell in SHELLS:
        answer = await _run(open_exec, (shell, "-c", shell_script()))
        seen = interior(answer.output, shell, shell)
        if seen is not None:
            return seen, ""
        refused = refused or answer.refused or f"{shell} does not do what a shell does"
    for python in CANDIDATES:
        answer = await _run(open_exec, (python, "-B", "-E", "-S", "-c", python_program(), python))
        seen = interior(answer.output, python, "")
        if seen is not None:
            return seen, refused
    return None, refused


async def _run(open_exec: OpenExec, command: Sequence[str]) -> _Answer:
    """Runs a command to its end.

    Raises:
        ExecError: the channel broke, or the container has ended.
        ApiError: the API server refused the exec.
    """
    done = await run_command(open_exec, command)
    if isinstance(done.end, ExecExited):
        return _Answer(output=done.stdout)
    error = exec_error(done.end.status, command[0])
    if not is_refused_program(done.end.status):
        raise error
    reason = error.cause.rpartition(": unknown")[0] or error.cause
    return _Answer(refused=one_line(reason)[-_MAX_REFUSED:])
