"""More processes over the threshold than one hunter traces, and processes that it must not stop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from hg_shared.messages import Goodbye, Sample
from hunter.engines.native.ring_queue import MAX_PROCESSES
from tests.integration.hunter_session import HunterSession
from tests.integration.tracee import TARGETS, Tracee, tracers

Start = Callable[..., Tracee]
Hunt = Callable[..., HunterSession]
TOO_MANY = MAX_PROCESSES + 40


def test_the_first_are_traced_and_the_others_say_why_not(
    start: Start, hunt: Hunt, compiled: Callable[[str], Path]
) -> None:
    namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    crowd = start(*namespace, compiled("crowd"), TOO_MANY)
    (first,) = psutil.Process(crowd.pid).children()
    enter = ("nsenter", "--target", str(first.pid), "--pid", "--mount")
    hunter = hunt(
        "--engine", "ptrace", "--memory", 1, "--frequency", "0.5", "--placement", "off",
        prefix=enter,
    )  # fmt: skip
    hunter.wait_for(
        lambda: len(hunter.events("attach")) + len(hunter.events("attach_failed")) > TOO_MANY,
        "all are told of",
        60,
    )
    attached = {event.pid for event in hunter.events("attach")}
    refused = hunter.events("attach_failed")
    assert len(attached) == MAX_PROCESSES
    assert len(refused) == TOO_MANY + 1 - MAX_PROCESSES
    for event in refused:
        assert event.pid not in attached
        assert event.fields == {
            "cause": f"one hunter traces at most {MAX_PROCESSES} processes and 12288 threads",
            "denied": True,
        }
    watched = {event.pid for event in refused}
    hunter.wait_for(
        lambda: watched <= {sample.pid for sample in hunter.of(Sample)}, "samples of the others"
    )
    traced = sum(tracers(child.pid) != {0} for child in first.children())
    assert traced + (tracers(first.pid) != {0}) == MAX_PROCESSES
    goodbye = hunter.stop()
    assert (goodbye.reason, goodbye.error, goodbye.lost) == ("stop", "", 0)
    assert all(tracers(child.pid) == {0} for child in first.children())
    assert crowd.process.poll() is None


READER = """\
import os, sys
print("ready", flush=True)
while True:
    data = os.read(int(sys.argv[1]), 65536)
    if not data:
        break
    os.write(int(sys.argv[2]), data)
"""


def test_who_reads_what_hunter_writes_is_left_out(
    start: Start, hunter_pyz: Path, tmp_path: Path
) -> None:
    """As behind a wrapper around python3 that pipes: stopped, it would stop hunter's own words."""
    target = start(sys.executable, "-I", "-S", TARGETS / "memory.py", 1 << 20)
    outer_read, outer_write = os.pipe()
    inner_read, inner_write = os.pipe()
    reader = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", READER, str(inner_read), str(outer_write)],
        pass_fds=(inner_read, outer_write), stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(inner_read)
    os.close(outer_write)
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"ready\n"
    script = f'exec "$@" >/proc/self/fd/{inner_write}'
    # Both by their pids, so that nothing else of this machine is looked at.
    options = ("--only-pids", "--pid", reader.pid, "--pid", target.pid, "--frequency", "0.2")
    hunter = HunterSession(
        hunter_pyz, ("--engine", "ptrace", *options), prefix=("sh", "-c", script, "sh"),
        reads=outer_read, pass_fds=(inner_write,),
    )  # fmt: skip
    os.close(inner_write)
    try:
        hunter.wait_attached(target.pid)
        reason = hunter.wait_event("scan", reader.pid).fields["excluded"]
        assert reason == "it holds an end of hunter's pipes"
        assert tracers(reader.pid) == {0}
        assert [event.pid for event in hunter.events("attach")] == [target.pid]
        assert hunter.stop().reason == "stop"
        assert hunter.of(Goodbye)
    finally:
        hunter.close()
        reader.kill()
        reader.communicate()
