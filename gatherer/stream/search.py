"""The search for a hunter whose channel was lost: its attempts, and how it ends. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from gatherer.target.values import Exit
from gatherer.timeouts import Timeouts


@dataclass(frozen=True)
class SearchEnd:
    """The end of a search in vain.

    Attributes:
        text: why, for the user.
        gone: hunter is known not to run any more.
        exit: how its own process ended, None when that was not told.
    """

    text: str = ""
    gone: bool = False
    exit: Exit | None = None


class Search:
    """Attempts to join one lost hunter, the first at once.

    Args:
        ended: how the channel to it ended, which is not how hunter did.
        linger: seconds hunter waits for its gatherer.
        timeouts: limits of time.
        now: when it was lost.
        heard_at: when it was heard last.
        former_open: the channel has not ended, and may still tell what became of hunter.
        jitter: factor of each pause.

    Attributes:
        former_open: see above.
        began_at: when hunter was lost.
        attempts: how many so far.
        begin_at: when the next one begins.
        end_by: when the one that runs is given up.
        announce_at: when the user is told of the loss.
        end: how the search ends at `end_at`, unless hunter is found before.
        end_at: see `end`.
    """

    def __init__(
        self,
        ended: Exit,
        linger: float,
        timeouts: Timeouts,
        now: float,
        heard_at: float,
        former_open: bool,
        jitter: Callable[[], float],
    ) -> None:
        self.former_open = former_open
        self.began_at = now
        self.attempts = 0
        self.begin_at = now
        self.end_by = inf
        # The usual end of a container is no connection that is lost.
        self.announce_at = now if ended.code is None else now + timeouts.uncertain
        self.end: SearchEnd | None = None
        self.end_at = inf
        self._ended = ended
        self._heard_at = heard_at
        self._linger = linger
        self._timeouts = timeouts
        self._jitter = jitter
        self._over_at = now + linger + timeouts.margin
        self._backoff = timeouts.first_backoff
        # A connection that hangs must not take all the time that hunter waits.
        self._first = min(timeouts.join, max(timeouts.shortest_join, linger / 5))
        self._limit = self._first
        self._unanswered = 0

    @property
    def cause(self) -> str:
        """The end of the channel, as text."""
        if self._ended.code is None:
            return self._ended.message
        return f"its exec ended with exit code {self._ended.code}"

    def next_deadline(self) -> float:
        """Returns when something is due."""
        return min(self.announce_at, self.begin_at, self.end_by, self.end_at)

    def begin_attempt(self, now: float) -> None:
        """Begins one."""
        self.attempts += 1
        self.begin_at, self.end_by = inf, now + self._limit

    def attempt_unanswered(self) -> str:
        """Gives later attempts more time, all but the second; returns what was wrong with it."""
        problem = f"no answer within {self._limit:g} s"
        self._limit = min(self._timeouts.join, self._first * 2**self._unanswered)
        self._unanswered += 1
        return problem

    def attempt_failed(self, problem: str, now: float) -> None:
        """Ends the one that runs; the next one comes after a pause, longer each time."""
        self.end_by = inf
        # After a sleep of the laptop the time is over at once, but hunter may be there.
        if now > self._over_at and self.attempts > 1:
            self.end, self.end_at = SearchEnd(f"it could not be reached again: {problem}"), now
            return
        self.begin_at = now + self._backoff * self._jitter()
        longest = min(self._timeouts.longest_backoff, self._linger / 10)
        self._backoff = min(2 * self._backoff, longest)

    def hunter_gone(self, cause: str, now: float) -> None:
        """Makes no more attempts; what hunter's watchdog says of its end is waited for."""
        self.begin_at = self.end_by = inf
        wait = self._timeouts.final_message if self.former_open else 0.0
        self.end, self.end_at = SearchEnd(cause, gone=True), now + wait

    def target_ended(self, now: float, outlives: bool) -> None:
        """Goes on only for the final message of a hunter that outlives its target."""
        if self.end is None:
            self.end = SearchEnd("its target has ended", gone=True)
            self.end_at = now + self._timeouts.outlives if outlives else now
            self.announce_at = inf  # it is not lost: why the channel ended is known

    def former_ended(self, ended: Exit, stuck: bool, now: float) -> None:
        """Takes how the channel ended that was given up.

        Args:
            ended: what it says of hunter's process.
            stuck: hunter's watchdog has ended it.
            now: the time.
        """
        self.former_open = False
        if stuck:
            self.end, self.end_at = SearchEnd(gone=True, exit=ended), now
        elif self.begin_at == self.end_by == inf:
            self.end_at = now

    def exit(self, end: SearchEnd, now: float) -> Exit:
        """Returns how hunter ended, as far as that can be told without its Goodbye."""
        silent = self.began_at - self._heard_at
        if end.exit is not None:
            return end.exit
        if end.gone and self._ended.code is not None:
            return replace(self._ended, silent=silent)
        # One that waits for its gatherer in vain ends by itself, but not so soon.
        soon = end.gone and now - self._heard_at < self._linger
        text = f"{self.cause}; {end.text}"
        return Exit(None, text, self._ended.stderr, silent=silent if soon else 0.0)
