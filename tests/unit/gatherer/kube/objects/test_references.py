from __future__ import annotations

import pytest

from gatherer.kube.objects.references import Reference, parse_reference


@pytest.mark.parametrize(
    ("text", "resource", "shown"),
    [
        ("web-1", "pods", "web-1"),
        ("pod/web-1", "pods", "web-1"),
        ("po/web-1", "pods", "web-1"),
        ("deploy/web", "deployments", "deployment/web"),
        ("deployment/web", "deployments", "deployment/web"),
        ("Deployments/web", "deployments", "deployment/web"),
        ("deployments.apps/web", "deployments", "deployment/web"),
        ("deployment.v1.apps/web", "deployments", "deployment/web"),
        ("rs/web-5d9f", "replicasets", "replicaset/web-5d9f"),
        ("sts/db", "statefulsets", "statefulset/db"),
        ("statefulset/db", "statefulsets", "statefulset/db"),
        ("ds/log.v2", "daemonsets", "daemonset/log.v2"),
        ("job/once", "jobs", "job/once"),
        ("jobs.batch/once", "jobs", "job/once"),
    ],
)
def test_types_are_written_as_kubectl_takes_them(text: str, resource: str, shown: str) -> None:
    reference = parse_reference(text)
    assert reference == Reference(resource, text.partition("/")[2] or text)
    assert str(reference) == shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node/n1", "'node' is no type that has pods"),
        ("deploy.batch/web", "'deploy.batch' is no type"),
        ("deploy/", "'deploy/' names nothing"),
        ("", "'' names nothing"),
        ("a/b/c", "'a' is no type"),
        ("pod/a/b", "'a/b' cannot be the name of a pod"),
        ("po/web 1", "'web 1' cannot be the name of a pod"),
        ("deploy/\x1b[2J", r"'\x1b[2J' cannot be"),
    ],
)
def test_what_names_no_pods_is_refused_with_a_good_one(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_reference(text)
    assert str(caught.value).startswith(words)
    assert "deploy/NAME" in str(caught.value)
