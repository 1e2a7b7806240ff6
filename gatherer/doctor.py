"""`gatherer doctor`: asks, judges, shows, and says by its exit code whether a capture can run."""

from __future__ import annotations

import asyncio
import shutil
from typing import TextIO

from gatherer.config import TargetConfig
from gatherer.errors import GathererError
from gatherer.preflight.checks import judge
from gatherer.preflight.evidence import Evidence, Question
from gatherer.preflight.questions import ask
from gatherer.view.doctor import document, table

_PLAIN_WIDTH = 140
"""Characters of a line that goes to a file or a pipe."""


def run_doctor(target: TargetConfig, stdout: TextIO, *, as_json: bool = False) -> int:
    """Looks at a target and returns 0 when a capture can run, 3 when something stops it.

    Args:
        target: what to look at.
        stdout: where the table, or one line of JSON, goes.
        as_json: JSON instead of the table.
    """
    report = judge(asyncio.run(examine(target)))
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


async def examine(target: TargetConfig) -> Evidence:
    """Returns all that can be learned about a target; a useless kubeconfig is part of it.

    Args:
        target: what to look at.
    """
    # The kubernetes package takes longer to load than --help may take.
    from gatherer.kube.api import KubernetesApi
    from gatherer.kube.credentials import load_access

    try:
        access = load_access(target.kubeconfig, target.context)
    except GathererError as error:
        question = Question(target.namespace or "default", target.pod, target.container)
        return Evidence(question, failure=error)
    question = Question(
        target.namespace or access.namespace,
        target.pod,
        target.container,
        access.context,
        access.server,
    )
    api = KubernetesApi(access)
    try:
        return await ask(access, api, question)
    finally:
        await api.aclose()
