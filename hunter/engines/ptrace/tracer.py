"""The tracer's thread: its tracees, and every stop of theirs that is not a syscall stop."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Callable, Deque, Dict, FrozenSet, List, Optional, Set, Tuple

from hg_shared.records import HEAD, Kind, encode_capture
from hunter.engines.base import Follow, Notice
from hunter.engines.ptrace import kernel, syscall_info
from hunter.engines.ptrace.drain import Drain
from hunter.engines.ptrace.stops import StopKind, classify
from hunter.engines.ptrace.syscall_reader import (
    RESTART_FIRST,
    RESTART_LAST,
    Syscalls,
)
from hunter.engines.ptrace.tracee import (
    Entered,
    Process,
    open_memory,
)
from hunter.engines.record_queue import Queue
from hunter.errors import HunterError, NoRoom, ProcessGone
from hunter.memory import procfs
from hunter.scan import recognition
from hunter.watchdog.progress import Progress, TracerProgress

# PTRACE_EVENT_FORK and PTRACE_EVENT_VFORK; a clone may be a thread.
_NEW_PROCESS = (1, 2)


class Tracer(ABC):
    """Keeps the tracees and answers their stops.

    A subclass keeps the calls that are open.

    Args:
        machine: as uname(2) says, `x86_64` or `aarch64`.
        string_size: bytes of each string and buffer to keep.
        queue: where records go.
        wanted: syscall numbers to record by ABI, None for all.
        decode_fds: also read what new descriptors refer to.
        progress: told of the processes that it holds.
    """

    def __init__(
        self,
        machine: str,
        string_size: int,
        queue: Queue,
        wanted: Optional[Dict[int, FrozenSet[int]]] = None,
        decode_fds: bool = False,
        progress: Optional[TracerProgress] = None,
    ) -> None:
        self._queue = queue
        self._progress = progress or Progress().tracers[0]
        self._owners: Dict[int, Process] = {}
        self._processes: Dict[int, Process] = {}
        self._by_pid: Dict[int, Process] = {}
        self._interrupted: Dict[int, Entered] = {}
        self._syscalls = syscalls = Syscalls(machine, string_size, wanted, decode_fds, self._owners)
        self._arch, self._abi = syscalls.arch, syscalls.abi
        # Looked up once: these run within syscall stops.
        self._is_wanted = syscalls.is_wanted
        self._read_entry = syscalls.read_entry
        self._read_exit = syscalls.read_exit
        self._syscall_head = syscalls.head
        self._drain = Drain(queue, self._owners, syscalls, self._calls_in_flight)
        # Tids of clone, fork and vfork events whose first stop has not come, with the ordinal of
        # the process that started them if they are processes; and the reverse, also of those that
        # were killed before any stop, with their wait status.
        self._newborn: Dict[int, int] = {}
        self._early: Set[int] = set()
        self._stillborn: Dict[int, int] = {}
        self._notices: Deque[Notice] = deque()
        self._stopping = False
        self.release_child: Optional[Callable[[int, int], None]] = None
        """Told of each child process and its parent before the child runs."""
        self.follow: Optional[Follow] = None
        """Asked about each child process before it runs; None to let all of them go."""

    # What a subclass keeps.

    @abstractmethod
    def _open_calls(self) -> List[Tuple[int, Entered]]:
        """Returns the calls that threads are in. Called by the writer's thread."""

    @abstractmethod
    def _open_call(self, tid: int) -> Optional[Entered]:
        """Returns the call a thread is in."""

    @abstractmethod
    def _set_open_call(self, tid: int, entered: Optional[Entered]) -> None:
        """Notes or clears the call a thread is in."""

    @abstractmethod
    def _own(self, tid: int, process: Process) -> None:
        """Takes a thread over."""

    @abstractmethod
    def _disown(self, tid: int) -> None:
        """Drops a thread."""

    def _process_gone(self, process: Process) -> None:  # noqa: B027 - most need not know
        """Tells that a process is traced no longer, and that all its records are queued."""

    def _memory_changed(self, process: Process) -> None:  # noqa: B027 - most need not know
        """Tells that a process's memory is read through another descriptor now."""

    def _has_room(self) -> bool:
        """Tells whether one more process and its threads can be traced."""
        return True

    def _calls_in_flight(self) -> List[Tuple[int, Entered]]:
        """Returns the open calls, also those interrupted for a detach."""
        return [*self._open_calls(), *list(self._interrupted.items())]

    # Stops.

    def _other_stop(self, tid: int, status: int) -> None:
        stop = classify(status)
        process = self._owners.get(tid)
        self._progress.listening.discard(tid)
        try:
            if stop.kind == StopKind.EXITED:
                creator = self._newborn.pop(tid, 0)
                if tid not in self._by_pid:
                    self._progress.held.discard(tid)
                if process is not None:
                    self._ended(tid, process, status)
                elif creator:
                    self._bury(tid, creator, status)
                elif self.follow is not None:
                    self._stillborn[tid] = status
                return
            if process is None:
                if self._newborn.pop(tid, None) is None:
                    self._early.add(tid)
                process = self._adopt(tid)
                if process is None:
                    kernel.detach(tid)
                if tid not in self._by_pid:
                    self._progress.held.discard(tid)
                if process is None:
                    return
            self._answer(tid, process, stop.kind, stop.signal, stop.event)
        except ProcessGone:
            pass  # killed while it was stopped; its end is reported by a later wait

    def _await_newborn(self) -> None:
        """Takes the first stops of what was started by the last tracees just before they went.

        Nobody would wait for these threads and children any more, and they would stay stopped.
        """
        while self._newborn:
            tid, creator = self._newborn.popitem()
            try:
                _, status = kernel.wait(tid)
            except ChildProcessError:
                continue  # killed before it ran, and seen
            self._newborn[tid] = creator
            self._other_stop(tid, status)
        self._early.clear()
        self._stillborn.clear()

    def _adopt(self, tid: int) -> Optional[Process]:
        """Returns the process of a thread that was attached by the kernel with its creator.

        Its first stop may come before the creator's PTRACE_EVENT_CLONE. A child process (clone
        without CLONE_THREAD) belongs to none, unless it is to be followed.
        """
        status = procfs.status_fields(tid)
        tgid = status.get("Tgid", "")
        process = self._by_pid.get(int(tgid)) if tgid.isdecimal() else None
        if process is None:
            if tgid != str(tid):
                return None
            process = self._adopt_child(tid, recognition.is_marked(status))
            if process is None:
                return None
        try:
            self._own(tid, process)
        except NoRoom:
            self._notices.append(Notice("unfollowed", process.ordinal, time.monotonic_ns(), "1"))
            self._close_if_empty(process, "detached")
            return None
        process.threads.add(tid)
        self._note(Kind.ATTACHED, tid, process)
        return process

    def _adopt_child(self, pid: int, ours: bool) -> Optional[Process]:
        """Returns the process of a child at its first stop; None when it is not followed.

        Args:
            pid: its process id.
            ours: it carries the mark of what is never traced.
        """
        stat = procfs.stat(pid)
        if stat is None:
            return None
        if self.release_child is not None:
            # It inherited a mask that may be narrow; its own begins as its parent's was.
            self.release_child(pid, stat.ppid)
        parent = self._by_pid.get(stat.ppid)
        if self.follow is None or ours or self._stopping or (parent is not None and parent.leaving):
            return None
        if not self._has_room():
            if parent is not None:
                now = time.monotonic_ns()
                self._notices.append(Notice("unfollowed", parent.ordinal, now, "1"))
            return None
        try:
            memory = open_memory(pid)
        except HunterError:
            return None
        ordinal = self.follow.reserve()
        if not ordinal:
            if memory >= 0:
                os.close(memory)
            return None
        now = time.monotonic_ns()
        creator = parent.ordinal if parent is not None else 0
        self.follow.declare(ordinal, pid, creator, 0)
        process = Process(ordinal, pid, memory)
        process.told = True
        self._progress.held.add(pid)
        self._processes[ordinal] = self._by_pid[pid] = process
        self._notices.append(Notice("followed", ordinal, now, "", creator))
        return process

    def _bury(self, pid: int, creator: int, status: int) -> None:
        """Records the end of a child that was killed before it ran."""
        parent = self._processes.get(creator)
        if self.follow is None or self._stopping or not self._has_room():
            return
        ordinal = self.follow.reserve()
        if not ordinal:
            return
        now = time.monotonic_ns()
        stat = procfs.stat(parent.pid) if parent is not None else None
        self.follow.declare(ordinal, pid, creator, now, stat.command if stat is not None else "")
        process = Process(ordinal, pid, -1)
        process.told = True
        process.threads.add(pid)
        self._processes[ordinal] = process
        self._own(pid, process)
        self._notices.append(Notice("followed", ordinal, now, "", creator))
        self._ended(pid, process, status)

    def _answer(self, tid: int, process: Process, kind: StopKind, signum: int, event: int) -> None:
        if kind == StopKind.SIGNAL:
            data = encode_capture(0, 0, kernel.siginfo(tid), kernel.SIGINFO_SIZE)
            self._note(Kind.SIGNAL, tid, process, nr=signum, data=data)
        elif kind == StopKind.GROUP:
            self._note(Kind.STOPPED, tid, process, nr=signum)
        elif kind == StopKind.FORK:
            child = kernel.event_message(tid)
            self._note(Kind.THREAD, tid, process, nr=event, arg=child)
            creator = process.ordinal if event in _NEW_PROCESS else 0
            if child in self._early:
                self._early.discard(child)
            elif child in self._stillborn:
                status = self._stillborn.pop(child)
                if creator:
                    self._bury(child, creator, status)
            else:
                # Before its creator runs on: nothing else would lead to one that is held.
                self._progress.held.add(child)
                self._newborn[child] = creator
        elif kind == StopKind.EXEC:
            self._executed(tid, process)
        if process.leaving:
            self._let_go(tid, process, signum if kind == StopKind.SIGNAL else 0)
            return
        if kind == StopKind.GROUP:
            self._progress.listen(tid)
            kernel.listen(tid)
        else:
            kernel.resume(tid, signum)
        if tid in process.arming:
            process.arming.discard(tid)
            process.armed = time.monotonic_ns()
            self._perhaps_armed(process)

    def _perhaps_armed(self, process: Process) -> None:
        """Tells that a process is attached once its threads have stopped, and calls are seen."""
        if not process.arming and not process.told:
            process.told = True
            when = process.armed or process.asked
            count = len(process.threads)
            self._notices.append(Notice("attached", process.ordinal, when, "", count))

    def _executed(self, tid: int, process: Process) -> None:
        """After execve only the thread that called it is left, under the tid of the leader."""
        former = kernel.event_message(tid)
        call = self._open_call(former) or self._interrupted.pop(former, None)
        if former != tid and tid in process.threads:
            # What the leader was in has ended with the leader, also where execve is not recorded.
            self._note_open(tid, process)
        for other in list(process.threads):
            if other != tid:
                self._forget(other, process)
        if tid not in process.threads:
            process.threads.add(tid)
            self._own(tid, process)
        if former != tid:
            self._set_open_call(tid, call)
        try:
            memory = open_memory(process.pid)
        except HunterError:
            pass  # killed, or a file it may not read: the old memory is gone and reads as nothing
        else:
            if process.memory >= 0:
                os.close(process.memory)
            process.memory = memory
            self._memory_changed(process)
        command = procfs.stat(tid)
        name = command.command if command else ""
        try:
            executable = os.readlink(f"/proc/{tid}/exe")
        except OSError:
            executable = ""
        data = b"".join(
            encode_capture(0, hop, text, len(text))
            for hop, text in enumerate((os.fsencode(name), os.fsencode(executable)))
        )
        self._note(Kind.EXEC, tid, process, arg=former, data=data)
        self._notices.append(Notice("exec", process.ordinal, time.monotonic_ns(), name))

    def _let_go(self, tid: int, process: Process, signum: int) -> None:
        self._note_open(tid, process)
        kernel.detach(tid, signum)
        self._note(Kind.DETACHED, tid, process)
        self._forget(tid, process)
        self._close_if_empty(process, "detached")

    def _leave_here(self, tid: int, info: bytes, now: int) -> None:
        """Detaches at a syscall stop; a call that was interrupted for it stays open."""
        process = self._owners[tid]
        if info[0] == syscall_info.OP_ENTRY:
            call = syscall_info.ENTRY.unpack_from(info)
            if self._is_wanted(call):
                stack = syscall_info.STACK_POINTER.unpack_from(info)[0]
                self._set_open_call(tid, (now, call, self._read_entry(tid, call, stack)))
        elif info[0] == syscall_info.OP_EXIT:
            rval = syscall_info.RVAL.unpack_from(info)[0]
            begun = self._interrupted.get(tid) or self._open_call(tid)
            if begun is not None and not -RESTART_LAST <= rval <= -RESTART_FIRST:
                self._interrupted.pop(tid, None)
                self._set_open_call(tid, None)
                data = self._read_exit(tid, process, begun, rval)
                head = self._syscall_head(tid, process, begun, now, rval, len(data))
                self._queue.put(head, data, process.ordinal, now)
        try:
            self._let_go(tid, process, 0)
        except ProcessGone:
            pass  # killed while it was stopped; its end is reported by a later wait

    def _note_open(self, tid: int, process: Process) -> None:
        """Records a call that will not be seen to return, unless it has been noted."""
        entered = self._open_call(tid) or self._interrupted.pop(tid, None)
        self._set_open_call(tid, None)
        if entered is not None and not self._drain.has_announced(tid, entered):
            now = time.monotonic_ns()
            head, data = self._syscalls.open_record(tid, process, entered, now)
            self._queue.put(head, data, process.ordinal, now)

    def _ended(self, tid: int, process: Process, status: int) -> None:
        self._note_open(tid, process)
        self._note(Kind.EXITED, tid, process, rval=status)
        if tid == process.pid or not process.status:
            process.status = status
        self._forget(tid, process)
        self._close_if_empty(process, "exited")

    def _forget(self, tid: int, process: Process) -> None:
        process.threads.discard(tid)
        process.spared.discard(tid)
        if tid in process.arming:
            process.arming.discard(tid)
            self._perhaps_armed(process)
        self._disown(tid)
        self._interrupted.pop(tid, None)
        self._progress.listening.discard(tid)

    def _close_if_empty(self, process: Process, reason: str) -> None:
        if process.threads:
            return
        self._processes.pop(process.ordinal, None)
        if self._by_pid.get(process.pid) is process:
            del self._by_pid[process.pid]
            self._progress.held.discard(process.pid)
        self._process_gone(process)
        if process.memory >= 0:
            os.close(process.memory)
        self._perhaps_armed(process)
        # What begins after it was asked to be let go is seen of some threads only.
        when = process.left if reason == "detached" and process.left else time.monotonic_ns()
        self._notices.append(Notice("ended", process.ordinal, when, reason, process.status))

    def _note(
        self,
        kind: Kind,
        tid: int,
        process: Process,
        nr: int = 0,
        rval: int = 0,
        arg: int = 0,
        data: bytes = b"",
    ) -> None:
        now = time.monotonic_ns()
        head = HEAD.pack(
            now, 0, rval, arg, 0, 0, 0, 0, 0, tid, process.ordinal, nr, kind, self._abi, len(data)
        )
        self._queue.put(head, data, process.ordinal, now)
