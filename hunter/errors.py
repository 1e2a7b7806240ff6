"""Errors of hunter, and the exit code each one means: 3 unless the class says another."""

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


class ProcessGone(HunterError):
    """The process or thread does not exist any more."""


class NoRoom(HunterError):
    """As much is traced as one hunter can."""


class FewFiles(HunterError):
    """No file can be opened any more; says how many hunter may have open."""


class NothingToTrace(HunterError):
    """None of the processes that were asked for is there, or they are ours."""


class NoHeadroom(HunterError):
    """Too little memory is left below the container's limit."""
