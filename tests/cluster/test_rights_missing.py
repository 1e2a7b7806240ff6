"""Containers in which nothing may be traced: memory evidence, said loudly, or a failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.captures import capture, events, samples, session, until
from tests.cluster.standin.harness import StandInCluster, pod_manifest


@pytest.fixture(scope="module")
def noptrace(cluster: StandInCluster) -> str:
    cluster.create_recorded("noptracepod")
    return "noptracepod"


def test_memory_evidence_is_taken_all_the_same(
    cluster: StandInCluster, noptrace: str, tmp_path: Path
) -> None:
    done = capture(cluster, tmp_path, "-p", noptrace, "-m", "1", "-f", "0.5", "--duration", "3")
    assert (done.returncode, done.stderr) == (0, "")
    told = session(tmp_path)
    cause = (
        "denied: ptrace(2) is forbidden (Operation not permitted), as by the seccomp profile"
        " (Localhost no-ptrace.json); allow ptrace in it, set seccompProfile RuntimeDefault on the"
        " container, or use --inject ephemeral"
    )
    assert told["tracing"] == cause
    assert told["exit_code"] == 0
    assert told["complete"] is True
    assert f"NO SYSTEM CALLS ARE TRACED, {cause}; going on with memory" in done.stdout
    assert f"NO SYSTEM CALLS WERE TRACED, {cause}" in done.stdout
    (process,) = told["processes"]
    assert process["end_reason"].startswith("not traced: ptrace(2) is forbidden")
    assert process["log"] is None
    taken = samples(tmp_path, process["pid"])
    assert len(taken) >= 3
    assert process["peak_rss_bytes"] == max(sample["rss_bytes"] for sample in taken)
    assert any(sample["pss_bytes"] and sample["anon_bytes"] for sample in taken)
    assert {sample["limit_bytes"] for sample in samples(tmp_path)} == {256 << 20}
    mappings = events(tmp_path, "smaps")[0]["mappings"]
    # Where the first walk of the page tables took long, on a busy machine, there is no second one.
    walked = mappings[0]["rss_bytes"] is not None
    sizes = [mapping["rss_bytes" if walked else "size_bytes"] for mapping in mappings]
    assert sizes == sorted(sizes, reverse=True)
    assert 0 < sizes[0] <= mappings[0]["size_bytes"]
    (failed,) = events(tmp_path, "attach_failed")
    assert failed["denied"] is True


def test_require_trace_makes_it_a_failure(
    cluster: StandInCluster, noptrace: str, tmp_path: Path
) -> None:
    done = capture(cluster, tmp_path, "-p", noptrace, "-m", "1", "--require-trace")
    assert done.returncode == 3
    assert done.stderr.startswith("gatherer: error: nothing may be traced: ptrace(2) is forbidden")
    assert "the seccomp profile (Localhost no-ptrace.json); allow ptrace in it, " in done.stderr
    assert done.stderr.count("\n") == 1
    told = session(tmp_path)
    assert told["exit_code"] == 3
    assert told["tracing"].startswith("denied: ")


HIDDEN = """
import ctypes, time
kept = bytearray(b"x") * (60 << 20)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
time.sleep(1000000)
"""


def test_a_process_that_hides_from_its_user(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """ptrace(2) is allowed as such; this one process may not be traced."""
    make_pod(
        pod_manifest(
            "hiddenpod",
            ["python3", "-c", HIDDEN],
            memory="256Mi",
            security={"runAsUser": 1000, "readOnlyRootFilesystem": True},
        )
    )
    until(lambda: cluster.rss("hiddenpod", "main") > 60 << 20, "it has its memory")
    done = capture(cluster, tmp_path, "-p", "hiddenpod", "-m", "10", "-f", "0.5", "--duration", "3")
    assert (done.returncode, done.stderr) == (0, "")
    told = session(tmp_path)
    assert told["tracing"].startswith("denied: it has more capabilities than hunter or is not")
    assert "NOT TRACED: 1, only its memory is sampled" in done.stdout
    assert "NO SYSTEM CALLS WERE TRACED" in done.stdout
    assert len(samples(tmp_path, 1)) >= 3
