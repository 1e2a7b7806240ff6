"""One request for exec: its query, and the checks before any process is started. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.cluster.standin.status import bad_request

Object = dict[str, Any]


@dataclass(frozen=True)
class ExecRequest:
    """The query of pods/exec (PodExecOptions)."""

    command: tuple[str, ...]
    container: str
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def from_query(cls, query: list[tuple[str, str]]) -> ExecRequest:
        """Reads a query; ``command`` comes once for each word."""
        last = dict(query)

        def flag(name: str) -> bool:
            return last.get(name, "").lower() in ("1", "t", "true")

        return cls(
            command=tuple(value for key, value in query if key == "command"),
            container=last.get("container", ""),
            stdin=flag("stdin"),
            stdout=flag("stdout"),
            # A terminal has one output only.
            stderr=flag("stderr") and not flag("tty"),
            tty=flag("tty"),
        )

    @property
    def any_stream(self) -> bool:
        """Whether at least one stream is asked for."""
        return self.stdin or self.stdout or self.stderr


def choose_container(pod: Object, wanted: str) -> str:
    """Returns the container the API server sends a request on to.

    Raises:
        ApiError: there is none of that name, several and none named, or no node yet.
    """
    name = pod["metadata"]["name"]
    names = [
        item["name"]
        for group in ("containers", "initContainers", "ephemeralContainers")
        for item in pod["spec"].get(group, [])
    ]
    if not wanted:
        if len(pod["spec"]["containers"]) > 1:
            raise bad_request(
                f"a container name must be specified for pod {name}, choose one of: "
                f"[{' '.join(names)}]"
            )
        wanted = pod["spec"]["containers"][0]["name"]
    elif wanted not in names:
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {name} does not have a host assigned")
    return wanted
