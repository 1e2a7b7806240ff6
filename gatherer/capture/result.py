"""The end of a capture: its reason, whether it is complete, and the exit code. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatherer.errors import GathererError, TargetNotFound, TracingDenied
from gatherer.rendering.accounting import Reconciliation
from gatherer.stream.damage import Damage
from gatherer.stream.hunter_exit import exit_text, hunter_error, stuck
from gatherer.stream.receiver import Receiver
from gatherer.target.values import Exit, TargetEnd
from gatherer.text import byte_count, counted, printable
from hg_shared.messages import Goodbye

COMPLETE, FAILED, LOST = 0, 1, 4
HUNTER_COULD_NOT_START = 3
TARGET_ENDED = "target ended"
_COULD_NOT_START = (TargetNotFound, TracingDenied)
NODE_LOST = "NodeLost"
_MANY = "events and samples"
SILENT_SECONDS = 2.0
"""A heartbeat of hunter, and what its watchdog gives it."""
STUCK = "stuck"
"""End of a capture whose hunter held its target, or could have, and was ended for it."""
_STOPPED = {
    "interrupted": ("interrupted", COMPLETE),
    "duration": ("duration", COMPLETE),
    "terminated": ("terminated", FAILED),
}


@dataclass(frozen=True)
class EndFacts:
    """The facts that are known when nothing more will come.

    Attributes:
        stop_reason: why gatherer asked hunter to stop; empty when it did not.
        goodbye: hunter's final message.
        exit: how its process ended.
        failure: what made gatherer give up.
        cancelled: the user would not wait.
        end: how the target ended, as its runtime tells it; None when it runs on, or nobody tells.
        rendered: everything in the spool is in the logs.
        reconciliation: the final accounting.
        receiver: the state of the stream.
        discrepancies: sentences about what does not add up.
        dropped_lines: lines left out of logs that had reached their size limit.
        damage: what is wrong inside the batches of records that arrived.
        unknown_ms: time before the end of which nothing is known, None when nobody measured it.
        spooled: bytes of the stream that were received and kept.
        rendered_bytes: bytes of these that were rendered.
        counted: whether all of these are in the accounting, rendered or not.
    """

    stop_reason: str
    goodbye: Goodbye | None
    exit: Exit
    failure: GathererError | None
    cancelled: bool
    end: TargetEnd | None
    rendered: bool
    reconciliation: Reconciliation
    receiver: Receiver
    discrepancies: tuple[str, ...]
    dropped_lines: int = 0
    damage: Damage = field(default_factory=Damage)
    unknown_ms: float | None = None
    spooled: int = 0
    rendered_bytes: int = 0
    counted: bool = False

    @property
    def totals_unknown(self) -> bool:
        """Whether nobody knows what hunter saw after the last that was received.

        A container that ends takes hunter's totals with it, but nothing can have come after it.
        """
        ended = self.end is not None and self.end.reason != NODE_LOST
        return self.goodbye is None and not ended


@dataclass(frozen=True)
class Conclusion:
    """The end of a capture.

    Attributes:
        end_reason: for session.json and the summary.
        complete: everything hunter saw is in the logs.
        exit_code: of gatherer.
        notes: what is missing or wrong, a sentence each.
        incomplete: why it is not complete, empty when it is.
    """

    end_reason: str
    complete: bool
    exit_code: int
    notes: tuple[str, ...]
    incomplete: str = ""


def conclude(evidence: EndFacts) -> Conclusion:
    """Returns how a capture ended.

    Args:
        evidence: everything that bears on it.
    """
    notes = _notes(evidence)
    sound = not notes and evidence.reconciliation.lost == 0
    reason, code = _reason(evidence)
    if code == COMPLETE and not sound:
        code = LOST
    complete = (
        sound and evidence.rendered and evidence.goodbye is not None and evidence.failure is None
    )
    return Conclusion(
        reason, complete, code, notes, "" if complete else _incomplete(evidence, notes)
    )


def _incomplete(evidence: EndFacts, notes: tuple[str, ...]) -> str:
    """Returns in one clause why a capture is not complete."""
    reconciliation, unknown = evidence.reconciliation, evidence.unknown_ms
    if evidence.failure is not None:
        return printable(evidence.failure.cause, 300)
    if why_stuck(evidence):
        return notes[0]
    if evidence.goodbye is None:
        if not evidence.totals_unknown:
            time = "the time" if unknown is None else f"{unknown:.0f} ms"
            return f"hunter ended with its container, nothing is known of {time} before that"
        return "hunter's totals did not arrive, what it saw after the last record is not known"
    if reconciliation.lost:
        return f"{counted(reconciliation.lost, 'record')} lost"
    if not evidence.rendered:
        return "not everything that was received is in the logs"
    return notes[0] if notes else "gatherer ended before hunter did"


def fate(end: TargetEnd | None) -> str:
    """Returns how a process ended that was traced when hunter fell silent.

    Args:
        end: of its container, None when that runs on or nobody tells.
    """
    if end is None:
        return "its end is not known, hunter's last words did not arrive"
    return f"ended with its container ({printable(end.reason, 100)})"


def hunter_failure(goodbye: Goodbye | None, ended: Exit) -> GathererError | None:
    """Returns the error when hunter said Goodbye because it could not do its work.

    Args:
        goodbye: its final message.
        ended: how its process ended.
    """
    if goodbye is None:
        return None
    # Over a channel that was joined later its stderr is out of reach.
    said = hunter_error(ended.stderr) or printable(goodbye.error, 400)
    failed = ended.code == HUNTER_COULD_NOT_START or bool(goodbye.error)
    if goodbye.reason == "no_targets" and failed:
        cause, _, remedy = said.partition("; ")
        return TargetNotFound(cause or "there is nothing to trace", remedy or "check --pid")
    if goodbye.reason == "error":
        return GathererError(
            f"hunter failed: {said or 'it did not say why'}", "run again with --debug and report it"
        )
    return None


def why_stuck(evidence: EndFacts) -> str:
    """Returns why hunter was stuck, empty when it was not, or when nothing tells.

    Its watchdog says so on hunter's stderr. That is out of reach over a channel that was joined
    later: a hunter that says nothing for two heartbeats and then is gone, without its container,
    was stuck too.

    Args:
        evidence: of the end.
    """
    if evidence.goodbye is not None or evidence.failure is not None or evidence.cancelled:
        return ""
    if said := stuck(evidence.exit):
        return said
    if evidence.end is None and evidence.exit.silent >= SILENT_SECONDS:
        return f"it said nothing for {evidence.exit.silent:.1f} s, and was gone then"
    return ""


def _reason(evidence: EndFacts) -> tuple[str, int]:
    failure, goodbye = evidence.failure, evidence.goodbye
    if evidence.cancelled:
        return "stopped at once", FAILED
    if failure is not None:
        # What could not start with the first words said is told by the class, the rest has failed.
        code = failure.exit_code if isinstance(failure, _COULD_NOT_START) else FAILED
        return f"failed: {failure.cause}", code
    if goodbye is None and why_stuck(evidence):
        return STUCK, LOST
    if goodbye is None:
        if evidence.end is not None:
            # Of a node that is silent nobody knows what its containers did since.
            code = LOST if evidence.end.reason == NODE_LOST else COMPLETE
            return printable(evidence.end.reason, 100), code
        if evidence.stop_reason == "terminated":
            return "terminated", FAILED
        return f"the stream broke: {exit_text(evidence.exit)}", LOST
    if goodbye.reason == "stop":
        return _STOPPED.get(evidence.stop_reason, (evidence.stop_reason or "stop", COMPLETE))
    if goodbye.reason == "no_targets":
        return TARGET_ENDED, COMPLETE
    if goodbye.reason.startswith("signal"):
        return f"hunter was ended by {printable(goodbye.reason, 60)}", FAILED
    return f"the stream broke: hunter says {printable(goodbye.reason, 60)}", LOST


def _notes(evidence: EndFacts) -> tuple[str, ...]:
    receiver = evidence.receiver
    notes = []
    if why := why_stuck(evidence):
        notes.append(f"hunter was stuck: {why}")
    notes += list(evidence.discrepancies) + list(evidence.reconciliation.discrepancies)
    if receiver.missing_frames:
        verb = "is" if receiver.missing_frames == 1 else "are"
        notes.append(f"{counted(receiver.missing_frames, 'frame')} of the stream {verb} missing")
    damage = receiver.damage + evidence.damage
    if damage.places:
        notes.append(f"the stream was {damage}, first: {printable(damage.named[0], 200)}")
    if evidence.goodbye is not None and evidence.goodbye.dropped_messages > 0:
        notes.append(
            f"hunter dropped {counted(evidence.goodbye.dropped_messages, 'event or sample', _MANY)}"
            " while the connection was slow or broken"
        )
    if evidence.reconciliation.transit:
        transit = evidence.reconciliation.transit
        verb = "was" if transit == 1 else "were"
        notes.append(f"{counted(transit, 'record')} {verb} lost in transit")
    if not evidence.rendered and evidence.spooled:
        notes.append(
            f"{byte_count(evidence.spooled)} of the stream were received and are kept, of which"
            f" {byte_count(evidence.rendered_bytes)} were rendered; gatherer render does the rest"
        )
    if evidence.reconciliation.waiting:
        notes.append(
            f"{evidence.reconciliation.waiting} of the records received are in the spool and not in"
            " the logs; gatherer render writes them"
        )
    elif not (evidence.rendered or evidence.counted) and evidence.goodbye is None:
        notes.append(
            "what was received and is not in the logs is not counted; gatherer render does both"
        )
    if evidence.dropped_lines:
        notes.append(
            f"{counted(evidence.dropped_lines, 'line')}"
            f" {'was' if evidence.dropped_lines == 1 else 'were'} dropped (log size limit);"
            " give more with --max-log-size"
        )
    return tuple(notes)
