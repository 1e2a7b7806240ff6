"""Check: the verbs that are needed, by SelfSubjectAccessReview. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gatherer.kube.objects.review import Right, grant, role_name, service_account
from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts

GET_PODS = Right("get", "pods")
GET_EXEC = Right("get", "pods/exec")
CREATE_EXEC = Right("create", "pods/exec")

NEEDED = (GET_PODS, GET_EXEC, CREATE_EXEC)
"""Without one of them no capture can start."""

_LOSSES = {
    Right("patch", "pods/ephemeralcontainers"): "no ephemeral container can be added",
    Right("get", "pods/proxy"): "agents on the node cannot be asked through the API server",
    Right("get", "pods/portforward"): "agents that listen on loopback only cannot be asked",
    Right("create", "pods/portforward"): "agents that listen on loopback only cannot be asked",
    Right("get", "nodes", everywhere=True): "the node is known only as far as the container shows",
}
"""What is missing without the others."""

RIGHTS = (*NEEDED, *_LOSSES)
"""All that are asked about, in the order of the table."""

_CREATE_NEEDED_SINCE = (1, 35)  # before, a websocket exec needed `get` alone


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns a row for each right; the ones that stop a capture name each other's absence."""
    if evidence.failure is not None:
        return []
    lacking = missing(evidence)
    return [_finding(right, evidence, lacking) for right in RIGHTS]


def missing(evidence: TargetFacts) -> list[Right]:
    """Returns the rights without which no capture can start, as far as the server says."""
    return [right for right in NEEDED if _is_missing(right, evidence)]


def _finding(right: Right, evidence: TargetFacts, lacking: Sequence[Right]) -> Finding:
    scope = "in the cluster" if right.everywhere else f"in namespace {evidence.namespace}"
    answer = evidence.rights.get(right)
    if answer is None:
        return Finding(str(right), "not known", "the server does not say", Level.UNKNOWN)
    if answer:
        return Finding(str(right), f"allowed {scope}", "")
    refused = f"not allowed {scope}"
    if right in lacking:
        # One role mends all that is missing of the same resource.
        together = [other for other in lacking if other.resource == right.resource]
        names = " and ".join(other.verb for other in together)
        who = f" for {evidence.user}" if evidence.user else ""
        what = "the pod cannot be looked up" if right == GET_PODS else "nothing can be run in it"
        return Finding(
            str(right),
            f"not allowed {scope}",
            what,
            Level.STOPS,
            role_command(together, evidence),
            role_manifest(together, evidence),
            f"{names} {right.resource} {'are' if len(together) > 1 else 'is'} not allowed {scope}"
            f"{who}",
        )
    if right == CREATE_EXEC:
        return Finding(
            str(right), refused, f"not needed by {evidence.version}; 1.35 asks for it", Level.NOTE
        )
    return Finding(
        str(right), refused, _LOSSES[right], Level.NOTE,
        role_command([right], evidence), role_manifest([right], evidence),
    )  # fmt: skip


def _is_missing(right: Right, evidence: TargetFacts) -> bool:
    if evidence.rights.get(right) is not False:
        return False
    version = re.match(r"v(\d{1,3})\.(\d{1,3})", evidence.version)
    return (
        right != CREATE_EXEC
        or version is None
        or (int(version[1]), int(version[2])) >= _CREATE_NEEDED_SINCE
    )


def role_command(rights: Sequence[Right], evidence: TargetFacts) -> str:
    """Returns the kubectl commands that give rights on one resource to the user.

    Args:
        rights: of the same resource.
        evidence: namespace and user.
    """
    namespace = "" if rights[0].everywhere else evidence.namespace
    verbs = ",".join(right.verb for right in rights)
    return grant(verbs, rights[0].resource, evidence.user, namespace)


def role_manifest(rights: Sequence[Right], evidence: TargetFacts) -> str:
    """Returns the same as YAML: a role and its binding.

    Args:
        rights: of the same resource.
        evidence: namespace and user.
    """
    resource, everywhere = rights[0].resource, rights[0].everywhere
    name = role_name(resource)
    prefix = "Cluster" if everywhere else ""
    where = "" if everywhere else f"\n  namespace: {evidence.namespace}"
    verbs = ", ".join(right.verb for right in rights)
    account = service_account(evidence.user)
    if account:
        subject = f"kind: ServiceAccount\n  namespace: {account[0]}\n  name: {account[1]}"
    else:
        subject = f"kind: User\n  apiGroup: rbac.authorization.k8s.io\n  name: {_user(evidence)}"
    return f"""\
apiVersion: rbac.authorization.k8s.io/v1
kind: {prefix}Role
metadata:
  name: {name}{where}
rules:
- apiGroups: [""]
  resources: ["{resource}"]
  verbs: [{verbs}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {prefix}RoleBinding
metadata:
  name: {name}{where}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {prefix}Role
  name: {name}
subjects:
- {subject}
"""


def _user(evidence: TargetFacts) -> str:
    return evidence.user or "USER"
