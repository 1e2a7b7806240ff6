"""`gatherer doctor`: asks, judges, shows, and says by its exit code whether a capture can run."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from gatherer.commands import event_loop
from gatherer.config import TargetConfig
from gatherer.errors import GathererError
from gatherer.kube.objects.references import POD, parse_reference
from gatherer.preflight.agent_lookup import ask_agents
from gatherer.preflight.collect import ask_cluster, ask_inside
from gatherer.preflight.evaluation import evaluate
from gatherer.preflight.table import document, table
from gatherer.preflight.target_facts import TargetFacts, TargetRef

if TYPE_CHECKING:
    from gatherer.kube.api import KubernetesApi

_PLAIN_WIDTH = 140
"""Characters of a line that goes to a file or a pipe."""


def run_doctor(target: TargetConfig, stdout: TextIO, *, as_json: bool = False) -> int:
    """Looks at a target and returns 0 when a capture can run, 3 when something stops it.

    Args:
        target: what to look at.
        stdout: where the table, or one line of JSON, goes.
        as_json: JSON instead of the table.
    """
    # Loaded here, Ctrl-C still ends the program at once.
    import gatherer.kube.api
    import gatherer.kube.auth.configuration  # noqa: F401

    report = evaluate(event_loop.run(examine(target)))
    if as_json:
        lines = [document(report)]
    else:
        width = shutil.get_terminal_size().columns if stdout.isatty() else _PLAIN_WIDTH
        lines = table(report, width)
    text = "".join(f"{line}\n" for line in lines)
    encoding = getattr(stdout, "encoding", None) or "utf-8"
    try:
        stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stdout.flush()
    except OSError:
        pass  # Whoever read it is gone; the exit code still tells.
    return report.exit_code


async def examine(target: TargetConfig) -> TargetFacts:
    """Returns all that can be learned about a target; a useless kubeconfig is part of it.

    Args:
        target: what to look at.
    """
    # aiohttp takes longer to load than --help may take.
    from gatherer.kube.api import KubernetesApi
    from gatherer.kube.auth.configuration import load_access

    try:
        access = load_access(target.kubeconfig, target.context)
    except GathererError as error:
        target_ref = TargetRef(target.namespace or "default", target.pod, target.container)
        return TargetFacts(target_ref, failure=error)
    target_ref = TargetRef(
        target.namespace or access.namespace,
        target.pod,
        target.container,
        access.context,
        access.server,
    )
    api = KubernetesApi(access)
    try:
        try:
            target_ref = await _one_pod(api, target_ref)
        except GathererError as error:
            return replace(await ask_cluster(api, target_ref), pod_failure=error)
        # An agent is looked for in the pods of a node, which may be many: meanwhile.
        evidence = await ask_cluster(api, target_ref)
        inside, around = await asyncio.gather(
            ask_inside(access, evidence), ask_agents(access, evidence)
        )
        return replace(inside, agents=around.agents)
    finally:
        await api.aclose()


async def _one_pod(api: KubernetesApi, target_ref: TargetRef) -> TargetRef:
    """Returns a reference to one pod of a workload, a running one if there is any.

    Raises:
        GathererError: there is no such workload, or it has no pods.
    """
    from gatherer.kube.watch.pod_sources import pod_source

    reference = parse_reference(target_ref.pod)
    if reference.resource == POD:
        return replace(target_ref, pod=reference.name)
    source = pod_source(api, target_ref.namespace, reference, lambda _: None)
    pods = [change.pod for change in await anext(source.changes())]
    pod = min(pods, key=lambda each: (each.phase != "Running", each.name))
    return replace(target_ref, pod=pod.name)
