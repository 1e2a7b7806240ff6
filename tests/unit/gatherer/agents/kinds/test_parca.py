"""Parca and Polar Signals: what the agent says of itself, and why a container label is missing."""

from __future__ import annotations

import pytest

from gatherer.agents.kinds.analysis import ScrapeContext
from gatherer.agents.kinds.parca import AgentHealth, diagnose_parca, diagnose_sockets
from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.rates import Rates

RUN = ("/run", "/sys/fs/bpf")


def test_health() -> None:
    health, rates = AgentHealth(), Rates()
    for value in (100.0, 130.0):
        samples = [
            Sample("parca_reporter_samples_total", "counter", {"type": "oncpu"}, value),
            Sample("agent_errors_perf_event_lost", "counter", {}, value),
            Sample("process_resident_memory_bytes", "gauge", {}, value * (1 << 20)),
        ]
        health.observe([(s, rates.observe(s, value), False) for s in samples], value)
    lines = health.lines(ScrapeContext())
    assert lines[0] == "samples reported: +30"
    assert "perf events lost: +30" in lines
    assert "agent memory: 100.0 MiB before, 100.0 MiB to 130.0 MiB during" in lines[2]


def test_a_usual_node_has_no_problem() -> None:
    diagnosis = diagnose_sockets("containerd://1.7.2", ["--node=node1"], RUN)
    assert diagnosis.problems == ()
    assert diagnosis.runtime == "containerd 1.7.2"
    assert "/run/containerd/containerd.sock" in diagnosis.sockets


@pytest.mark.parametrize(
    ("runtime", "arguments", "mounts", "words"),
    [
        ("containerd://1.5.13", [], RUN, "1.5.13 is too old"),
        ("containerd://1.7.2", [], ("/sys",), "no mount of the agent's pod holds a socket"),
        ("containerd://1.7.2-k3s1", [], RUN, "does not try /run/k3s/containerd/containerd.sock"),
        ("containerd://1.7.2", ["--metadata-container-runtime-socket-path=/x"], RUN, "never uses"),
        ("containerd://1.7.2", ["--container-runtime-socket-path="], RUN, "is no flag"),
        ("containerd://1.7.2", ["--metadata-disable-caching"], RUN, "is deprecated"),
        ("containerd://1.7.2", ["--node="], RUN, "--node is empty"),
        ("rkt://1.0", [], RUN, "the runtime rkt is none the agent knows"),
    ],
)
def test_what_speaks_against_a_container_label(
    runtime: str, arguments: list[str], mounts: tuple[str, ...], words: str
) -> None:
    ((cause, remedy),) = diagnose_sockets(runtime, arguments, mounts).problems
    assert words in cause
    assert remedy


@pytest.mark.parametrize("runtime", ["", "containerd", "docker://", "cri-o://1.30", "x://y://z"])
def test_any_version_is_read(runtime: str) -> None:
    diagnose_sockets(runtime, ["--listen", ""], RUN)


def test_the_diagnosis_of_a_missing_container_label() -> None:
    fine = diagnose_parca("containerd://1.7.2", [], RUN)
    assert (fine.case, fine.remedy) == ("ok", "")
    assert "tries /run/containerd/containerd.sock" in fine.cause
    unmounted = diagnose_parca("containerd://1.7.2", [], ())
    assert unmounted.case == "container label missing"
    assert "hostPath" in unmounted.remedy
    two = diagnose_parca("docker://20.10", ["--node="], ())
    assert "also: --node is empty" in two.cause
    unknown = diagnose_parca("", [], RUN)
    assert unknown.case == "ok"
