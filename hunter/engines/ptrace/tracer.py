"""The tracer's thread: carries out what is decided about each stop that is no syscall-stop."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Optional, Type

from hg_shared.records import HEAD, Kind, encode_capture
from hunter.engines.base import EngineEvent, Follow
from hunter.engines.ptrace import syscall_info
from hunter.engines.ptrace.decisions import (
    Adopt,
    CloneEvents,
    Detach,
    Leaving,
    Listen,
    RecordClone,
    RecordExec,
    RecordExit,
    RecordGroupStop,
    RecordSignal,
    Resume,
    ThreadState,
    decide,
    decide_leaving,
)
from hunter.engines.ptrace.drain import Drain
from hunter.engines.ptrace.kernel import SIGINFO_SIZE
from hunter.engines.ptrace.stops import classify
from hunter.engines.ptrace.syscall_loop import SyscallLoop, TracerContext
from hunter.engines.ptrace.tracee import Tracee
from hunter.errors import HunterError, NoRoom, ProcessGone
from hunter.scan import recognition


class Tracer:
    """Answers the stops of tracees.

    Args:
        context: what it shares with its loop.
        loop: handles syscall-stops, and hands over all others.
        drain: knows which calls have been recorded as in flight.

    Attributes:
        stopping: everything is being let go.
        follow: asked about each child process before it runs; None to let all of them go.
        release_child: told of each child process and its parent before the child runs.
        events: what the control thread has not taken yet.
    """

    def __init__(self, context: TracerContext, loop: SyscallLoop, drain: Drain) -> None:
        _, self._tracees, self._reader, self._kernel, self._progress = context
        self._loop = loop
        self._drain = drain
        self._clones = CloneEvents()
        self.events: Deque[EngineEvent] = deque()
        self.stopping = False
        self.follow: Optional[Follow] = None
        self.release_child: Optional[Callable[[int, int], None]] = None
        self._execute: Dict[Type[Any], Callable[[int, Tracee, Any], None]] = {
            RecordSignal: self._record_signal,
            RecordGroupStop: self._record_group_stop,
            RecordClone: self._record_clone,
            RecordExec: self._record_exec,
            Resume: self._resume,
            Listen: self._listen,
            Detach: self._detach,
        }

    # Stops.

    def other_stop(self, tid: int, status: int) -> None:
        """Answers a stop that is no syscall-stop, or takes the end of a thread."""
        stop = classify(status)
        tracee = self._tracees.owners.get(tid)
        self._progress.listening.discard(tid)
        try:
            actions = decide(stop, _state(tracee))
            if isinstance(actions[0], Adopt):
                tracee = self._first_stop(tid)
                if tracee is None:
                    return
                actions = decide(stop, _state(tracee))
            for action in actions:
                if isinstance(action, RecordExit):
                    self._exited(tid, tracee, status)
                elif tracee is not None:
                    self._execute[type(action)](tid, tracee, action)
        except ProcessGone:
            pass  # killed while it was stopped; its end is reported by a later wait

    def leave_here(self, tid: int, info: bytes, now: int) -> None:
        """Detaches a thread at a syscall-stop; see `StopHandler.leave_here`."""
        tracee = self._tracees.owners[tid]
        rval = syscall_info.RVAL.unpack_from(info)[0]
        leaving = decide_leaving(info[0], rval)
        if leaving == Leaving.BEGINS:
            call = syscall_info.ENTRY.unpack_from(info)
            if self._reader.is_wanted(call):
                stack = syscall_info.STACK_POINTER.unpack_from(info)[0]
                data = self._reader.read_entry(tid, call, stack)
                self._loop.set_open_call(tid, (now, call, data))
        elif leaving == Leaving.RETURNS:
            entered = self._tracees.interrupted.pop(tid, None) or self._loop.open_call(tid)
            if entered is not None:
                self._loop.set_open_call(tid, None)
                data = self._reader.read_exit(tid, tracee, entered, rval)
                head = self._reader.head(tid, tracee, entered, now, rval, len(data))
                self._loop.queue.put(head, data, tracee.ordinal, now)
        try:
            self._detach(tid, tracee, Detach(0))
        except ProcessGone:
            pass  # killed while it was stopped; its end is reported by a later wait

    def await_children(self) -> None:
        """Takes the first stops of what was started by the last tracees just before they went.

        Nobody would wait for these threads and children any more, and they would stay stopped.
        """
        expected = self._clones.expected_children
        while expected:
            tid, creator = expected.popitem()
            try:
                _, status = self._kernel.wait(tid)
            except ChildProcessError:
                continue  # killed before it ran, and seen
            expected[tid] = creator
            self.other_stop(tid, status)
        self._clones.clear()

    # New threads and children.

    def _first_stop(self, tid: int) -> Optional[Tracee]:
        self._clones.stopped(tid)
        tracee = self._adopt(tid)
        if tracee is None:
            self._kernel.detach(tid)
        if tid not in self._tracees.by_pid:
            self._progress.held.discard(tid)
        return tracee

    def _adopt(self, tid: int) -> Optional[Tracee]:
        """Returns the process of a thread that was attached by the kernel with its creator.

        Its first stop may come before the creator's PTRACE_EVENT_CLONE. A child process (clone
        without CLONE_THREAD) belongs to none, unless it is to be followed.
        """
        status = self._kernel.status_fields(tid)
        tgid = status.get("Tgid", "")
        tracee = self._tracees.by_pid.get(int(tgid)) if tgid.isdecimal() else None
        if tracee is None and tgid == str(tid):
            tracee = self._adopt_child(tid, recognition.is_marked(status))
        if tracee is None:
            return None
        try:
            self._loop.own(tid, tracee)
        except NoRoom:
            self._tell("unfollowed", tracee.ordinal, text="1")
            self.close_if_empty(tracee, "detached")
            return None
        tracee.threads.add(tid)
        self._record(Kind.ATTACHED, tid, tracee)
        return tracee

    def _adopt_child(self, pid: int, ours: bool) -> Optional[Tracee]:
        """Returns the process of a child at its first stop; None when it is not followed.

        Args:
            pid: its process id.
            ours: it carries the mark of what is never traced.
        """
        stat = self._kernel.stat(pid)
        if stat is None:
            return None
        if self.release_child is not None:
            # It inherited a mask that may be narrow; its own begins as its parent's was.
            self.release_child(pid, stat.ppid)
        parent = self._tracees.by_pid.get(stat.ppid)
        if self.follow is None or ours or self.stopping or (parent is not None and parent.leaving):
            return None
        if not self._loop.has_room():
            if parent is not None:
                self._tell("unfollowed", parent.ordinal, text="1")
            return None
        try:
            memory = self._kernel.open_memory(pid)
        except HunterError:
            return None
        ordinal = self.follow.reserve()
        if not ordinal:
            if memory >= 0:
                self._kernel.close(memory)
            return None
        creator = parent.ordinal if parent is not None else 0
        self.follow.declare(ordinal, pid, creator, 0)
        self._progress.held.add(pid)
        tracee = self._followed(ordinal, pid, memory, creator)
        self._tracees.by_pid[pid] = tracee
        return tracee

    def _record_unseen_exit(self, pid: int, creator: int, status: int) -> None:
        """Records the end of a child that was killed before it ran."""
        parent = self._tracees.processes.get(creator)
        if self.follow is None or self.stopping or not self._loop.has_room():
            return
        ordinal = self.follow.reserve()
        if not ordinal:
            return
        stat = self._kernel.stat(parent.pid) if parent is not None else None
        command = stat.command if stat is not None else ""
        self.follow.declare(ordinal, pid, creator, time.monotonic_ns(), command)
        tracee = self._followed(ordinal, pid, -1, creator)
        tracee.threads.add(pid)
        self._loop.own(pid, tracee)
        self._exited(pid, tracee, status)

    def _followed(self, ordinal: int, pid: int, memory: int, creator: int) -> Tracee:
        tracee = self._tracees.processes[ordinal] = Tracee(ordinal, pid, memory)
        tracee.told = True
        self._tell("followed", ordinal, value=creator)
        return tracee

    # Actions.

    def _record_signal(self, tid: int, tracee: Tracee, action: RecordSignal) -> None:
        data = encode_capture(0, 0, self._kernel.siginfo(tid), SIGINFO_SIZE)
        self._record(Kind.SIGNAL, tid, tracee, nr=action.signal, data=data)

    def _record_group_stop(self, tid: int, tracee: Tracee, action: RecordGroupStop) -> None:
        self._record(Kind.STOPPED, tid, tracee, nr=action.signal)

    def _record_clone(self, tid: int, tracee: Tracee, action: RecordClone) -> None:
        child = self._kernel.event_message(tid)
        self._record(Kind.THREAD, tid, tracee, nr=action.event, arg=child)
        creator = tracee.ordinal if action.is_process else 0
        ended = self._clones.announce(child, creator)
        if child in self._clones.expected_children:
            # Before its creator runs on: nothing else would lead to one that is held.
            self._progress.held.add(child)
        if ended is not None and creator:
            self._record_unseen_exit(child, creator, ended)

    def _record_exec(self, tid: int, tracee: Tracee, _: RecordExec) -> None:
        """After execve only the thread that called it is left, under the tid of the leader."""
        former = self._kernel.event_message(tid)
        call = self._loop.open_call(former) or self._tracees.interrupted.pop(former, None)
        if former != tid and tid in tracee.threads:
            # What the leader was in has ended with the leader, also where execve is not recorded.
            self.record_open_call(tid, tracee)
        for other in list(tracee.threads):
            if other != tid:
                self.forget(other, tracee)
        if tid not in tracee.threads:
            tracee.threads.add(tid)
            self._loop.own(tid, tracee)
        if former != tid:
            self._loop.set_open_call(tid, call)
        try:
            memory = self._kernel.open_memory(tracee.pid)
        except HunterError:
            pass  # killed, or a file it may not read: the old memory is gone and reads as nothing
        else:
            if tracee.memory >= 0:
                self._kernel.close(tracee.memory)
            tracee.memory = memory
            self._loop.memory_changed(tracee)
        stat = self._kernel.stat(tid)
        command = stat.command if stat else ""
        try:
            executable = self._kernel.readlink(f"/proc/{tid}/exe")
        except OSError:
            executable = ""
        data = b"".join(
            encode_capture(0, hop, text, len(text))
            for hop, text in enumerate((os.fsencode(command), os.fsencode(executable)))
        )
        self._record(Kind.EXEC, tid, tracee, arg=former, data=data)
        self._tell("exec", tracee.ordinal, text=command)

    def _resume(self, tid: int, tracee: Tracee, action: Resume) -> None:
        self._kernel.resume(tid, action.signal)
        self._armed(tid, tracee)

    def _listen(self, tid: int, tracee: Tracee, _: Listen) -> None:
        self._progress.listen(tid)
        self._kernel.listen(tid)
        self._armed(tid, tracee)

    def _detach(self, tid: int, tracee: Tracee, action: Detach) -> None:
        self.record_open_call(tid, tracee)
        self._kernel.detach(tid, action.signal)
        self._record(Kind.DETACHED, tid, tracee)
        self.forget(tid, tracee)
        self.close_if_empty(tracee, "detached")

    def _exited(self, tid: int, tracee: Optional[Tracee], status: int) -> None:
        keep = tracee is None and self.follow is not None
        creator = self._clones.exited(tid, status, keep)
        if tid not in self._tracees.by_pid:
            self._progress.held.discard(tid)
        if tracee is None:
            if creator:
                self._record_unseen_exit(tid, creator, status)
            return
        self.record_open_call(tid, tracee)
        self._record(Kind.EXITED, tid, tracee, rval=status)
        if tid == tracee.pid or not tracee.status:
            tracee.status = status
        self.forget(tid, tracee)
        self.close_if_empty(tracee, "exited")

    # What is known of threads and processes.

    def _armed(self, tid: int, tracee: Tracee) -> None:
        if tid in tracee.arming:
            tracee.arming.discard(tid)
            tracee.armed = time.monotonic_ns()
            self.tell_attached(tracee)

    def tell_attached(self, tracee: Tracee) -> None:
        """Tells that a process is attached once its threads have stopped, and calls are seen."""
        if not tracee.arming and not tracee.told:
            tracee.told = True
            when = tracee.armed or tracee.asked
            self._tell("attached", tracee.ordinal, when, value=len(tracee.threads))

    def record_open_call(self, tid: int, tracee: Tracee) -> None:
        """Records a call that will not be seen to return, unless it has been recorded."""
        entered = self._loop.open_call(tid) or self._tracees.interrupted.pop(tid, None)
        self._loop.set_open_call(tid, None)
        if entered is not None and not self._drain.has_announced(tid, entered):
            now = time.monotonic_ns()
            head, data = self._reader.open_record(tid, tracee, entered, now)
            self._loop.queue.put(head, data, tracee.ordinal, now)

    def forget(self, tid: int, tracee: Tracee) -> None:
        """Drops a thread that is traced no longer."""
        tracee.threads.discard(tid)
        tracee.spared.discard(tid)
        if tid in tracee.arming:
            tracee.arming.discard(tid)
            self.tell_attached(tracee)
        self._loop.disown(tid)
        self._tracees.interrupted.pop(tid, None)
        self._progress.listening.discard(tid)

    def close_if_empty(self, tracee: Tracee, reason: str) -> None:
        """Drops a process without threads, and tells that it has ended.

        Args:
            tracee: the process.
            reason: exited or detached.
        """
        if tracee.threads:
            return
        self._tracees.processes.pop(tracee.ordinal, None)
        if self._tracees.by_pid.get(tracee.pid) is tracee:
            del self._tracees.by_pid[tracee.pid]
            self._progress.held.discard(tracee.pid)
        self._loop.process_gone(tracee)
        if tracee.memory >= 0:
            self._kernel.close(tracee.memory)
        self.tell_attached(tracee)
        # What begins after it was asked to be let go is seen of some threads only.
        when = tracee.left if reason == "detached" else 0
        self._tell("ended", tracee.ordinal, when, reason, tracee.status)

    def _tell(self, kind: str, ordinal: int, when: int = 0, text: str = "", value: int = 0) -> None:
        self.events.append(EngineEvent(kind, ordinal, when or time.monotonic_ns(), text, value))

    def _record(
        self,
        kind: Kind,
        tid: int,
        tracee: Tracee,
        nr: int = 0,
        rval: int = 0,
        arg: int = 0,
        data: bytes = b"",
    ) -> None:
        now, abi = time.monotonic_ns(), self._reader.abi
        head = HEAD.pack(
            now, 0, rval, arg, 0, 0, 0, 0, 0, tid, tracee.ordinal, nr, kind, abi, len(data)
        )
        self._loop.queue.put(head, data, tracee.ordinal, now)


def _state(tracee: Optional[Tracee]) -> ThreadState:
    if tracee is None:
        return ThreadState.NEW
    return ThreadState.LEAVING if tracee.leaving else ThreadState.TRACED
