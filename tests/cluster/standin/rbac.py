"""Who may do what: users by token or client certificate, and their rules. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster.standin import manifest_rules, workloads
from tests.cluster.standin.request_attributes import Attributes

_OWN_RIGHTS = ("authorization.k8s.io", "authentication.k8s.io")
_READ = frozenset({"get", "list", "watch"})


@dataclass(frozen=True)
class Rule:
    """Verbs on resources of some groups; a subresource is written ``pods/exec``."""

    verbs: frozenset[str]
    resources: frozenset[str]
    groups: frozenset[str] = frozenset({""})


@dataclass(frozen=True)
class User:
    """One user: the name that forbidden requests show, and the rules of all its roles."""

    name: str
    rules: tuple[Rule, ...] = ()
    superuser: bool = False


ANONYMOUS = User("system:anonymous")
ADMIN = User("kubernetes-admin", superuser=True)


def service_account(namespace: str, name: str, *rules: Rule) -> User:
    """Returns the user a service account is; without rules it may only ask what it may do."""
    return User(f"system:serviceaccount:{namespace}:{name}", rules)


_READ_PODS = Rule(_READ, frozenset({"pods"}))


def _exec(*verbs: str) -> Rule:
    return Rule(frozenset(verbs), frozenset({"pods/exec"}))


# What a capture with all its ways and agents wants: verb and resource.
CAPTURE = (
    ("get", "pods"),
    ("get", "pods/exec"),
    ("create", "pods/exec"),
    ("patch", "pods/ephemeralcontainers"),
    ("get", "pods/proxy"),
    ("get", "pods/portforward"),
    ("create", "pods/portforward"),
    ("get", "nodes"),
)


def _capture_without(verb: str, resource: str) -> User:
    rules = (
        Rule(frozenset({one}), frozenset({other}))
        for one, other in CAPTURE
        if (one, other) != (verb, resource)
    )
    return service_account("default", without(verb, resource), *rules)


def without(verb: str, resource: str) -> str:
    """Returns the name of the user who has every right of a capture but one."""
    return f"without-{verb}-{resource.replace('/', '-')}"


_READ_WORKLOADS = Rule(
    frozenset({"get", "list"}), frozenset(workloads.KINDS), frozenset({"apps", "batch"})
)

_MANIFEST = (
    Rule(frozenset(rule["verbs"]), frozenset(rule["resources"]), frozenset(rule["apiGroups"]))
    for rule in manifest_rules.rules()
)

# By the name of the kubeconfig context.
USERS = {
    "gatherer": service_account("default", "gatherer", *_MANIFEST),
    "admin": ADMIN,
    "viewer": service_account("default", "viewer", _READ_PODS),
    "getonly": service_account("default", "getonly", _READ_PODS, _exec("get")),
    "createonly": service_account("default", "createonly", _READ_PODS, _exec("create")),
    "execer": service_account("default", "execer", _READ_PODS, _exec("get", "create")),
    "tracer": service_account(
        "default", "tracer", _READ_PODS, _exec("get", "create"), _READ_WORKLOADS
    ),
    "unwatching": service_account(
        "default",
        "unwatching",
        Rule(frozenset({"get", "list"}), frozenset({"pods"})),
        _exec("get", "create"),
    ),
    "unlisting": service_account(
        "default",
        "unlisting",
        Rule(frozenset({"get"}), frozenset({"pods"})),
        _exec("get", "create"),
    ),
    "proxier": service_account(
        "default",
        "proxier",
        _READ_PODS,
        _exec("get", "create"),
        Rule(frozenset({"get"}), frozenset({"pods/proxy"})),
    ),
    "forwarder": service_account(
        "default",
        "forwarder",
        _READ_PODS,
        _exec("get", "create"),
        Rule(frozenset({"get", "create"}), frozenset({"pods/portforward"})),
    ),
    "debugger": service_account(
        *("default", "debugger", _READ_PODS, _exec("get", "create")),
        Rule(frozenset({"patch"}), frozenset({"pods/ephemeralcontainers"})),
    ),
    **{without(*right): _capture_without(*right) for right in CAPTURE},
}


def allowed(user: User, wanted: Attributes) -> bool:
    """Tells whether a user may make a request."""
    if user.superuser:
        return True
    if user is ANONYMOUS:
        return wanted.resource == "" and wanted.path in (
            "/version",
            "/version/",
            "/healthz",
            "/livez",
            "/readyz",
        )
    if wanted.resource == "":
        # system:discovery
        return wanted.verb == "get"
    if wanted.group in _OWN_RIGHTS and wanted.verb == "create":
        return wanted.resource.startswith("selfsubject")
    return any(
        wanted.group in rule.groups
        and wanted.verb in rule.verbs
        and wanted.resource_path in rule.resources
        for rule in user.rules
    )


def forbidden_message(user: User, wanted: Attributes) -> str:
    """Returns the message of the 403 that answers a request."""
    if wanted.resource == "":
        return f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
    resource = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    subject = f'{resource} "{wanted.name}"' if wanted.name else resource
    scope = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    return (
        f'{subject} is forbidden: User "{user.name}" cannot {wanted.verb} resource '
        f'"{wanted.resource_path}" in API group "{wanted.group}" {scope}'
    )
