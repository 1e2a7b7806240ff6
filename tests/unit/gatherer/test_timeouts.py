from __future__ import annotations

import pytest

from gatherer.timeouts import Pauses


@pytest.mark.parametrize(("late", "seen"), [(0.0, 0.0), (1.9, 0.0), (2.0, 2.0), (184.25, 184.25)])
def test_a_pause_is_what_no_load_explains(late: float, seen: float) -> None:
    now = [100.0]
    pauses = Pauses(lambda: now[0])
    for _ in range(3):
        now[0] += 0.5
        assert pauses.look(0.5) == 0.0
    now[0] += 0.5 + late
    assert pauses.look(0.5) == seen
    now[0] += 0.5
    assert pauses.look(0.5) == 0.0, "it is told once"


def test_the_clock_goes_on_by_itself() -> None:
    assert Pauses().look(0.0) == 0.0
