"""The rights that are asked about, and how a missing one is to be had."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gatherer.kube.objects.review import Right, allowed, git_version, user_name
from gatherer.preflight.checks.rights import NEEDED, RIGHTS, role_command, role_manifest
from gatherer.preflight.evaluation import evaluate
from gatherer.preflight.findings import Level

from .situations import FIXTURES, healthy, without


@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_exactly_the_missing_right_is_named(right: Right) -> None:
    report = evaluate(healthy(rights=without((right.verb, right.resource))))
    named = [f for f in report.findings if f.level is not Level.OK]
    assert [finding.check for finding in named] == [str(right)]
    (finding,) = named
    assert finding.level is (Level.STOPS if right in NEEDED else Level.NOTE)
    assert f"--verb={right.verb} --resource={right.resource}`" in finding.remedy
    assert report.exit_code == (3 if right in NEEDED else 0)


def test_a_review_asks_for_the_subresource() -> None:
    assert Right("create", "pods/exec").review("shop") == {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "verb": "create", "group": "", "resource": "pods", "subresource": "exec",
                "namespace": "shop",
            }
        },
    }  # fmt: skip
    everywhere = Right("get", "nodes", everywhere=True).review("shop")
    assert "namespace" not in everywhere["spec"]["resourceAttributes"]


def test_the_answers_of_a_real_server() -> None:
    recorded = FIXTURES.parent / "cluster/recordings/ssar-viewer-exec.json"
    assert not allowed(json.loads(recorded.read_text()))
    assert allowed({"status": {"allowed": True, "reason": "RBAC: allowed by RoleBinding"}})
    for odd in (None, [], {"status": []}, {"status": {"allowed": "yes"}}):
        assert not allowed(odd)
    assert user_name({"status": {"userInfo": {"username": "jane"}}}) == "jane"
    assert user_name({"status": {"userInfo": {"username": 7}}}) == ""
    assert git_version({"gitVersion": "v1.36.2"}) == "v1.36.2"
    assert git_version([]) == ""


def test_a_role_for_a_person_and_one_for_a_service_account() -> None:
    right = Right("get", "pods/exec")
    person = replace(healthy(), user="jane@example.org")
    assert "--user=jane@example.org`" in role_command([right], person)
    assert "kind: User" in role_manifest([right], person)
    assert "--serviceaccount=default:tracer`" in role_command([right], healthy())
    assert "kind: ServiceAccount\n  namespace: default\n  name: tracer" in role_manifest(
        [right], healthy()
    )
    nobody = replace(healthy(), user="")
    assert "--user=USER`" in role_command([right], nobody)
    node = Right("get", "nodes", everywhere=True)
    assert "clusterrole gatherer-nodes --verb=get" in role_command([node], nobody)
    assert "namespace" not in role_manifest([node], nobody)
