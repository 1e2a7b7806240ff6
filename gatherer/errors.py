"""Errors that end a capture, and the exit code each one means.

- GathererError
  - ConfigError (2): options that make no sense
  - TargetNotFound (3): no such pod, container, process
    - TargetNotRunning: it does not run yet, and may later
    - WaitedInVain: it did not run in time
  - TargetGone (1): the target went away while it was captured
  - HunterGone (1): the hunter that was lost does not run any more
  - ApiError (3): the Kubernetes API refused
    - Unauthorized, Forbidden, NotFound, ServerError
  - ClusterUnreachable (3): no answer from the API server, or none that can be trusted
  - ExecError (3): the exec channel could not be opened or broke
  - PortForwardError (3): a port of a pod could not be reached
  - DeployError (3): hunter could not be brought into the target or started there
  - TracingDenied (3): a process may not be traced, and --require-trace was given
  - StreamError (1): the stream of hunter broke its own rules
  - LogWriteError (1): the capture directory cannot be written
    - OutputUnusable (3): it could not be used from the start
  - Interrupted (1): the user would not wait for hunter to start
  - ScrapeError (1): a node agent gave nothing usable

Each is one line: what happened, and what to do about it.
"""

from __future__ import annotations


class GathererError(Exception):
    """A cause and a remedy.

    Attributes:
        cause: what happened, without a full stop.
        remedy: what the user can do, without a full stop; may be empty.
        exit_code: process exit code of docs/exit-codes.
    """

    exit_code = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def replace(self, **changed: str | int) -> GathererError:
        """Returns this error with other values of some attributes.

        Args:
            changed: the values, by attribute.
        """
        error = type(self).__new__(type(self), self.cause, self.remedy)
        error.__dict__.update(self.__dict__ | changed)
        error.__cause__ = self
        return error

    def __str__(self) -> str:
        line = f"{self.cause}; {self.remedy}" if self.remedy else self.cause
        return " ".join(line.split())


class ConfigError(GathererError):
    """Options that make no sense, alone or together."""

    exit_code = 2


class TargetNotFound(GathererError):
    """The pod, container or process does not exist, or does not run."""

    exit_code = 3


class TargetNotRunning(TargetNotFound):
    """The container does not run yet, and may later.

    Attributes:
        reason: why not, in a word of Kubernetes, such as `CrashLoopBackOff`.
        message: the words to it, may be empty.
    """

    def __init__(self, cause: str, remedy: str, reason: str, message: str = "") -> None:
        super().__init__(cause, remedy)
        self.reason = reason
        self.message = message


class WaitedInVain(TargetNotFound):
    """The container did not run for as long as it was waited for."""


class TargetGone(GathererError):
    """The target went away while it was captured."""


class HunterGone(GathererError):
    """The hunter that was to be joined again does not run any more."""


class ApiError(GathererError):
    """The Kubernetes API answered with a failure.

    Attributes:
        status: HTTP status code.
    """

    exit_code = 3

    def __init__(self, cause: str, remedy: str = "", status: int = 0) -> None:
        super().__init__(cause, remedy)
        self.status = status


class Unauthorized(ApiError):
    """The credentials were refused (401)."""


class Forbidden(ApiError):
    """A verb on a resource is not allowed (403).

    Attributes:
        verb: such as `create`, empty when the answer does not say.
        resource: such as `pods/exec`, empty when the answer does not say.
    """

    def __init__(
        self, cause: str, remedy: str = "", status: int = 403, verb: str = "", resource: str = ""
    ) -> None:
        super().__init__(cause, remedy, status)
        self.verb = verb
        self.resource = resource


class NotFound(ApiError):
    """The object does not exist (404)."""


class ServerError(ApiError):
    """The API server or the kubelet failed (5xx)."""


class ClusterUnreachable(GathererError):
    """No kubeconfig, no connection, or a certificate that is not trusted."""

    exit_code = 3


class ExecError(GathererError):
    """The exec channel could not be opened, or ended without a status."""

    exit_code = 3


class PortForwardError(GathererError):
    """A port of a pod could not be reached through the API server, or the connection broke."""

    exit_code = 3


class DeployError(GathererError):
    """Hunter could not be brought into the target or started there."""

    exit_code = 3


class TracingDenied(GathererError):
    """A process may not be traced, although it was asked for with --require-trace."""

    exit_code = 3


class StreamError(GathererError):
    """Hunter's stream broke its own rules."""


class LogWriteError(GathererError):
    """The capture directory cannot be written."""


class OutputUnusable(LogWriteError):
    """The capture directory cannot be created, written or locked when the capture starts."""

    exit_code = 3


class Interrupted(GathererError):
    """The user would not wait until hunter had started."""


class ScrapeError(GathererError):
    """A node agent gave nothing usable."""


def unexpected(error: Exception) -> GathererError:
    """Returns the line for an error that should not be.

    Args:
        error: what was raised; it is the cause of what is returned.
    """
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    failure = GathererError(f"unexpected {what}", "run again with --debug and report it")
    failure.__cause__ = error
    return failure
