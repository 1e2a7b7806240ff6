"""Loads the programs and holds them at their tracepoints."""

from __future__ import annotations

import os
import threading
from struct import Struct
from typing import Dict

from hunter.engines.ebpf import loader, plan_table
from hunter.engines.ebpf.calibration import calibrate, measure
from hunter.engines.ebpf.program import Settings
from hunter.engines.ebpf.programs import signals, sys_enter, sys_exit, tasks
from hunter.errors import HunterError

_INDEX = Struct("<I")
ENTRIES, EXITS = "sys_enter", "sys_exit"
CALLS = (ENTRIES, EXITS)


class Tracepoints:
    """All programs of one engine; nobody pays for them until `attach`.

    Args:
        settings: what the programs are made for; offsets in it are not used but measured.

    Raises:
        NotPermitted: CAP_BPF or CAP_PERFMON is missing.
        HunterError: the kernel refuses a program.
    """

    def __init__(self, settings: Settings) -> None:
        self._links: Dict[str, int] = {}
        self._calls = True
        load = loader.load_program
        copying = load(loader.RAW_TRACEPOINT, "hunter_offsets", calibrate(settings))
        found = measure(settings.fds["calibration"], copying)
        os.close(copying)
        if settings.follow and not found.pid_offset:
            raise HunterError("children cannot be followed: where the kernel keeps pids is unknown")
        kernel = settings.kernel._replace(**found._asdict())
        self.settings = settings = settings._replace(kernel=kernel)
        made = {
            "sched_process_exit": tasks.exited(settings),
            "sched_process_exec": tasks.executed(settings),
            "task_newtask": tasks.new_task(settings),
            "signal_deliver": signals.signal_delivered(settings),
        }
        if found.pid_offset:
            made["signal_generate"] = signals.signal_generated(settings)
        # Last, so that a thread's first record finds everything else in place; exits first, so that
        # no call is seen to begin and not to end.
        made[EXITS] = sys_exit.leave(settings)
        made[ENTRIES] = sys_enter.enter(settings)
        self._programs: Dict[str, int] = {
            name: load(loader.RAW_TRACEPOINT, f"hunter_{name}"[:15], code)
            for name, code in made.items()
        }
        self._route(plan_table.ENTRY_SIMPLE, sys_enter.entry_captures(settings, False))
        # These have loops, which the verifier follows for a tenth of a second.
        self._slow = threading.Thread(target=self._load_slow, name="verifier", daemon=True)
        self._slow.start()

    def _route(self, index: int, code: bytes) -> None:
        fd = loader.load_program(loader.RAW_TRACEPOINT, f"hunter_route{index}", code)
        loader.update(self.settings.fds["routes"], _INDEX.pack(index), _INDEX.pack(fd))

    def _load_slow(self) -> None:
        settings = self.settings
        self._route(plan_table.ENTRY_STRINGS, sys_enter.entry_captures(settings, True))
        for route in (plan_table.EXIT_VECTORS, plan_table.EXIT_ENTRIES):
            self._route(route, sys_exit.leave(settings, route))

    def attach(self) -> None:
        """Puts the programs at their tracepoints, as far as they are not there.

        Those at calls only while calls are to be seen. The kernel waits for all its CPUs at each of
        them, which takes a quarter of a second together.
        """
        if not self._links:
            self._slow.join()
        for name, program in self._programs.items():
            if name not in self._links and (self._calls or name not in CALLS):
                self._links[name] = loader.attach_raw_tracepoint(name, program)

    @property
    def attached(self) -> bool:
        """Whether the programs are at their tracepoints."""
        return bool(self._links)

    def leave_calls(self, tracepoint: str) -> None:
        """Takes the program away from one of `CALLS`, the entries first, until `return_to_calls`.

        Away, they cost nobody on the node anything; births, deaths and signals are still seen.
        """
        self._calls = False
        if tracepoint in self._links:
            os.close(self._links.pop(tracepoint))

    def return_to_calls(self) -> None:
        """Has entries and exits of calls seen again."""
        self._calls = True
        if self._links:
            self.attach()

    def detach(self) -> None:
        """Takes the programs away from their tracepoints."""
        for link in self._links.values():
            os.close(link)
        self._links.clear()
