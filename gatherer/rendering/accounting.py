"""Accounting: every record hunter took is received, lost and known to be lost, or a discrepancy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gatherer.stream.damage import Damage
from gatherer.text import counted
from hg_shared.batch import Batch
from hg_shared.messages import Goodbye

MAX_JUMP = 1 << 32
"""Records that may be missing in front of a batch; more is not a gap but a lie."""
MAX_PROBLEMS = 20
"""Sentences about what does not add up that are kept."""


def known_sum(values: Iterable[int | None]) -> int | None:
    """Returns a sum, None where one of the numbers is not known: that is not 0."""
    numbers = list(values)
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


@dataclass
class ProcessAccount:
    """Records of one process.

    Attributes:
        received: records that arrived.
        lost: records hunter says it dropped.
    """

    received: int = 0
    lost: int = 0


@dataclass
class Accounts:
    """The records that arrived, per process and per source.

    Attributes:
        processes: by ordinal.
        missing: records that are missing between batches.
        repeated: records that came a second time and were left out.
        damage: batches that could not be read, or whose records are not what they should be.
        undeclared: records of processes that hunter never declared; they are in no log.
        bytes: record bytes after decompression.
        undecoded: calls that were printed raw because their memory could not be made sense of.
    """

    processes: dict[int, ProcessAccount] = field(default_factory=dict)
    missing: int = 0
    repeated: int = 0
    damage: Damage = field(default_factory=Damage)
    undeclared: int = 0
    bytes: int = 0
    undecoded: int = 0
    _next: dict[int, int] = field(default_factory=dict)

    def follows(self, batch: Batch) -> bool:
        """Whether a batch can be the next of its source, with whatever is missing before it.

        Args:
            batch: decoded; its first record may have any number.
        """
        return batch.first - self._next.get(batch.source, 0) <= MAX_JUMP

    def place(self, batch: Batch) -> tuple[int, int]:
        """Takes a batch's place in its source's sequence.

        Args:
            batch: the next batch of its source.

        Returns:
            How many records are missing before it, and how many of its first records came before.
        """
        expected = self._next.get(batch.source, 0)
        end = batch.first + batch.count
        self.bytes += len(batch.heads) + len(batch.captures)
        if batch.first < expected:
            repeated = min(expected - batch.first, batch.count)
            self.repeated += repeated
            self._next[batch.source] = max(expected, end)
            return 0, repeated
        self._next[batch.source] = end
        missing = batch.first - expected
        self.missing += missing
        return missing, 0

    def received(self, ordinal: int, count: int) -> None:
        """Counts records of a process."""
        self._account(ordinal).received += count

    def lost(self, ordinal: int, count: int) -> None:
        """Counts records of a process that hunter dropped."""
        self._account(ordinal).lost += count

    def copy(self) -> Accounts:
        """Returns a copy that later counting does not change."""
        return Accounts(
            {o: ProcessAccount(a.received, a.lost) for o, a in self.processes.items()},
            self.missing,
            self.repeated,
            self.damage.copy(),
            self.undeclared,
            self.bytes,
            self.undecoded,
            dict(self._next),
        )

    def _account(self, ordinal: int) -> ProcessAccount:
        account = self.processes.get(ordinal)
        if account is None:
            account = self.processes[ordinal] = ProcessAccount()
        return account


@dataclass(frozen=True)
class ProcessReconciliation:
    """One process in the final accounting: seen = received + lost.

    Attributes:
        seen: records its tracer took, as far as that is known.
        received: records that arrived.
        lost: records that did not; those lost in transit included.
        transit: of these, the ones that were sent and did not arrive.
        end_reason: why its tracing ended, as hunter says; empty when it does not say.
        held_ns: how long reads of its memory held its mmap_lock; None when hunter does not say.
    """

    seen: int
    received: int
    lost: int
    transit: int = 0
    end_reason: str = ""
    held_ns: int | None = None


@dataclass(frozen=True)
class Reconciliation:
    """The final accounting: seen = received + lost.

    Attributes:
        processes: by ordinal.
        seen: records hunter took, as far as that is known.
        received: records that arrived.
        lost: records that did not.
        transit: of these, the ones that were sent and did not arrive.
        discrepancies: sentences about what does not add up; empty in an honest stream.
        waiting: of those received, the ones that are in the spool and not yet in the logs.
    """

    processes: dict[int, ProcessReconciliation]
    seen: int
    received: int
    lost: int
    transit: int
    discrepancies: tuple[str, ...]
    waiting: int = 0


def reconcile(
    accounts: Accounts,
    goodbye: Goodbye | None,
    declared: Mapping[int, str],
    *,
    spooled: bool = False,
) -> Reconciliation:
    """Compares what arrived with what hunter says it took.

    Args:
        accounts: what arrived, as far as it is rendered.
        goodbye: hunter's totals, None when it could not say them.
        declared: names of the processes that hunter declared, by ordinal.
        spooled: everything that hunter sent is in the spool, of which a part is not rendered: what
            the accounts do not have waits there and is not lost.

    Returns:
        seen = received + lost, for each process and in all, whatever hunter says.
    """
    problems: list[str] = []
    if accounts.undeclared:
        belong = "belongs" if accounts.undeclared == 1 else "belong"
        problems.append(
            f"{counted(accounts.undeclared, 'record')} {belong} to processes that hunter never"
            " declared"
        )
    if goodbye is None:
        return _without_totals(accounts, problems)
    totals = _totals(goodbye, problems)
    processes: dict[int, ProcessReconciliation] = {}
    waiting = 0
    for ordinal in sorted(accounts.processes.keys() | totals.keys()):
        got = accounts.processes.get(ordinal, ProcessAccount())
        name = declared.get(ordinal, f"process {ordinal}")
        if ordinal not in totals:
            problems.append(f"hunter gives no totals of {name}")
            processes[ordinal] = ProcessReconciliation(
                got.received + got.lost, got.received, got.lost
            )
            continue
        seen, lost, reason, held = totals[ordinal]
        transit = seen - lost - got.received
        if transit < 0:
            problems.append(
                f"{name}: {counted(got.received, 'record')} received, but hunter says {seen} seen,"
                f" {lost} lost"
            )
            transit, lost = 0, max(lost, got.lost)
        if spooled:
            waiting += transit
            processes[ordinal] = ProcessReconciliation(
                got.received + transit + lost, got.received + transit, lost, 0, reason, held
            )
            continue
        processes[ordinal] = ProcessReconciliation(
            got.received + lost + transit, got.received, lost + transit, transit, reason, held
        )
    seen, received, lost, transit = _sums(processes)
    by_process = (sum(t[0] for t in totals.values()), sum(t[1] for t in totals.values()))
    if (goodbye.seen, goodbye.lost) != by_process:
        problems.append(
            f"hunter's totals are {goodbye.seen} seen, {goodbye.lost} lost, but those of its"
            f" processes add up to {by_process[0]} and {by_process[1]}"
        )
        # What nobody accounts for is lost.
        unaccounted = max(0, goodbye.seen - seen)
        seen, lost = seen + unaccounted, lost + unaccounted
    return Reconciliation(processes, seen, received, lost, transit, _bounded(problems), waiting)


def _without_totals(accounts: Accounts, problems: list[str]) -> Reconciliation:
    processes = {
        ordinal: ProcessReconciliation(got.received + got.lost, got.received, got.lost)
        for ordinal, got in sorted(accounts.processes.items())
    }
    seen, received, lost, _ = _sums(processes)
    # Which process they belong to only hunter's totals could tell.
    transit = accounts.missing + accounts.undeclared
    return Reconciliation(
        processes, seen + transit, received, lost + transit, transit, _bounded(problems)
    )


def _bounded(problems: list[str]) -> tuple[str, ...]:
    """Returns the first sentences, and how many more there are."""
    more = len(problems) - MAX_PROBLEMS
    kept = tuple(problems[:MAX_PROBLEMS])
    if more <= 0:
        return kept
    return (*kept, f"{counted(more, 'more contradiction')} in hunter's totals")


def _sums(processes: Mapping[int, ProcessReconciliation]) -> tuple[int, int, int, int]:
    values = processes.values()
    return (
        sum(p.seen for p in values),
        sum(p.received for p in values),
        sum(p.lost for p in values),
        sum(p.transit for p in values),
    )


def _totals(goodbye: Goodbye, problems: list[str]) -> dict[int, tuple[int, int, str, int | None]]:
    totals: dict[int, tuple[int, int, str, int | None]] = {}
    for entry in goodbye.processes:
        numbers = [entry.get(key) for key in ("ordinal", "seen", "lost")]
        reason = entry.get("end_reason", "")
        valid = all(type(number) is int and 0 <= number < 1 << 64 for number in numbers)
        if not valid or not isinstance(reason, str):
            problems.append("hunter's totals of a process cannot be read")
            continue
        ordinal, seen, lost = (int(number or 0) for number in numbers)
        if lost > seen or ordinal in totals:
            problems.append(f"hunter's totals of process {ordinal} contradict themselves")
            continue
        held = entry.get("held_ns")
        known = type(held) is int and 0 <= held < 1 << 64
        totals[ordinal] = (seen, lost, reason, held if known else None)
    return totals
