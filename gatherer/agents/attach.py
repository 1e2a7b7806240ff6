"""The agents of a run of gatherer: one `AgentPull` for each capture, all with one `Sources`."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from gatherer.agents.container_filter import Selection
from gatherer.agents.diagnostics import Reach
from gatherer.agents.pulling import AgentPull
from gatherer.agents.record import AgentRecord
from gatherer.agents.scrape.sources import Sources
from gatherer.capture_dir import CaptureDirectory
from gatherer.config import CaptureConfig
from gatherer.kube.access import ClusterAccess
from gatherer.runtimes import Target
from gatherer.session_document import SessionDocument
from gatherer.view import View

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Companions:
    """Makes companions for captures.

    Args:
        config: what to do.
    """

    def __init__(self, config: CaptureConfig) -> None:
        target = config.target

        def open_access() -> ClusterAccess:
            # Imported here: the kubernetes package takes longer to load than --help may take.
            from gatherer.kube.credentials import load_access

            return load_access(target.kubeconfig, target.context)

        self._interval = config.agent_interval
        self._heap = config.agent_heap
        self._reach = Reach(target.kubeconfig, target.context)
        self.sources = Sources(config.agents, open_access)

    def accompany(
        self,
        target: Target,
        directory: CaptureDirectory,
        view: View,
        document: SessionDocument,
    ) -> AgentPull:
        """Returns the companion of a capture.

        Args:
            target: what is captured.
            directory: where it is written.
            view: what is shown.
            document: of the capture; gives clock and cgroup version once hunter has said Hello.
        """
        record = AgentRecord(directory, view, lambda: document.clock)
        if target.runtime == "local":
            selection = own_container()
        else:
            selection = Selection(target.namespace, target.pod, target.container)
        return AgentPull(
            self.sources,
            target,
            selection,
            record,
            self._interval,
            lambda: document.hello.cgroup_version if document.hello is not None else 0,
            self._heap,
            self._reach,
        )

    async def aclose(self) -> None:
        """Closes connections and ends the parser."""
        await self.sources.aclose()


def own_container(service_account: Path = SERVICE_ACCOUNT) -> Selection:
    """Returns what selects the container this runs in; everything, when it is in none.

    In a pod the host name is the pod's; the container's name nothing tells. A container of another
    runtime is known to agents by a name that it does not know itself.

    Args:
        service_account: directory of the service account's token.
    """
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return Selection()
    try:
        namespace = (service_account / "namespace").read_text("utf-8").strip()
    except OSError:
        return Selection()
    return Selection(namespace, platform.node(), "")
