"""The kubeconfig format: files merged and a context chosen as kubectl does. Pure.

What kubectl refuses is refused here too, and what it takes is taken in the same meaning: a file
that one of them reads otherwise than the other would send somebody's credentials elsewhere. The
table in tests/cluster/kubectl_rows.py holds both against each other.

Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from gatherer.errors import ClusterUnreachable
from gatherer.kube.auth.kubeconfig_file import Entry, broken, parse_kubeconfig
from gatherer.kube.auth.selection import Cluster, ExecPlugin, Material, Selection, User
from gatherer.kube.proxies import kubeconfig_proxy

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"
_EXEC_V1BETA1 = "client.authentication.k8s.io/v1beta1"
_INTERACTIVE_MODES = ("Never", "IfAvailable", "Always")
_HEADER_KEY = "!#$&'*+-.^_`|~"  # besides letters and digits, what a header's name may hold


def select_context(
    files: Sequence[tuple[str, bytes]],
    requested: str | None,
    *,
    file_hint: str,
    default_server: str = "",
) -> Selection:
    """Merges kubeconfig files and returns one context.

    Args:
        files: (path, content) of each file, in the order of $KUBECONFIG: the first file that has an
            entry of a name, or sets the current context, wins.
        requested: name of the context, None for the current one.
        file_hint: how the message calls the files.
        default_server: URL for a cluster without one: $KUBERNETES_MASTER.

    Raises:
        ClusterUnreachable: a file is no kubeconfig, there is no such context, or kubectl would not
            use what it refers to.
    """
    contexts: dict[str, Entry] = {}
    clusters: dict[str, Entry] = {}
    users: dict[str, Entry] = {}
    current = ""
    for path, data in files:
        file = parse_kubeconfig(path, data)
        for entries, merged in (
            (file.contexts, contexts), (file.clusters, clusters), (file.users, users)
        ):  # fmt: skip
            for name, entry in entries.items():
                merged.setdefault(name, entry)
        current = current or file.current_context

    name = requested or current
    if name and name not in contexts:
        raise ClusterUnreachable(
            f"context {name!r} does not exist in {file_hint}", f"choose one: {_listed(contexts)}"
        )
    nothing = {"cluster": "", "user": "", "namespace": ""}
    context = contexts[name].body if name in contexts else nothing
    cluster_name, user_name = context["cluster"], context["user"]
    if not name and not cluster_name:
        problem = ClusterUnreachable(
            f"{file_hint} sets no current context",
            f"give --context, or run `kubectl config use-context NAME` ({_listed(contexts)})",
        )
    elif cluster_name:
        problem = ClusterUnreachable(
            f"context {name!r} in {contexts[name].path} names cluster {cluster_name!r}, "
            "which is missing",
            "add the cluster, or choose another context with --context",
        )
    else:
        problem = ClusterUnreachable(
            f"context {name!r} in {contexts[name].path} names no cluster", "add its cluster"
        )
    cluster = _cluster(clusters.get(cluster_name), default_server)
    user = users.get(user_name)
    return Selection(
        context=name,
        namespace=context["namespace"],
        cluster=cluster,
        user=_user(user, user_name, cluster, file_hint),
        problem=problem if cluster is None else None,
    )


def _cluster(entry: Entry | None, default_server: str) -> Cluster | None:
    if entry is None:
        if not default_server:
            return None
        server, authorization = _server(default_server, "KUBERNETES_MASTER", "the environment")
        return Cluster(server, authorization)
    body, path, who = entry.body, entry.path, f"cluster {entry.name!r}"
    text = body["server"] or default_server
    if not text:
        raise broken(path, f"{who} has no server URL (https://HOST:PORT)")
    server, authorization = _server(text, who, path)
    if body["certificate-authority"] and body["certificate-authority-data"]:
        raise broken(path, f"{who} has certificate-authority and certificate-authority-data")
    authority = _material(entry, "certificate-authority")
    if authority and body["insecure-skip-tls-verify"] and server.startswith("https:"):
        raise broken(path, f"{who} has a certificate-authority and insecure-skip-tls-verify")
    proxy = None
    if body["proxy-url"]:
        try:
            proxy = kubeconfig_proxy(body["proxy-url"])
        except ValueError as error:
            raise broken(path, f"{error}, in {who}") from None  # its cause holds the password
    exec_config = None
    for extension in body["extensions"]:
        if extension["name"] == _EXEC_EXTENSION:
            exec_config = extension["extension"]
    return Cluster(
        server=server,
        authorization=authorization,
        certificate_authority=authority,
        insecure=body["insecure-skip-tls-verify"],
        tls_server_name=body["tls-server-name"],
        proxy=proxy,
        exec_config=exec_config,
    )


def _server(text: str, who: str, path: str) -> tuple[str, str]:
    """Returns a server's URL in one form, and the header its user and password make.

    `HOST:PORT` alone is a server without TLS, as in kubectl.
    """
    parts = None
    try:
        parts = urlsplit(text)
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text) or not parts.netloc:
            parts = urlsplit(f"http://{text}")
            if parts.path not in ("", "/"):
                parts = None
        if parts is not None:
            _ = parts.port  # raises for a port that is none
    except ValueError:
        parts = None
    if (
        parts is None
        or parts.scheme not in ("https", "http")
        or not parts.hostname
        or any(ord(character) <= 0x20 or ord(character) == 0x7F for character in text)
    ):
        raise broken(path, f"{who} has no server URL (https://HOST:PORT)")
    userinfo, at, host = parts.netloc.rpartition("@")
    authorization = ""
    if at:
        username, _, password = userinfo.partition(":")
        pair = unquote_to_bytes(username) + b":" + unquote_to_bytes(password)
        authorization = f"Basic {base64.b64encode(pair).decode()}"
    prefix = posixpath.normpath("/" + parts.path.lstrip("/")).rstrip("/")
    prefix = quote(unquote_to_bytes(prefix), safe="/$&+,:;=@")
    return f"{parts.scheme}://{host}{prefix}", authorization


def _user(entry: Entry | None, name: str, cluster: Cluster | None, file_hint: str) -> User:
    if entry is None:
        if (
            cluster is not None
            and cluster.server.startswith("https:")
            and not cluster.authorization
        ):
            where = (
                f"the user {name!r} of the context is missing"
                if name
                else "the context has no user"
            )
            raise ClusterUnreachable(f"{where} in {file_hint}", "add the user, or log in again")
        return User()
    body, path, who = entry.body, entry.path, f"user {name!r}"
    _check_user(body, path, who)
    impersonate = _impersonation(body)
    token, token_file = body["token"], _resolve(body["tokenFile"], path)
    certificate, key = Material(), Material()
    if body["client-certificate"] or body["client-certificate-data"]:
        certificate, key = _material(entry, "client-certificate"), _material(entry, "client-key")
    if cluster is None or not cluster.server.startswith("https:"):
        # kubectl sends no credentials where there is no TLS, but wants the files to be there.
        return User(certificate=certificate, key=key, impersonate=impersonate)
    username = body["username"]
    if username and token_file:
        raise broken(path, f"{who} has a tokenFile and a username, only one is allowed")
    plugin = _exec_plugin(entry) if body["exec"] is not None else None
    id_token = _id_token(entry) if body["auth-provider"] is not None else ""
    bearer = bool(token or token_file)
    if not (bearer or username or certificate or plugin or id_token or cluster.authorization):
        raise ClusterUnreachable(
            f"{who} in {path} has no credentials",
            "log in again with the tool the cluster came from",
        )
    return User(
        token=token,
        token_file=token_file,
        id_token="" if bearer or username else id_token,
        username=username,
        password=body["password"] if username else "",
        certificate=certificate,
        key=key,
        # What is there already goes before what a plugin would have to be run for.
        exec_plugin=None if bearer or username or certificate else plugin,
        impersonate=impersonate,
    )


def _check_user(body: Mapping[str, Any], path: str, who: str) -> None:
    """Refuses what kubectl refuses.

    Raises:
        ClusterUnreachable: fields that do not go together.
    """
    if body["token"] and (body["username"] or body["password"]):
        raise broken(path, f"{who} has a token and a username or password, only one is allowed")
    if body["client-certificate"] or body["client-certificate-data"]:
        for key in ("client-certificate", "client-key"):
            if body[key] and body[f"{key}-data"]:
                raise broken(path, f"{who} has {key} and {key}-data, only one is allowed")
        if not body["client-key"] and not body["client-key-data"]:
            raise broken(path, f"{who} has a client-certificate without a client-key")
    if (body["as-uid"] or body["as-groups"] or body["as-user-extra"]) and not body["as"]:
        raise broken(path, f"{who} has as-uid, as-groups or as-user-extra without as")
    for key in ("token", "as", "as-uid"):
        _check_header(body[key], path, f"{key} of {who}")
    extra = [value for values in body["as-user-extra"].values() for value in values]
    for key, values in (("as-groups", body["as-groups"]), ("as-user-extra", extra)):
        for value in values:
            _check_header(value, path, f"{key} of {who}")
    if body["exec"] is not None:
        if body["auth-provider"] is not None:
            raise broken(path, f"{who} has an exec and an auth-provider, only one is allowed")
        _check_exec(body["exec"], path, who)


def _check_exec(plugin: Mapping[str, Any], path: str, who: str) -> None:
    for key in ("command", "apiVersion"):
        if not plugin[key]:
            raise broken(path, f"exec of {who} has no {key}")
    if not all(variable["name"] for variable in plugin["env"]):
        raise broken(path, f"env of exec of {who} has an entry without a name")
    mode = plugin["interactiveMode"]
    if mode and mode not in _INTERACTIVE_MODES:
        raise broken(path, f"interactiveMode of exec of {who} is {mode!r}")
    if not mode and plugin["apiVersion"] != _EXEC_V1BETA1:
        raise broken(
            path, f"exec of {who} has no interactiveMode ({', '.join(_INTERACTIVE_MODES)})"
        )


def _check_header(value: str, path: str, where: str) -> None:
    if any((ord(c) < 0x20 and c != "\t") or ord(c) == 0x7F for c in value):
        raise broken(path, f"{where} holds a line break or another control character")


def _impersonation(body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    if not body["as"]:
        return ()
    headers = [("Impersonate-User", body["as"])]
    if body["as-uid"]:
        headers.append(("Impersonate-Uid", body["as-uid"]))
    headers += [("Impersonate-Group", group) for group in body["as-groups"]]
    for key, values in body["as-user-extra"].items():
        name = f"Impersonate-Extra-{quote(key, safe=_HEADER_KEY)}"
        headers += [(name, value) for value in values]
    return tuple(headers)


def _id_token(entry: Entry) -> str:
    """Returns the token of the one auth provider that still exists, OpenID Connect.

    kubectl renews it and writes it back to the file; gatherer changes no kubeconfig.
    """
    provider, path, who = entry.body["auth-provider"], entry.path, f"user {entry.name!r}"
    if provider["name"] != "oidc":
        raise ClusterUnreachable(
            f"{who} in {path} has the auth-provider {provider['name']!r}, which kubectl dropped",
            "use an exec credential plugin instead",
        )
    config = provider["config"]
    for key in ("idp-issuer-url", "client-id", "id-token"):
        if not config.get(key):
            raise ClusterUnreachable(
                f"{who} in {path} has an auth-provider that lacks its {key}",
                "log in again, or use an exec credential plugin instead",
            )
    _check_header(config["id-token"], path, f"id-token of {who}")
    return str(config["id-token"])


def _exec_plugin(entry: Entry) -> ExecPlugin:
    body, path = entry.body["exec"], entry.path
    command = body["command"]
    if "/" in command:  # a bare name is looked up in $PATH
        command = _resolve(command, path)
    return ExecPlugin(
        command=command,
        api_version=body["apiVersion"],
        arguments=tuple(body["args"]),
        environment={variable["name"]: variable["value"] for variable in body["env"]},
        install_hint=body["installHint"],
        provide_cluster_info=body["provideClusterInfo"],
        interactive_mode=body["interactiveMode"] or "IfAvailable",
    )


def _material(entry: Entry, key: str) -> Material:
    if entry.body[f"{key}-data"]:
        return Material(data=entry.body[f"{key}-data"])
    return Material(path=_resolve(entry.body[key], entry.path))


def _resolve(value: str, path: str) -> str:
    """Returns a path of a kubeconfig, which is relative to the kubeconfig's own directory."""
    return str(PurePath(path).parent / value) if value else ""


def _listed(contexts: Mapping[str, Entry]) -> str:
    return ", ".join(sorted(contexts)) or "there is none"
