"""Puts hunter together: main thread traces, control thread decides, writer thread writes.

Life: say Hello, scan, attach offenders, send what they do, until gatherer says Stop or stays away;
then let every tracee go, send the totals, wait until gatherer has them, end.
"""

from __future__ import annotations

import gc
import os
import platform
import signal
import sys
import threading
import time
from typing import Dict, FrozenSet, List, Optional, Tuple

from hg_shared import rights
from hg_shared.headroom import HEADROOM_BYTES, headroom
from hg_shared.linux_abi import signal_name
from hg_shared.messages import (
    PROTOCOL_VERSION,
    Event,
    FdTable,
    Goodbye,
    Heartbeat,
    Hello,
    TracedProcess,
)
from hg_shared.records import Abi
from hg_shared.syscalls.filter import syscall_set
from hg_shared.version import __version__
from hunter import capture_plan, descriptors
from hunter.budget import PLACED_STOP_NS, PROGRAM_NS, REMOTE_STOP_NS, Budget
from hunter.config import Config
from hunter.connection import Connection
from hunter.container import Container
from hunter.engines import Engine, Notice
from hunter.engines.choose import choose
from hunter.engines.idle import IdleEngine
from hunter.engines.multi_tracer import MAX_TRACERS, MultiTracer
from hunter.engines.native import library
from hunter.engines.placement import Placement
from hunter.engines.ptrace import PtraceEngine
from hunter.engines.ptrace_native import PtraceNativeEngine
from hunter.engines.ptrace_python import PtracePythonEngine
from hunter.errors import HunterError, NoHeadroom, UsageError
from hunter.fds import fd_table
from hunter.memory import procfs
from hunter.memory.evidence import Evidence
from hunter.memory.sampler import Sampler
from hunter.processes import Offender, Scanner
from hunter.roster import MAX_PROCESSES, Identity, Roster, Traced
from hunter.tracing import kernel
from hunter.watchdog import Watchdog

TICK = 0.05
# While nothing is traced there is nothing to look after between two scans.
IDLE_TICK = 0.5
# A child's start as the engine sees it and as /proc has it: a tick is 10 ms.
START_TIME_TICKS = 5
# Processes whose descriptors are read at each scan.
REFRESHED_PROCESSES = 64
HEARTBEAT_NS = 5_000_000_000
HEARTBEATS_PER_LINGER = 5
# Eighths of the buffer: a ptrace engine's queue, and frames that are not acknowledged.
QUEUE_SHARE, FRAMES_SHARE = 5, 3
# How long letting go may take before hunter exits and leaves it to the kernel, which then detaches.
DETACH_SECONDS = 2.0
# How long the last words may take when nobody can say that they have arrived.
LAST_WORDS_SECONDS = 1.0
SECOND = 1_000_000_000
END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Hunter:
    """One run of hunter.

    Args:
        config: what to do.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._mount = procfs.memory_mount()
        self._rights = rights.parse_rights(
            procfs.status_fields("self"), procfs.read_text("/proc/sys/kernel/yama/ptrace_scope")
        )
        self._boot_offset = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(
            time.CLOCK_BOOTTIME
        )
        machine = platform.machine()
        self._ebpf: Optional[Engine] = None
        self._choice = choose(
            config.engine,
            machine,
            platform.release(),
            kernel.syscalls_are_allowed(),
            library.refusal() or kernel.memory_refusal(),
            self._load_ebpf(machine),
        )
        self._engine = self._ebpf or self._make_engine(machine)
        if config.follow_forks:
            self._engine.follow = self
        self._budget = Budget(config.max_overhead) if config.max_overhead else None
        self._watchdog = Watchdog()
        self._placement: Optional[Placement] = None
        self._container = Container(
            config.container_id, config.outside, config.spec_limit, self._mount
        )
        self._scanner = Scanner(config, self._container)
        self._sampler = Sampler(self._container)
        self._evidence = Evidence(self._sampler)
        self._roster = Roster()
        self._refused: Dict[Identity, str] = {}
        self._excluded: Dict[Identity, str] = {}
        self._reason = ""
        self._peak_pss = 0
        self._oom_kills: Optional[int] = None
        self._killed_ns = -SECOND
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._full = False
        self._error = ""
        self._connection = Connection(
            config.buffer_bytes * FRAMES_SHARE // 8, config.linger, self._wake_read, self._read_wake
        )
        self._writer = self._connection.writer

    def _wanted(self) -> Optional[Dict[int, FrozenSet[int]]]:
        """Returns the numbers of the calls to record by ABI, None for all."""
        if not self._config.trace:
            return None
        # Gatherer keeps its tables of descriptors from these, and does not show them.
        more = descriptors.needed if self._config.decode_fds else None
        try:
            return {
                abi: syscall_set(self._config.trace, abi) | (more(abi) if more else frozenset())
                for abi in (Abi.X86_64, Abi.AARCH64, Abi.I386)
            }
        except ValueError as error:
            raise UsageError(str(error)) from error

    def _load_ebpf(self, machine: str) -> str:
        """Tries the ebpf engine where it may be used; returns what stands in its way."""
        config = self._config
        if config.engine not in ("auto", "ebpf"):
            return "not asked for"
        from hunter.engines.ebpf import loading

        self._ebpf, refused = loading.load(
            machine,
            platform.release(),
            self._rights.capabilities,
            config.engine == "ebpf",
            (config.string_size, config.buffer_bytes, self._wanted(), config.follow_forks),
        )
        return refused

    def _make_engine(self, machine: str) -> Engine:
        wanted = self._wanted()
        if not self._choice.engine:
            return IdleEngine()
        config = self._config
        # The other half holds what is framed and not acknowledged.
        size, buffer = config.string_size, config.buffer_bytes * QUEUE_SHARE // 8
        if self._choice.engine == "ptrace-python":
            return PtracePythonEngine(machine, size, buffer, wanted, config.decode_fds)
        most = min(len(os.sched_getaffinity(0)), MAX_TRACERS)
        if most < 2 or config.placement == "off" or config.follow_forks:
            return PtraceNativeEngine(machine, size, buffer, wanted, config.decode_fds)
        # The first tracer often has everything; the others get parts of another half.
        return MultiTracer(
            lambda source: PtraceNativeEngine(
                machine,
                size,
                buffer // most if source else buffer,
                wanted,
                config.decode_fds,
                source,
            ),
            most,
        )

    def run(self) -> int:
        """Runs to the end and returns the exit code.

        Raises:
            NoHeadroom: too little memory is left below the limit, and `force` is not set.
        """
        if self._config.remove_self:
            self._remove_self()
        self._check_headroom()
        for number in END_SIGNALS:
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        self._prepare_placement()
        self._writer.use(self._engine)
        self._writer.put(self._hello())
        self._writer.start()
        gc.collect()
        gc.freeze()
        gc.disable()
        sys.setswitchinterval(0.001)
        control = threading.Thread(target=self._control, name="control", daemon=True)
        control.start()
        self._engine.run()
        control.join()
        sys.stdout.flush()
        if self._error:
            raise HunterError(self._error)
        return 0

    @staticmethod
    def _remove_self() -> None:
        """Deletes the zipapp, so that a killed hunter leaves nothing.

        Nothing can be imported from it afterwards: the table of 32-bit calls, which a traced
        program may make any time, is loaded first.
        """
        capture_plan.plan(Abi.I386)
        try:
            os.unlink(sys.argv[0])
        except OSError:
            pass

    def _check_headroom(self) -> None:
        memory = procfs.container_memory("self", self._mount)
        own = procfs.rollup("self").get("anon_bytes", 0)
        left = headroom(memory.limit, memory.usage, memory.inactive_file + own)
        if left is not None and left < HEADROOM_BYTES and not self._config.force:
            raise NoHeadroom(
                f"only {left >> 20} MiB are left below the memory limit of "
                f"{(memory.limit or 0) >> 20} MiB, {HEADROOM_BYTES >> 20} MiB are asked for "
                f"(hunter itself uses {own >> 20} MiB); --force goes on all the same"
            )

    def _prepare_placement(self) -> None:
        """Makes the watchdog, without which no mask is touched."""
        engine = self._engine
        if (
            self._config.placement == "off"
            or not isinstance(engine, (PtraceEngine, MultiTracer))
            or len(os.sched_getaffinity(0)) < 2
            or not self._watchdog.start()
        ):
            return
        self._scanner.leave_out(self._watchdog.pid)
        tracer = threading.get_native_id()
        table, report = self._watchdog.table, self._report_placement
        if isinstance(engine, PtraceEngine):
            placement = Placement(table, lambda: [tracer], lambda _: 0, report)
            engine.release_child = placement.release_child
        else:
            placement = Placement(table, engine.tracer_ids, engine.tracer_of, report)
            engine.set_release_child(placement.release_child)
        self._placement = placement

    def _keep_budget(self, now: int) -> None:
        """Pauses tracing, or goes on with it, as the overhead budget wants it."""
        engine = self._engine
        if self._budget is None:
            return
        if not isinstance(engine, (PtraceEngine, MultiTracer)):
            cost = PROGRAM_NS
        elif self._placement is not None and self._placement.placed:
            cost = PLACED_STOP_NS
        else:
            cost = REMOTE_STOP_NS
        turn = self._budget.tick(now, engine.stops(), cost)
        if turn.changed:
            if self._placement is not None:
                self._placement.pause(not turn.tracing, now, engine.stops())
            engine.set_tracing(turn.tracing, turn.share, now)

    def _report_placement(self, values: Dict[str, object]) -> None:
        self._writer.put(Event(time.monotonic_ns(), "placement", None, values))

    def _place(self, now: int) -> None:
        if self._placement is None:
            return
        boot_offset = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - now
        pids = {
            traced.identity[0]: traced.identity[1] * SECOND // procfs.CLOCK_TICKS - boot_offset
            for traced in self._roster.active()
            if traced.attached
        }
        self._placement.tick(now, self._engine.stops(), pids)

    def _hello(self) -> Hello:
        memory = self._container.memory()
        against = self._scanner.denominator("self")
        usage = None if memory.usage is None else memory.usage - memory.inactive_file
        return Hello(
            protocol=PROTOCOL_VERSION,
            version=__version__,
            sha256=self._config.sha256,
            python=platform.python_version(),
            executable=sys.executable,
            arch=platform.machine(),
            kernel=platform.release(),
            pid=os.getpid(),
            uid=self._rights.uid,
            monotonic_ns=time.monotonic_ns(),
            realtime_ns=time.time_ns(),
            boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            engine=self._choice.engine,
            engine_reason=self._choice.reason,
            tracing=self._choice.tracing,
            cgroup_version=memory.version,
            memory_limit_bytes=memory.limit,
            memory_usage_bytes=usage,
            memory_source=against.source,
            node_memory_bytes=procfs.node_memory(),
            yama_ptrace_scope=self._rights.yama,
            seccomp=self._rights.seccomp,
            no_new_privs=self._rights.no_new_privs,
            capabilities=self._rights.capabilities,
            page_size=procfs.PAGE_SIZE,
            cpus=len(os.sched_getaffinity(0)),
        )

    # Wake-ups: from signals (main thread) and from the writer.

    def _on_signal(self, number: int, _frame: object) -> None:
        self._end(f"signal {signal.Signals(number).name}")

    def _read_wake(self) -> None:
        """Takes signals from the wake-up descriptor.

        Their handlers run only when the tracer comes back to Python, which busy tracees can delay.
        """
        for number in os.read(self._wake_read, 512):
            if number in END_SIGNALS:
                self._end(f"signal {signal.Signals(number).name}")

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        try:
            os.write(self._wake_write, b"\0")
        except OSError:
            pass

    # Control thread.

    def _control(self) -> None:
        try:
            self._watch()
        except Exception as error:  # the tracees must be let go whatever went wrong here
            self._reason = "error"
            self._error = f"{type(error).__name__}: {error}"
            self._writer.put(Event(time.monotonic_ns(), "error", None, {"message": self._error}))
        self._shut_down()

    def _watch(self) -> None:
        frequency = int(self._config.frequency * SECOND)
        heartbeat = min(HEARTBEAT_NS, int(self._config.linger * SECOND / HEARTBEATS_PER_LINGER))
        next_scan = next_heartbeat = next_collection = time.monotonic_ns()
        while not self._reason:
            self._connection.wait(TICK if self._roster.active() else IDLE_TICK)
            now = time.monotonic_ns()
            self._engine.poke()
            self._take_notices()
            self._place(now)
            self._keep_budget(now)
            if now >= next_scan:
                self._scan(now)
                next_scan = max(next_scan + frequency, time.monotonic_ns() + frequency // 10)
            elif self._sampler.is_due(now):
                self._sample_container(now)
            if now >= next_heartbeat:
                self._heartbeat()
                next_heartbeat = now + heartbeat
            if now >= next_collection:
                gc.collect()
                next_collection = now + 60 * SECOND
            self._judge_client(now)

    def _judge_client(self, now: int) -> None:
        connection = self._connection
        reason = "stop" if connection.stopped else connection.given_up(now)
        if reason:
            self._end(reason)
        if (
            self._config.only_pids
            and len(self._roster)
            and not self._reason
            and not self._roster.active()
            and not any(procfs.stat(pid) for pid in self._config.pids)
        ):
            self._end("no_targets")

    def _scan(self, now: int) -> None:
        scan = self._scanner.scan({traced.identity for traced in self._roster.active()})
        for traced in self._roster.active():
            pid = traced.identity[0]
            if traced.attached and pid in scan.resident:
                self._writer.put(self._sampler.process(pid, scan.resident[pid], now))
        if self._config.decode_fds:
            self._refresh_fd_tables()
        for message in self._evidence.look(scan.resident, now):
            self._writer.put(message)
        self._sample_container(now)
        for offender, reason in scan.excluded:
            if self._excluded.get(offender.identity) != reason:
                self._excluded[offender.identity] = reason
                self._note_decision(offender, now, {"excluded": reason})
        for offender in scan.offenders:
            self._begin(offender, now)
        if self._config.only_pids and not len(self._roster):
            missing = [pid for pid in self._config.pids if procfs.stat(pid) is None]
            if len(missing) == len(self._config.pids):
                self._error = f"no process {', '.join(map(str, missing))}; see ps for those there"
                self._end("no_targets")

    def _sample_container(self, now: int) -> None:
        """Sends a sample of the container, and an event when the kernel has killed in it."""
        container = self._sampler.container(now)
        self._writer.put(container)
        kills, before = container.values.get("oom_kills"), self._oom_kills
        self._oom_kills = kills
        if kills is not None and before is not None and kills > before:
            self._killed_ns = now
            self._writer.put(Event(now, "oom", None, {"kills": kills - before}))

    def _note_decision(self, offender: Offender, now: int, more: Dict[str, object]) -> None:
        decision, against = offender.decision, offender.against
        fields: Dict[str, object] = {
            "command": offender.command,
            "reason": decision.reason,
            "rss_bytes": offender.rss,
            "threshold_bytes": decision.threshold_bytes,
            "percent": decision.percent,
            "of": against.of,
            "of_bytes": against.size,
            "source": against.source,
        }
        if decision.growth is not None:
            fields["growth_bytes_per_second"] = round(decision.growth)
        fields.update(more)
        self._writer.put(Event(now, "scan", offender.identity[0], fields))

    def _begin(self, offender: Offender, now: int) -> None:
        """Announces a process and asks the engine for it."""
        pid, start_time = offender.identity
        known = self._roster.find(offender.identity)
        if known is None:
            known = self._roster.add(offender.identity, offender.rss, offender.command)
            self._note_decision(offender, now, {})
            self._writer.put(
                TracedProcess(
                    known.ordinal,
                    pid,
                    start_time,
                    self._boot_offset + start_time * SECOND // procfs.CLOCK_TICKS,
                    offender.command,
                    procfs.command_line(pid),
                    now,
                )
            )
        known.end_reason = ""
        self._engine.attach(known.ordinal, pid)

    # Children of traced processes; called by the engine's threads.

    def reserve(self) -> int:
        """Returns an ordinal for a child; see `hunter.engines.Follow`."""
        ordinal = self._roster.reserve()
        if not ordinal and not self._full:
            self._full = True
            cause = f"{MAX_PROCESSES} processes were traced; no more children are followed"
            self._writer.put(Event(time.monotonic_ns(), "attach_failed", None, {"cause": cause}))
        return ordinal

    def declare(
        self, ordinal: int, pid: int, creator: int, born_ns: int, command: str = ""
    ) -> None:
        """Announces a child that is followed; see `hunter.engines.Follow`."""
        now = time.monotonic_ns()
        boot_offset = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - now
        start_time = ((born_ns or now) + boot_offset) * procfs.CLOCK_TICKS // SECOND
        stat = procfs.stat(pid)
        words: List[str] = []
        if stat is not None and (
            not born_ns or abs(stat.start_time - start_time) <= START_TIME_TICKS
        ):
            start_time = stat.start_time
            command = command or stat.command
            words = procfs.command_line(pid)
        traced = self._roster.add((pid, start_time), 0, command, ordinal)
        traced.followed = True
        started = self._boot_offset + start_time * SECOND // procfs.CLOCK_TICKS
        self._writer.put(
            TracedProcess(ordinal, pid, start_time, started, command, words, now, creator)
        )
        if self._config.decode_fds:
            self._send_fd_table(traced)

    def _take_notices(self) -> None:
        for notice in self._engine.notices():
            traced = self._roster.get(notice.ordinal)
            if traced is not None:
                self._take(notice, traced)

    def _take(self, notice: Notice, traced: Traced) -> None:
        pid = traced.identity[0]
        when = notice.time_ns
        fields: Dict[str, object]
        if notice.kind == "attached":
            traced.attached = True
            self._evidence.end(traced.identity)
            self._writer.put(Event(when, "attach", pid, {"threads": notice.value}))
            self._send_fd_table(traced)
        elif notice.kind == "followed":
            traced.attached = True
            creator = self._roster.get(notice.value)
            fields = {"threads": 1, "parent": creator.identity[0] if creator else None}
            self._writer.put(Event(when, "attach", pid, fields))
        elif notice.kind == "unfollowed":
            cause = f"{notice.text} of its children are not followed: too many at a time"
            self._writer.put(Event(when, "attach_failed", None, {"parent": pid, "cause": cause}))
        elif notice.kind == "attach_failed":
            traced.end_reason = "attach_failed"
            self._scanner.failed(traced.identity)
            cause, denied = self._why_refused(pid, notice.text)
            if denied:
                self._evidence.begin(traced.identity)
            if self._refused.get(traced.identity) != cause:
                self._refused[traced.identity] = cause
                fields = {"cause": cause, "denied": denied}
                self._writer.put(Event(when, "attach_failed", pid, fields))
        elif notice.kind == "exec":
            self._writer.put(Event(when, "exec", pid, {"command": notice.text}))
            self._send_fd_table(traced)
        elif notice.kind == "ended":
            traced.end_reason = notice.text
            self._sampler.forget(pid)
            fields = {}
            if notice.text == "exited":
                if os.WIFSIGNALED(notice.value):
                    fields["signal"] = signal_name(os.WTERMSIG(notice.value))
                    if os.WTERMSIG(notice.value) == signal.SIGKILL:
                        # The kernel counts a victim before it dies.
                        self._sample_container(when)
                        fields["oom"] = abs(when - self._killed_ns) < SECOND
                else:
                    fields["code"] = notice.value >> 8
            name = "exit" if notice.text == "exited" else "detach"
            self._writer.put(Event(when, name, pid, fields))

    def _why_refused(self, pid: int, text: str) -> Tuple[str, bool]:
        """Returns why a process is not traced, and whether a right is missing."""
        status = procfs.status_fields(pid)
        if not status:
            return "it is gone", False
        if not self._choice.engine:
            return self._choice.reason, True
        if "not permitted" not in text and "Permission" not in text:
            return text, False
        return str(rights.why_refused(self._rights, status)), True

    def _send_fd_table(self, traced: Traced) -> None:
        """Sends the descriptors of a process, unless they are what was sent before."""
        # What is closed while they are read has a record of its own, what was closed before not.
        now = time.monotonic_ns()
        entries = fd_table(traced.identity[0])
        if entries and entries != traced.descriptors:
            traced.descriptors = entries if self._config.decode_fds else {}
            self._writer.put(FdTable(now, traced.ordinal, entries))

    def _refresh_fd_tables(self) -> None:
        """Sends what has changed without a call: by SCM_RIGHTS, while records were lost."""
        for traced in self._roster.active()[:REFRESHED_PROCESSES]:
            if traced.attached:
                self._send_fd_table(traced)

    def _totals(self) -> tuple[int, int, List[Dict[str, object]]]:
        counters = self._engine.counters()
        processes: List[Dict[str, object]] = []
        for traced in self._roster.all():
            count = counters.get(traced.ordinal)
            processes.append(
                {
                    "ordinal": traced.ordinal,
                    "seen": count.seen if count else 0,
                    "lost": count.lost if count else 0,
                    "end_reason": traced.end_reason,
                }
            )
        seen = sum(count.seen for count in counters.values())
        lost = sum(count.lost for count in counters.values())
        return seen, lost, processes

    def _measure_self(self) -> int:
        pss = procfs.rollup("self").get("pss_bytes", 0)
        if self._watchdog.pid:
            pss += procfs.rollup(self._watchdog.pid).get("pss_bytes", 0)
        self._peak_pss = max(self._peak_pss, pss)
        return pss

    def _heartbeat(self) -> None:
        seen, lost, _ = self._totals()
        waiting = self._engine.queued_bytes() + self._writer.waiting_bytes()
        used, pss = round(time.process_time(), 3), self._measure_self()
        # Both clocks at one moment: what lies between them would look like a step of the clock.
        now, wall = time.monotonic_ns(), time.time_ns()
        self._writer.put(Heartbeat(now, wall, seen, lost, waiting, used, pss))

    # The end.

    def _shut_down(self) -> None:
        """Lets everything go, sends the totals, and makes sure that the process ends."""
        if self._placement is not None:
            self._placement.undo()
        self._engine.stop()
        stuck = self._wait_for_detach(time.monotonic() + DETACH_SECONDS)
        self._measure_self()
        self._writer.finish(self._goodbye)
        self._take_leave()
        self._writer.close(LAST_WORDS_SECONDS)
        self._connection.close()
        self._watchdog.close()
        if stuck:
            # A tracee that cannot be stopped (a vfork parent, say): the kernel detaches at exit.
            os._exit(3 if self._error else 0)

    def _wait_for_detach(self, deadline: float) -> bool:
        while time.monotonic() < deadline:
            self._take_notices()
            if self._engine.ended:
                self._take_notices()
                return False
            self._engine.poke()
            self._connection.wait(TICK / 5)
        return True

    def _take_leave(self) -> None:
        """Waits until gatherer has the Goodbye, as long as it is there and takes what is sent.

        No tracee is held any more; a slow link may take its time. A gatherer that is lost meanwhile
        may come back.
        """
        connection, writer = self._connection, self._writer
        progress = -1
        while not writer.ended:
            now = time.monotonic_ns()
            if writer.goodbye_seq and writer.acknowledged >= writer.goodbye_seq:
                return
            if writer.progress != progress or not connection.up:
                progress, moved = writer.progress, now
            if connection.given_up(now):
                late = now - moved > LAST_WORDS_SECONDS * SECOND
                if not connection.up or writer.all_sent or late:
                    return
            elif now - moved > self._config.linger * SECOND:
                return
            connection.wait(TICK / 5)

    def _goodbye(self, frames: int) -> Goodbye:
        for traced in self._roster.active():
            if traced.followed and self._engine.ended:
                traced.end_reason = "detached"  # born while everything was let go
        seen, lost, processes = self._totals()
        return Goodbye(
            time.monotonic_ns(),
            self._reason,
            seen,
            lost,
            processes,
            round(time.process_time(), 3),
            self._peak_pss,
            frames,
            self._error,
            self._writer.dropped_messages,
        )
