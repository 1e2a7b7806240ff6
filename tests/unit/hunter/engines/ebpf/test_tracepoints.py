"""The programs of the ebpf engine at their tracepoints, where the kernel refuses one."""

from __future__ import annotations

import os
from typing import Dict, Set

import pytest

from hunter.engines.ebpf import tracepoints
from hunter.engines.ebpf.calibration import Measured
from hunter.engines.ebpf.settings import settings_of
from hunter.engines.ebpf.tracepoints import EXITS, Tracepoints
from hunter.errors import HunterError

SETTINGS = settings_of("x86_64", (6, 1), (4, 4026531836), 32, False, False)
MEASURED = Measured(**dict.fromkeys(Measured._fields, 8))


class Loads:
    """A kernel that loads programs and puts them at tracepoints.

    Attributes:
        refused: names of programs that it does not load, and of tracepoints it puts none at.
        links: descriptors at tracepoints.
    """

    def __init__(self) -> None:
        self.refused: Set[str] = set()
        self.links: Dict[str, int] = {}

    def load(self, _kind: int, name: str, _code: bytes) -> int:
        return self._open(name)

    def attach(self, name: str, _program: int) -> int:
        self.links[name] = self._open(name)
        return self.links[name]

    def _open(self, name: str) -> int:
        if name in self.refused:
            raise HunterError(f"{name}: Invalid argument")
        return os.open(os.devnull, os.O_RDONLY)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    kernel = Loads()
    monkeypatch.setattr(tracepoints.loader, "load_program", kernel.load)
    monkeypatch.setattr(tracepoints.loader, "attach_raw_tracepoint", kernel.attach)
    monkeypatch.setattr(tracepoints.loader, "update", lambda *_: None)
    monkeypatch.setattr(tracepoints, "measure", lambda *_: MEASURED)
    return kernel


def made() -> Tracepoints:
    maps = {name: 1 for each in tracepoints.compiled().values() for name in each.relocations}
    return Tracepoints(SETTINGS, {**maps, "calibration": 1, "routes": 1})


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_where_one_with_loops_is_refused_nothing_is_attached(loads: Loads) -> None:
    loads.refused.add("hunter_exit_vectors"[:15])
    programs = made()
    with pytest.raises(HunterError, match="hunter_exit_vec"):
        programs.attach()
    assert loads.links == {}
    assert not programs.attached


def test_where_a_tracepoint_is_refused_none_of_the_others_keeps_its_program(loads: Loads) -> None:
    loads.refused.add(EXITS)
    programs = made()
    with pytest.raises(HunterError, match=EXITS):
        programs.attach()
    assert loads.links
    assert not any(is_open(link) for link in loads.links.values())
    assert not programs.attached


def test_what_was_at_its_tracepoint_before_stays_there(loads: Loads) -> None:
    programs = made()
    programs.attach()
    programs.leave_calls(EXITS)
    loads.refused.add(EXITS)
    with pytest.raises(HunterError):
        programs.return_to_calls()
    assert programs.attached
    assert {name for name, link in loads.links.items() if is_open(link)} == {*loads.links} - {EXITS}
    programs.detach()
    assert not any(is_open(link) for link in loads.links.values())
