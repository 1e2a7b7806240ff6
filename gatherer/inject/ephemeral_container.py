"""An ephemeral container beside the target, started for hunter to run in.

It ends by itself when hunter has ended (`gatherer.guest.pause`); that its entry stays in the pod's
spec cannot be helped.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gatherer.errors import Forbidden
from gatherer.inject.exec_start import program_text
from gatherer.kube.objects import ephemeral

if TYPE_CHECKING:
    from gatherer.kube.api import KubernetesApi

START_SECONDS = 120.0
"""How long its image may take to be pulled."""
_LOOK_SECONDS = 0.15


async def start_beside(
    api: KubernetesApi, namespace: str, pod: str, target: str, image: str, python: str = "python3"
) -> str:
    """Adds an ephemeral container to a pod and waits until it runs; returns its name.

    One that an earlier try has added and that is still on its way is taken instead.

    Args:
        api: of the server.
        namespace: of the pod.
        pod: its name.
        target: container whose PID namespace it joins.
        image: that has a Python.
        python: path of that Python.

    Raises:
        Forbidden: the user may not add one, or an admission rule stands against it.
        ApiError: the API server refused.
        DeployError: it does not start, or one of an earlier try with this image cannot; the
            message says why.
    """
    earlier = ephemeral.earlier(await api.read_pod(namespace, pod), image, target)
    if earlier is not None:
        ephemeral.check_earlier(earlier)
        name = earlier.name
    else:
        name = await _add(api, namespace, pod, target, image, python)
    end = time.monotonic() + START_SECONDS
    while True:
        found = await api.read_pod(namespace, pod)
        if ephemeral.is_running(found, name):
            return name
        if time.monotonic() > end:
            raise ephemeral.never_started(found, name, START_SECONDS)
        await asyncio.sleep(_LOOK_SECONDS)


async def _add(
    api: KubernetesApi, namespace: str, pod: str, target: str, image: str, python: str
) -> str:
    name = ephemeral.new_name()
    command = (python, "-I", "-B", "-S", "-c", program_text("pause"))
    try:
        await api.add_ephemeral_container(
            namespace, pod, ephemeral.container_patch(name, image, target, command)
        )
    except Forbidden as error:
        if "PodSecurity" in error.cause:
            remedy = "the namespace allows no SYS_PTRACE; ask for an exemption"
            raise error.replace(remedy=remedy) from error
        raise
    return name
