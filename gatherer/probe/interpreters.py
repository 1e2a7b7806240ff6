"""The Pythons of a container, and the one that hunter can run on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gatherer.errors import DeployError
from gatherer.kube.answers import exec_error, is_refused_program
from gatherer.kube.exec.channels import ExecExited, ExecFailed
from gatherer.probe.run_command import OpenExec, run_command
from gatherer.text import one_line
from gatherer.timeouts import within
from hg_shared import mark

MINIMUM_VERSION = (3, 8)

SHELLS = ("sh", "/bin/sh", "/busybox/sh")
CANDIDATES = (
    "python3",
    *(f"python3.{minor}" for minor in range(14, 7, -1)),
    "python",
    "/usr/local/bin/python3",
    "/usr/bin/python3",
    "/opt/venv/bin/python3",
    "/opt/bitnami/python/bin/python3",
    "/opt/conda/bin/python3",
    "/usr/libexec/platform-python",
)
"""Interpreters that are tried, in this order; a name is looked up in the container's PATH."""

_GLOBS = (
    "/opt/*/bin/python3",
    "/usr/local/*/bin/python3",
    "/venv/bin/python3",
    "/app/.venv/bin/python3",
)

_PROBE_TIMEOUT = 60.0  # seconds

# Runs on Python 2 too, so that an old one can be named. Exit code 0: hunter can run on it.
_PROBE = mark.PYTHON + (
    "import sys\n"
    "try:\n"
    "    import ctypes\n"
    '    has = "ctypes"\n'
    "except ImportError:\n"
    '    has = "-"\n'
    'sys.stdout.write("%d.%d.%d " % sys.version_info[:3]'
    ' + has + " " + (sys.executable or sys.argv[1]) + "\\n")\n'
    f'sys.exit(not (sys.version_info >= {MINIMUM_VERSION} and has == "ctypes"))'
)
_PROBE_SCRIPT = mark.SHELL + (
    f"for python in {' '.join((*CANDIDATES, *_GLOBS))}; do\n"
    'command -v "$python" >/dev/null 2>&1 || continue\n'
    f'"$python" -B -E -S -c \'{_PROBE}\' "$python" </dev/null 2>/dev/null && break\n'
    "done\n"
    ":"
)
# Looks without running anything: a Python that only starts takes 3 MB of the container's memory.
_LOCATE_SCRIPT = (
    f"for python in {' '.join((*CANDIDATES, *_GLOBS))}; do\n"
    'command -v "$python" 2>/dev/null && break\n'
    "done\n"
    ":"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python in the container.

    Attributes:
        path: of its program.
        version: such as (3, 11, 2).
        has_ctypes: whether it can call ptrace(2).
    """

    path: str
    version: tuple[int, int, int]
    has_ctypes: bool = True

    @property
    def usable(self) -> bool:
        """Whether hunter can run on it."""
        return self.version >= MINIMUM_VERSION and self.has_ctypes

    def __str__(self) -> str:
        return f"{self.path} {'.'.join(map(str, self.version))}"


async def find_python(open_exec: OpenExec, container: str) -> Interpreter:
    """Returns a Python of the container that hunter can run on.

    Raises:
        DeployError: there is none; the message tells what was found.
    """
    try:
        async with within(_PROBE_TIMEOUT):
            found = await _probe(open_exec)
    except TimeoutError as error:
        raise DeployError(
            f"looking for Python in {container} took more than {_PROBE_TIMEOUT:.0f} s",
            "see whether the container is out of CPU: `kubectl top pod`",
        ) from error
    return choose_interpreter(found, container)


async def locate_python(open_exec: OpenExec) -> str:
    """Returns the path of a Python of the container, of whatever version; empty when it has none.

    Args:
        open_exec: starts commands in the container.

    Raises:
        ExecError: the channel broke.
        ApiError: the API server refused the exec.
    """
    for shell in SHELLS:
        done = await run_command(open_exec, (shell, "-c", _LOCATE_SCRIPT))
        if isinstance(done.end, ExecExited):
            found = done.stdout.decode("utf-8", "surrogateescape").strip()
            return found if re.fullmatch(r"/\S.{0,4094}", found) else ""
        if not is_refused_program(done.end.status):
            raise exec_error(done.end.status, shell)
    found_directly = await _probe_directly(open_exec)
    return next((one.path for one in found_directly if one.usable), "")


async def _probe(open_exec: OpenExec) -> list[Interpreter]:
    found = await _probe_with_shell(open_exec)
    return found if found is not None else await _probe_directly(open_exec)


async def _probe_with_shell(open_exec: OpenExec) -> list[Interpreter] | None:
    """Asks a shell of the container; None when it has none that can be run."""
    for shell in SHELLS:
        done = await run_command(open_exec, (shell, "-c", _PROBE_SCRIPT))
        if isinstance(done.end, ExecFailed):
            if is_refused_program(done.end.status):
                continue
            raise exec_error(done.end.status, shell)
        return parse_interpreters(done.stdout)
    return None


async def _probe_directly(open_exec: OpenExec) -> list[Interpreter]:
    found: list[Interpreter] = []
    for candidate in CANDIDATES:
        done = await run_command(open_exec, (candidate, "-B", "-E", "-S", "-c", _PROBE, candidate))
        if isinstance(done.end, ExecExited):
            found += parse_interpreters(done.stdout)
            if any(interpreter.usable for interpreter in found):
                break
        elif not is_refused_program(done.end.status):
            raise exec_error(done.end.status, candidate)
    return found


def parse_interpreters(output: bytes) -> list[Interpreter]:
    """Reads the lines of the probe; anything else a container may print is passed over."""
    found = []
    for line in output.decode("utf-8", "surrogateescape").splitlines():
        match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3}) (ctypes|-) (\S.{0,4095})", line)
        if match is not None:
            major, minor, micro = (int(match[group]) for group in (1, 2, 3))
            found.append(Interpreter(match[5], (major, minor, micro), match[4] == "ctypes"))
    return found


def choose_interpreter(found: Sequence[Interpreter], container: str) -> Interpreter:
    """Returns the first interpreter hunter can run on.

    Args:
        found: in the order in which they were tried.
        container: what the message calls it.

    Raises:
        DeployError: there is none.
    """
    for interpreter in found:
        if interpreter.usable:
            return interpreter
    wanted = ".".join(map(str, MINIMUM_VERSION))
    if not found:
        raise DeployError(
            f"{container} has no Python: tried {', '.join(CANDIDATES)}",
            f"hunter needs CPython {wanted} or later in the container's image",
        )
    listed = one_line(", ".join(dict.fromkeys(map(str, found))))
    if any(interpreter.version >= MINIMUM_VERSION for interpreter in found):
        raise DeployError(
            f"the Python of {container} has no ctypes module: {listed}",
            "add it to the image (Debian: libpython3-stdlib)",
        )
    raise DeployError(
        f"the Python of {container} is too old: {listed}",
        f"hunter needs CPython {wanted} or later in the container's image",
    )
