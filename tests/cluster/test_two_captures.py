"""Two people look at one container at the same time, each with a gatherer of their own."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatherer.commands.run import renderer_factory
from gatherer.config import MemoryThreshold
from tests.cluster.captures import (
    assert_nothing_left,
    capture,
    command,
    events,
    samples,
    session,
    until,
)
from tests.cluster.counting import CountingPod
from tests.cluster.in_process import ProxiedCapture
from tests.cluster.standin.harness import StandInCluster, pod_manifest
from tests.pulse import Pulse

MakePod = Callable[..., dict[str, Any]]

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
SECONDS = 20 if SOAK else 2
STANDSTILL = 2.0
"""Seconds that the target's counter may not move."""
NAMES = ("ebpf", "ptrace", "ptrace-python")
PAIRS = [("ptrace", "ptrace"), ("ebpf", "ptrace")]
if SOAK:
    PAIRS = [(one, two) for one in (*NAMES, "auto") for two in (*NAMES, "auto")]
TICKING = """
import mmap, os, time
kept = bytearray(b"x") * (20 << 20)
with open("/tmp/count", "w+b") as file:
    file.write(bytes(8))
    file.flush()
    memory = mmap.mmap(file.fileno(), 8)
print("ready", flush=True)
count = 0
while True:
    count += 1
    os.access("/ticking", 0)
    memory[:] = count.to_bytes(8, "little")
    time.sleep(0.002)
"""
SECURITY = {"capabilities": {"add": ["SYS_PTRACE", "BPF", "PERFMON"]}}
# Everything: another hunter, its bootstrap, its relay would be chosen by their memory too.
ALL = ("-m", "1Mi", "-f", "0.5", "--force")


def watch(cluster: StandInCluster) -> Pulse:
    """Begins to watch the counter of the pod `ticking`."""
    path = cluster.rootfs("ticking", "main") / "tmp/count"
    until(lambda: path.exists() and path.stat().st_size, "it counts")
    with path.open("r+b") as file:
        return Pulse(mmap.mmap(file.fileno(), 8))


@pytest.fixture
def pulse(cluster: StandInCluster, make_pod: MakePod) -> Iterator[Pulse]:
    """A container that counts, and the watch over it."""
    make_pod(pod_manifest("ticking", ["python3", "-c", TICKING], memory="256Mi", security=SECURITY))
    begun = watch(cluster)
    yield begun
    begun.stop()


def both(
    cluster: StandInCluster, tmp_path: Path, first: tuple[str, ...], second: tuple[str, ...]
) -> list[tuple[int, Path]]:
    """Runs two captures beside each other for some seconds; returns how each ended.

    Both run until the second has had its answer about the target, and some seconds longer.
    """
    running: list[tuple[subprocess.Popen[str], Path]] = []
    try:
        for number, words in enumerate((first, second)):
            output = tmp_path / f"capture-{number}"
            line = command(cluster, "-p", "ticking", "-c", "main", *ALL, "--agent", "none", *words)
            process = subprocess.Popen(
                [*line, "-o", str(output)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True,
            )  # fmt: skip
            running.append((process, output))
            until(
                lambda p=process, o=output: (
                    p.poll() is not None
                    or (
                        (o / "events.jsonl").exists()
                        and [*events(o, "attach"), *events(o, "attach_failed")]
                    )
                ),
                "it knows whether it may trace",
                60,
            )
        time.sleep(SECONDS)
    except BaseException:
        for process, _ in running:
            process.kill()
            print(process.communicate()[0])
        raise
    ended: list[tuple[int, Path]] = []
    # The second one first: it traces the target as soon as the first one lets it go.
    for process, output in reversed(running):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        print(said)
        ended.insert(0, (process.returncode, output))
    return ended


def alone(output: Path) -> None:
    """Checks that nothing but the target was ever looked at closely, and no log is another's."""
    told = session(output)
    assert [(process["pid"], process["command"]) for process in told["processes"]] == [
        (told["processes"][0]["pid"], "python3")
    ]
    logs = {path.name for path in output.glob("*.log")}
    assert logs <= {f"python3-{told['processes'][0]['pid']}.log"}
    for path in output.glob("*.log"):
        text = path.read_text()
        assert "hunter" not in text.replace("/ticking", "")
        assert "ptrace(" not in text
        assert "bpf(" not in text


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_target_never_stands_still_and_both_tell_the_truth(
    cluster: StandInCluster, pulse: Pulse, tmp_path: Path, first: str, second: str
) -> None:
    ended = both(cluster, tmp_path, ("--engine", first), ("--engine", second))
    stood = pulse.stop()
    print(f"{first} and {second}, {SECONDS} s: the counter stood still for {stood:.3f} s at most")
    assert stood < STANDSTILL
    for code, output in ended:
        assert code == 0
        assert session(output)["complete"] is True
        alone(output)
        assert session(output)["records"]["lost"] == 0
    (_, one), (_, two) = ended
    assert session(one)["tracing"] == "on"
    assert '"/ticking"' in next(one.glob("*.log")).read_text()
    told = session(two)
    # auto: the first takes ebpf, a second one of the node ptrace, or ebpf where ptrace is taken.
    if {"ebpf", "auto"} & {first, second}:
        assert told["tracing"] == "on"
        assert '"/ticking"' in next(two.glob("*.log")).read_text()
    else:
        assert told["tracing"].startswith("denied: already traced by the hunter of ")
        assert told["processes"][0]["tracing"] == told["tracing"]
        assert list(two.glob("*.log")) == []
        assert samples(two, told["processes"][0]["pid"])
        assert [event["pid"] for event in events(two, "smaps")][:1] == [1]
    assert_nothing_left(cluster, "ticking", "main")


@pytest.mark.long
def test_with_require_trace_the_second_ends_with_3(
    cluster: StandInCluster, pulse: Pulse, tmp_path: Path
) -> None:
    (one, _), (two, output) = both(
        cluster, tmp_path, ("--engine", "ptrace"), ("--engine", "ptrace", "--require-trace")
    )
    assert (one, two) == (0, 3)
    assert session(output)["end_reason"].startswith(
        "failed: python3-1 may not be traced: already traced by the hunter of "
    )
    assert pulse.stop() < STANDSTILL


@pytest.mark.parametrize("beside", ["ephemeral", "sidecar"])
@pytest.mark.long
def test_a_hunter_beside_the_target_and_one_in_it(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path, beside: str
) -> None:
    pod = pod_manifest(
        "ticking", ["python3", "-c", TICKING], memory="256Mi", security=SECURITY,
        shareProcessNamespace=beside == "sidecar",
    )  # fmt: skip
    if beside == "sidecar":
        side = pod_manifest("-", ["sleep", "1000"], container="side", security=SECURITY)
        pod["spec"]["containers"] += side["spec"]["containers"]
    make_pod(pod)
    pulse = watch(cluster)
    ended = both(
        cluster, tmp_path, ("--engine", "ptrace", "--inject", beside), ("--engine", "ptrace")
    )
    assert pulse.stop() < STANDSTILL
    for code, output in ended:
        assert code == 0
        alone(output)
    inject = [session(output)["hunter"]["inject"] for _, output in ended]
    assert inject == [beside, "copy"]
    assert session(ended[1][1])["tracing"].startswith("denied: already traced by the hunter of ")


async def test_hunter_does_not_trace_its_own_relay(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    make_pod(CountingPod.manifest("counting"))
    everything = {
        "memory": MemoryThreshold(size_bytes=1 << 20), "pids": (), "trace_set": "", "force": True
    }  # fmt: skip
    async with ProxiedCapture(
        cluster, "counting", tmp_path, renderer_factory, **everything
    ) as joined:
        await joined.attached()
        for turn in (1, 2):
            joined.proxy.strike("reset")
            await joined.until(lambda n=turn: len(joined.view.of("reconnect")) == n)
            seen = len(joined.view.states)
            # Some scans, at which the relay is there.
            await joined.until(lambda n=seen: len(joined.view.states) > n + 25)
        summary = await joined.stop()
    assert summary.exit_code == 0
    document = json.loads((joined.output / "session.json").read_text())
    assert [process["pid"] for process in document["processes"]] == [1]


def test_a_process_that_is_not_there_moves_nothing(
    cluster: StandInCluster, pulse: Pulse, tmp_path: Path
) -> None:
    words = ("-p", "ticking", "--force", "--pid")
    assert capture(cluster, tmp_path, *words, "1", "--duration", "1").returncode == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = capture(cluster, tmp_path, *words, "4711")
    assert done.returncode == 3
    assert done.stderr == (
        "gatherer: error: no process 4711 in the container; there are 1 (python3)\n"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
