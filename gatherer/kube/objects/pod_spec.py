"""Rights and health checks of containers, by a pod's spec. Pure.

Like in `models`, nothing is required: what is missing or of a wrong type is the empty value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatherer.kube.objects.json_fields import as_mapping, integer_at, string_at


@dataclass(frozen=True)
class SecurityContext:
    """A container's securityContext, with what it inherits from its pod's.

    Attributes:
        run_as_user: user id, None for the image's.
        read_only_root: `readOnlyRootFilesystem`.
        dropped: capabilities dropped, without `CAP_`; may be `ALL`.
        seccomp: `RuntimeDefault`, `Unconfined` or `Localhost`; empty when nothing is said.
        seccomp_file: name of a Localhost profile.
    """

    run_as_user: int | None = None
    read_only_root: bool = False
    dropped: tuple[str, ...] = ()
    seccomp: str = ""
    seccomp_file: str = ""

    @property
    def profile(self) -> str:
        """The seccomp profile as the spec names it, empty when it names none."""
        return f"{self.seccomp} {self.seccomp_file}".strip()

    @classmethod
    def from_json(cls, pod: object, container: object) -> SecurityContext:
        """Reads the securityContext of a container over that of its pod.

        Args:
            pod: decoded v1.PodSecurityContext.
            container: decoded v1.SecurityContext.
        """
        own = as_mapping(container)
        merged = {**as_mapping(pod), **own}
        changes = as_mapping(own.get("capabilities"))
        profile = as_mapping(merged.get("seccompProfile"))
        return cls(
            run_as_user=integer_at(merged, "runAsUser"),
            read_only_root=own.get("readOnlyRootFilesystem") is True,
            dropped=_capabilities(changes.get("drop")),
            seccomp=string_at(profile, "type"),
            seccomp_file=string_at(profile, "localhostProfile"),
        )


@dataclass(frozen=True)
class HealthCheck:
    """A liveness probe: what the kubelet does, and after how many failures it restarts.

    Attributes:
        action: such as `GET /healthz on port 8080`, `TCP port 8080`, `gRPC port 9000`, `exec`.
        period: seconds between two probes.
        timeout: seconds one probe may take.
        failures: failures in a row after which the container is restarted.
    """

    action: str
    period: int = 10
    timeout: int = 1
    failures: int = 3

    @classmethod
    def from_json(cls, document: object) -> HealthCheck | None:
        """Reads a decoded v1.Probe; None when there is none. Defaults are the API's."""
        probe = as_mapping(document)
        if not probe:
            return None
        return cls(
            action=_action(probe),
            period=_positive(probe, "periodSeconds", 10),
            timeout=_positive(probe, "timeoutSeconds", 1),
            failures=_positive(probe, "failureThreshold", 3),
        )


def _action(probe: Mapping[str, Any]) -> str:
    http, tcp, grpc = (as_mapping(probe.get(key)) for key in ("httpGet", "tcpSocket", "grpc"))
    if http:
        return f"GET {http.get('path') or '/'} on port {http.get('port', '?')}"
    if tcp:
        return f"TCP port {tcp.get('port', '?')}"
    if grpc:
        return f"gRPC port {grpc.get('port', '?')}"
    command = as_mapping(probe.get("exec")).get("command")
    arguments = command if isinstance(command, list) else []
    return " ".join(("exec", *(argument for argument in arguments if isinstance(argument, str))))


def _capabilities(names: object) -> tuple[str, ...]:
    listed = names if isinstance(names, list) else []
    return tuple(n.upper().removeprefix("CAP_") for n in listed if isinstance(n, str))


def _positive(mapping: Mapping[str, Any], key: str, default: int) -> int:
    value = integer_at(mapping, key)
    return value if value is not None and value > 0 else default
