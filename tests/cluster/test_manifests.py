"""What is given to users to apply: manifests/ by kubectl, docker-compose.yml by docker-compose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster.standin.harness import KUBECTL, StandInCluster
from tests.cluster.standin.manifest_rules import MANIFESTS

ROOT = MANIFESTS.parent
FILES = sorted(MANIFESTS.glob("*.yaml"))


def kubectl(cluster: StandInCluster, *arguments: str) -> str:
    command = [KUBECTL, "--kubeconfig", str(cluster.kubeconfig), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def own_cluster(tmp_path: Path) -> StandInCluster:
    cluster = StandInCluster(tmp_path, pods=[])
    yield cluster
    cluster.stop()


def test_kubectl_applies_every_manifest_and_the_role_is_enough(
    own_cluster: StandInCluster, tmp_path: Path
) -> None:
    assert [path.name for path in FILES] == [
        "coroot-node-agent.yaml",
        "problempod.yaml",
        "rbac.yaml",
    ]
    assert "pods/attach" not in (MANIFESTS / "rbac.yaml").read_text()  # nothing attaches
    cluster = own_cluster
    documents = [each for path in FILES for each in yaml.safe_load_all(path.read_text())]
    applied = kubectl(cluster, "apply", "-f", str(MANIFESTS))
    assert applied.count(" created\n") == len(documents)
    for document in documents:
        metadata = document["metadata"]
        namespace = metadata.get("namespace", "default")
        found = kubectl(
            *(cluster, "get", document["kind"], metadata["name"], "-n", namespace, "-o", "json")
        )
        for key in ("spec", "rules", "roleRef", "subjects"):
            if key in document and document["kind"] in ("DaemonSet", "Role", "ClusterRoleBinding"):
                assert json.loads(found)[key] == document[key]
    cluster.wait_running("problempod")
    # As the service account that rbac.yaml makes, with what it may do and no more.
    output = tmp_path / "logs"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gatherer", "--context", "gatherer", "-p", "problempod"),
            *("-m", "2", "-f", "0.5", "--duration", "3", "--plain", "-o", str(output)),
        ],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    session = json.loads((output / "session.json").read_text())
    assert session["engine"]["name"] in ("ebpf", "ptrace")
    assert session["records"]["received"] > 0
    assert "leak.txt" in next(output.glob("*.log")).read_text()


def test_docker_compose_takes_the_compose_file() -> None:
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("docker-compose is not installed")
    command = [compose, "-f", str(ROOT / "docker-compose.yml"), "config"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {"k3s", "gatherer"}
    assert (ROOT / "Dockerfile").is_file()
    [mounted] = [each for each in services["k3s"]["volumes"] if "manifests" in str(each)]
    assert str(MANIFESTS) in str(mounted)
