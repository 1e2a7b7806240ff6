"""Pods of the stand-in node agents, with the labels, ports and names of the real ones."""

from __future__ import annotations

from typing import Any

from tests.cluster.standin.harness import pod_manifest

Object = dict[str, Any]


def agent_pod(
    kind: str,
    name: str = "",
    *,
    listen: str = "",
    env: dict[str, str] | None = None,
    port: int | None = None,
    **spec: Any,
) -> Object:
    """Returns the pod of an agent, as its DaemonSet would make it.

    Args:
        kind: `coroot`, `parca` or `collector`.
        name: of the pod; one such as the DaemonSet gives by default.
        listen: address and port it binds, the agent's usual one by default.
        env: more environment.
        port: the declared containerPort, the seed's by default; 0 for none.
        spec: more fields of the pod's spec.
    """
    container, labels, annotations, default_port = {
        "coroot": (
            "coroot-node-agent",
            {"app": "coroot-node-agent"},
            {"prometheus.io/scrape": "true", "prometheus.io/port": "80"},
            80,
        ),
        "parca": (
            "parca-agent",
            {
                "app.kubernetes.io/name": "parca-agent",
                "app.kubernetes.io/instance": "parca-agent",
                "app.kubernetes.io/component": "observability",
            },
            {},
            7071,
        ),
        "collector": ("collector", {"app": "collector", "service": "collector"}, {}, 0),
    }[kind]
    pod = pod_manifest(
        name or {"coroot": "coroot-node-agent", "parca": "parca-agent"}.get(kind, kind) + "-x1b2c",
        ["python3", f"/app/agents/{kind}.py"],
        container=container,
        env={**({"LISTEN": listen} if listen else {}), **(env or {})},
        security={"privileged": True},
        hostPID=True,
        volumes=[
            {"name": "cgroupfs", "hostPath": {"path": "/sys/fs/cgroup"}},
            {"name": "runtime", "hostPath": {"path": "/run/containerd"}},
        ],
        **spec,
    )
    pod["metadata"] |= {"labels": labels, "annotations": annotations}
    main = pod["spec"]["containers"][0]
    main["volumeMounts"] = [
        {"name": "cgroupfs", "mountPath": "/host/sys/fs/cgroup", "readOnly": True},
        {"name": "runtime", "mountPath": "/run/containerd", "readOnly": True},
    ]
    declared = default_port if port is None else port
    if declared:
        main["ports"] = [{"containerPort": declared, "name": "http"}]
    return pod
