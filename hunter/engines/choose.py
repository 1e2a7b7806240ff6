"""The choice of an engine, by rights, machine and kernel. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from hunter.engines.base import MACHINE_ABI
from hunter.errors import UsageError

ENGINES = ("auto", "ebpf", "ptrace", "ptrace-python")

ANOTHER_HUNTER = "another hunter of this node traces with it"
"""Why ebpf is not taken where it could be."""


class Choice(NamedTuple):
    """The engine, and why.

    Attributes:
        engine: its name, empty when nothing can be traced.
        reason: why this one, or what stands in the way.
    """

    engine: str
    reason: str

    @property
    def tracing(self) -> str:
        """`on`, or `denied: <cause>` as session.json has it."""
        return "on" if self.engine else f"denied: {self.reason}"


def without_ptrace(choice: Choice) -> Choice:
    """Returns the same choice, or none where it is an engine that stops its target.

    Args:
        choice: what would be used.
    """
    if not choice.engine.startswith("ptrace"):
        return choice
    return Choice("", f"{choice.reason}; no ptrace after a hunter that was stuck")


def choose(
    asked: str,
    machine: str,
    release: str,
    ptrace_refused: str,
    native_refused: str = "",
    ebpf_refused: str = "not tried",
) -> Choice:
    """Returns the engine to use.

    Args:
        asked: name of an engine, or `auto`.
        machine: as uname(2) says.
        release: kernel release, such as `6.1.0-18-amd64`.
        ptrace_refused: what ptrace(2) answered to a harmless request, empty when it may be used.
        native_refused: why the loop in C cannot be loaded, empty when it can.
        ebpf_refused: why the programs cannot be loaded, empty when they are loaded.

    Raises:
        UsageError: no such engine.
    """
    if asked not in ENGINES:
        raise UsageError(f"no engine {asked!r}; there are {', '.join(ENGINES)}")
    if machine not in MACHINE_ABI:
        return Choice("", f"no syscall table for {machine} machines")
    if asked in ("auto", "ebpf") and not ebpf_refused:
        return Choice("ebpf", "asked for" if asked == "ebpf" else "bpf(2) is allowed")
    if asked == "ebpf":
        return Choice("", f"ebpf: {ebpf_refused}")
    version = tuple(int(number) for number in re.findall(r"\d+", release)[:2])
    if version < (5, 3):
        return Choice("", f"kernel {release} has no PTRACE_GET_SYSCALL_INFO, which came with 5.3")
    if ptrace_refused:
        return Choice("", f"ptrace(2) is forbidden ({ptrace_refused}), as by a seccomp profile")
    if asked == "ptrace" and native_refused:
        return Choice("", native_refused)
    if asked != "auto":
        return Choice(asked, "asked for")
    instead = f"ebpf: {ebpf_refused}"
    if native_refused:
        return Choice("ptrace-python", f"{instead}; ptrace: {native_refused}")
    return Choice("ptrace", instead)
