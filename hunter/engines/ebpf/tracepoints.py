"""Loads the programs and holds them at their tracepoints."""

from __future__ import annotations

import os
import threading
from struct import Struct
from typing import Dict

from hunter.engines.ebpf import loader, plan_table
from hunter.engines.ebpf.calibration import calibrate, measure_offsets
from hunter.engines.ebpf.program import Settings
from hunter.engines.ebpf.programs import learning, signals, sys_enter, sys_exit, tasks
from hunter.errors import HunterError

_INDEX = Struct("<I")


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
        load = loader.load_program
        copying = load(loader.RAW_TRACEPOINT, "hunter_offsets", calibrate(settings))
        pid_offset, exit_code_offset = measure_offsets(settings.fds["calibration"], copying)
        os.close(copying)
        if settings.follow and not pid_offset:
            raise HunterError("children cannot be followed: where the kernel keeps pids is unknown")
        kernel = settings.kernel._replace(pid_offset=pid_offset, exit_code_offset=exit_code_offset)
        self.settings = settings = settings._replace(kernel=kernel)
        made = {
            "sched_process_exit": tasks.exited(settings),
            "sched_process_exec": tasks.executed(settings),
            "task_newtask": tasks.new_task(settings),
            "signal_deliver": signals.signal_delivered(settings),
        }
        if pid_offset:
            made["signal_generate"] = signals.signal_generated(settings)
        # Last, so that a thread's first record finds everything else in place.
        made["sys_exit"] = sys_exit.leave(settings)
        made["sys_enter"] = sys_enter.enter(settings)
        self._programs: Dict[str, int] = {
            name: load(loader.RAW_TRACEPOINT, f"hunter_{name}"[:15], code)
            for name, code in made.items()
        }
        self._route(plan_table.ENTRY_SIMPLE, sys_enter.entry_captures(settings, False))
        self.learn = load(loader.PERF_EVENT, "hunter_learn", learning.learn(settings))
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
        """Puts the programs at their tracepoints, if they are not there."""
        if self._links:
            return
        self._slow.join()
        for name, program in self._programs.items():
            self._links[name] = loader.attach_raw_tracepoint(name, program)

    @property
    def attached(self) -> bool:
        """Whether the programs are at their tracepoints."""
        return bool(self._links)

    def set_calls(self, on: bool) -> None:
        """Takes the programs away from entry and exit of calls, or puts them there again.

        Away, they cost nobody on the node anything; births, deaths and signals are still seen.

        Args:
            on: whether calls are to be seen.
        """
        for name in ("sys_exit", "sys_enter"):
            if on and self._links and name not in self._links:
                self._links[name] = loader.attach_raw_tracepoint(name, self._programs[name])
            elif not on and name in self._links:
                os.close(self._links.pop(name))

    def detach(self) -> None:
        """Takes the programs away from their tracepoints."""
        for link in self._links.values():
            os.close(link)
        self._links.clear()
