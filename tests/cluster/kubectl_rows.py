"""kubectl's rules about kubeconfigs and proxies, a row each.

`test_kubectl_table` runs kubectl and gatherer over each row and compares what arrives where. Words
in capitals between @ are replaced: @SERVER@ and @PLAIN@ (URLs of the stand-in with and without
TLS), @HOST@ and @PLAINHOST@ (the same without the scheme), @PORT@, @CA@, @CERT@ and @KEY@ (in
base64), @BOTHCAS@ (with the authority of the proxy), @TOKEN@, @OTHER@ (a token that nobody has),
@DIR@ (where the files of the row are), @PROXY@, @LOCKED@ (wants a password) and @TLSPROXY@ (hosts
of proxies), @JWT@, @OLDJWT@.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.proxies import QUOTED

Fields = Mapping[str, Any]
NO_CA: Fields = {"certificate-authority-data": None}
FAR: Fields = {"server": "https://api.example.test:@PORT@"}
FAR_ADDRESS: Fields = {"server": "https://10.9.8.7:@PORT@"}
FAR_PLAIN: Fields = {"server": "http://api.example.test:@PORT@"}
CERTIFICATE: Fields = {"client-certificate-data": "@CERT@", "client-key-data": "@KEY@"}
V1, V1BETA1 = (f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))


def plugin(printed: Fields | str | None = None, version: str = V1, **changes: Any) -> Fields:
    """Returns an `exec` whose program prints one credential, a token by default."""
    if not isinstance(printed, str):
        status = {"token": "@TOKEN@"} if printed is None else printed
        printed = json.dumps({"kind": "ExecCredential", "apiVersion": version, "status": status})
    script = f"printf %s '{printed}'"
    made = {
        "apiVersion": version,
        "command": "sh",
        "args": ["-c", script],
        "interactiveMode": "Never",
        **changes,
    }
    return {"exec": {key: value for key, value in made.items() if value is not None}}


def config(
    cluster: Fields | None = None,
    user: Fields | None = None,
    context: Fields | None = None,
    **top: Any,
) -> dict[str, Any]:
    """Returns a kubeconfig with one context; a field that is None is left out."""

    def only(fields: Fields) -> dict[str, Any]:
        return {key: value for key, value in fields.items() if value is not None}

    made = {"server": "@SERVER@", "certificate-authority-data": "@CA@", **(cluster or {})}
    return only(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "k", "cluster": only(made)}],
            "users": [{"name": "u", "user": only({"token": "@TOKEN@"} if user is None else user)}],
            "contexts": [
                {"name": "c", "context": only({"cluster": "k", "user": "u", **(context or {})})}
            ],
            "current-context": "c",
            **top,
        }
    )


@dataclass(frozen=True)
class Row:
    """One rule.

    Attributes:
        name: of the rule.
        arrives: whether a request reaches the API server.
        files: content of files by name; `config` is the kubeconfig.
        environment: variables.
        context: of --context.
        option: path of --kubeconfig; with None KUBECONFIG is `config`, unless it is in environment.
        run: whether an exec is compared too.
        pod: whether it is a pod that is asked for, instead of the version.
    """

    name: str
    arrives: bool
    files: Mapping[str, Any] = field(default_factory=lambda: {"config": config()})
    environment: Mapping[str, str] = field(default_factory=dict)
    context: str | None = None
    option: str | None = None
    run: bool = False
    pod: bool = False


def _of(
    name: str,
    arrives: bool,
    *,
    cluster: Fields | None = None,
    user: Fields | None = None,
    run: bool = False,
    files: Mapping[str, Any] | None = None,
    **environment: str,
) -> Row:
    made = {"config": config(cluster, user), **(files or {})}
    return Row(name, arrives, made, environment, run=run)


def _text(name: str, arrives: bool, text: str | bytes, **environment: str) -> Row:
    return Row(name, arrives, {"config": text}, environment)


def _yaml(token: str = "@TOKEN@", **changes: str) -> str:
    """Returns a kubeconfig as people write it."""
    parts = {"context": "c", "cluster": "k", "before": "", "after": "", **changes}
    return (
        f"{parts['before']}apiVersion: v1\nkind: Config\ncurrent-context: {parts['context']}\n"
        f"clusters:\n- name: {parts['cluster']}\n  cluster:\n    server: @SERVER@\n"
        "    certificate-authority-data: @CA@\n"
        f"users:\n- name: u\n  user:\n    token: {token}\n"
        f"contexts:\n- name: {parts['context']}\n"
        f"  context: {{cluster: {parts['cluster']}, user: u}}\n{parts['after']}"
    )


def _no_proxy(name: str, rule: str, far: Fields, goes_through: bool) -> Row:
    # Where it does not go through the proxy there is nobody: nothing arrives.
    server = {**far}
    environment = {"HTTPS_PROXY": "http://@PROXY@", "NO_PROXY": rule}
    return _of(f"NO_PROXY: {name}", goes_through, cluster=server, **environment)


CREDENTIALS = (
    _of("a token", True, run=True),
    _of("a client certificate", True, user=CERTIFICATE, run=True),
    _of("a token and a client certificate: both", True, user={"token": "@TOKEN@", **CERTIFICATE}),
    _of("user and password", True, user={"username": "jane", "password": "p:w é"}),
    _of("a user without a password", True, user={"username": "jane"}),
    _of("a password without a user", False, user={"password": "x"}),
    _of("a token and a password", False, user={"token": "@TOKEN@", "username": "jane"}),
    _of("a certificate and a password: both", True, user={"username": "j", **CERTIFICATE}),
    _of("a certificate without its key", False, user={"client-certificate-data": "@CERT@"}),
    _of("a key without its certificate", True, user={"token": "@TOKEN@", "client-key": "gone"}),
    _of(
        "a certificate in a file and as data", False,
        user={**CERTIFICATE, "client-certificate": "gone"},
    ),
    _of("a certificate in a file that is missing", False,
        user={"token": "@TOKEN@", "client-certificate": "gone", "client-key": "gone"}),
    _of("no credentials", False, user={}),
    _of("a token file, relative", True, user={"tokenFile": "t"}, files={"t": " @TOKEN@\n"}),
    _of("a token file that is missing", False, user={"tokenFile": "gone"}),
    _of("an empty token file", False, user={"tokenFile": "t"}, files={"t": "\n"}),
    _of("a token file goes before a token", True,
        user={"token": "@OTHER@", "tokenFile": "t"}, files={"t": "@TOKEN@"}),
    _of("a token where the token file is missing", True,
        user={"token": "@TOKEN@", "tokenFile": "gone"}),
    _of("a token file and a password", False,
        user={"username": "jane", "tokenFile": "t"}, files={"t": "@TOKEN@"}),
    _of("a token with a line break", False, user={"token": "@TOKEN@\n"}),
    _of("an exec plugin", True, user=plugin(), run=True),
    _of("a plugin with a certificate", True, user=plugin({
        "clientCertificateData": "@CERTPEM@", "clientKeyData": "@KEYPEM@"})),
    _of("a token goes before a plugin", True,
        user={"token": "@TOKEN@", **plugin({"token": "@OTHER@"})}),
    _of("a certificate goes before a plugin", True, user={**CERTIFICATE, **plugin()}),
    _of("a password goes before a plugin", True, user={"username": "j", **plugin()}),
    _of("a plugin of v1beta1 without interactiveMode", True,
        user=plugin(version=V1BETA1, interactiveMode=None)),
    _of("a plugin of v1 without interactiveMode", False, user=plugin(interactiveMode=None)),
    _of("a plugin with another interactiveMode", False, user=plugin(interactiveMode="Sometimes")),
    _of("a plugin that needs a terminal", False, user=plugin(interactiveMode="Always")),
    _of("a plugin of v1alpha1", False, user=plugin(version=V1.replace("v1", "v1alpha1"))),
    _of("a plugin without apiVersion", False, user=plugin(apiVersion=None)),
    _of("a plugin without a command", False, user=plugin(command=None)),
    _of("a plugin of another version than it prints", False,
        user=plugin(apiVersion=V1BETA1)),
    _of("a plugin that prints YAML", True, user=plugin(
        f"apiVersion: {V1}\nkind: ExecCredential\nstatus:\n  token: @TOKEN@\n")),
    _of("a plugin that prints words", False, user=plugin("logged in")),
    _of("a plugin without a status", False,
        user=plugin(json.dumps({"kind": "ExecCredential", "apiVersion": V1}))),
    _of("a plugin that fails", False, user=plugin(args=["-c", "exit 3"])),
    _of("a plugin by a path relative to the file", True, user=plugin(command="bin/login", args=[]),
        files={"bin/login": "#!/bin/sh\nprintf %s '" + json.dumps(
            {"kind": "ExecCredential", "apiVersion": V1, "status": {"token": "@TOKEN@"}}) + "'\n"}),
    _of("a plugin's environment", True, user=plugin(
        args=["-c", 'printf \'{"kind":"ExecCredential","apiVersion":"' + V1
              + '","status":{"token":"%s"}}\' "$SECRET"'],
        env=[{"name": "SECRET", "value": "@TOKEN@"}])),
    _of("a plugin and an auth provider", False,
        user={**plugin(), "auth-provider": {"name": "oidc", "config": {}}}),
    _of("OpenID Connect", True, user={"auth-provider": {"name": "oidc", "config": {
        "idp-issuer-url": "https://idp.example.test", "client-id": "x", "id-token": "@JWT@"}}}),
    _of("OpenID Connect, expired", False, user={"auth-provider": {"name": "oidc", "config": {
        "idp-issuer-url": "https://idp.example.test", "client-id": "x", "id-token": "@OLDJWT@"}}}),
    _of("OpenID Connect without an issuer", False, user={"auth-provider": {"name": "oidc", "config":
        {"client-id": "x", "id-token": "@JWT@"}}}),
    _of("a token goes before OpenID Connect", True, user={"token": "@TOKEN@", "auth-provider": {
        "name": "oidc", "config": {
            "idp-issuer-url": "https://idp.example.test", "client-id": "x", "id-token": "@JWT@"}}}),
    _of("an auth provider that is no more", False, user={"token": "@TOKEN@", "auth-provider": {
        "name": "gcp", "config": {"access-token": "x"}}}),
    _of("a user in the server's URL", True, cluster={"server": "https://jane:p%40w@@HOST@"}),
)  # fmt: skip

IMPERSONATION = (
    _of("impersonation of a user", True, user={"token": "@TOKEN@", "as": "jane"}, run=True),
    _of("impersonation with groups, uid and extra", True, run=True, user={
        "token": "@TOKEN@", "as": "jane", "as-uid": "7", "as-groups": ["dev", "ops, all"],
        "as-user-extra": {"scopes": ["view", "edit"], "acme.com/Project %": ["x"]}}),
    _of("impersonation of a group with a line break", False,
        user={"token": "@TOKEN@", "as": "jane", "as-groups": ["dev\r\nX-Other: y"]}),
    _of("impersonation with a line break in extra", False,
        user={"token": "@TOKEN@", "as": "jane", "as-user-extra": {"a": ["b\n"]}}),
    _of("impersonation of groups without a user", False,
        user={"token": "@TOKEN@", "as-groups": ["dev"]}),
    _of("impersonation of extra without a user", False,
        user={"token": "@TOKEN@", "as-user-extra": {"a": ["b"]}}),
    _of("impersonation of a uid without a user", False, user={"token": "@TOKEN@", "as-uid": "7"}),
    _of("impersonation without TLS", True, cluster={"server": "@PLAIN@", **NO_CA},
        user={"token": "@TOKEN@", "as": "jane", "as-groups": ["dev"]}),
)  # fmt: skip

SERVERS = (
    _of("no credentials without TLS", True, cluster={"server": "@PLAIN@"}),
    _of("no certificate, no plugin without TLS", True,
        cluster={"server": "@PLAIN@"}, user=plugin(args=["-c", "exit 3"])),
    _of("a missing certificate without TLS", False, cluster={"server": "@PLAIN@"},
        user={"client-certificate": "gone", "client-key": "gone"}),
    _of("a server in capitals", True, cluster={"server": "HTTPS://@HOST@"}, run=True),
    _of("a server with a path", True, cluster={"server": "@SERVER@/k8s/clusters/c-1"}),
    _of("a server with a path that is not tidy", True,
        cluster={"server": "@SERVER@//k8s/./a%20b/../c%2Bd/?x=1#y"}),
    _of("a server with a slash", True, cluster={"server": "@SERVER@/"}, run=True),
    _of("a server with a query", True, cluster={"server": "@SERVER@?x=1"}),
    _of("a server without a scheme is without TLS", True,
        cluster={"server": "@PLAINHOST@", **NO_CA}),
    _of("a server without a scheme, with TLS", False, cluster={"server": "@HOST@"}),
    _of("a server without a scheme, with a path", False, cluster={"server": "@PLAINHOST@/x"}),
    _of("a server of another scheme", False, cluster={"server": "ftp://@HOST@"}),
    _of("a server with spaces", False, cluster={"server": " @SERVER@"}),
    _of("a server with a bad port", False, cluster={"server": "https://127.0.0.1:port"}),
    _of("a server by name", True, cluster={"server": "https://localhost:@PORT@"}),
    _of("a server by IPv6", True, cluster={"server": "https://[::1]:@PORT@"}),
    _of("tls-server-name", True, cluster={"tls-server-name": "kubernetes.default.svc"}, run=True),
    _of("tls-server-name of somebody else", False, cluster={"tls-server-name": "other.test"}),
    _of("insecure-skip-tls-verify", True, cluster={"insecure-skip-tls-verify": True, **NO_CA}),
    _of("insecure-skip-tls-verify with an authority", False,
        cluster={"insecure-skip-tls-verify": True}),
    _of("insecure-skip-tls-verify as a string", False,
        cluster={"insecure-skip-tls-verify": "true", **NO_CA}),
    _of("no authority", False, cluster=NO_CA),
    _of("an authority in a file, relative", True,
        cluster={"certificate-authority": "pki/ca.crt", **NO_CA}, files={"pki/ca.crt": "@CAPEM@"}),
    _of("an authority in a file and as data", False,
        cluster={"certificate-authority": "pki/ca.crt"}, files={"pki/ca.crt": "@CAPEM@"}),
    _of("an authority that is missing", False, cluster={"certificate-authority": "gone", **NO_CA}),
    _of("an authority that is none", False, cluster={"certificate-authority-data": "aGVsbG8="}),
    _of("an authority that is not base64", False, cluster={"certificate-authority-data": "%%"}),
    Row("no server, KUBERNETES_MASTER", True, {"config": config(cluster={"server": None})},
        {"KUBERNETES_MASTER": "@SERVER@"}),
)  # fmt: skip

OTHER = {"config": config(), "other": config(user={"token": "@OTHER@"}, **{"current-context": "d"})}
MERGING = (
    Row("the first file wins", True, OTHER, {"KUBECONFIG": "@DIR@/config:@DIR@/other"}),
    Row("the first file wins, the other way round", False, OTHER,
        {"KUBECONFIG": "@DIR@/other:@DIR@/config"}),
    Row("--context goes before current-context", True, OTHER,
        {"KUBECONFIG": "@DIR@/other:@DIR@/config"}, context="c"),
    Row("a file without current-context leaves it to the next", True,
        {"config": config(clusters=[], users=[], contexts=[]),
         "other": config(**{"current-context": ""})},
        {"KUBECONFIG": "@DIR@/other:@DIR@/config"}),
    Row("entries are not merged with each other", False,
        {"config": config(user={"username": "j"}, clusters=[]),
         "other": config(user={"tokenFile": "t"}), "t": "@TOKEN@"},
        {"KUBECONFIG": "@DIR@/other2:@DIR@/config"}),
    Row("a cluster of one file, a user of another", True,
        {"config": config(clusters=[]), "sub/other": config(
            cluster={"certificate-authority": "ca.crt", **NO_CA}, users=[], contexts=[]),
         "sub/ca.crt": "@CAPEM@"},
        {"KUBECONFIG": "@DIR@/config:@DIR@/sub/other"}),
    Row("files that are missing are passed over", True,
        environment={"KUBECONFIG": "@DIR@/gone:@DIR@/config"}),
    Row("empty entries of KUBECONFIG are passed over", True,
        environment={"KUBECONFIG": "::@DIR@/config:"}),
    Row("KUBECONFIG without any file", False, environment={"KUBECONFIG": ":"}),
    Row("a file twice", True, environment={"KUBECONFIG": "@DIR@/config:@DIR@/config"}),
    Row("an empty file beside another", True, {"config": config(), "other": ""},
        {"KUBECONFIG": "@DIR@/other:@DIR@/config"}),
    Row("a broken file beside another", False, {"config": config(), "other": "{"},
        {"KUBECONFIG": "@DIR@/config:@DIR@/other"}),
    Row("a directory beside a file", False, {"config": config(), "other/x": ""},
        {"KUBECONFIG": "@DIR@/config:@DIR@/other"}),
    Row("a link that leads nowhere", True, {"config": config(), "link": "->gone"},
        {"KUBECONFIG": "@DIR@/link:@DIR@/config"}),
    Row("a link: relative paths start at the link", True,
        {"real/config": config(user={"tokenFile": "t"}), "config": "->real/config",
         "t": "@TOKEN@"}),
    Row("--kubeconfig goes before KUBECONFIG", True, OTHER, {"KUBECONFIG": "@DIR@/other"},
        option="@DIR@/config"),
    Row("--kubeconfig that is missing", False, option="@DIR@/gone"),
    Row("--kubeconfig is one file", False, option="@DIR@/config:@DIR@/config"),
    Row("~/.kube/config", True, {".kube/config": config()}, {"KUBECONFIG": "", "HOME": "@DIR@"}),
    Row("a relative KUBECONFIG", True, {"config": config(user={"tokenFile": "t"}), "t": "@TOKEN@"},
        {"KUBECONFIG": "config"}),
    Row("a context that is missing", False, context="gone"),
    Row("a current context that is missing", False,
        {"config": config(**{"current-context": "gone"})}),
    Row("no current context", False, {"config": config(**{"current-context": None})}),
    Row("a user that is missing", False, {"config": config(users=[])}),
    Row("a user that is missing, without TLS", True,
        {"config": config({"server": "@PLAIN@"}, users=[])}),
    Row("no user in the context, without TLS", True,
        {"config": config({"server": "@PLAIN@"}, context={"user": None})}),
    Row("a cluster that is missing", False, {"config": config(clusters=[])}),
    Row("entries without a name", True, {"config": config(
        clusters=[{"cluster": {"server": "@SERVER@", "certificate-authority-data": "@CA@"}}],
        users=[{"user": {"token": "@TOKEN@"}}],
        contexts=[{"name": "c", "context": {}}])}),
    Row("two clusters of one name", False, {"config": config(clusters=[
        {"name": "k", "cluster": {"server": "@SERVER@", "certificate-authority-data": "@CA@"}},
        {"name": "k", "cluster": {"server": "https://elsewhere"}}])}),
    Row("two users of one name, of another context", False, {"config": config(users=[
        {"name": "u", "user": {"token": "@TOKEN@"}}, {"name": "v", "user": {}},
        {"name": "v", "user": {}}])}),
    Row("the namespace of the context", True, pod=True,
        files={"config": config(context={"namespace": "default"})}),
    Row("another namespace", True, {"config": config(context={"namespace": "team-a"})}, pod=True),
)  # fmt: skip

FORMATS = (
    _text("YAML", True, _yaml()),
    _text("CRLF", True, _yaml().replace("\n", "\r\n")),
    _text("UTF-8 with a byte order mark", True, b"\xef\xbb\xbf" + _yaml().encode()),
    _text("UTF-16, little endian", True, b"\xff\xfe" + _yaml().encode("utf-16-le")),
    _text("UTF-16, big endian", True, b"\xfe\xff" + _yaml().encode("utf-16-be")),
    _text("UTF-16 without a mark", False, _yaml().encode("utf-16-le")),
    _text("Latin-1", False, _yaml(before="# für alle\n").encode("latin-1")),
    _text("a name in UTF-8", True, _yaml(context="produktiön", cluster="クラスタ")),
    _text("JSON with tabs", True, json.dumps(config(), indent="\t")),
    _text("YAML with a tab", False, _yaml(after="preferences:\n\tcolors: true\n")),
    _text("of several documents the first", True, _yaml() + "---\n" + _yaml("@OTHER@")),
    _text("a document, and something else", True, _yaml() + "---\n{{{\n"),
    _text("an empty first document", False, "---\n---\n" + _yaml()),
    _text("a comment in front", True, _yaml(before="# mine\n---\n")),
    _text("nothing but a comment", False, "# nothing\n"),
    _text("an empty file", False, ""),
    _text("a list", False, "- 1\n"),
    _text("words", False, "hello\n"),
    _text("another kind", False, _yaml().replace("kind: Config", "kind: Pod")),
    _text("another version", False, _yaml().replace("apiVersion: v1", "apiVersion: v2")),
    _text("no kind and no version", True,
          _yaml().replace("apiVersion: v1\nkind: Config\n", "")),
    _text("fields that nobody knows", True, _yaml(after="colour: red\n")),
    _text("a key twice: the last", True, _yaml(after="current-context: c\n", context="c")),
    _text("anchors and merge keys", True, _yaml(after="").replace(
        "users:\n- name: u\n  user:\n    token: @TOKEN@\n",
        "x: &t {token: @TOKEN@}\nusers:\n- name: u\n  user: {<<: *t}\n")),
    _text("a name that looks like a date", True, _yaml(context="2026-01-01")),
    _text("a name that looks like a time", True, _yaml(context="12:30")),
    _text("a name that is a number", False, _yaml(cluster="12")),
    _text("a name that is a number with an exponent", False, _yaml(cluster="1e3")),
    _text("a name with underscores", False, _yaml(cluster="1_000")),
    _text("a name that is a truth value", False, _yaml(cluster="y")),
    _text("a name that is on", False, _yaml(cluster="on")),
    _text("a name that is nothing", True, _yaml(cluster="~")),
    _text("a name in quotes", True, _yaml(cluster='"12"')),
    _text("a token that is a number", False, _yaml("12345")),
    _text("another user's token that is a number", False,
          _yaml().replace("users:\n", "users:\n- name: v\n  user: {token: 1}\n")),
    _text("an entry that is nothing", True, _yaml(after="extensions: null\n")),
    _text("clusters that are a mapping", False, "clusters: {k: {}}\n"),
    _text("NUL", False, _yaml(after="\0")),
)  # fmt: skip

PROXIES = (
    _of("HTTPS_PROXY", True, cluster=FAR, run=True, HTTPS_PROXY="http://@PROXY@"),
    _of("https_proxy", True, cluster=FAR, https_proxy="http://@PROXY@"),
    _of("HTTPS_PROXY goes before https_proxy", True, cluster=FAR,
        HTTPS_PROXY="http://@PROXY@", https_proxy="http://127.0.0.1:9"),
    _of("an empty HTTPS_PROXY leaves it to https_proxy", True, cluster=FAR,
        HTTPS_PROXY="", https_proxy="http://@PROXY@"),
    _of("HTTPS_PROXY without a scheme", True, cluster=FAR, HTTPS_PROXY="@PROXY@"),
    _of("HTTPS_PROXY without a scheme, with a user", True, cluster=FAR,
        HTTPS_PROXY=f"{QUOTED}@@LOCKED@"),
    _of("HTTPS_PROXY in capitals", True, cluster=FAR, HTTPS_PROXY="HTTP://@PROXY@/"),
    _of("HTTPS_PROXY with a password", True, cluster=FAR, run=True,
        HTTPS_PROXY=f"http://{QUOTED}@@LOCKED@"),
    _of("HTTPS_PROXY with a wrong password", False, cluster=FAR, run=True,
        HTTPS_PROXY="http://me%40corp:wrong@@LOCKED@"),
    _of("HTTPS_PROXY without a password that is wanted", False, cluster=FAR,
        HTTPS_PROXY="http://@LOCKED@"),
    _of("a password that is not ASCII", True, cluster=FAR,
        HTTPS_PROXY="http://j%C3%BCrgen:%C3%A9@@PROXY@"),
    _of("a user without a password at the proxy", True, cluster=FAR,
        HTTPS_PROXY="http://jane@@PROXY@"),
    _of("a proxy with TLS", True, run=True,
        cluster={**FAR, "proxy-url": "https://@TLSPROXY@",
                 "certificate-authority-data": "@BOTHCAS@"}),
    _of("HTTPS_PROXY that is SOCKS", True, cluster=FAR, run=True, HTTPS_PROXY="socks5://@PROXY@"),
    _of("HTTPS_PROXY that is socks5h", True, cluster=FAR, HTTPS_PROXY="socks5h://@PROXY@"),
    _of("SOCKS with a password", True, cluster=FAR, run=True,
        HTTPS_PROXY=f"socks5://{QUOTED}@@LOCKED@"),
    _of("SOCKS with a wrong password", False, cluster=FAR, run=True,
        HTTPS_PROXY="socks5://jane:wrong@@LOCKED@"),
    _of("SOCKS with a password, a server without TLS", True,
        cluster={"server": "http://api.example.test:@PLAINPORT@"},
        HTTP_PROXY=f"socks5://{QUOTED}@@LOCKED@"),
    _of("SOCKS, the server by its address", True, cluster=FAR_ADDRESS,
        HTTPS_PROXY="socks5://@PROXY@"),
    _of("SOCKS and tls-server-name", True, run=True,
        cluster={"proxy-url": "socks5://@PROXY@", "tls-server-name": "kubernetes.default.svc",
                 "server": "https://nowhere.example.test:@PORT@"}),
    _of("a proxy and tls-server-name", True, run=True,
        cluster={"proxy-url": "http://@PROXY@", "tls-server-name": "kubernetes.default.svc",
                 "server": "https://nowhere.example.test:@PORT@"}),
    _of("ALL_PROXY is nobody's", False, cluster=FAR, ALL_PROXY="http://@PROXY@",
        all_proxy="http://@PROXY@"),
    _of("HTTP_PROXY is not for TLS", False, cluster=FAR, HTTP_PROXY="http://@PROXY@"),
    _of("HTTP_PROXY without TLS: as it is", True, cluster=FAR_PLAIN, HTTP_PROXY="http://@PROXY@"),
    _of("http_proxy without TLS, with a password", True, cluster=FAR_PLAIN,
        http_proxy=f"http://{QUOTED}@@LOCKED@"),
    _of("HTTPS_PROXY is not for servers without TLS", False, cluster=FAR_PLAIN,
        HTTPS_PROXY="http://@PROXY@"),
    _of("HTTP_PROXY in a CGI program", False, cluster=FAR_PLAIN, HTTP_PROXY="http://@PROXY@",
        REQUEST_METHOD="GET"),
    _of("a proxy that is not there", False, cluster=FAR, HTTPS_PROXY="http://127.0.0.1:9"),
    _of("the loopback takes no proxy", True, run=True, HTTPS_PROXY="http://127.0.0.1:9"),
    _of("localhost takes no proxy", True, cluster={"server": "https://localhost:@PORT@"},
        https_proxy="http://127.0.0.1:9"),
    _of("localhost in capitals takes one", True, cluster={"server": "https://LOCALHOST:@PORT@"},
        HTTPS_PROXY="http://@PROXY@"),
    _of("the loopback of IPv6 takes no proxy", True, cluster={"server": "https://[::1]:@PORT@"},
        HTTPS_PROXY="http://127.0.0.1:9"),
    _of("any address of the loopback takes no proxy", False,
        cluster={"server": "https://127.9.9.9:@PORT@"}, HTTPS_PROXY="http://@PROXY@"),
    _of("the loopback without TLS takes no proxy", True, cluster={"server": "@PLAIN@"},
        HTTP_PROXY="http://127.0.0.1:9"),
    _of("proxy-url", True, cluster={**FAR, "proxy-url": "http://@PROXY@"}, run=True),
    _of("proxy-url goes before HTTPS_PROXY", True,
        cluster={**FAR, "proxy-url": "http://@PROXY@"}, HTTPS_PROXY="http://127.0.0.1:9"),
    _of("proxy-url goes before NO_PROXY", True, cluster={**FAR, "proxy-url": "http://@PROXY@"},
        NO_PROXY="*"),
    _of("proxy-url is for the loopback too", True, cluster={"proxy-url": "http://@PROXY@"}),
    _of("proxy-url with SOCKS", True, cluster={**FAR, "proxy-url": "socks5://@PROXY@"}, run=True),
    _of("proxy-url with socks5h", False, cluster={**FAR, "proxy-url": "socks5h://@PROXY@"}),
    _of("proxy-url without a scheme", False, cluster={**FAR, "proxy-url": "@PROXY@"}),
    _of("proxy-url with a password", True, run=True,
        cluster={**FAR, "proxy-url": f"http://{QUOTED}@@LOCKED@"}),
    _of("proxy-url that cannot be read", False,
        cluster={**FAR, "proxy-url": "http://jane:%zz@@PROXY@"}),
    _of("a .netrc is not read", True, user=CERTIFICATE, run=True, HOME="@DIR@",
        files={".netrc": "machine 127.0.0.1 login m password one\ndefault login s password two\n"}),
    _of("a .netrc is not read for a proxy", False, cluster=FAR, HOME="@DIR@",
        HTTPS_PROXY="http://@LOCKED@", files={".netrc": "default login me@corp password p:w/d\n"}),
    _of("NETRC is not read", True, user=CERTIFICATE, NETRC="@DIR@/n",
        files={"n": "default login s password two\n"}),
)  # fmt: skip

NO_PROXIES = (
    _no_proxy("the name", "api.example.test", FAR, False),
    _no_proxy("the name in capitals, among others", "x.test, API.Example.Test ,y", FAR, False),
    _no_proxy("a name without its last part", "example", FAR, True),
    _no_proxy("a suffix", "example.test", FAR, False),
    _no_proxy("a suffix with a dot", ".example.test", FAR, False),
    _no_proxy("a suffix with a star", "*.example.test", FAR, False),
    _no_proxy("a dot in front of the whole name", ".api.example.test", FAR, True),
    _no_proxy("a part of a name", "ample.test", FAR, True),
    _no_proxy("a star", "*", FAR, False),
    _no_proxy("a star among others", "x.test,*", FAR, False),
    _no_proxy("a star within", "api.*.test", FAR, True),
    _no_proxy("the port", "api.example.test:@PORT@", FAR, False),
    _no_proxy("another port", "api.example.test:1", FAR, True),
    _no_proxy("a suffix and the port", ".example.test:@PORT@", FAR, False),
    _no_proxy("spaces between names", "x.test api.example.test", FAR, True),
    _no_proxy("a URL", "https://api.example.test", FAR, True),
    _no_proxy("the address", "10.9.8.7", FAR_ADDRESS, False),
    _no_proxy("the address and the port", "10.9.8.7:@PORT@", FAR_ADDRESS, False),
    _no_proxy("the address and another port", "10.9.8.7:1", FAR_ADDRESS, True),
    _no_proxy("a part of an address", "9.8.7", FAR_ADDRESS, True),
    _no_proxy("the network", "10.0.0.0/8", FAR_ADDRESS, False),
    _no_proxy("the network by an address within", "10.9.1.1/16", FAR_ADDRESS, False),
    _no_proxy("another network", "10.8.0.0/16", FAR_ADDRESS, True),
    _no_proxy("a network of IPv6", "fd00::/8", FAR_ADDRESS, True),
    _no_proxy("a network that is none", "10.0.0.0/33", FAR_ADDRESS, True),
    _no_proxy("a network by its mask", "10.0.0.0/255.0.0.0", FAR_ADDRESS, True),
    _no_proxy("the address, mapped into IPv6", "::ffff:10.9.8.7", FAR_ADDRESS, False),
    _of("no_proxy in small letters", False, cluster=FAR, HTTPS_PROXY="http://@PROXY@",
        no_proxy="api.example.test"),
    _of("NO_PROXY goes before no_proxy", True, cluster=FAR, HTTPS_PROXY="http://@PROXY@",
        NO_PROXY="x.test", no_proxy="api.example.test"),
)  # fmt: skip

ROWS = (
    *CREDENTIALS, *IMPERSONATION, *SERVERS, *MERGING, *FORMATS, *PROXIES, *NO_PROXIES,
)  # fmt: skip
