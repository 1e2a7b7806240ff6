"""Events by the thousand in few lines: what would scroll everything else away is counted instead.

A target that forks, or has thousands of processes over the threshold, makes thousands of events.
All of them are in events.jsonl; on a screen the first of a kind are shown, then one a second, and
how many others there were, of each target.
"""

from __future__ import annotations

KINDS = frozenset({"scan", "attach", "attach_failed", "smaps", "exec", "exit", "detach"})
"""Events that come once for each process."""
BURST = 20
"""Lines of a kind that are shown at once; one more each second."""
TELL_SECONDS = 5.0
"""How often it is told how many were not shown."""


class Folding:
    """The choice of events that are worth a line, and the count of the others. Pure.

    Args:
        now: CLOCK_MONOTONIC seconds.
    """

    def __init__(self, now: float) -> None:
        self._room: dict[str, tuple[float, float]] = {}
        self._left_out: dict[str, int] = {}
        self._told_at = now

    def worth(self, event: str, now: float) -> bool:
        """Whether an event is shown.

        Args:
            event: its name.
            now: CLOCK_MONOTONIC seconds.
        """
        if event not in KINDS:
            return True
        room, since = self._room.get(event, (float(BURST), now))
        room = min(float(BURST), room + now - since)
        if room < 1:
            self._room[event] = (room, now)
            self._left_out[event] = self._left_out.get(event, 0) + 1
            return False
        self._room[event] = (room - 1, now)
        return True

    def sentence(self, now: float, last: bool = False) -> str:
        """Returns how many were not shown since the last time, empty when it is not time.

        Args:
            now: CLOCK_MONOTONIC seconds.
            last: nothing follows: it is time.
        """
        if not self._left_out or (now - self._told_at < TELL_SECONDS and not last):
            return ""
        self._told_at = now
        counts = ", ".join(f"{count} {event}" for event, count in sorted(self._left_out.items()))
        self._left_out = {}
        return f"not shown: {counts}; events.jsonl has all of them"
