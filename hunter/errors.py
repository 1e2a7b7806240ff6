"""Errors of hunter, and the exit code each one means.

- HunterError
  - UsageError (2): options that make no sense
  - NotPermitted (3): tracing is not allowed; says which rule stands in the way
  - AlreadyTraced (3): another tracer has the process
  - ProcessGone (3): no such process any more
  - UnsupportedArch (3): no syscall table or no tracer for this machine
  - NoRoom (3): as much is traced as one hunter can
  - FewFiles (3): no more files can be opened
  - NothingToTrace (3): none of the processes that were asked for is there
  - NoHeadroom (3): hunter itself could push the container over its memory limit
"""

from __future__ import annotations


class HunterError(Exception):
    """A cause and a remedy on one line.

    Attributes:
        exit_code: exit code of hunter when this ends it.
    """

    exit_code = 3


class UsageError(HunterError):
    """Options that make no sense."""

    exit_code = 2


class NotPermitted(HunterError):
    """ptrace(2) answered EPERM or EACCES."""


class AlreadyTraced(HunterError):
    """The process has a tracer; the text says which."""


class ProcessGone(HunterError):
    """The process or thread does not exist any more."""


class UnsupportedArch(HunterError):
    """Tracing is not built for this machine or kernel."""


class NoRoom(HunterError):
    """As much is traced as one hunter can."""


class FewFiles(HunterError):
    """No file can be opened any more; says how many hunter may have open."""


class NothingToTrace(HunterError):
    """None of the processes that were asked for is there, or they are ours."""


class NoHeadroom(HunterError):
    """Too little memory is left below the container's limit."""
