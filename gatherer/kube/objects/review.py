"""Rights on the Kubernetes API: how they are asked about, and what the answers say. Pure.

SelfSubjectAccessReview is authorization.k8s.io/v1, SelfSubjectReview authentication.k8s.io/v1.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

from gatherer.kube.objects.json_fields import as_mapping, string_at


@dataclass(frozen=True)
class Right:
    """A verb on a resource of the core group.

    Attributes:
        verb: such as `create`.
        resource: with its subresource, such as `pods/exec`.
        everywhere: it is about the whole cluster instead of a namespace.
    """

    verb: str
    resource: str
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"

    def review(self, namespace: str) -> dict[str, Any]:
        """Returns the SelfSubjectAccessReview that asks for it.

        Args:
            namespace: of the objects.
        """
        resource, _, subresource = self.resource.partition("/")
        attributes = {"verb": self.verb, "group": "", "resource": resource}
        if subresource:
            attributes["subresource"] = subresource
        if not self.everywhere:
            attributes["namespace"] = namespace
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }


def allowed(document: object) -> bool:
    """Returns the answer of a SelfSubjectAccessReview; what is not said is not allowed."""
    return as_mapping(as_mapping(document).get("status")).get("allowed") is True


def user_name(document: object) -> str:
    """Returns the user of a SelfSubjectReview, empty when it names none."""
    name = as_mapping(as_mapping(as_mapping(document).get("status")).get("userInfo")).get(
        "username"
    )
    return name if isinstance(name, str) else ""


def git_version(document: object) -> str:
    """Returns the version of a version.Info, empty when it has none."""
    return string_at(as_mapping(document), "gitVersion")


def service_account(user: str) -> tuple[str, str] | None:
    """Returns namespace and name of a service account; None for any other user.

    Args:
        user: as the server calls it.
    """
    match = re.fullmatch(r"system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)", user)
    return (match[1], match[2]) if match else None


def role_name(resource: str) -> str:
    """Returns what the role with rights on a resource is called.

    Args:
        resource: such as `pods/exec`.
    """
    return "gatherer-" + re.sub(r"[/.]", "-", resource)


def grant(verbs: str, resource: str, user: str, namespace: str = "") -> str:
    """Returns the kubectl commands that give a user rights on a resource: a role and its binding.

    Args:
        verbs: separated by commas.
        resource: such as `pods/exec`, or `deployments.apps`.
        user: as the server calls it, empty when that is not known.
        namespace: of the objects, empty for the whole cluster.
    """
    kind, where = ("role", f" -n {namespace}") if namespace else ("clusterrole", "")
    account = service_account(user)
    subject = (
        f"--serviceaccount={account[0]}:{account[1]}"
        if account
        else f"--user={shlex.quote(user) if user else 'USER'}"
    )
    name = role_name(resource)
    return (
        f"`kubectl create {kind} {name}{where} --verb={verbs} --resource={resource}` and "
        f"`kubectl create {kind}binding {name}{where} --{kind}={name} {subject}`"
    )
