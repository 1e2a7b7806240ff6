"""The kubeconfig format: files merged and a context chosen as kubectl does. Pure.

The loader of the `kubernetes` package is not used for it: of several files its last one sets the
current context (kubectl: the first), and a failing exec plugin is only logged, so that requests go
out without credentials.

Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from gatherer.errors import ClusterUnreachable

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"


@dataclass(frozen=True)
class Material:
    """A certificate or key: its PEM text, or the file that holds it.

    Attributes:
        data: PEM, empty when it is in a file.
        path: of the file, empty when there is none.
    """

    data: bytes = b""
    path: str = ""

    def __bool__(self) -> bool:
        return bool(self.data or self.path)


@dataclass(frozen=True)
class Cluster:
    """An entry of `clusters`.

    Attributes:
        server: URL without a slash at the end.
        certificate_authority: whom to trust; empty for the system's roots.
        insecure: `insecure-skip-tls-verify`.
        tls_server_name: empty for the server's own name.
        proxy_url: empty for what the environment says.
        exec_config: what an exec plugin is told about the cluster in `config`.
    """

    server: str
    certificate_authority: Material = Material()
    insecure: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    exec_config: object = None


@dataclass(frozen=True)
class ExecPlugin:
    """The `exec` of a user: a program that prints credentials.

    Attributes:
        command: name or path; a relative path is already resolved.
        api_version: of ExecCredential.
        arguments: command line.
        environment: what is added to it.
        install_hint: the words to show when the program is missing.
        provide_cluster_info: whether it is told about the cluster.
        interactive_mode: `Never`, `IfAvailable` or `Always`.
    """

    command: str
    api_version: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = "IfAvailable"


@dataclass(frozen=True)
class User:
    """An entry of `users`.

    Attributes:
        token: bearer token.
        token_file: file of a token that is renewed there; goes before `token`.
        username: of basic authentication.
        password: of basic authentication.
        certificate: client certificate.
        key: of the client certificate.
        exec_plugin: program that prints credentials.
        impersonate: headers that ask to act as another user.
    """

    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    certificate: Material = Material()
    key: Material = Material()
    exec_plugin: ExecPlugin | None = None
    impersonate: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """A context and what it refers to.

    Attributes:
        context: its name.
        namespace: `default` when it names none.
        cluster: of the context.
        user: of the context, an empty one when it names none.
    """

    context: str
    namespace: str
    cluster: Cluster
    user: User


def select_context(
    files: Sequence[tuple[str, str]], requested: str | None, *, file_hint: str
) -> Selection:
    """Merges kubeconfig files and returns one context.

    Args:
        files: (path, text) of each file, in the order of $KUBECONFIG: the first file that has an
            entry of a name, or sets the current context, wins.
        requested: name of the context, None for the current one.
        file_hint: how the message calls the files.

    Raises:
        ClusterUnreachable: a file is no kubeconfig, or there is no such context, cluster or user.
    """
    contexts: dict[str, _Entry] = {}
    clusters: dict[str, _Entry] = {}
    users: dict[str, _Entry] = {}
    current = ""
    for path, text in files:
        document = _load(path, text)
        for key, entries in (("contexts", contexts), ("clusters", clusters), ("users", users)):
            for entry in _entries(document, key, path):
                entries.setdefault(entry.name, entry)
        if not current:
            current = _text(document, "current-context", path)

    name = requested or current
    if not name:
        raise ClusterUnreachable(
            f"{file_hint} sets no current context",
            f"give --context, or run `kubectl config use-context NAME` ({_listed(contexts)})",
        )
    if name not in contexts:
        raise ClusterUnreachable(
            f"context {name!r} does not exist in {file_hint}", f"choose one: {_listed(contexts)}"
        )
    context = contexts[name]
    namespace = _text(context.body, "namespace", context.path) or "default"
    cluster = _referred(context, "cluster", clusters)
    if cluster is None:
        raise ClusterUnreachable(
            f"context {name!r} in {context.path} names no cluster", "add its cluster"
        )
    user = _referred(context, "user", users)
    return Selection(
        context=name,
        namespace=namespace,
        cluster=_cluster(cluster),
        user=_user(user) if user is not None else User(),
    )


@dataclass(frozen=True)
class _Entry:
    name: str
    body: Mapping[str, Any]
    path: str


def _load(path: str, text: str) -> Mapping[str, Any]:
    import yaml  # type: ignore[import-untyped]  # no stubs; 20 ms that --help does not need

    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise ClusterUnreachable(
            f"kubeconfig {path}{where}: {problem}", "correct the file, or give another --kubeconfig"
        ) from error
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise _broken(path, "it is not a mapping")
    return document


def _entries(document: Mapping[str, Any], key: str, path: str) -> list[_Entry]:
    listed = document.get(key) or []
    if not isinstance(listed, list):
        raise _broken(path, f"{key} is not a list")
    singular = key[:-1]
    entries = []
    for entry in listed:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise _broken(path, f"an entry of {key} has no name")
        body = entry.get(singular) or {}
        if not isinstance(body, Mapping):
            raise _broken(path, f"{singular} {entry['name']!r} is not a mapping")
        entries.append(_Entry(entry["name"], body, path))
    return entries


def _referred(context: _Entry, key: str, entries: Mapping[str, _Entry]) -> _Entry | None:
    name = _text(context.body, key, context.path)
    if not name:
        return None
    if name not in entries:
        raise ClusterUnreachable(
            f"context {context.name!r} in {context.path} names {key} {name!r}, which is missing",
            f"add the {key}, or choose another context with --context",
        )
    return entries[name]


def _cluster(entry: _Entry) -> Cluster:
    body, path = entry.body, entry.path
    server = _text(body, "server", path).rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise _broken(path, f"cluster {entry.name!r} has no server URL (https://HOST:PORT)")
    exec_config = None
    extensions = body.get("extensions")
    for extension in extensions if isinstance(extensions, list) else ():
        if isinstance(extension, Mapping) and extension.get("name") == _EXEC_EXTENSION:
            exec_config = extension.get("extension")
    return Cluster(
        server=server,
        certificate_authority=_material(entry, "certificate-authority"),
        insecure=body.get("insecure-skip-tls-verify") is True,
        tls_server_name=_text(body, "tls-server-name", path),
        proxy_url=_text(body, "proxy-url", path),
        exec_config=exec_config,
    )


def _user(entry: _Entry) -> User:
    body, path = entry.body, entry.path
    token = _text(body, "token", path)
    provider = body.get("auth-provider")
    if isinstance(provider, Mapping):
        # Of the auth providers only OpenID Connect still exists; kubectl renews its token and
        # writes it back to the file.
        settings = provider.get("config")
        id_token = settings.get("id-token") if isinstance(settings, Mapping) else None
        if not isinstance(id_token, str) or not id_token:
            raise ClusterUnreachable(
                f"user {entry.name!r} in {path} has an auth-provider without an id-token",
                "use an exec credential plugin instead",
            )
        token = token or id_token
    for key in ("as-groups", "as-user-extra"):
        if body.get(key):
            raise ClusterUnreachable(
                f"user {entry.name!r} in {path} impersonates with {key}, which is not supported",
                "choose another context with --context",
            )
    impersonate = {}
    for key, header in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")):
        value = _text(body, key, path)
        if value:
            impersonate[header] = value
    return User(
        token=token,
        token_file=_resolve(_text(body, "tokenFile", path), path),
        username=_text(body, "username", path),
        password=_text(body, "password", path),
        certificate=_material(entry, "client-certificate"),
        key=_material(entry, "client-key"),
        exec_plugin=_exec_plugin(entry),
        impersonate=impersonate,
    )


def _exec_plugin(entry: _Entry) -> ExecPlugin | None:
    body = entry.body.get("exec")
    if body is None:
        return None
    path = entry.path
    if not isinstance(body, Mapping):
        raise _broken(path, f"exec of user {entry.name!r} is not a mapping")
    command = _text(body, "command", path)
    if not command:
        raise _broken(path, f"exec of user {entry.name!r} has no command")
    if len(PurePath(command).parts) > 1:  # a bare name is looked up in $PATH
        command = _resolve(command, path)
    arguments, environment = body.get("args") or [], body.get("env") or []
    if not isinstance(arguments, list) or not isinstance(environment, list):
        raise _broken(path, f"args or env of exec of user {entry.name!r} is not a list")
    variables = {}
    for variable in environment:
        if not isinstance(variable, Mapping) or not isinstance(variable.get("name"), str):
            raise _broken(path, f"env of exec of user {entry.name!r} has an entry without a name")
        variables[variable["name"]] = str(variable.get("value", ""))
    return ExecPlugin(
        command=command,
        api_version=_text(body, "apiVersion", path),
        arguments=tuple(str(argument) for argument in arguments),
        environment=variables,
        install_hint=_text(body, "installHint", path),
        provide_cluster_info=body.get("provideClusterInfo") is True,
        interactive_mode=_text(body, "interactiveMode", path) or "IfAvailable",
    )


def _material(entry: _Entry, key: str) -> Material:
    data = _text(entry.body, f"{key}-data", entry.path)  # goes before the file, as in kubectl
    if data:
        try:
            return Material(data=base64.b64decode("".join(data.split()), validate=True))
        except (binascii.Error, ValueError) as error:
            raise _broken(entry.path, f"{key}-data of {entry.name!r} is not base64") from error
    return Material(path=_resolve(_text(entry.body, key, entry.path), entry.path))


def _resolve(value: str, path: str) -> str:
    """Returns a path of a kubeconfig, which is relative to the kubeconfig's own directory."""
    return str(PurePath(path).parent / value) if value else ""


def _text(body: Mapping[str, Any], key: str, path: str) -> str:
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _broken(path, f"{key} is not a string")
    return value


def _broken(path: str, problem: str) -> ClusterUnreachable:
    return ClusterUnreachable(
        f"kubeconfig {path}: {problem}", "correct the file, or give another --kubeconfig"
    )


def _listed(contexts: Mapping[str, _Entry]) -> str:
    return ", ".join(sorted(contexts)) or "there is none"
