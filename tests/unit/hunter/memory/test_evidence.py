"""Processes that are watched and not touched: samples, mappings, their end."""

from __future__ import annotations

from typing import Dict, List

import pytest

from hg_shared.messages import Event, Sample
from hunter.memory import procfs
from hunter.memory.container import Container
from hunter.memory.evidence import Evidence
from hunter.memory.holds import HOLDS
from hunter.memory.procfs import Stat
from hunter.memory.sampler import Sampler
from hunter.memory.smaps import parse_addresses, parse_mappings

MIB = 1 << 20
SMAPS = b"""\
55f0-55f8 r-xp 00001000 fe:00 1234                       /usr/bin/two words
Size:                 32 kB
Rss:                   8 kB
Pss:                   4 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
7f0000000000-7f0004000000 rw-p 00000000 00:00 0
Size:              65536 kB
Rss:               60000 kB
Pss:               60000 kB
Anonymous:         60000 kB
Swap:                512 kB
7ffd0000-7ffd1000 rw-p 00000000 00:00 0                  [stack]
"""


def test_mappings() -> None:
    text, anonymous, stack = parse_mappings(SMAPS.splitlines())
    assert (text["name"], text["size_bytes"], text["rss_bytes"]) == (
        "/usr/bin/two words", 8, 8 << 10,
    )  # fmt: skip
    assert text["permissions"] == "r-xp"
    assert (anonymous["name"], anonymous["address"]) == ("", "0x7f0000000000")
    assert anonymous["anon_bytes"] == 60000 << 10
    assert anonymous["swap_bytes"] == 512 << 10
    assert (stack["name"], stack["rss_bytes"]) == ("[stack]", 0)


def test_addresses_have_sizes_alone() -> None:
    maps = b"7f0000000000-7f0004000000 rw-p 00000000 00:00 0 \n\xff\n"
    [mapping] = parse_addresses(maps.splitlines())
    assert mapping["size_bytes"] == 64 * MIB
    assert [mapping[key] for key in ("rss_bytes", "pss_bytes", "anon_bytes")] == [None] * 3


@pytest.mark.parametrize("lines", [[], [b""], [b"Rss: 4 kB"], [b"\xff\xfe"]])
def test_what_is_no_mapping_is_passed_over(lines: List[bytes]) -> None:
    assert list(parse_mappings(lines)) == []


class Watched:
    """One process, 10, that started at 5."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stats: Dict[int, Stat] = {10: Stat("big", "S", 1, 5, False)}
        self.read = 0
        HOLDS.forget(10)
        monkeypatch.setattr(procfs, "process", self.stats.get)
        monkeypatch.setattr(procfs, "counted_memory", lambda pid: {"anon_bytes": 3})
        monkeypatch.setattr(procfs, "rollup", lambda pid: {"pss_bytes": 1, "anon_bytes": 2})
        monkeypatch.setattr(procfs, "largest_mappings", self.mappings)
        self.evidence = Evidence(Sampler(Container()))
        self.evidence.begin((10, 5))

    def mappings(self, pid: int, count: int, walk: bool) -> List[Dict[str, object]]:
        self.read += 1
        self.walked = walk
        return [{"name": "[heap]", "rss_bytes": 7}]

    def look(self, mib: int, when_ns: int = 1) -> List[object]:
        return list(self.evidence.inspect({10: mib * MIB}, when_ns))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def test_a_sample_at_each_look_and_mappings_when_it_has_grown(watched: Watched) -> None:
    sample, event = watched.look(100)
    assert sample == Sample(
        1, 10, {"rss_bytes": 100 * MIB, "pss_bytes": 1, "anon_bytes": 2, "swap_bytes": None}
    )
    assert event == Event(1, "smaps", 10, {"mappings": [{"name": "[heap]", "rss_bytes": 7}]})
    assert [type(told) for told in watched.look(119)] == [Sample]
    assert [type(told) for told in watched.look(121)] == [Sample, Event]
    assert watched.read == 2


def test_one_that_would_be_held_up_for_long_has_sizes_of_mappings_alone(watched: Watched) -> None:
    sample, _ = watched.look(4096)
    assert sample == Sample(
        1, 10, {"rss_bytes": 4096 * MIB, "pss_bytes": None, "anon_bytes": 3, "swap_bytes": None}
    )
    assert not watched.walked


def test_what_is_resident_of_mappings_waits_until_time_for_it_is_earned(watched: Watched) -> None:
    HOLDS.allows(10, 0, 1)
    HOLDS.spend(10, 10_000_000)
    assert [type(told) for told in watched.look(100)] == [Sample, Event]
    assert not watched.walked
    assert [type(told) for told in watched.look(100)] == [Sample]
    sample, event = watched.look(100, 2_000_000_000)
    assert isinstance(sample, Sample)
    assert sample.values["pss_bytes"] == 1
    assert isinstance(event, Event)
    assert watched.walked


def test_its_end_is_told_once(watched: Watched) -> None:
    watched.look(100)
    del watched.stats[10]
    assert watched.look(0) == [Event(1, "exit", 10, {})]
    assert watched.look(0) == []


def test_an_oom_kill_where_it_was_is_told_with_its_end(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sampler, "was_killed", lambda self, pid, time_ns: pid == 10)
    del watched.stats[10]
    assert watched.look(0) == [Event(1, "exit", 10, {"oom": True})]


def test_another_process_under_its_pid_is_not_it(watched: Watched) -> None:
    watched.stats[10] = Stat("new", "S", 1, 6, False)
    assert watched.look(100) == [Event(1, "exit", 10, {})]


def test_one_that_is_traced_after_all_is_left_to_its_tracer(watched: Watched) -> None:
    watched.evidence.end((10, 5))
    assert watched.look(100) == []
