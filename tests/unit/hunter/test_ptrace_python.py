"""The engine over scripted stops: no process, no ptrace, no signal.

A script is a list of what waitpid(2) returns; a function in it is called between two stops, as the
control thread would come in. The log holds what the engine asked of the kernel.
"""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import pytest

from hg_shared.records import Kind, Record, decode_captures
from hg_shared.syscalls import numbers
from hunter.engines import Notice
from hunter.engines.ptrace_python import PtracePythonEngine
from hunter.errors import NotPermitted, ProcessGone
from hunter.memory import procfs
from hunter.tracing import kernel
from hunter.tracing.stops import SYSCALL_STOP

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
        monkeypatch.setattr(kernel, "open_memory", self._open)
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


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def kinds(records: Sequence[Record]) -> List[Tuple[Kind, int]]:
    return [(Kind(record.kind), record.tid) for record in records]


def ended(machine: Machine) -> List[Notice]:
    return [notice for notice in machine.engine.notices() if notice.kind == "ended"]


def test_attach_seizes_every_thread_and_asks_it_to_stop(machine: Machine) -> None:
    machine.threads[PID] = [PID, OTHER]
    machine.run(interrupted(PID), interrupted(OTHER))
    assert machine.log == [
        ("seize", PID), ("interrupt", PID), ("seize", OTHER), ("interrupt", OTHER),
        ("resume", PID), ("resume", OTHER),
    ]  # fmt: skip
    notice = machine.engine.notices()[0]
    assert (notice.kind, notice.ordinal, notice.value) == ("attached", 1, 2)


def test_a_thread_that_starts_while_others_are_seized_is_seized_too(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = [[PID], [PID, OTHER], [PID, OTHER, THIRD], [PID, OTHER, THIRD]]
    monkeypatch.setattr(procfs, "thread_ids", lambda pid: listings.pop(0))
    machine.run()
    assert [step[1] for step in machine.log if step[0] == "seize"] == [PID, OTHER, THIRD]
    assert listings == []


def test_a_process_that_may_not_be_seized_is_a_notice(machine: Machine) -> None:
    machine.refused.add(PID)
    machine.engine.attach(1, PID)
    machine.engine.stop()
    machine.engine.run()
    (notice,) = machine.engine.notices()
    assert (notice.kind, notice.ordinal) == ("attach_failed", 1)
    assert "Operation not permitted" in notice.text
    assert machine.open_files == set()


def test_a_process_that_is_gone_is_a_notice(machine: Machine) -> None:
    machine.threads[PID] = []
    machine.engine.attach(1, PID)
    machine.engine.stop()
    machine.engine.run()
    (notice,) = machine.engine.notices()
    assert (notice.kind, notice.text) == ("attach_failed", f"process {PID} is gone")
    assert machine.open_files == set()


def test_a_call_is_one_record_with_what_its_pointers_showed(machine: Machine) -> None:
    machine.memory[0x1000] = b"/etc/hosts\0rest"
    machine.memory[0x2000] = b"x" * 100
    records = machine.run(
        interrupted(PID),
        enter(PID, "openat", 2**64 - 100, 0x1000, 0),
        leave(PID, 3),
        enter(PID, "read", 3, 0x2000, 4096),
        leave(PID, 50),
        enter(PID, "write", 9, 0x3000, 5),
        leave(PID, -9),
        enter(PID, "close", 3),
        leave(PID, 0),
    )
    assert [r.rval for r in records] == [3, 50, -9, 0]
    assert [r.nr for r in records] == [NR[n] for n in ("openat", "read", "write", "close")]
    assert records[0].args == (2**64 - 100, 0x1000, 0, 0, 0, 0)
    captured = [[(c.arg, c.length, c.data) for c in decode_captures(r.captures)] for r in records]
    assert captured[0] == [(1, 10, b"/etc/hosts")]
    assert captured[1] == [(1, 50, b"x" * 32)]
    assert [(arg, data) for arg, _, data in captured[2]] == [(1, None)]
    assert captured[3] == []
    assert all(r.process == 1 and r.tid == PID for r in records)
    assert machine.log[2:] == [("resume", PID)] * 9


def test_a_path_in_the_last_argument_is_read(machine: Machine) -> None:
    machine.memory[0x1000] = b"/tmp\0"
    records = machine.run(
        interrupted(PID),
        enter(PID, "fanotify_mark", 4, 1, 0x20, 2**64 - 100, 0x1000),
        leave(PID, 0),
    )
    captured = [(c.arg, c.length, c.data) for c in decode_captures(records[0].captures)]
    assert captured == [(4, 4, b"/tmp")]


@pytest.mark.parametrize("number", [0xFFFF, 0x10001, 0x3FFFFFFF, 2**64 - 1])
def test_a_number_beyond_a_record_s_is_captured_and_is_no_other_call(
    machine: Machine, number: int
) -> None:
    machine.memory[0x1000] = b"/etc/hosts\0"
    info = struct.pack("<BxxxIQQQ6Q", 1, X86_64, 0, 0, number, 1, 0x1000, 5, 0, 0, 0)
    records = machine.run(
        interrupted(PID), (PID, SYSCALL_STOP, info.ljust(88, b"\0")), leave(PID, -38)
    )
    [record] = records
    assert (record.abi, record.nr, record.rval) == (0, 0xFFFF, -38)
    [held] = decode_captures(record.captures)
    assert (held.arg, held.hop, held.at_entry) == (0, 255, True)
    assert held.data == number.to_bytes(8, "little")


def test_the_x32_bit_chooses_a_convention_without_a_table(machine: Machine) -> None:
    info = struct.pack("<BxxxIQQQ6Q", 1, X86_64, 0, 0, 0x40000001, 1, 0x1000, 5, 0, 0, 0)
    [record] = machine.run(
        interrupted(PID), (PID, SYSCALL_STOP, info.ljust(88, b"\0")), leave(PID, -38)
    )
    assert (record.abi, record.nr, record.captures) == (3, 1, b"")


def test_a_call_that_was_entered_before_the_attach_is_no_record(machine: Machine) -> None:
    records = machine.run(interrupted(PID), leave(PID, 5), enter(PID, "getpid"), leave(PID, 7))
    assert [(r.nr, r.rval) for r in records] == [(NR["getpid"], 7)]


def test_only_wanted_calls_are_recorded(machine: Machine) -> None:
    machine.engine = PtracePythonEngine(
        "x86_64", 32, 1 << 20, {0: frozenset({NR["close"]}), 2: frozenset({6})}
    )
    records = machine.run(
        interrupted(PID),
        enter(PID, "getpid"),
        leave(PID, 7),
        enter(PID, "close", 3),
        leave(PID, 0),
        enter(PID, "close", 3, arch=I386),
        leave(PID, 0, arch=I386),
        enter(PID, "read", 3, arch=I386),  # number 3, which is close on x86_64
        leave(PID, 0, arch=I386),
    )
    assert [(r.abi, r.nr) for r in records] == [(0, NR["close"]), (2, 6)]


def test_a_signal_is_recorded_and_delivered(machine: Machine) -> None:
    records = machine.run(interrupted(PID), signalled(PID, 10), signalled(PID, 64))
    assert kinds(records) == [(Kind.SIGNAL, PID)] * 2
    assert [r.nr for r in records] == [10, 64]
    assert machine.log[3:] == [("resume", PID, 10), ("resume", PID, 64)]


def test_a_signal_in_the_middle_of_a_call_does_not_confuse_it(machine: Machine) -> None:
    """The call ends with ERESTARTSYS, the handler runs calls of its own, then it starts again."""
    records = machine.run(
        interrupted(PID),
        enter(PID, "read", 0, 0, 1),
        leave(PID, RESTARTSYS),
        signalled(PID, 10),
        enter(PID, "getpid"),
        leave(PID, 100),
        enter(PID, "rt_sigreturn"),
        leave(PID, 0),
        enter(PID, "read", 0, 0, 1),
        leave(PID, 1),
    )
    calls = [(r.nr, r.rval) for r in records if r.kind == Kind.SYSCALL]
    assert calls == [
        (NR["read"], RESTARTSYS), (NR["getpid"], 100), (NR["rt_sigreturn"], 0), (NR["read"], 1),
    ]  # fmt: skip


def test_a_group_stop_stays_stopped_until_it_is_continued(machine: Machine) -> None:
    records = machine.run(
        interrupted(PID),
        signalled(PID, 19),  # signal-delivery-stop of SIGSTOP
        group_stop(PID, 19),
        interrupted(PID),  # SIGCONT ended the group-stop
        signalled(PID, 18),
    )
    assert machine.log[2:] == [
        ("resume", PID), ("resume", PID, 19), ("listen", PID), ("resume", PID),
        ("resume", PID, 18),
    ]  # fmt: skip
    assert [(r.kind, r.nr) for r in records] == [
        (Kind.SIGNAL, 19), (Kind.STOPPED, 19), (Kind.SIGNAL, 18),
    ]  # fmt: skip


def test_detach_in_a_group_stop_gives_no_signal(machine: Machine) -> None:
    machine.run(
        interrupted(PID),
        group_stop(PID, 19),
        lambda: machine.engine.detach(1),
        group_stop(PID, 19),
    )
    assert machine.log[2:] == [
        ("resume", PID), ("listen", PID), ("interrupt", PID), ("detach", PID),
    ]  # fmt: skip


def test_a_new_thread_whose_creator_reports_it_first(machine: Machine) -> None:
    machine.messages[PID] = OTHER
    machine.threads[PID] = [PID]

    def started() -> None:
        machine.threads[PID] = [PID, OTHER]

    records = machine.run(
        interrupted(PID),
        enter(PID, "clone3"),
        event(PID, 3),
        leave(PID, OTHER),
        started,
        interrupted(OTHER),
        enter(OTHER, "getpid"),
        leave(OTHER, PID),
    )
    assert kinds(records) == [
        (Kind.THREAD, PID), (Kind.SYSCALL, PID), (Kind.ATTACHED, OTHER), (Kind.SYSCALL, OTHER),
    ]  # fmt: skip
    assert (records[0].nr, records[0].args[0]) == (3, OTHER)


def test_a_new_thread_that_stops_before_its_creator_reports_it(machine: Machine) -> None:
    machine.messages[PID] = OTHER

    def started() -> None:
        machine.threads[PID] = [PID, OTHER]

    records = machine.run(
        interrupted(PID),
        enter(PID, "clone3"),
        started,
        interrupted(OTHER),
        enter(OTHER, "getpid"),
        event(PID, 3),
        leave(OTHER, PID),
        leave(PID, OTHER),
    )
    assert kinds(records) == [
        (Kind.ATTACHED, OTHER), (Kind.THREAD, PID), (Kind.SYSCALL, OTHER), (Kind.SYSCALL, PID),
    ]  # fmt: skip
    assert all(r.process == 1 for r in records)


def test_a_child_process_that_came_with_its_creator_is_let_go(machine: Machine) -> None:
    machine.messages[PID] = THIRD
    machine.threads[THIRD] = [THIRD]
    records = machine.run(interrupted(PID), event(PID, 3), interrupted(THIRD))
    assert machine.log[-1] == ("detach", THIRD)
    assert [r.tid for r in records] == [PID]


def test_the_end_of_an_unknown_thread_is_nothing(machine: Machine) -> None:
    records = machine.run(interrupted(PID), exited(THIRD), killed(THIRD, 11))
    assert records == []
    assert ended(machine) == []


def test_execve_by_the_leader(machine: Machine) -> None:
    machine.memory[0x1000] = b"/bin/new\0"
    machine.messages[PID] = PID
    records = machine.run(
        interrupted(PID),
        enter(PID, "execve", 0x1000, 0, 0),
        machine.memory.clear,
        event(PID, 4),
        leave(PID, 0),
        enter(PID, "getpid"),
        leave(PID, PID),
    )
    assert [r.kind for r in records] == [Kind.EXEC, Kind.SYSCALL, Kind.SYSCALL]
    assert [c.data for c in decode_captures(records[0].captures)] == [b"new", b"/bin/new"]
    assert records[1].nr == NR["execve"]
    # What execve destroys was read before it ran.
    assert decode_captures(records[1].captures)[0].data == b"/bin/new"
    assert machine.open_files == {FIRST_MEMORY + 2}, "the memory of before is closed"
    notices = [n for n in machine.engine.notices() if n.kind == "exec"]
    assert [(n.ordinal, n.text) for n in notices] == [(1, "new")]


def test_execve_by_another_thread_takes_the_place_of_the_leader(machine: Machine) -> None:
    machine.threads[PID] = [PID, OTHER, THIRD]
    machine.messages[PID] = OTHER
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        interrupted(THIRD),
        enter(PID, "read", 0, 0, 1),
        enter(OTHER, "execve", 0, 0, 0),
        enter(THIRD, "read", 1, 0, 1),
        killed(THIRD),
        event(PID, 4),
        leave(PID, 0),
        enter(PID, "getpid"),
        leave(PID, PID),
        exited(PID, 3),
    )
    execed = records[[r.kind for r in records].index(Kind.EXEC)]
    assert (execed.tid, execed.args[0]) == (PID, OTHER)
    calls = [(r.tid, r.nr, r.rval) for r in records if r.kind == Kind.SYSCALL]
    assert calls == [(PID, NR["execve"], 0), (PID, NR["getpid"], PID)]
    # No status of the former thread id is ever seen: the process ends with its last thread.
    assert [(n.text, n.value) for n in ended(machine)] == [("exited", 3 << 8)]
    assert machine.open_files == set()


def test_a_filtered_execve_by_another_thread_ends_the_call_of_the_leader(machine: Machine) -> None:
    machine.engine = PtracePythonEngine("x86_64", 32, 1 << 20, {0: frozenset({NR["read"]})})
    machine.threads[PID] = [PID, OTHER]
    machine.messages[PID] = OTHER
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        enter(PID, "read", 0, 0, 1),
        enter(OTHER, "execve", 0, 0, 0),
        event(PID, 4),
        leave(PID, 0),
    )
    assert [r for r in records if r.kind == Kind.SYSCALL] == []


def test_a_process_killed_right_after_execve_keeps_the_tracer_going(machine: Machine) -> None:
    machine.messages[PID] = PID
    machine.run(
        interrupted(PID),
        lambda: machine.gone.add(PID),
        event(PID, 4),
        killed(PID),
    )
    assert [(n.text, n.value) for n in ended(machine)] == [("exited", 9)]
    assert machine.open_files == set()


def test_a_thread_killed_at_its_stop_is_no_record_of_another_thread_s_call(
    machine: Machine,
) -> None:
    """GET_SYSCALL_INFO fails then, and the buffer still holds the stop before."""
    machine.threads[PID] = [PID, OTHER]
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        enter(PID, "read", 0, 0, 1),
        enter(OTHER, "getpid"),
        leave(OTHER, 77),
        lambda: machine.gone.add(PID),
        leave(PID, 1),
        killed(PID),
    )
    calls = [(r.tid, r.rval) for r in records if r.kind == Kind.SYSCALL]
    assert calls == [(OTHER, 77)]
    assert (Kind.IN_FLIGHT, PID) in kinds(records)


def test_an_exit_without_an_exit_stop(machine: Machine) -> None:
    """exit_group never returns: it is told as a call in flight, then come the ends."""
    machine.threads[PID] = [PID, OTHER]
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        enter(OTHER, "read", 0, 0, 1),
        enter(PID, "exit_group", 3),
        exited(OTHER, 3),
        exited(PID, 3),
    )
    assert kinds(records) == [
        (Kind.IN_FLIGHT, OTHER), (Kind.EXITED, OTHER), (Kind.IN_FLIGHT, PID), (Kind.EXITED, PID),
    ]  # fmt: skip
    assert (records[2].nr, records[2].args[0]) == (NR["exit_group"], 3)
    assert [r.rval for r in records if r.kind == Kind.EXITED] == [3 << 8] * 2
    assert [(n.text, n.value) for n in ended(machine)] == [("exited", 3 << 8)]
    assert machine.open_files == set()


def test_the_status_of_a_process_is_that_of_its_leader(machine: Machine) -> None:
    machine.threads[PID] = [PID, OTHER]
    machine.run(interrupted(PID), interrupted(OTHER), exited(OTHER, 0), exited(PID, 9))
    assert [n.value for n in ended(machine)] == [9 << 8]


def test_detach_waits_for_each_thread_s_stop(machine: Machine) -> None:
    machine.threads[PID] = [PID, OTHER]
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        lambda: machine.engine.detach(1),
        interrupted(PID),
        interrupted(OTHER),
    )
    assert machine.log[6:] == [
        ("interrupt", PID), ("interrupt", OTHER), ("detach", PID), ("detach", OTHER),
    ]  # fmt: skip
    assert kinds(records) == [(Kind.DETACHED, PID), (Kind.DETACHED, OTHER)]
    assert [n.text for n in ended(machine)] == ["detached"]
    assert machine.open_files == set()


def test_a_call_that_detaching_interrupts_stays_open(machine: Machine) -> None:
    """It ends with ERESTARTSYS and the kernel starts it again, unseen: it has not returned."""
    records = machine.run(
        interrupted(PID),
        enter(PID, "read", 5, 0, 1),
        lambda: machine.engine.detach(1),
        leave(PID, RESTARTSYS),
    )
    assert kinds(records) == [(Kind.IN_FLIGHT, PID), (Kind.DETACHED, PID)]
    assert (records[0].nr, records[0].args[0]) == (NR["read"], 5)
    assert machine.log[-1] == ("detach", PID)


@pytest.mark.parametrize("rval", [-516, -514, -513, -512])
def test_every_restart_code_means_not_returned(machine: Machine, rval: int) -> None:
    records = machine.run(
        interrupted(PID),
        enter(PID, "nanosleep", 0, 0),
        lambda: machine.engine.detach(1),
        leave(PID, rval),
    )
    assert [r.kind for r in records] == [Kind.IN_FLIGHT, Kind.DETACHED]


@pytest.mark.parametrize("rval", [0, 5, -4, -11, -517, -511])
def test_a_call_that_returned_in_time_is_recorded_at_the_detach(
    machine: Machine, rval: int
) -> None:
    records = machine.run(
        interrupted(PID),
        enter(PID, "close", 3),
        lambda: machine.engine.detach(1),
        leave(PID, rval),
    )
    assert [(r.kind, r.rval) for r in records] == [(Kind.SYSCALL, rval), (Kind.DETACHED, 0)]


def test_detach_at_an_entry_leaves_the_call_open(machine: Machine) -> None:
    records = machine.run(
        interrupted(PID),
        lambda: machine.engine.detach(1),
        enter(PID, "write", 1, 0, 0),
    )
    assert [(r.kind, r.nr) for r in records] == [
        (Kind.IN_FLIGHT, NR["write"]), (Kind.DETACHED, 0),
    ]  # fmt: skip


def test_the_filter_holds_at_a_detach_too(machine: Machine) -> None:
    machine.engine = PtracePythonEngine("x86_64", 32, 1 << 20, {0: frozenset({NR["read"]})})
    records = machine.run(
        interrupted(PID),
        lambda: machine.engine.detach(1),
        enter(PID, "write", 1, 0, 0),
    )
    assert kinds(records) == [(Kind.DETACHED, PID)]


def test_a_signal_that_comes_while_letting_go_is_passed_on(machine: Machine) -> None:
    machine.run(interrupted(PID), lambda: machine.engine.detach(1), signalled(PID, 34))
    assert machine.log[-1] == ("detach", PID, 34)


def test_a_thread_started_while_letting_go_is_let_go(machine: Machine) -> None:
    machine.messages[PID] = OTHER

    def leave_with_a_new_thread() -> None:
        machine.threads[PID] = [PID, OTHER]
        machine.engine.detach(1)

    machine.run(
        interrupted(PID),
        enter(PID, "clone3"),
        leave_with_a_new_thread,
        event(PID, 3),
        interrupted(OTHER),
    )
    assert machine.log[-2:] == [("detach", PID), ("detach", OTHER)]


def test_a_child_born_while_letting_go_does_not_stay_stopped(machine: Machine) -> None:
    """Its parent is let go before its first stop came: nothing else is traced then."""
    machine.messages[PID] = THIRD
    machine.threads[THIRD] = [THIRD]
    machine.run(
        interrupted(PID),
        enter(PID, "fork"),
        event(PID, 1),
        lambda: machine.engine.detach(1),
        leave(PID, THIRD),
        interrupted(THIRD),
    )
    assert machine.log[-2:] == [("detach", PID), ("detach", THIRD)]
    assert machine.engine._newborn == {}


def test_children_seen_before_and_after_their_event_are_not_waited_for(machine: Machine) -> None:
    machine.threads[THIRD] = [THIRD]
    machine.messages[PID] = THIRD
    machine.run(
        interrupted(PID),
        interrupted(THIRD),
        event(PID, 1),
        event(PID, 1),
        killed(THIRD),
        exited(PID),
    )
    assert (machine.engine._newborn, machine.engine._early) == ({}, set())


class Following:
    """Takes children in, and keeps what it was told of them."""

    def __init__(self, most: int = 99) -> None:
        self.declared: List[Tuple[int, int, int]] = []
        self._most = most

    def reserve(self) -> int:
        number = len(self.declared) + 2
        return number if number <= self._most else 0

    def declare(
        self, ordinal: int, pid: int, creator: int, born_ns: int, command: str = ""
    ) -> None:
        self.declared.append((ordinal, pid, creator))


def followed(machine: Machine, monkeypatch: pytest.MonkeyPatch, most: int = 99) -> Following:
    follow = machine.engine.follow = Following(most)
    machine.threads[THIRD] = [THIRD]
    machine.messages[PID] = THIRD
    monkeypatch.setattr(procfs, "stat", lambda pid: procfs.Stat("new", "R", PID, 1, False))
    return follow


def test_a_followed_child_is_a_process_of_its_own(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = followed(machine, monkeypatch)
    records = machine.run(
        interrupted(PID),
        event(PID, 1),
        interrupted(THIRD),
        enter(THIRD, "getpid"),
        leave(THIRD, THIRD),
        exited(PID),
        exited(THIRD, 3),
    )
    assert follow.declared == [(2, THIRD, 1)]
    own = [(record.kind, record.rval) for record in records if record.process == 2]
    assert own == [(Kind.ATTACHED, 0), (Kind.SYSCALL, THIRD), (Kind.EXITED, 3 << 8)]
    notices = [(notice.kind, notice.ordinal) for notice in machine.engine.notices()]
    assert notices == [("attached", 1), ("followed", 2), ("ended", 1), ("ended", 2)]
    assert machine.open_files == set()


@pytest.mark.parametrize("early", [True, False])
def test_a_child_that_was_killed_before_it_ran_has_an_end(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    follow = followed(machine, monkeypatch)
    stops = [event(PID, 1), killed(THIRD)]
    records = machine.run(interrupted(PID), *(reversed(stops) if early else stops), exited(PID))
    assert follow.declared == [(2, THIRD, 1)]
    assert [(r.kind, r.rval) for r in records if r.process == 2] == [(Kind.EXITED, 9)]


def test_children_are_let_go_when_there_were_enough(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = followed(machine, monkeypatch, 1)
    machine.run(interrupted(PID), event(PID, 1), interrupted(THIRD), exited(PID))
    assert follow.declared == []
    assert ("detach", THIRD) in machine.log
    assert machine.open_files == set()


def test_a_child_born_while_its_parent_is_let_go_is_not_followed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = followed(machine, monkeypatch)
    machine.run(
        interrupted(PID),
        enter(PID, "fork"),
        event(PID, 1),
        lambda: machine.engine.stop(),
        leave(PID, THIRD),
        interrupted(THIRD),
    )
    assert follow.declared == []
    assert machine.log[-1] == ("detach", THIRD)


def test_a_process_that_dies_while_letting_go_is_exited(machine: Machine) -> None:
    machine.run(
        interrupted(PID),
        lambda: machine.engine.detach(1),
        lambda: machine.gone.add(PID),
        interrupted(PID),
        killed(PID),
    )
    assert ("detach", PID) not in machine.log
    assert [(n.text, n.value) for n in ended(machine)] == [("exited", 9)]


def drained(machine: Machine, now: int) -> List[Record]:
    return [r for batch in machine.engine.drain(now) for r in batch.records()]


def test_calls_in_flight_are_told_once_and_before_the_watermark_passes_them(
    machine: Machine,
) -> None:
    seen: List[Tuple[str, List[Tuple[Kind, int]]]] = []
    start = time.monotonic_ns()

    def drain(name: str, after_ms: int) -> Callable[[], None]:
        def call() -> None:
            seen.append((name, kinds(drained(machine, start + after_ms * 1_000_000))))

        return call

    records = machine.run(
        interrupted(PID),
        enter(PID, "read", 0, 0, 1),
        drain("fresh", 0),
        drain("old", 60_000),
        drain("again", 61_000),
        lambda: machine.engine.detach(1),
        drain("while it is let go", 62_000),
        leave(PID, RESTARTSYS),
    )
    assert seen == [
        ("fresh", []),
        ("old", [(Kind.IN_FLIGHT, PID)]),
        ("again", []),
        ("while it is let go", []),
    ]
    assert kinds(records) == [(Kind.DETACHED, PID)]


def test_a_detach_request_hides_no_open_call_from_the_watermark(machine: Machine) -> None:
    seen: List[List[Tuple[Kind, int]]] = []
    start = time.monotonic_ns()
    machine.run(
        interrupted(PID),
        enter(PID, "read", 0, 0, 1),
        lambda: machine.engine.detach(1),
        lambda: seen.append(kinds(drained(machine, start + 60_000_000_000))),
        leave(PID, RESTARTSYS),
    )
    assert seen == [[(Kind.IN_FLIGHT, PID)]]


def test_an_idle_engine_moves_the_watermark_all_the_time(machine: Machine) -> None:
    batches = [
        batch
        for tick in range(100)
        for batch in machine.engine.drain(10_000_000_000 + tick * 50_000_000)
    ]
    assert all(batch.count == 0 for batch in batches)
    # What is not known when hunter dies with its container is bounded by these, 250 ms in all.
    marks = [batch.watermark for batch in batches]
    assert max(after - before for before, after in zip(marks, marks[1:])) <= 150_000_000
    assert len(marks) < 40


def test_stop_before_anything_was_attached(machine: Machine) -> None:
    machine.engine.stop()
    machine.engine.run()
    assert machine.engine.ended
    assert machine.log == []


def test_a_process_asked_for_after_stop_is_let_go_at_once(machine: Machine) -> None:
    machine.engine.stop()
    machine.script = [interrupted(PID)]
    machine.engine.attach(1, PID)
    machine.engine.run()
    assert machine.engine.ended
    assert machine.log == [
        ("seize", PID), ("interrupt", PID), ("interrupt", PID), ("detach", PID),
    ]  # fmt: skip


def test_requests_come_from_any_thread(machine: Machine) -> None:
    assert machine.engine._main == 0
    machine.engine.stop()
    assert not machine.engine.ended
    machine.engine.run()
    assert machine.engine.thread_id == threading.get_native_id()
