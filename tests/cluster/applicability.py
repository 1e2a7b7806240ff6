"""Which tests of the cluster apply to one that KUBECONFIG names (CLUSTER=real), and why others not.

A test that is not in the table runs. One that finds out itself that the cluster cannot do what it
needs skips with the same words.
"""

from __future__ import annotations

import os

REAL = os.environ.get("CLUSTER") == "real"
WORDS = "not applicable: "

_BACK_OFF = "it needs a back-off of half a second; a kubelet's begins at ten and doubles"
_STANDIN = "it tests the stand-in itself"
_PROXY = "it puts faults between gatherer and the API server's address, which is the stand-in's"
_ANSWERS = "it has the API server answer with faults"
_AUDIT = "it reads the audit log of the stand-in"
_AGENTS = "it needs the stand-in agents"
_PARTS = "it kills and starts the node's kubelet and containerd"
_CLIENT = "it tests gatherer's client alone, by internal names of the stand-in; no capture"

# By the name of a file, or of a file and a test of it.
TABLE = {
    "test_standin_ephemeral": _STANDIN,
    "test_standin_exec": _STANDIN,
    "test_standin_kubectl": _STANDIN,
    "test_standin_node": _STANDIN,
    "test_standin_ports": _STANDIN,
    "test_standin_pure": _STANDIN,
    "test_standin_workloads": _STANDIN,
    "test_chaos": _PROXY,
    "test_rejoin": _PROXY,
    "test_slow_link": _PROXY,
    "test_two_captures::test_hunter_does_not_trace_its_own_relay": _PROXY,
    "test_waiting::test_three_lives_of_a_container_in_a_crash_loop": _BACK_OFF,
    "test_kube_faults": _ANSWERS,
    "test_kube_errors": _ANSWERS,
    "test_kube_credentials": _ANSWERS,
    "test_kubectl_table": _AUDIT,
    "test_manifests": _AUDIT,
    "test_agents": _AGENTS,
    "test_node_restarts": _PARTS,
    "test_kube_bootstrap": _CLIENT,
    "test_kube_deploy": _CLIENT,
    "test_kube_exec": _CLIENT,
    "test_kube_pods": _CLIENT,
    "test_kube_ports": _CLIENT,
    "test_kube_relay": _CLIENT,
}


def reason(module: str, test: str) -> str | None:
    """Returns why a test does not apply to a real cluster, None when it does.

    Args:
        module: name of its file, without the suffix.
        test: its name, parameters left out.
    """
    return TABLE.get(module) or TABLE.get(f"{module}::{test}")
