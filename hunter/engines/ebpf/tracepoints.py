"""Loads the programs and holds them at their tracepoints."""

from __future__ import annotations

import os
import threading
from struct import Struct
from typing import Dict, Mapping, Optional

from hunter.engines.ebpf import layout, loader
from hunter.engines.ebpf.calibration import measure
from hunter.engines.ebpf.program import compiled
from hunter.engines.ebpf.settings import Settings
from hunter.errors import HunterError

_INDEX = Struct("<I")
ENTRIES, EXITS = "sys_enter", "sys_exit"
CALLS = (ENTRIES, EXITS)
# Calls last, so that a thread's first record finds everything else in place; exits before entries,
# so that no call is seen to begin and not to end.
_NAMES = (
    *("sched_process_exit", "sched_process_exec", "task_newtask"),
    *("signal_deliver", "signal_generate", EXITS, ENTRIES),
)
_ROUTES = {
    layout.ENTRY_SIMPLE: "entry_simple",
    layout.ENTRY_STRINGS: "entry_strings",
    layout.EXIT_VECTORS: "exit_vectors",
    layout.EXIT_ENTRIES: "exit_entries",
}


class Tracepoints:
    """All programs of one engine; nobody pays for them until `attach`.

    Args:
        settings: what the programs are made for; offsets in it are not used but measured.
        fds: descriptors of the maps by name.

    Raises:
        NotPermitted: CAP_BPF or CAP_PERFMON is missing.
        HunterError: the kernel refuses a program.
    """

    def __init__(self, settings: Settings, fds: Mapping[str, int]) -> None:
        self._links: Dict[str, int] = {}
        self._calls = True
        self._compiled = compiled()
        self._fds, self._settings = fds, settings
        copying = self._load("copy_task")
        found = measure(fds["calibration"], copying)
        os.close(copying)
        if settings.follow and not found.pid_offset:
            raise HunterError("children cannot be followed: where the kernel keeps pids is unknown")
        self._settings = settings._replace(**found._asdict())
        names = list(_NAMES)
        if not found.pid_offset:
            names.remove("signal_generate")
        self._programs: Dict[str, int] = {name: self._load(name) for name in names}
        self._route(layout.ENTRY_SIMPLE)
        # These have loops, which the verifier follows for a tenth of a second.
        self._refusal: Optional[HunterError] = None
        self._slow = threading.Thread(target=self._load_slow, name="verifier", daemon=True)
        self._slow.start()

    def _load(self, name: str) -> int:
        program = self._compiled[name]
        code = program.link(self._fds, self._settings)
        return loader.load_program(loader.KINDS[program.kind], f"hunter_{name}"[:15], code)

    def _route(self, route: int) -> None:
        fd = self._load(_ROUTES[route])
        loader.update(self._fds["routes"], _INDEX.pack(route), _INDEX.pack(fd))

    def _load_slow(self) -> None:
        try:
            for route in (layout.ENTRY_STRINGS, layout.EXIT_VECTORS, layout.EXIT_ENTRIES):
                self._route(route)
        except HunterError as error:
            self._refusal = error

    def attach(self) -> None:
        """Puts the programs at their tracepoints, as far as they are not there.

        Those at calls only while calls are to be seen. The kernel waits for all its CPUs at each of
        them, which takes a quarter of a second together.

        Raises:
            HunterError: the kernel refuses a program, or to put it there; none stays then that was
                not there before.
        """
        before = set(self._links)
        if not before:
            self._slow.join()
            if self._refusal is not None:
                raise self._refusal
        try:
            for name, program in self._programs.items():
                if name not in self._links and (self._calls or name not in CALLS):
                    self._links[name] = loader.attach_raw_tracepoint(name, program)
        except HunterError:
            for name in set(self._links) - before:
                os.close(self._links.pop(name))
            raise

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
