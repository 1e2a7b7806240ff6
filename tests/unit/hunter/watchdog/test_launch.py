"""How often a watchdog that dies is replaced; no process is made here."""

from __future__ import annotations

import os

import pytest

from hunter.watchdog.launch import MAX_FAILED_STARTS, Watchdog


class Scripted(Watchdog):
    """Each one is born, looks a number of times and dies."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks
        self.made = 0

    def _start(self) -> str:
        self.made += 1
        self.pid = 1000 + self.made
        lifeline, death = os.pipe(), os.pipe()
        os.close(lifeline[0])
        os.close(death[1])
        self._beat = self._born = self.progress.beat
        self._lifeline, self._death = lifeline[1], death[0]
        for _ in range(1 + self.looks):
            self.progress.count_look()
        return ""


@pytest.mark.parametrize(("looks", "most"), [(0, MAX_FAILED_STARTS), (1, 40)])
def test_one_that_never_looks_is_made_a_few_times_only(looks: int, most: int) -> None:
    watchdog = Scripted(looks)
    watchdog.start()
    for turn in range(39):
        watchdog.supervise(turn * 50_000_000)
    assert watchdog.made == most
    assert bool(watchdog.refusal) == (looks == 0)
    assert bool(watchdog.pid) == (looks > 0)
    watchdog.close()
