"""One connection to a cluster for many targets: credentials and requests are made once."""

from __future__ import annotations

import asyncio

from gatherer.kube.api import KubernetesApi
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.auth.configuration import load_access


class ClusterConnection:
    """An API server, as a kubeconfig names it.

    Args:
        kubeconfig: path; None for where kubectl looks.
        context: of the kubeconfig; None for the current one.
        max_starts: how many hunters may be brought in at the same time.

    Attributes:
        access: how to reach it.
        api: requests to it.
        starts: held while a hunter is brought in.
    """

    def __init__(self, kubeconfig: str | None, context: str | None, max_starts: int) -> None:
        """Reads the kubeconfig.

        Raises:
            ClusterUnreachable: there is none that can be used.
        """
        self.access: ClusterAccess = load_access(kubeconfig, context)
        self.api = KubernetesApi(self.access)
        self.starts = asyncio.Semaphore(max_starts)

    async def aclose(self) -> None:
        """Closes the connections to the API server; running hunters keep their own."""
        await self.api.aclose()
