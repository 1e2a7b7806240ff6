"""The kernel's side of a ptrace engine, scripted: no process, no ptrace, no signal.

A script is a list of what waitpid(2) returns; a function in it is called between two stops, as the
control thread would come in. The log holds what the engine asked of the kernel.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import pytest

from hg_shared.records import Kind, Record
from hg_shared.syscalls import numbers
from hunter.engines import process_memory
from hunter.engines.base import Notice
from hunter.engines.ptrace import kernel
from hunter.engines.ptrace.python_loop import PtracePythonEngine
from hunter.engines.ptrace.stops import SYSCALL_STOP
from hunter.errors import NotPermitted, ProcessGone
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


class Idle:
    """What the engine waits on when it traces nothing: that ends the test."""

    def __init__(self, engine: PtracePythonEngine) -> None:
        self._engine = engine

    def set(self) -> None:
        pass

    def clear(self) -> None:
        pass

    def wait(self) -> None:
        self._engine._stopping = True


class Machine:
    """The kernel's side: a script of stops, tracees with memory, and a log of requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: List[Tuple[Any, ...]] = []
        self.script: List[Step] = []
        self.threads: Dict[int, List[int]] = {PID: [PID]}
        self.messages: Dict[int, int] = {}
        self.memory: Dict[int, bytes] = {}
        self.gone: set = set()
        self.refused: set = set()
        self.opened = FIRST_MEMORY
        self.open_files: set = set()
        self._engine: Optional[PtracePythonEngine] = None
        self._info = b""
        for name in ("seize", "interrupt", "listen", "detach"):
            monkeypatch.setattr(kernel, name, self._request(name))
        monkeypatch.setattr(kernel, "resume", self._resume)
        monkeypatch.setattr(kernel, "fast_ptrace", self._fast_ptrace)
        monkeypatch.setattr(kernel, "event_message", self.messages.__getitem__)
        monkeypatch.setattr(kernel, "siginfo", lambda tid: bytes(128))
        monkeypatch.setattr(process_memory, "open_memory", self._open)
        monkeypatch.setattr(procfs, "thread_ids", lambda pid: list(self.threads.get(pid, [])))
        monkeypatch.setattr(procfs, "status_fields", self._status)
        monkeypatch.setattr(procfs, "stat", lambda pid: procfs.Stat("new", "R", 1, 1, False))
        monkeypatch.setattr(os, "waitpid", self._wait)
        monkeypatch.setattr(os, "pread", self._read)
        monkeypatch.setattr(os, "close", self._close)
        monkeypatch.setattr(os, "readlink", lambda path: "/bin/new")
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr(signal, "pthread_kill", lambda *_: self.engine._carry_out())

    @property
    def engine(self) -> PtracePythonEngine:
        if self._engine is None:
            self._engine = PtracePythonEngine("x86_64", 32, 1 << 20)
        return self._engine

    @engine.setter
    def engine(self, engine: PtracePythonEngine) -> None:
        self._engine = engine

    def _request(self, name: str) -> Callable[..., None]:
        def request(tid: int, *more: int) -> None:
            if tid in self.gone:
                raise ProcessGone(f"{name} {tid}")
            if name == "seize" and tid in self.refused:
                raise NotPermitted(f"{name} {tid}: Operation not permitted")
            signum = more[0] if name == "detach" and more else 0
            self.log.append((name, tid, signum) if signum else (name, tid))

        return request

    def _resume(self, tid: int, signum: int = 0) -> None:
        if tid in self.gone:
            raise ProcessGone(f"resume {tid}")
        self.log.append(("resume", tid, signum) if signum else ("resume", tid))

    def _fast_ptrace(self, command: int, tid: int, arg: int, reference: Any) -> int:
        if tid in self.gone:
            return -1
        if command == kernel.PTRACE_GET_SYSCALL_INFO:
            reference._obj[:] = self._info
            return len(self._info)
        if command == kernel.PTRACE_CONT:
            self.log.append(("free", tid))
            return 0
        assert command == kernel.PTRACE_SYSCALL
        self._resume(tid)
        return 0

    def _open(self, pid: int) -> int:
        if pid in self.gone:
            raise ProcessGone(f"/proc/{pid}/mem")
        self.opened += 1
        self.open_files.add(self.opened)
        return self.opened

    def _close(self, fd: int) -> None:
        self.open_files.remove(fd)

    def _status(self, tid: int) -> Dict[str, str]:
        owner = next((pid for pid, tids in self.threads.items() if tid in tids), 0)
        return {"Tgid": str(owner)}

    def _read(self, fd: int, length: int, address: int) -> bytes:
        assert fd in self.open_files
        for start, data in self.memory.items():
            if start <= address < start + len(data):
                return data[address - start : address - start + length]
        raise OSError(5, "Input/output error")

    def _wait(self, tid: int, flags: int) -> Tuple[int, int]:
        assert flags == kernel.WAIT_ALL
        while self.script:
            step = self.script.pop(0)
            if callable(step):
                step()
                continue
            found, status, self._info = step
            assert tid in (-1, found)
            return found, status
        if tid != -1:
            raise ChildProcessError(10, "No child processes")
        # The script is over: what the engine does from here on is not part of the test.
        self.log = list(self.log)
        self.engine._stopping = True
        raise ChildProcessError(10, "No child processes")

    def run(self, *script: Step) -> List[Record]:
        """Attaches PID, plays the script and returns the records."""
        self.script = list(script)
        self.engine._wake = Idle(self.engine)  # type: ignore[assignment]
        self.engine.attach(1, PID)
        self.engine.run()
        assert self.script == [], "the engine ended before its script"
        batches = self.engine.drain(time.monotonic_ns(), everything=True)
        return [record for batch in batches for record in batch.records()]


def kinds(records: Sequence[Record]) -> List[Tuple[Kind, int]]:
    return [(Kind(record.kind), record.tid) for record in records]


def ended(machine: Machine) -> List[Notice]:
    return [notice for notice in machine.engine.notices() if notice.kind == "ended"]
