"""Damage: the places where a stream is not what it should be, counted, and the first ones named."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatherer.text import counted

MAX_NAMED = 20
"""Places that are named; the rest is only counted."""


@dataclass
class Damage:
    """The damage of a stream.

    Attributes:
        places: how many places are damaged.
        named: what is wrong at the first of them, in the order of the stream.
    """

    places: int = 0
    named: list[str] = field(default_factory=list)

    def record(self, text: str) -> None:
        """Takes one more place.

        Args:
            text: where it is, and what is wrong there.
        """
        self.places += 1
        if len(self.named) < MAX_NAMED:
            self.named.append(text)

    def copy(self) -> Damage:
        """Returns a copy that does not change with it."""
        return Damage(self.places, list(self.named))

    def __add__(self, other: Damage) -> Damage:
        return Damage(self.places + other.places, (self.named + other.named)[:MAX_NAMED])

    def __str__(self) -> str:
        return f"damaged in {counted(self.places, 'place')}"
