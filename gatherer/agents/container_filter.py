"""The filter for samples that concern one container: its own, and its node's. Pure.

coroot names a container `/k8s/<namespace>/<pod>/<container>`, and one of a CronJob, whose pods are
`<cronjob>-<minutes since the epoch, 8 digits>-<5 characters>`, without its pod:
`/k8s-cronjob/<namespace>/<cronjob>/<container>` (containers/registry.go). Others have labels for
namespace, pod and container.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_CRONJOB = re.compile(r"(?P<name>.+)-\d{8}-[a-z0-9]{5}", re.ASCII)
_POD_LABELS = ("pod", "pod_name", "kubernetes_pod_name", "exported_pod")
_NAMESPACE_LABELS = ("namespace", "pod_namespace", "kubernetes_namespace", "exported_namespace")
_CONTAINER_LABELS = ("container", "container_name", "exported_container")
_OTHER_CONTAINERS = re.compile(r"/(k8s|k8s-cronjob|docker|swarm|nomad|talos|system\.slice)/.*")


@dataclass(frozen=True)
class ContainerFilter:
    """The part of an exposition that one capture keeps.

    Attributes:
        namespace: of the target's pod; empty to keep everything.
        pod: its name.
        container: name of the container, empty for any of the pod.
        own: whether the endpoint is in the target's pod, so that unlabelled samples are its own.
    """

    namespace: str = ""
    pod: str = ""
    container: str = ""
    own: bool = False

    @property
    def container_ids(self) -> tuple[str, ...]:
        """The forms of coroot's container_id that mean this container; without one: prefixes."""
        if not self.pod:
            return ()
        ids = [f"/k8s/{self.namespace}/{self.pod}/{self.container}"]
        cronjob = _CRONJOB.fullmatch(self.pod)
        if cronjob:
            ids.append(f"/k8s-cronjob/{self.namespace}/{cronjob['name']}/{self.container}")
        return tuple(ids)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Returns whether a sample with these labels is the container's, or that of none at all."""
        if not self.pod:
            return True
        container_id = labels.get("container_id")
        if container_id is not None and _OTHER_CONTAINERS.fullmatch(container_id):
            return self._names(container_id)
        pod = _first(labels, _POD_LABELS)
        if pod is None:
            return True
        namespace = _first(labels, _NAMESPACE_LABELS)
        container = _first(labels, _CONTAINER_LABELS)
        return (
            pod == self.pod
            and namespace in (None, self.namespace)
            and (not self.container or container in (None, "", self.container))
        )

    def is_container(self, labels: Mapping[str, str]) -> bool:
        """Returns whether a sample is the container's own rather than its node's or the agent's."""
        container_id = labels.get("container_id")
        if container_id is not None and self.pod:
            return self._names(container_id)
        return self.own or _first(labels, _POD_LABELS) == self.pod != ""

    def _names(self, container_id: str) -> bool:
        if self.container:
            return container_id in self.container_ids
        return container_id.startswith(self.container_ids)


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((labels[name] for name in names if name in labels), None)
