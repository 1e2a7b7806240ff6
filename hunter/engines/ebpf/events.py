"""Records of the third ring: threads, signals, execs and ends, and what is concluded from them."""

from __future__ import annotations

import os
from typing import Set, Tuple

from hg_shared.records import HEAD, HEAD_SIZE, Kind, encode_capture
from hunter.engines.base import EngineEvent
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.children import Children
from hunter.engines.ebpf.in_flight import InFlight
from hunter.engines.ebpf.members import Members
from hunter.engines.ebpf.outgoing import Outgoing
from hunter.engines.ebpf.process import Process
from hunter.memory import procfs


class Events:
    """Looks at records one by one.

    Args:
        members: the processes that are traced.
        children: the slots in store for children.
        in_flight: which open calls have been noted.
        outgoing: where records go.
    """

    def __init__(
        self, members: Members, children: Children, in_flight: InFlight, outgoing: Outgoing
    ) -> None:
        self._members = members
        self._processes = members.processes
        self._children = children
        self._in_flight = in_flight
        self._outgoing = outgoing
        self._add = outgoing.add

    def receive(self, record: bytes, now: int) -> None:
        """Takes a record.

        Args:
            record: head and captures.
            now: CLOCK_MONOTONIC ns.
        """
        head = HEAD.unpack_from(record)
        size = head[14]
        record = record[: HEAD_SIZE + size]
        start, tid, ordinal, kind = head[0], head[9], head[10], head[12]
        process = self._processes.get(ordinal)
        if process is None and ordinal in self._children:
            process = self._members.adopt(ordinal, tid)
        if process is None and kind in (Kind.SIGNAL, layout.KIND_SENT):
            # Sent while the kernel closed the files of a process that had ended, or was let go.
            return
        if process is None or kind == Kind.SYSCALL:
            self._add(record)
            return
        if not tid:
            # A signal for a thread that no program has seen: the leader stands for it, or another
            # where that has ended. A process that has none takes no signal any more.
            if not process.threads:
                return
            tid = process.pid if process.pid in process.threads else min(process.threads)
            record = record[:72] + tid.to_bytes(4, "little") + record[76:]
        if kind == Kind.ATTACHED:
            if tid in process.met:
                return
            process.met.add(tid)
            process.threads.add(tid)
        elif kind == Kind.IN_FLIGHT and self._in_flight.has_announced(tid, start):
            return
        elif kind == Kind.EXEC:
            record = self._executed(process, head, record[HEAD_SIZE:], now)
        elif kind == layout.KIND_SENT:
            process.signals[head[11]] = record
            process.stops.sent(head[11], start)
            return
        elif kind == Kind.SIGNAL:
            process.signals.pop(head[11], None)
            process.stops.sent(head[11], start)
            process.stops.delivered(head[11], now)
        elif kind == Kind.EXITED:
            self._note_fatal(process, head[2] & 0x7F, tid, start)
        self._add(record)
        if kind == Kind.EXITED:
            self._forget_thread(process, tid, head[2] & 0xFFFF, now)

    def note_stopped(self, process: Process, stopped: Set[int], now: int) -> None:
        """Notes threads that have stopped.

        Args:
            process: their process.
            stopped: what `GroupStops.look` returned.
            now: when that was, CLOCK_MONOTONIC ns.
        """
        for tid in process.stops.arrivals(stopped & process.threads, now):
            row = bytearray(self._outgoing.head(Kind.STOPPED, tid, process.ordinal, now))
            row[80:82] = process.stops.signal.to_bytes(2, "little")
            self._add(bytes(row))

    def _note_fatal(self, process: Process, signal: int, tid: int, end: int) -> None:
        """Notes the signal that ended a process, in whose place SIGKILL was delivered.

        Args:
            process: the process.
            signal: its number, 0 when there was none.
            tid: the thread that has ended, which stands for one that ended before.
            end: when, CLOCK_MONOTONIC ns.
        """
        sent = process.signals.pop(signal, None)
        if sent is not None:
            row = bytearray(sent)
            row[82] = Kind.SIGNAL
            start = max(int.from_bytes(sent[:8], "little"), self._outgoing.watermark)
            row[:8] = min(start, end).to_bytes(8, "little")
            if int.from_bytes(sent[72:76], "little") not in process.threads:
                row[72:76] = tid.to_bytes(4, "little")
            self._add(bytes(row))

    def _forget_thread(self, process: Process, tid: int, status: int, now: int) -> None:
        process.forget_thread(tid)
        if tid == process.pid or not process.status:
            process.status = status
        if not process.threads:
            self._perhaps_ended(process, now)

    def _perhaps_ended(self, process: Process, now: int) -> None:
        others = [tid for tid in procfs.thread_ids(process.pid) if tid != process.pid]
        if not others or not procfs.living_thread(process.pid):
            self._members.end(process, "exited", now)
        else:
            process.threads.update(others)

    def _executed(self, process: Process, head: Tuple[int, ...], data: bytes, now: int) -> bytes:
        tid, former = head[9], head[3]
        if former != tid:
            process.forget_thread(former)
        process.threads.add(tid)
        process.met.add(tid)
        process.close_memory()
        command = data.split(b"\0", 1)[0]
        try:
            executable = os.fsencode(os.readlink(f"/proc/{process.pid}/exe"))
        except OSError:
            executable = b""
        texts = b"".join(
            encode_capture(0, hop, text, len(text))
            for hop, text in enumerate((command, executable))
        )
        name = command.decode("utf-8", "backslashreplace")
        self._members.notices.append(EngineEvent("exec", process.ordinal, now, name))
        return HEAD.pack(*head[:14], len(texts)) + texts
