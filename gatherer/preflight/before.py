"""The checks before each capture, so that it fails early and says why as doctor would.

While the pod is looked up the server is asked for the rights without which nothing can start; that
costs no time. A hunter that then does not start is worth a look inside the container.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gatherer.errors import Forbidden, GathererError
from gatherer.preflight.checks import rights
from gatherer.preflight.collect import ask, caught
from gatherer.preflight.evaluation import evaluate
from gatherer.preflight.findings import Level
from gatherer.preflight.target_facts import TargetFacts, TargetRef
from gatherer.target.runtime import HunterChannel, Runtime
from gatherer.target.values import HunterImage, Target, TargetEnd
from gatherer.timeouts import within

if TYPE_CHECKING:
    from gatherer.kube.api import KubernetesApi
    from gatherer.kube.connection import ClusterConnection

EXPLAIN_SECONDS = 20.0
"""How long the look inside may take; without it the runtime's own words must do."""


class CheckedRuntime:
    """A runtime of a cluster whose start is checked, and explained when it fails.

    Args:
        runtime: of the target, on the same connection.
        cluster: the connection to ask on; closed together with the runtime.
        target_ref: the target.
        allowed: the rights have been checked already, as for another target of the same capture.
    """

    def __init__(
        self,
        runtime: Runtime,
        cluster: ClusterConnection,
        target_ref: TargetRef,
        *,
        allowed: bool = False,
    ) -> None:
        self._runtime = runtime
        self._cluster = cluster
        self._target_ref = target_ref
        self._allowed = allowed

    async def resolve(self) -> Target:
        """Finds the target and, the first time, checks the rights.

        Raises:
            Forbidden: a right is missing; the message names it, and how to get it.
            TargetNotFound: the target does not exist or does not run.
            GathererError: it cannot be asked about.
        """
        if self._allowed:
            return await self._runtime.resolve()
        refused, found = await asyncio.gather(
            caught(check_rights(self._cluster.api, self._target_ref)),
            caught(self._runtime.resolve()),
        )
        if isinstance(refused, GathererError):
            raise refused
        self._allowed = True
        if isinstance(found, GathererError):
            raise found
        return found

    async def changed(self, seconds: float) -> None:
        """Returns when there may be news about a target that does not run, or after a while."""
        await self._runtime.changed(seconds)

    async def ended(self) -> TargetEnd | None:
        """Asks how the instance that was found last ended; None while it runs.

        Raises:
            GathererError: nobody can tell.
        """
        return await self._runtime.ended()

    async def restarted(self) -> Target:
        """Asks for the instance after the one that was found last, and goes over to it.

        Raises:
            TargetNotRunning: it does not run yet.
            TargetGone: it will not run again.
            GathererError: nobody can tell now.
        """
        return await self._runtime.restarted()

    async def start(self, hunter: HunterImage, arguments: Sequence[str]) -> HunterChannel:
        """Brings hunter in and starts it.

        Raises:
            GathererError: it did not start; cause and remedy are doctor's, if it finds one.
        """
        try:
            return await self._runtime.start(hunter, arguments)
        except GathererError as error:
            explained = None if await self._has_ended() else await self._explained(error)
            if explained is None:
                raise
            raise explained from error

    async def rejoin(self, session: str) -> HunterChannel:
        """Opens another channel to a hunter that was started here and lost.

        Raises:
            HunterGone: hunter does not run any more.
            GathererError: it did not work this time.
        """
        return await self._runtime.rejoin(session)

    async def aclose(self) -> None:
        """Releases the connections."""
        try:
            await self._runtime.aclose()
        finally:
            await self._cluster.aclose()

    async def _has_ended(self) -> bool:
        """Whether the container went while hunter was brought in, which explains all."""
        try:
            return await self._runtime.ended() is not None
        except GathererError:
            return False

    async def _explained(self, error: GathererError) -> GathererError | None:
        """Returns an error with doctor's cause and remedy, None when doctor has none for it."""
        try:
            async with within(EXPLAIN_SECONDS):
                evidence = await ask(self._cluster.access, self._cluster.api, self._target_ref)
        except (TimeoutError, GathererError):
            return None
        found = evaluate(evidence).stopping
        if found is None:
            return None
        return error.replace(cause=str(found), remedy=found.remedy or error.remedy)


async def check_rights(api: KubernetesApi, target_ref: TargetRef) -> None:
    """Makes sure that the user may do what every capture does, as far as the server says.

    Args:
        api: of the server.
        target_ref: whose namespace counts.

    Raises:
        Forbidden: a right is missing; the message names it, and how to get it.
    """
    answers = await asyncio.gather(
        *(caught(api.may(right, target_ref.namespace)) for right in rights.NEEDED)
    )
    told = {
        right: answer if isinstance(answer, bool) else None
        for right, answer in zip(rights.NEEDED, answers, strict=True)
    }
    if False not in told.values():
        return
    version, user = await asyncio.gather(caught(api.version()), caught(api.user()))
    evidence = TargetFacts(
        target_ref,
        version=version if isinstance(version, str) else "",
        user=user if isinstance(user, str) else "",
        rights=told,
    )
    for finding in rights.findings(evidence):
        if finding.level is Level.STOPS:
            raise Forbidden(str(finding), finding.remedy)
