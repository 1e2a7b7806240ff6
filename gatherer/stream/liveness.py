"""Liveness of hunter over a channel that is there: heard, or silent for too long. Pure."""

from __future__ import annotations

from math import inf

from gatherer.stream.events import Heard, Quiet


class Liveness:
    """The times at which hunter was heard.

    Attributes:
        heard_at: when it was heard last.
        reading: what it says is read: who does not read hears nothing.
    """

    def __init__(self) -> None:
        self.heard_at = 0.0
        self.reading = True
        self._quiet_since = 0.0

    def until(self, limit: float) -> float:
        """Returns when a hunter that says nothing has been silent for `limit` seconds."""
        return self.heard_at + limit if self.reading else inf

    def skip(self, seconds: float, now: float) -> None:
        """Leaves out a time in which nothing could be heard.

        Args:
            seconds: how long it was.
            now: the time.
        """
        heard_at = min(self.heard_at + seconds, now)
        if self._quiet_since == self.heard_at:
            self._quiet_since = heard_at
        self.heard_at = heard_at

    def change(self, now: float, limit: float) -> list[Quiet | Heard]:
        """Returns that hunter has fallen silent, or is heard again, when that is news.

        Args:
            now: the time.
            limit: seconds of silence that are worth a word.
        """
        changes: list[Quiet | Heard] = []
        if not self.reading:
            return changes
        if self._quiet_since and self.heard_at > self._quiet_since:
            changes.append(Heard(self.heard_at - self._quiet_since))
            self._quiet_since = 0.0
        if not self._quiet_since and now - self.heard_at >= limit:
            self._quiet_since = self.heard_at
            changes.append(Quiet(now - self.heard_at))
        return changes
