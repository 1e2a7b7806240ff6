"""The kernel's side of a ptrace engine, scripted: no process, no ptrace, no signal.

A script is a list of what waitpid(2) returns; a function in it is called between two stops, as the
control thread would come in. The log holds what the engine asked of the kernel.
"""

from __future__ import annotations

import struct
import threading
import time
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple, Union

from hg_shared.records import Kind, Record
from hg_shared.syscalls import numbers
from hunter.engines.base import EngineEvent
from hunter.engines.ptrace import kernel
from hunter.engines.ptrace.kernel import Kernel
from hunter.engines.ptrace.ptrace_engine import PtraceEngine
from hunter.engines.ptrace.stops import SYSCALL_STOP
from hunter.engines.ptrace.syscall_reader import TraceOptions
from hunter.errors import FewFiles, NotPermitted, ProcessGone
from hunter.memory import procfs

PID, OTHER, THIRD = 100, 101, 102
NR = numbers(0)
X86_64, I386 = 0xC000003E, 0x40000003
RESTARTSYS = -512
FIRST_MEMORY = 1000

Stop = Tuple[int, int, bytes]
Step = Union[Stop, Callable[[], None]]


def enter(tid: int, name: str, *args: int, arch: int = X86_64) -> Stop:
    full = (*args, 0, 0, 0, 0, 0, 0)[:6]
    number = numbers(2 if arch == I386 else 0)[name]
    info = struct.pack("<BxxxIQQQ6Q", 1, arch, 0, 0, number, *full)
    return tid, SYSCALL_STOP, info.ljust(88, b"\0")


def leave(tid: int, rval: int = 0, arch: int = X86_64) -> Stop:
    return tid, SYSCALL_STOP, struct.pack("<BxxxIQQq", 2, arch, 0, 0, rval).ljust(88, b"\0")


def event(tid: int, number: int) -> Stop:
    return tid, number << 16 | 0x057F, b""


def interrupted(tid: int) -> Stop:
    return event(tid, 128)


def group_stop(tid: int, signum: int) -> Stop:
    return tid, 128 << 16 | signum << 8 | 0x7F, b""


def signalled(tid: int, signum: int) -> Stop:
    return tid, signum << 8 | 0x7F, b""


def exited(tid: int, code: int = 0) -> Stop:
    return tid, code << 8, b""


def killed(tid: int, signum: int = 9) -> Stop:
    return tid, signum, b""


class Machine(Kernel):
    """A kernel with a script of stops, tracees with memory, and a log of requests.

    Attributes:
        log: what the engine asked for.
        script: stops to come.
        threads: thread ids by process.
        listings: what the next listings of threads say, whatever `threads` holds.
        parents: of processes, 1 by default.
        text: what a file of /proc holds.
        few_files: none of them can be opened.
        gone: threads that have been killed, unseen.
        refused: threads that may not be seized.
    """

    def __init__(self) -> None:
        self.log: List[Tuple[Any, ...]] = []
        self.script: List[Step] = []
        self.threads: Dict[int, List[int]] = {PID: [PID]}
        self.listings: List[List[int]] = []
        self.parents: Dict[int, int] = {}
        self.text = "running\n"
        self.few_files = False
        self.messages: Dict[int, int] = {}
        self.memory: Dict[int, bytes] = {}
        self.gone: set = set()
        self.refused: set = set()
        self.opened = FIRST_MEMORY
        self.open_files: set = set()
        self._handler: Callable[[], None] = lambda: None
        self._info = b""
        self.trace()

    def trace(self, wanted: Optional[Dict[int, FrozenSet[int]]] = None) -> None:
        """Makes an engine that records some calls, or all."""
        options = TraceOptions("x86_64", 32, 1 << 20, wanted)
        self.engine = PtraceEngine("ptrace-python", options, kernel=self)

    def _ask(self, name: str, tid: int, signum: int = 0) -> None:
        if tid in self.gone:
            raise ProcessGone(f"{name} {tid}")
        self.log.append((name, tid, signum) if signum else (name, tid))

    def seize(self, tid: int, options: int = 0) -> None:
        if tid in self.refused:
            raise NotPermitted(f"seize {tid}: Operation not permitted")
        self._ask("seize", tid)

    def interrupt(self, tid: int) -> None:
        self._ask("interrupt", tid)

    def listen(self, tid: int) -> None:
        self._ask("listen", tid)

    def detach(self, tid: int, signal: int = 0) -> None:
        self._ask("detach", tid, signal)

    def resume(self, tid: int, signal: int = 0) -> None:
        self._ask("resume", tid, signal)

    def fast_ptrace(self, command: int, tid: int, arg: int, reference: Any) -> int:
        if tid in self.gone:
            return -1
        if command == kernel.PTRACE_GET_SYSCALL_INFO:
            reference._obj[:] = self._info
            return len(self._info)
        assert command in (kernel.PTRACE_CONT, kernel.PTRACE_SYSCALL)
        self._ask("free" if command == kernel.PTRACE_CONT else "resume", tid)
        return 0

    def event_message(self, tid: int) -> int:
        return self.messages[tid]

    def siginfo(self, tid: int) -> bytes:
        return bytes(128)

    def open_memory(self, pid: int) -> int:
        if pid in self.gone:
            raise ProcessGone(f"/proc/{pid}/mem")
        self.opened += 1
        self.open_files.add(self.opened)
        return self.opened

    def close(self, fd: int) -> None:
        self.open_files.remove(fd)

    def pread(self, fd: int, length: int, address: int) -> bytes:
        assert fd in self.open_files
        for start, data in self.memory.items():
            if start <= address < start + len(data):
                return data[address - start : address - start + length]
        raise OSError(5, "Input/output error")

    def thread_ids(self, pid: int) -> List[int]:
        return self.listings.pop(0) if self.listings else list(self.threads.get(pid, []))

    def status_fields(self, tid: int) -> Dict[str, str]:
        owner = next((pid for pid, tids in self.threads.items() if tid in tids), 0)
        return {"Tgid": str(owner)}

    def stat(self, pid: int) -> procfs.Stat:
        return procfs.Stat("new", "R", self.parents.get(pid, 1), 1, False)

    def read_text(self, path: str) -> str:
        if self.few_files:
            raise FewFiles("no file can be opened")
        return self.text

    def readlink(self, path: str) -> str:
        return "/bin/new"

    def set_handler(self, handler: Callable[[], None]) -> None:
        self._handler = handler

    def notify(self, thread: int) -> None:
        self._handler()

    def wait_for(self, event: threading.Event) -> None:
        """Ends the test: the engine traces nothing and would wait."""
        self.engine._tracer.stopping = True

    def wait(self, tid: int = -1) -> Tuple[int, int]:
        return self.waitpid(tid, kernel.WAIT_ALL)

    def waitpid(self, tid: int, flags: int) -> Tuple[int, int]:
        assert flags == kernel.WAIT_ALL
        while self.script:
            step = self.script.pop(0)
            if callable(step):
                step()
                continue
            found, status, self._info = step
            assert tid in (-1, found)
            return found, status
        if tid == -1:
            # The script is over: what the engine does from here on is not part of the test.
            self.engine._tracer.stopping = True
        raise ChildProcessError(10, "No child processes")

    def run(self, *script: Step) -> List[Record]:
        """Attaches PID, plays the script and returns the records."""
        self.script = list(script)
        self.engine.attach(1, PID)
        self.engine.run()
        assert self.script == [], "the engine ended before its script"
        batches = self.engine.drain(time.monotonic_ns(), everything=True)
        return [record for batch in batches for record in batch.records()]


def kinds(records: Sequence[Record]) -> List[Tuple[Kind, int]]:
    return [(Kind(record.kind), record.tid) for record in records]


def ended(machine: Machine) -> List[EngineEvent]:
    return [event for event in machine.engine.events() if event.kind == "ended"]
