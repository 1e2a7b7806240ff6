"""All programs of the ebpf engine, for all settings, through the verifier of the running kernel."""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple

from hunter.engines.ebpf import loader, maps
from hunter.engines.ebpf.engine import ring_sizes
from hunter.engines.ebpf.plan_table import plan_table
from hunter.engines.ebpf.program import compiled
from hunter.engines.ebpf.settings import settings_of
from hunter.errors import HunterError

INITIAL, OTHER = 0xEFFFFFFC, 0xF0001234
"""Inodes of the PID namespace in which the kernel counts, and of one that it does not have."""


class Case(NamedTuple):
    """What programs are made for. What they read of registers differs by machine; what the
    verifier checks does not."""

    machine: str
    pid_namespace: int
    follow: bool
    string_size: int
    filtered: bool


CASES = [
    Case(*values, *others)
    for *values, others in itertools.product(
        ("x86_64", "aarch64"), (INITIAL, OTHER), (False, True), ((32, False), (4096, True))
    )
]


def refusals(case: Case) -> list[str]:
    """Returns what the verifier says of the programs that it refuses."""
    loader.raise_memlock()
    settings = settings_of(case.machine, (6, 1), (4, case.pid_namespace), *case[3:], case.follow)
    settings = settings._replace(clock_offset=-5, pid_offset=2400, exit_code_offset=2300)
    plans = plan_table(settings.abi, 32, {settings.abi: frozenset()} if case.filtered else None)
    fds = maps.create(plans, ring_sizes(1 << 20), case.follow)
    refused = []
    for name, program in compiled().items():
        try:
            code = program.link(fds, settings)
            os.close(loader.load_program(loader.RAW_TRACEPOINT, name[:15], code))
        except HunterError as error:
            refused.append(f"{case} {name}: {error}")
    for fd in fds.values():
        os.close(fd)
    return refused
