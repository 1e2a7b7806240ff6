"""Discovery of the agents among the pods of a node, and where each may listen. Pure.

Labels, names, images and ports of both eras: coroot-node-agent (port 80, or the loopback's 10300
since it sends to a collector), parca-agent and Polar Signals' (7071), StackRox Collector (9090 for
metrics, 8080 for the rest, which no manifest declares).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gatherer.kube.objects.json_fields import as_mapping, as_mappings, as_strings
from gatherer.kube.objects.models import Container, Pod

COROOT, PARCA, COLLECTOR, PROMETHEUS = "coroot", "parca", "collector", "prometheus"
KINDS = (COROOT, PARCA, COLLECTOR)
"""The agents that are looked for; `PROMETHEUS` is any other endpoint."""

LABEL_SELECTORS = (
    "app in (coroot-node-agent,parca-agent,collector)",
    "app.kubernetes.io/name in (coroot-node-agent,parca-agent,polarsignals-agent)",
    "app.kubernetes.io/component=coroot-node-agent",
)
"""Selectors that find agents wherever they are, to say where they do run."""

NAMESPACES = ("coroot", "parca", "polarsignals", "stackrox", "rhacs-operator", "monitoring")
"""Where agents usually are, for those who may not list the pods of all namespaces."""

_SCRAPE = "prometheus.io/scrape"
_PORT = "prometheus.io/port"
_PATH = "prometheus.io/path"
_LISTEN = re.compile(r"--(?:listen|http-address)(?:=(?P<value>\S+))?")
_PATH_TEXT = re.compile(r"/[A-Za-z0-9._~/%?=&+:-]{0,200}", re.ASCII)


@dataclass(frozen=True)
class AgentKind:
    """One kind of agent, and the marks of its pods.

    Attributes:
        name: as `--agent` takes it.
        title: as people call it.
        apps: values of the labels `app`, `app.kubernetes.io/name` and `…/component`.
        images: words in the last part of an image's name.
        ports: where it listens when nothing else is said, most likely first.
    """

    name: str
    title: str
    apps: tuple[str, ...]
    images: tuple[str, ...]
    ports: tuple[int, ...]


AGENTS = {
    kind.name: kind
    for kind in (
        AgentKind(
            COROOT, "coroot-node-agent", ("coroot-node-agent",), ("coroot-node-agent",), (80, 10300)
        ),
        AgentKind(
            PARCA,
            "Parca agent",
            ("parca-agent", "polarsignals-agent"),
            ("parca-agent", "polarsignals-agent"),
            (7071,),
        ),
        AgentKind(
            COLLECTOR, "StackRox Collector", (), ("collector", "rhacs-collector-rhel8"), (9090,)
        ),
    )
}


@dataclass(frozen=True)
class AgentPod:
    """A pod that is, or holds, an agent.

    Attributes:
        kind: one of `KINDS`, or `PROMETHEUS` for an annotated pod.
        pod: the pod.
        container: the agent's container in it, None for an annotated pod.
        ports: to try, most likely first.
        path: of the metrics.
        sidecar: whether it is in the target's own pod.
        arguments: its command line, as far as the spec gives it.
        environment: its variables that have a plain value.
        mounts: paths of the node that are mounted into it.
    """

    kind: str
    pod: Pod
    container: Container | None
    ports: tuple[int, ...]
    path: str = "/metrics"
    sidecar: bool = False
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The pod with its namespace."""
        return f"{self.pod.namespace}/{self.pod.name}"

    @property
    def problem(self) -> str:
        """The reason why it cannot answer, empty when it runs."""
        if self.container is None:
            return "" if self.pod.phase == "Running" else f"its pod is {self.pod.phase or 'new'}"
        state, last = self.container.state, self.container.last_state
        if state.kind == "running":
            return ""
        text = state.reason or state.kind or self.pod.phase or "not started"
        ended = state if state.kind == "terminated" else last
        if ended.kind == "terminated":
            said = f": {ended.message}" if ended.message else ""
            text += f", it last ended with {ended.reason or 'exit'} {ended.exit_code}{said}"
        return text


def find_agents(
    documents: Iterable[object], wanted: Iterable[str], target: tuple[str, str]
) -> list[AgentPod]:
    """Returns the agents among the pods of the target's node.

    Args:
        documents: decoded v1.Pod objects.
        wanted: kinds; with `PROMETHEUS` among them, the target pod's own annotation counts too.
        target: namespace and name of the target's pod.

    Returns:
        At most one agent of each kind outside the target's pod, one that runs where there is a
        choice, and those in it; sidecars first.
    """
    kinds = set(wanted)
    found: list[AgentPod] = []
    for document in documents:
        raw = as_mapping(document)
        pod = Pod.from_json(raw)
        sidecar = (pod.namespace, pod.name) == target
        agents = [agent for agent in _agents_of(raw, pod, sidecar) if agent.kind in kinds]
        if sidecar and not agents and PROMETHEUS in kinds:
            agents = _annotated(raw, pod)
        found += agents
    found.sort(key=lambda agent: (not agent.sidecar, bool(agent.problem), agent.name))
    chosen: list[AgentPod] = []
    for agent in found:
        if agent.sidecar or agent.kind not in {each.kind for each in chosen if not each.sidecar}:
            chosen.append(agent)
    return chosen


def _agents_of(raw: Mapping[str, Any], pod: Pod, sidecar: bool) -> list[AgentPod]:
    found = []
    for kind in AGENTS.values():
        container = _agent_container(kind, _labels(raw), pod, sidecar)
        if container is not None:
            found.append(_agent(kind, raw, pod, container, sidecar))
    return found


def _agent_container(
    kind: AgentKind, labels: Mapping[str, str], pod: Pod, sidecar: bool
) -> Container | None:
    everything = (*pod.containers, *pod.init_containers)
    for container in everything:
        image = container.image.rpartition("/")[2].partition("@")[0].partition(":")[0]
        if kind.name == COLLECTOR:
            # Other projects have a collector too: StackRox's has two labels, or its image's name.
            ours = container.name == "collector" and (
                labels.get("app") == labels.get("service") == "collector"
                or "stackrox" in container.image
                or "rhacs" in container.image
            )
            if ours:
                return container
        elif image in kind.images or container.name in kind.images:
            return container
    if sidecar:
        return None
    told = {
        labels.get(key, "")
        for key in ("app", "app.kubernetes.io/name", "app.kubernetes.io/component")
    }
    if told & set(kind.apps) and pod.containers:
        return pod.containers[0]
    return None


def _agent(
    kind: AgentKind, raw: Mapping[str, Any], pod: Pod, container: Container, sidecar: bool
) -> AgentPod:
    spec = _container_spec(raw, container.name)
    arguments = tuple(_texts(spec.get("command")) + _texts(spec.get("args")))
    environment = {
        str(item["name"]): item["value"]
        for item in as_mappings(spec.get("env"))
        if isinstance(item.get("name"), str) and isinstance(item.get("value"), str)
    }
    told = [] if sidecar else [_annotations(raw).get(_PORT, "")]
    told += [_listened(arguments), environment.get("LISTEN", "").rpartition(":")[2]]
    ports = [int(text) for text in told if _is_port(text)]
    if kind.name != COLLECTOR:
        # A Collector pod also declares the ports of its neighbours' servers.
        ports += [port for port in map(_port, as_mappings(spec.get("ports"))) if port]
    return AgentPod(
        kind.name,
        pod,
        container,
        tuple(dict.fromkeys([*ports, *kind.ports])),
        sidecar=sidecar,
        arguments=arguments,
        environment=environment,
        mounts=_host_paths(raw, spec),
    )


def _annotated(raw: Mapping[str, Any], pod: Pod) -> list[AgentPod]:
    annotations = _annotations(raw)
    if annotations.get(_SCRAPE, "true") != "true" or not _is_port(annotations.get(_PORT, "")):
        return []
    path = annotations.get(_PATH, "/metrics")
    path = path if _PATH_TEXT.fullmatch(path) else "/metrics"
    return [AgentPod(PROMETHEUS, pod, None, (int(annotations[_PORT]),), path, sidecar=True)]


def _listened(arguments: tuple[str, ...]) -> str:
    """Returns the port of --listen or --http-address, empty when the command line has none."""
    for index, argument in enumerate(arguments):
        match = _LISTEN.fullmatch(argument)
        if match:
            value = match["value"] or "".join(arguments[index + 1 : index + 2])
            return value.rpartition(":")[2]
    return ""


def _container_spec(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    spec = as_mapping(raw.get("spec"))
    for key in ("containers", "initContainers"):
        for entry in as_mappings(spec.get(key)):
            if entry.get("name") == name:
                return entry
    return {}


def _host_paths(raw: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the paths of the node that a container mounts."""
    mounted = {mount.get("name") for mount in as_mappings(container.get("volumeMounts"))}
    return tuple(
        path
        for volume in as_mappings(as_mapping(raw.get("spec")).get("volumes"))
        if volume.get("name") in mounted
        and isinstance(path := as_mapping(volume.get("hostPath")).get("path"), str)
    )


def _labels(raw: Mapping[str, Any]) -> Mapping[str, str]:
    return as_strings(as_mapping(raw.get("metadata")).get("labels"))


def _annotations(raw: Mapping[str, Any]) -> Mapping[str, str]:
    return as_strings(as_mapping(raw.get("metadata")).get("annotations"))


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


def _port(entry: Mapping[str, Any]) -> int:
    value = entry.get("containerPort")
    protocol = entry.get("protocol", "TCP")
    return value if type(value) is int and 0 < value < 65536 and protocol == "TCP" else 0
