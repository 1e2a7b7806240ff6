from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gatherer.errors import ClusterUnreachable
from gatherer.kube.auth.kubeconfig import select_context
from gatherer.kube.auth.selection import Material, Selection

PLUGIN = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "login",
    "interactiveMode": "Never",
}


def kubeconfig(**changes: Any) -> dict[str, Any]:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "contexts": [
            {"name": "dev", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
            {"name": "bare", "context": {"cluster": "plain"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://api.example:6443/"}},
            {"name": "plain", "cluster": {"server": "http://127.0.0.1:8001"}},
        ],
        "users": [{"name": "u", "user": {"token": "t0k3n"}}],
    }
    return {**document, **changes}


def select(*documents: Any, context: str | None = None) -> Selection:
    files = [
        (
            f"/home/u/{number}/config",
            (text if isinstance(text, str) else json.dumps(text)).encode(),
        )
        for number, text in enumerate(documents)
    ]
    return select_context(files, context, file_hint="kubeconfig")


def refusal(*documents: Any, context: str | None = None) -> str:
    with pytest.raises(ClusterUnreachable) as caught:
        select(*documents, context=context)
    assert caught.value.remedy
    return str(caught.value)


def with_cluster(**fields: Any) -> dict[str, Any]:
    return kubeconfig(clusters=[{"name": "c", "cluster": {"server": "https://x:1", **fields}}])


def with_user(**fields: Any) -> dict[str, Any]:
    return kubeconfig(users=[{"name": "u", "user": fields}])


def test_the_current_context() -> None:
    selection = select(kubeconfig())
    assert (selection.context, selection.namespace) == ("dev", "team")
    assert selection.cluster is not None
    assert selection.cluster.server == "https://api.example:6443"
    assert selection.user.token == "t0k3n"


def test_a_context_without_namespace_and_user() -> None:
    selection = select(kubeconfig(), context="bare")
    assert selection.namespace == ""
    assert selection.user.token == ""


def test_of_several_files_the_first_one_wins_as_in_kubectl() -> None:
    second = kubeconfig(
        **{
            "current-context": "other",
            "clusters": [{"name": "c", "cluster": {"server": "https://second:1"}}],
            "contexts": [{"name": "other", "context": {"cluster": "c", "user": "u"}}],
        }
    )
    assert select(kubeconfig(), second).context == "dev"
    other = select(kubeconfig(), second, context="other")
    assert other.cluster is not None
    assert other.cluster.server == "https://api.example:6443"


def test_a_file_without_a_current_context_leaves_it_to_the_next() -> None:
    assert select(kubeconfig(**{"current-context": ""}), kubeconfig()).context == "dev"


def test_an_empty_file_counts_for_nothing() -> None:
    assert select("", kubeconfig()).context == "dev"


def test_relative_paths_start_at_the_file_that_names_them() -> None:
    selection = select(
        kubeconfig(
            clusters=[
                {
                    "name": "c",
                    "cluster": {"server": "https://x", "certificate-authority": "pki/ca.crt"},
                }
            ],
            users=[
                {
                    "name": "u",
                    "user": {
                        "client-certificate": "me.crt",
                        "client-key": "/abs/me.key",
                        "tokenFile": "token",
                    },
                }
            ],
        )
    )
    assert selection.cluster is not None
    assert selection.cluster.certificate_authority == Material(path="/home/u/0/pki/ca.crt")
    assert selection.user.certificate == Material(path="/home/u/0/me.crt")
    assert selection.user.key == Material(path="/abs/me.key")
    assert selection.user.token_file == "/home/u/0/token"


def test_a_relative_plugin_starts_at_the_file_too() -> None:
    plugin = select(with_user(exec={**PLUGIN, "command": "./bin/login"})).user.exec_plugin
    assert plugin is not None
    assert plugin.command == "/home/u/0/bin/login"


def test_data_is_decoded() -> None:
    data = base64.b64encode(b"PEM").decode()
    cluster = select(with_cluster(**{"certificate-authority-data": data})).cluster
    assert cluster is not None
    assert cluster.certificate_authority == Material(data=b"PEM")


def test_what_else_a_cluster_may_say() -> None:
    cluster = select(
        with_cluster(
            **{
                "insecure-skip-tls-verify": True,
                "tls-server-name": "api.internal",
                "proxy-url": "http://proxy:3128",
                "extensions": [
                    {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}
                ],
            }
        )
    ).cluster
    assert cluster is not None
    assert cluster.insecure
    assert cluster.tls_server_name == "api.internal"
    assert cluster.proxy is not None
    assert cluster.proxy.address == "http://proxy:3128"
    assert cluster.exec_config == {"audience": "a"}


def with_exec_config(value: str) -> str:
    """Returns a kubeconfig that tells plugins a value of YAML."""
    extension = f"{{name: client.authentication.k8s.io/exec, extension: {value}}}"
    cluster = f'{{"name": "c", "cluster": {{"server": "https://x", "extensions": [{extension}]}}}}'
    return json.dumps(kubeconfig(clusters=[])).replace('"clusters": []', f'"clusters": [{cluster}]')


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{a: !!timestamp 2026-01-01}", {"a": "2026-01-01T00:00:00Z"}),
        ("{a: !!timestamp 2026-01-01T02:03:04Z}", {"a": "2026-01-01T02:03:04+00:00"}),
        ("{a: !!binary aGk=}", {"a": "hi"}),
        ("!!set {a, b}", {"a": None, "b": None}),
        ("[1, 2.5, true, ~]", [1, 2.5, True, None]),
    ],
)
def test_a_plugin_is_told_what_json_can_say(value: str, said: object) -> None:
    cluster = select(with_exec_config(value)).cluster
    assert cluster is not None
    assert cluster.exec_config == said


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("&a [*a]", "contains itself, or too much"),
        ("&a {b: {c: *a}}", "contains itself, or too much"),
        ("{a: .nan}", "holds a number that JSON does not have"),
        ("{a: -.inf}", "holds a number that JSON does not have"),
    ],
)
def test_what_json_cannot_say_is_refused(value: str, words: str) -> None:
    assert words in refusal(with_exec_config(value))


def test_an_exec_plugin() -> None:
    plugin = select(
        with_user(
            exec={
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": "aws",
                "args": ["eks", "get-token", "7"],
                "env": [{"name": "AWS_PROFILE", "value": "dev"}],
                "interactiveMode": "Never",
                "provideClusterInfo": True,
                "installHint": "install the AWS CLI",
            }
        )
    ).user.exec_plugin
    assert plugin is not None
    assert (plugin.command, plugin.arguments) == ("aws", ("eks", "get-token", "7"))
    assert plugin.environment == {"AWS_PROFILE": "dev"}
    assert plugin.interactive_mode == "Never"
    assert plugin.provide_cluster_info
    assert plugin.install_hint == "install the AWS CLI"


def test_impersonation_becomes_headers() -> None:
    fields = {
        "as": "jane",
        "as-uid": "7",
        "as-groups": ["dev", "ops"],
        "as-user-extra": {"acme.com/Project": ["x", "y"]},
    }
    user = select(with_user(token="t", **fields)).user
    assert user.impersonate == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Extra-acme.com%2FProject", "x"),
        ("Impersonate-Extra-acme.com%2FProject", "y"),
    )


OIDC = {"name": "oidc", "config": {"idp-issuer-url": "https://idp", "client-id": "x"}}


def test_the_token_of_openid_connect() -> None:
    provider = {**OIDC, "config": {**OIDC["config"], "id-token": "jwt"}}  # type: ignore[dict-item]
    assert select(with_user(**{"auth-provider": provider})).user.id_token == "jwt"
    both = select(with_user(token="t", **{"auth-provider": provider})).user
    assert (both.token, both.id_token) == ("t", "")


@pytest.mark.parametrize(
    ("server", "told", "authorization"),
    [
        ("HTTPS://Api.Example:6443/", "https://Api.Example:6443", ""),
        ("10.0.0.1:8080", "http://10.0.0.1:8080", ""),
        ("localhost", "http://localhost", ""),
        ("https://x//k8s/./c-1/?a=1#b", "https://x/k8s/c-1", ""),
        ("https://me:p%40w@x", "https://x", "Basic bWU6cEB3"),
    ],
)
def test_a_server_is_told_in_one_form(server: str, told: str, authorization: str) -> None:
    cluster = select(with_cluster(server=server)).cluster
    assert cluster is not None
    assert (cluster.server, cluster.authorization) == (told, authorization)


def test_no_secret_stands_in_what_is_printed_of_it() -> None:
    cluster = {"server": "https://me:s3cret@x", "proxy-url": "http://me:s3cret@proxy"}
    user = {"username": "me", "password": "s3cret", "as": "jane"}
    selection = select(kubeconfig(
        clusters=[{"name": "c", "cluster": cluster}], users=[{"name": "u", "user": user}]
    ))  # fmt: skip
    assert "s3cret" not in repr(selection)
    assert "s3cret" not in repr(select(with_user(token="s3cret")))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "kubeconfig /home/u/0/config, line "),
        ("a: b\nc: d: e\n", "kubeconfig /home/u/0/config, line 2:"),
        ("\x00", "kubeconfig /home/u/0/config"),
        ("just text", "is not a mapping"),
        ("- 1", "is not a mapping"),
        (kubeconfig(clusters={"c": 1}), "clusters is not a list"),
        (kubeconfig(users=[{"user": {}}]), "the user 'u' of the context is missing"),
        (kubeconfig(kind="Pod"), "its kind is 'Pod', not Config"),
        (kubeconfig(apiVersion="v2"), "its apiVersion is 'v2', not v1"),
        (
            kubeconfig(clusters=[{"name": "c"}, {"name": "c"}]),
            "clusters has two entries of the name 'c'",
        ),
        (kubeconfig(contexts=[{"name": "dev", "context": 3}]), "context 'dev' is not a mapping"),
        (kubeconfig(**{"current-context": 3}), "current-context is not a string"),
        (kubeconfig(**{"current-context": "gone"}), "'gone' does not exist in kubeconfig"),
        (kubeconfig(users=[]), "the user 'u' of the context is missing"),
        (kubeconfig(clusters=[{"name": "c", "cluster": {}}]), "has no server URL"),
        (with_cluster(server="x:1/path"), "no server URL"),
        (with_cluster(server="ftp://x"), "no server URL"),
        (with_cluster(**{"insecure-skip-tls-verify": "yes"}), "is not true or false"),
        (with_cluster(**{"proxy-url": "socks4://x"}), "proxy-url is no URL with the scheme"),
        (with_cluster(**{"certificate-authority-data": "%%%"}), "is not base64"),
        (with_user(token=7), "token of user 'u' is not a string"),
        (with_user(exec=[]), "exec of user 'u' is not a mapping"),
        (with_user(exec={**PLUGIN, "command": ""}), "exec of user 'u' has no command"),
        (with_user(exec={**PLUGIN, "args": "a"}), "args of exec of user 'u' is not a list"),
        (with_user(exec={**PLUGIN, "env": [{}]}), "has an entry without a name"),
        (with_user(exec={**PLUGIN, "interactiveMode": ""}), "has no interactiveMode"),
        (with_user(**{"as-groups": ["g"]}), "as-user-extra without as"),
        (with_user(token="a\nb"), "token of user 'u' holds a line break"),
        (
            with_user(**{"as": "me", "as-groups": ["g", "a\r\nX: b"]}),
            "as-groups of user 'u' holds a line break",
        ),
        (
            with_user(**{"as": "me", "as-user-extra": {"k": ["a\nb"]}}),
            "as-user-extra of user 'u' holds a line break",
        ),
        ("a: !!timestamp x\n", "it is not YAML"),
        (with_user(), "user 'u' in /home/u/0/config has no credentials"),
        (with_user(**{"auth-provider": {"name": "gcp"}}), "'gcp', which kubectl dropped"),
        (with_user(**{"auth-provider": OIDC}), "an auth-provider that lacks its id-token"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_broken_kubeconfigs_are_named(document: Any, words: str) -> None:
    text = refusal(document)
    assert words in text
    assert text.isprintable()


def test_an_unknown_context_lists_those_there_are() -> None:
    assert refusal(kubeconfig(), context="prod").endswith("choose one: bare, dev")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (kubeconfig(**{"current-context": ""}), "sets no current context; give --context"),
        (kubeconfig(clusters=[]), "names cluster 'c', which is missing"),
        (kubeconfig(contexts=[{"name": "dev", "context": {}}]), "names no cluster"),
    ],
)
def test_where_no_server_is_known_a_pod_may_still_have_one(document: Any, words: str) -> None:
    selection = select(document)
    assert selection.cluster is None
    assert words in str(selection.problem)
