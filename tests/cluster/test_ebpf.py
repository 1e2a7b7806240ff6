"""The ebpf engine in real containers: which capabilities it takes, and the way back to ptrace."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.captures import HOLDER, assert_nothing_left, command
from tests.cluster.standin.harness import StandInCluster, pod_manifest


@pytest.mark.parametrize(
    ("capabilities", "engine", "reason"),
    [
        (["BPF", "PERFMON"], "ebpf", "bpf(2) is allowed"),
        (["SYS_PTRACE"], "ptrace", "ebpf: CAP_BPF missing"),
    ],
)
def test_the_engine_follows_the_capabilities(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    tmp_path: Path,
    capabilities: list[str],
    engine: str,
    reason: str,
) -> None:
    name = "with-" + capabilities[0].lower().replace("_", "-")
    security = {
        "capabilities": {"add": capabilities},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    make_pod(pod_manifest(name, ["python3", "-c", HOLDER, "20"], memory="256Mi", security=security))
    output = tmp_path / "logs"
    done = subprocess.run(
        [
            *command(cluster, "-p", name, "-m", "10Mi", "-f", "0.5", "--duration", "3"),
            *("--force", "-o", str(output)),
        ],
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    [log] = output.glob("*.log")
    text = log.read_text()
    assert '"/etc/hostname"' in text
    assert "clock_nanosleep" in text
    session = json.loads((output / "session.json").read_text())
    assert session["engine"] == {"name": engine, "reason": reason}
    assert_nothing_left(cluster, name, "main")
