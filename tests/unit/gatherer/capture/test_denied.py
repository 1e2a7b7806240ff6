"""Tracing that is denied: what session.json says, and what --require-trace makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatherer.capture.recorder import CaptureRecorder
from gatherer.capture.session_document import SessionDocument
from gatherer.clock import CaptureClock
from gatherer.config import CaptureConfig
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.stream.receiver import Arrival, Receiver
from gatherer.target.values import Target
from hg_shared.framing import Frame
from hg_shared.messages import Event
from hg_shared.open_files import FEW_FILES
from tests.unit.gatherer.scripted import (
    HELLO,
    REALTIME,
    SECOND,
    RecordingView,
    event,
    process,
)

CAUSE = "Yama ptrace_scope is 1 and SYS_PTRACE is missing; add SYS_PTRACE"


@pytest.fixture
def document() -> SessionDocument:
    made = SessionDocument(Target("kubernetes"), {}, 0)
    made.on_hello(HELLO, CaptureClock(HELLO, REALTIME))
    for ordinal in (1, 2):
        made.processes.declare(process(ordinal, pid=10 + ordinal))
    return made


def happened(document: SessionDocument, name: str, pid: int, **fields: Any) -> None:
    document.processes.happened(
        Event(1001 * SECOND, name, pid, fields), "2026-01-01T00:00:00.000000Z"
    )


def test_before_the_hello_nothing_is_known() -> None:
    assert SessionDocument(Target("kubernetes"), {}, 0).tracing is None


def test_denied_for_every_process_is_denied(document: SessionDocument) -> None:
    assert document.tracing == "on"
    happened(document, "attach_failed", 11, cause=CAUSE, denied=True)
    assert document.tracing == f"denied: {CAUSE}"
    assert document.as_json()["tracing"] == f"denied: {CAUSE}"


def test_one_process_that_is_traced_is_on(document: SessionDocument) -> None:
    happened(document, "attach_failed", 11, cause=CAUSE, denied=True)
    happened(document, "attach", 12, threads=1)
    assert document.tracing == "on"


def test_a_failure_for_another_reason_is_no_denial(document: SessionDocument) -> None:
    happened(document, "attach_failed", 11, cause="it is gone", denied=False)
    assert document.tracing == "on"


def test_the_end_of_a_watched_process_keeps_why_it_was_not_traced(
    document: SessionDocument,
) -> None:
    happened(document, "attach_failed", 11, cause=CAUSE, denied=True)
    entry = document.processes.entry(1)
    assert entry is not None
    assert (entry.state, entry.ended) == ("not traced", None)
    happened(document, "exit", 11)
    assert entry.end_reason == f"exited, not traced: {CAUSE}"
    assert entry.ended is not None


def test_each_process_says_for_itself(document: SessionDocument) -> None:
    happened(document, "attach_failed", 11, cause=CAUSE, denied=True)
    happened(document, "attach", 12, threads=1, engine="ptrace", reason="ebpf: not this one")
    entries = document.as_json()["processes"]
    assert [entry["tracing"] for entry in entries] == [f"denied: {CAUSE}", "on"]
    assert [entry["engine"] for entry in entries] == [None, "ptrace"]
    refused = document.processes.refused
    assert refused is not None
    assert refused.pid == 11
    # The tracer that stood in the way has let it go.
    happened(document, "attach", 11, threads=1)
    assert [entry["tracing"] for entry in document.as_json()["processes"]] == ["on", "on"]
    assert document.processes.refused is None


def test_one_that_was_let_go_says_why(document: SessionDocument) -> None:
    happened(document, "attach", 11, threads=1)
    happened(document, "detach", 11, cause="it belongs to gatherer")
    entry = document.processes.entry(1)
    assert entry is not None
    assert entry.end_reason == "detached: it belongs to gatherer"


def test_a_watched_process_that_the_kernel_killed(document: SessionDocument) -> None:
    happened(document, "attach_failed", 11, cause=CAUSE, denied=True)
    happened(document, "exit", 11, oom=True)
    entry = document.processes.entry(1)
    assert entry is not None
    assert entry.end_reason.startswith("ended, the kernel killed for want of memory")


def test_want_of_descriptors_leaves_a_capture_incomplete(document: SessionDocument) -> None:
    assert document.processes.shortages() == ()
    cause = f"{FEW_FILES} 64 files; raise its limit (ulimit -n)"
    happened(document, "attach_failed", 11, cause=cause, denied=True)
    happened(document, "attach", 12, threads=1)
    assert document.processes.shortages() == (f"1 process was not traced: {cause}",)
    # It is tried again, and may then be traced.
    happened(document, "attach", 11, threads=1)
    assert document.processes.shortages() == ()


FORBIDDEN = "ptrace(2) is forbidden (Operation not permitted), as by a seccomp profile"
NAMED = FORBIDDEN.replace("a seccomp profile", "the seccomp profile (Localhost no-ptrace.json)")


@pytest.mark.parametrize(
    ("profile", "container", "expected"),
    [
        ("Localhost no-ptrace.json", "", NAMED),
        ("Localhost no-ptrace.json", "main", NAMED),
        ("Localhost no-ptrace.json", "neighbour", FORBIDDEN),
        ("", "", FORBIDDEN),
    ],
)
def test_a_seccomp_profile_is_named_as_doctor_names_it(
    tmp_path: Path, profile: str, container: str, expected: str
) -> None:
    target = Target("kubernetes", container="main", seccomp=profile)
    view = RecordingView()
    recorder = CaptureRecorder(CaptureConfig(), target, CaptureDirectory(tmp_path), view)
    recorder.received("copy", "", container, Receiver())
    made = recorder.document
    denied = replace(HELLO, engine="", engine_reason=FORBIDDEN, tracing=f"denied: {FORBIDDEN}")
    recorder.receive(Arrival(Frame(1, 1, b""), denied))
    recorder.receive(Arrival(Frame(5, 2, b""), process(1, pid=11)))
    failed = event("attach_failed", 11, cause=FORBIDDEN, denied=True)
    recorder.receive(Arrival(Frame(3, 3, b""), failed))
    remedy = "; allow ptrace in it, set seccompProfile RuntimeDefault on the container, or use"
    tracing = made.tracing or ""
    assert tracing.startswith(f"denied: {expected}")
    assert (remedy in tracing) is (expected == NAMED)
    [start] = view.starts
    assert start.hello.engine_reason == expected
    [(_, _, _, fields)] = view.events
    assert str(fields["cause"]).startswith(expected)
    assert made.as_json()["target"]["seccomp"] == profile
