"""Node agents attached to captures: one `AgentPull` for each, all with one `Sources`."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.diagnostics import ClusterRef
from gatherer.agents.pulling import AgentPull
from gatherer.agents.record import AgentRecord
from gatherer.agents.scrape.sources import Sources
from gatherer.capture.session_document import SessionDocument
from gatherer.config import CaptureConfig
from gatherer.kube.auth.access import ClusterAccess
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.target.values import Target
from gatherer.view.base import CaptureView

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class AgentAttacher:
    """Attaches the node agents to each capture of a run.

    Args:
        config: what to do.
    """

    def __init__(self, config: CaptureConfig) -> None:
        target = config.target

        def open_access() -> ClusterAccess:
            # Imported here: a capture without node agents needs none of it.
            from gatherer.kube.auth.configuration import load_access

            return load_access(target.kubeconfig, target.context)

        self._interval = config.agent_interval
        self._heap = config.agent_heap
        self._cluster = ClusterRef(target.kubeconfig, target.context)
        self.sources = Sources(config.agents, open_access)

    def attach(
        self,
        target: Target,
        directory: CaptureDirectory,
        view: CaptureView,
        document: SessionDocument,
    ) -> AgentPull:
        """Returns what pulls the node agents of a capture.

        Args:
            target: what is captured.
            directory: where it is written.
            view: what is shown.
            document: of the capture; gives clock and cgroup version once hunter has said Hello.
        """
        record = AgentRecord(directory, view, lambda: document.clock)
        if target.runtime == "local":
            container_filter = own_container_filter()
        else:
            container_filter = ContainerFilter(target.namespace, target.pod, target.container)
        return AgentPull(
            self.sources,
            target,
            container_filter,
            record,
            self._interval,
            lambda: document.hello.cgroup_version if document.hello is not None else 0,
            self._heap,
            self._cluster,
        )

    async def aclose(self) -> None:
        """Closes connections and ends the parser."""
        await self.sources.aclose()


def own_container_filter(service_account: Path = SERVICE_ACCOUNT) -> ContainerFilter:
    """Returns what selects the container this runs in; everything, when it is in none.

    In a pod the host name is the pod's; the container's name nothing tells. A container of another
    runtime is known to agents by a name that it does not know itself.

    Args:
        service_account: directory of the service account's token.
    """
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return ContainerFilter()
    try:
        namespace = (service_account / "namespace").read_text("utf-8").strip()
    except OSError:
        return ContainerFilter()
    return ContainerFilter(namespace, platform.node(), "")
