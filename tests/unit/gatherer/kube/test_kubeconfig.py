from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gatherer.errors import ClusterUnreachable
from gatherer.kube.kubeconfig import Material, Selection, select_context


def kubeconfig(**changes: Any) -> dict[str, Any]:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "contexts": [
            {"name": "dev", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
            {"name": "bare", "context": {"cluster": "c"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443/"}}],
        "users": [{"name": "u", "user": {"token": "t0k3n"}}],
    }
    return {**document, **changes}


def select(*documents: Any, context: str | None = None) -> Selection:
    files = [
        (f"/home/u/{number}/config", text if isinstance(text, str) else json.dumps(text))
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
    assert selection.cluster.server == "https://api.example:6443"
    assert selection.user.token == "t0k3n"


def test_a_context_without_namespace_and_user() -> None:
    selection = select(kubeconfig(), context="bare")
    assert selection.namespace == "default"
    assert selection.user.token == ""


def test_of_several_files_the_first_one_wins_as_in_kubectl() -> None:
    second = kubeconfig(
        **{
            "current-context": "other",
            "clusters": [{"name": "c", "cluster": {"server": "https://second:1"}}],
            "contexts": [{"name": "other", "context": {"cluster": "c"}}],
        }
    )
    assert select(kubeconfig(), second).context == "dev"
    other = select(kubeconfig(), second, context="other")
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
                        "exec": {"command": "./bin/login", "apiVersion": "v"},
                    },
                }
            ],
        )
    )
    assert selection.cluster.certificate_authority == Material(path="/home/u/0/pki/ca.crt")
    assert selection.user.certificate == Material(path="/home/u/0/me.crt")
    assert selection.user.key == Material(path="/abs/me.key")
    assert selection.user.token_file == "/home/u/0/token"
    assert selection.user.exec_plugin is not None
    assert selection.user.exec_plugin.command == "/home/u/0/bin/login"


def test_data_goes_before_files() -> None:
    data = base64.b64encode(b"PEM").decode()
    cluster = select(
        with_cluster(**{"certificate-authority-data": data, "certificate-authority": "ca.crt"})
    ).cluster
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
    assert cluster.insecure
    assert cluster.tls_server_name == "api.internal"
    assert cluster.proxy_url == "http://proxy:3128"
    assert cluster.exec_config == {"audience": "a"}


def test_an_exec_plugin() -> None:
    plugin = select(
        with_user(
            exec={
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": "aws",
                "args": ["eks", "get-token", 7],
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
    user = select(with_user(**{"token": "t", "as": "jane", "as-uid": "7"})).user
    assert user.impersonate == {"Impersonate-User": "jane", "Impersonate-Uid": "7"}


def test_the_token_of_openid_connect_is_used_as_it_is() -> None:
    provider = {"name": "oidc", "config": {"id-token": "jwt"}}
    assert select(with_user(**{"auth-provider": provider})).user.token == "jwt"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "kubeconfig /home/u/0/config, line 1:"),
        ("a: [\n b: c", "line 2"),
        ("\x00", "kubeconfig /home/u/0/config"),
        ("just text", "is not a mapping"),
        ("- 1", "is not a mapping"),
        (kubeconfig(clusters={"c": 1}), "clusters is not a list"),
        (kubeconfig(users=[{"user": {}}]), "an entry of users has no name"),
        (kubeconfig(contexts=[{"name": "dev", "context": 3}]), "context 'dev' is not a mapping"),
        (kubeconfig(**{"current-context": 3}), "current-context is not a string"),
        (kubeconfig(**{"current-context": ""}), "sets no current context; give --context"),
        (kubeconfig(**{"current-context": "gone"}), "'gone' does not exist in kubeconfig"),
        (kubeconfig(clusters=[]), "names cluster 'c', which is missing"),
        (kubeconfig(users=[]), "names user 'u', which is missing"),
        (kubeconfig(contexts=[{"name": "dev", "context": {}}]), "names no cluster"),
        (kubeconfig(clusters=[{"name": "c", "cluster": {}}]), "has no server URL"),
        (kubeconfig(clusters=[{"name": "c", "cluster": {"server": "x:1"}}]), "no server URL"),
        (with_cluster(**{"certificate-authority-data": "%%%"}), "is not base64"),
        (with_user(token=7), "token is not a string"),
        (with_user(exec=[]), "exec of user 'u' is not a mapping"),
        (with_user(exec={"apiVersion": "v"}), "exec of user 'u' has no command"),
        (with_user(exec={"command": "x", "args": "a"}), "args or env"),
        (with_user(exec={"command": "x", "env": [{}]}), "has an entry without a name"),
        (with_user(**{"as": "jane", "as-groups": ["g"]}), "impersonates with as-groups"),
        (with_user(**{"auth-provider": {"name": "gcp"}}), "auth-provider without an id-token"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_broken_kubeconfigs_are_named(document: Any, words: str) -> None:
    text = refusal(document)
    assert words in text
    assert text.isprintable()


def test_an_unknown_context_lists_those_there_are() -> None:
    assert refusal(kubeconfig(), context="prod").endswith("choose one: bare, dev")
