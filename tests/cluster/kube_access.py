"""What the tests of gatherer's Kubernetes client share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.auth.configuration import load_access
from gatherer.kube.exec.channels import SUBPROTOCOLS, ExecEnd, StreamData
from gatherer.kube.exec.session import ExecSession, open_exec
from tests.cluster.standin.harness import StandInCluster

PYTHON_TARGET = ("problempod", "buggycontainer")


def access_to(cluster: StandInCluster, context: str | None = None) -> ClusterAccess:
    return load_access(str(cluster.kubeconfig), context)


async def execute(
    access: ClusterAccess,
    *command: str,
    pod: str = PYTHON_TARGET[0],
    container: str = PYTHON_TARGET[1],
    namespace: str = "default",
    stdin: bool = False,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
) -> ExecSession:
    return await open_exec(
        access, namespace, pod, container, command, stdin=stdin, subprotocols=subprotocols
    )


async def finish(session: ExecSession) -> tuple[bytes, bytes, ExecEnd]:
    """Reads an exec to its end: stdout, stderr and how it ended."""
    streams = {1: bytearray(), 2: bytearray()}
    try:
        while True:
            async with asyncio.timeout(60):
                event = await session.receive()
            if isinstance(event, StreamData):
                streams[event.channel] += event.data
            else:
                return bytes(streams[1]), bytes(streams[2]), event  # type: ignore[return-value]
    finally:
        await session.aclose()


def edited_kubeconfig(
    cluster: StandInCluster,
    path: Path,
    *,
    user: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Writes the admin context of the cluster's kubeconfig, with another user or cluster."""
    document = json.loads(cluster.kubeconfig.read_text())
    document["clusters"][0]["cluster"].update(changes)
    document["users"] = [{"name": "admin", "user": user}] if user is not None else document["users"]
    path.write_text(json.dumps(document))
    return path


def user_named(cluster: StandInCluster, name: str) -> dict[str, Any]:
    document = json.loads(cluster.kubeconfig.read_text())
    return {entry["name"]: entry["user"] for entry in document["users"]}[name]
