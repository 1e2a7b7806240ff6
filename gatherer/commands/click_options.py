"""Parameters of the command line: what click's options are made of, and those of several commands.

Every option has its environment variable GATHERER_<OPTION>.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatherer.errors import ConfigError
from gatherer.text import quoted
from hg_shared.nearest import did_you_mean

if TYPE_CHECKING:
    # Generic since click 8.2 only.
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType

_PREFIX = "GATHERER_"
_SERVICE = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)$"
)
TIMESTAMPS = ("none", "time", "unix", "relative")


class Parsed(_ParamType):
    """A click type that is one of the parsers of gatherer.commands.option_values.

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


def pod_reference(text: str) -> str:
    """Returns what `-p` gives as it is, after checking that it stands for pods.

    Args:
        text: a name, or `deploy/NAME` and the like.

    Raises:
        ValueError: it is none.
    """
    # Imported here: the package above it is not needed for anything else.
    from gatherer.kube.objects.references import POD, parse_reference

    if not text:
        return text
    reference = parse_reference(text)
    return reference.name if reference.resource == POD else text


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """Returns a click option with its environment variable GATHERER_<OPTION>.

    Args:
        names: such as `-p` and `--pod`.
        settings: as click.option takes them.
    """
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = _PREFIX + long[2:].upper().replace("-", "_")
    return click.option(*names, envvar=variable, **settings)


def unknown_variables(
    environment: Mapping[str, str], commands: Iterable[click.Command]
) -> list[str]:
    """Returns a sentence for each variable GATHERER_… that is none of an option.

    Those are left out that Kubernetes makes in a pod of a service called gatherer.

    Args:
        environment: all variables.
        commands: all commands.
    """
    known = {each.envvar for command in commands for each in command.params if each.envvar}
    options = sorted(str(name).removeprefix(_PREFIX) for name in known)
    return [
        f"the environment variable {quoted(name)} is of no option"
        + did_you_mean(name.removeprefix(_PREFIX), options, _PREFIX)
        for name in sorted(environment)
        if name.startswith(_PREFIX) and name not in known and not _SERVICE.search(name)
    ]


def cluster_options(command: Any) -> Any:
    """Gives a command the options that say which cluster and namespace."""
    for add in (
        option("--kubeconfig", metavar="FILE", help="kubeconfig  [as kubectl]"),
        option("--context", metavar="NAME", help="kubeconfig context  [the current one]"),
        option("-n", "--namespace", metavar="NS", help="namespace  [the context's]"),
    ):
        command = add(command)
    return command


output_option = option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("strace-logs"), metavar="DIR",
    help="the capture directory  [strace-logs]",
)  # fmt: skip
debug_option = option("--debug", is_flag=True, help="tracebacks with errors")
