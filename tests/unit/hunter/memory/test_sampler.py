"""When the container is sampled between two scans."""

from __future__ import annotations

from typing import Dict, Optional

import pytest

from hunter.memory import cgroup_files
from hunter.memory.cgroup_files import ContainerMemory
from hunter.memory.container import Container
from hunter.memory.sampler import NEAR_INTERVAL_NS, Sampler

MIB = 1 << 20
LATER = NEAR_INTERVAL_NS


class Group:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.usage: Optional[int] = 50 * MIB
        self.limit: Optional[int] = 128 * MIB
        monkeypatch.setattr(Container, "memory", lambda _: self.memory())
        monkeypatch.setattr(cgroup_files, "group_usage", lambda directory, version: self.usage)

    def memory(self) -> ContainerMemory:
        return ContainerMemory(
            2, self.limit, "", self.usage, 0, 0, "/g", {"anonymous_bytes": 5}, self.usage
        )


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    return Group(monkeypatch)


def test_what_stays_as_it_is_waits_for_the_next_scan(group: Group) -> None:
    sampler = Sampler(Container())
    sampler.container(0)
    assert not sampler.is_due(LATER)
    group.usage = 55 * MIB
    assert not sampler.is_due(2 * LATER)


def test_growth_by_a_twentieth_of_the_limit_is_sampled(group: Group) -> None:
    sampler = Sampler(Container())
    sampler.container(0)
    group.usage = 57 * MIB
    assert not sampler.is_due(LATER - 1)
    assert sampler.is_due(LATER)
    sampler.container(LATER)
    assert not sampler.is_due(2 * LATER)


def test_near_the_limit_it_is_sampled_whether_it_grows_or_not(group: Group) -> None:
    group.usage = 100 * MIB
    sampler = Sampler(Container())
    sampler.container(0)
    assert not sampler.is_due(LATER - 1)
    assert sampler.is_due(LATER)


@pytest.mark.parametrize(("limit", "usage"), [(None, 50 * MIB), (128 * MIB, None)])
def test_without_a_limit_or_a_usage_there_is_nothing_to_be_near_to(
    group: Group, limit: Optional[int], usage: Optional[int]
) -> None:
    group.limit, group.usage = limit, usage
    sampler = Sampler(Container())
    sampler.container(0)
    group.usage = 120 * MIB
    assert not sampler.is_due(LATER)


def test_hunter_s_own_share(group: Group) -> None:
    sampler = Sampler(Container())
    values: Dict[str, Optional[int]] = sampler.container(0).values
    assert (values["hunter_bytes"], values["anonymous_bytes"]) == (None, 5)
    sampler.own_bytes = 21 * MIB
    assert sampler.container(0).values["hunter_bytes"] == 21 * MIB
    outside = Sampler(Container("a" * 64, outside=True))
    outside.own_bytes = 21 * MIB
    assert outside.container(0).values["hunter_bytes"] == 0
