from __future__ import annotations

from dataclasses import replace

import pytest

from gatherer.capture.result import EndFacts, conclude, hunter_failure
from gatherer.errors import GathererError, LogWriteError, TargetNotFound
from gatherer.rendering.accounting import Accounts, reconcile
from gatherer.stream.hunter_exit import hunter_error, no_hello
from gatherer.stream.receiver import Receiver
from gatherer.target.values import SILENT, Exit, TargetEnd
from hg_shared.messages import Goodbye
from tests.unit.gatherer.scripted import goodbye


def evidence(said: Goodbye | None, **more: object) -> EndFacts:
    accounts = Accounts()
    accounts.received(1, 5)
    books = reconcile(accounts, said, {1: "leak-7"})
    base = EndFacts("", said, Exit(0), None, False, None, True, books, Receiver(), ())
    return replace(base, **more)  # type: ignore[arg-type]


STOPPED = goodbye(5, frames=1)
STUCK_LINE = "x\nhunter: stuck: thread 7 stood in a ptrace-stop for 2.0 s\n"


@pytest.mark.parametrize(
    ("case", "reason", "complete", "code"),
    [
        (evidence(STOPPED, stop_reason="interrupted"), "interrupted", True, 0),
        (evidence(STOPPED, stop_reason="duration"), "duration", True, 0),
        (evidence(STOPPED, stop_reason="terminated"), "terminated", True, 1),
        (evidence(replace(STOPPED, reason="no_targets")), "target ended", True, 0),
        (
            evidence(replace(STOPPED, reason="signal SIGTERM")),
            "hunter was ended by signal SIGTERM", True, 1,
        ),
        (
            evidence(replace(STOPPED, reason="no_heartbeat")),
            "the stream broke: hunter says no_heartbeat", True, 4,
        ),
        (
            evidence(replace(STOPPED, reason="\x1b[2J")),
            "the stream broke: hunter says \\x1b[2J", True, 4,
        ),
        (evidence(None, end=TargetEnd("OOMKilled")), "OOMKilled", False, 0),
        (evidence(None, end=TargetEnd("NodeLost")), "NodeLost", False, 4),
        (
            evidence(None, exit=Exit(137)),
            "the stream broke: hunter was killed by signal 9", False, 4,
        ),
        (evidence(None, exit=Exit(137, "", STUCK_LINE)), "stuck", False, 4),
        (evidence(None, exit=Exit(101, "", STUCK_LINE), end=TargetEnd("Error")), "stuck", False, 4),
        (evidence(None, exit=Exit(None, "gone", silent=2.5)), "stuck", False, 4),
        (
            evidence(None, exit=Exit(None, "gone", silent=2.5), end=TargetEnd("Error")),
            "Error", False, 0,
        ),
        (evidence(None, exit=Exit(None, "gone", silent=1.5)), "the stream broke: gone", False, 4),
        (evidence(STOPPED, exit=Exit(137, "", STUCK_LINE), stop_reason="duration"), "duration",
            True, 0),
        (
            evidence(None, exit=Exit(1, "", "a\nImportError: x\n")),
            "the stream broke: hunter ended with exit code 1, ImportError: x", False, 4,
        ),
        (
            evidence(None, exit=Exit(None, "the exec channel ended without a status: 1006")),
            "the stream broke: the exec channel ended without a status: 1006", False, 4,
        ),
        (
            evidence(None, exit=Exit(None), stop_reason="terminated"), "terminated", False, 1,
        ),
        (evidence(None, cancelled=True), "stopped at once", False, 1),
        (
            evidence(None, failure=LogWriteError("disk full", "free some")),
            "failed: disk full", False, 1,
        ),
        (
            evidence(STOPPED, failure=TargetNotFound("no process 7")),
            "failed: no process 7", False, 3,
        ),
        (evidence(STOPPED, stop_reason="duration", rendered=False), "duration", False, 0),
        (
            evidence(STOPPED, stop_reason="duration", discrepancies=("odd",)),
            "duration", False, 4,
        ),
        (evidence(goodbye(9, 4, frames=1), stop_reason="duration"), "duration", False, 4),
    ],
)  # fmt: skip
def test_every_end_has_its_reason_and_code(
    case: EndFacts, reason: str, complete: bool, code: int
) -> None:
    conclusion = conclude(case)
    assert (conclusion.end_reason, conclusion.complete, conclusion.exit_code) == (
        reason, complete, code
    )  # fmt: skip


def test_a_gap_before_the_end_of_the_target_is_a_loss() -> None:
    receiver = Receiver()
    receiver.missing_frames = 2
    conclusion = conclude(evidence(None, end=TargetEnd("OOMKilled"), receiver=receiver))
    assert conclusion.exit_code == 4
    assert conclusion.notes == ("2 frames of the stream are missing",)


def test_what_hunter_says_is_found_among_other_lines() -> None:
    assert hunter_error("warning\nhunter: error: no \x1b room; use --force\nbye\n") == (
        "no \\x1b room; use --force"
    )
    assert hunter_error("Traceback\n") == ""


def test_a_process_that_does_not_exist_is_not_found() -> None:
    said = goodbye(0, reason="no_targets")
    ended = Exit(3, "", "hunter: error: no process 7; see ps for those there\n")
    failure = hunter_failure(said, ended)
    assert isinstance(failure, TargetNotFound)
    assert str(failure) == "no process 7; see ps for those there"
    assert hunter_failure(said, Exit(0)) is None
    assert hunter_failure(None, ended) is None


def test_an_error_inside_hunter_is_a_failure() -> None:
    failure = hunter_failure(goodbye(0, reason="error"), Exit(1, "", "hunter: error: KeyError: 5"))
    assert isinstance(failure, GathererError)
    assert failure.exit_code == 1
    assert "KeyError: 5" in str(failure)


def test_a_hunter_without_hello_is_explained() -> None:
    nothing = Receiver()
    assert "said nothing for 15 s" in str(no_hello(nothing, Exit(None), 15.0))
    silent = str(no_hello(nothing, Exit(SILENT, "", "Fatal Python error\n"), 15.0))
    assert "hunter ended without a word, as when it is killed: Fatal Python error" in silent
    killed = str(no_hello(nothing, Exit(137), 15.0))
    assert "hunter was killed by signal 9" in killed
    broken = str(no_hello(nothing, Exit(None, "connection reset"), 15.0))
    assert "hunter ended before it began: connection reset" in broken
    crashed = str(no_hello(nothing, Exit(1, "", "Traceback\nImportError: ctypes\n"), 15.0))
    assert "ImportError: ctypes" in crashed


def test_what_hunter_says_in_its_goodbye_needs_no_stderr() -> None:
    broken = Exit(None, "hunter has closed the connection")
    error = hunter_failure(replace(STOPPED, reason="error", error="KeyError: 'x'"), broken)
    assert str(error) == "hunter failed: KeyError: 'x'; run again with --debug and report it"
    nobody = hunter_failure(replace(STOPPED, reason="no_targets", error="no process 7; ps"), broken)
    assert isinstance(nobody, TargetNotFound)
    assert str(nobody) == "no process 7; ps"
    assert hunter_failure(replace(STOPPED, reason="no_targets"), broken) is None


def test_dropped_messages_make_a_capture_incomplete() -> None:
    said = replace(STOPPED, dropped_messages=3)
    conclusion = conclude(evidence(said, stop_reason="interrupted"))
    assert (conclusion.exit_code, conclusion.complete) == (4, False)
    assert "hunter dropped 3 events and samples" in conclusion.notes[0]


def test_a_hunter_that_was_stuck_says_why_in_the_notes() -> None:
    ending = conclude(evidence(None, exit=Exit(137, "", STUCK_LINE)))
    assert ending.notes[0] == "hunter was stuck: thread 7 stood in a ptrace-stop for 2.0 s"
    assert ending.incomplete == ending.notes[0]
    ending = conclude(evidence(None, exit=Exit(None, "gone", silent=4.2)))
    assert ending.notes[0] == "hunter was stuck: it said nothing for 4.2 s, and was gone then"
