"""Puts hunter together: main thread traces, control thread decides, writer thread writes.

Life: say that hunter is there, load the engine, say Hello, scan, attach what matches, send what it
does, until gatherer says Stop or stays away; then let every tracee go, send the totals, wait until
gatherer has them, end.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from typing import Dict, Optional

from hg_shared import rights
from hg_shared.cpu_quota import LITTLE_CPUS
from hg_shared.headroom import HEADROOM_BYTES, headroom
from hg_shared.messages import Event, Goodbye
from hg_shared.records import Abi
from hunter import heap
from hunter.config import QUEUE_EIGHTHS, Config
from hunter.control.reports import Reports
from hunter.control.traced_processes import TracedProcesses
from hunter.errors import HunterError, NoHeadroom, NothingToTrace
from hunter.memory import cgroup_files, procfs
from hunter.memory.container import Container
from hunter.memory.cpu_limit import cpu_limit
from hunter.memory.evidence import Evidence
from hunter.memory.procfs import ProcessKey
from hunter.memory.sampler import Sampler
from hunter.scan.hidden import Hidden
from hunter.scan.scanner import Scanner
from hunter.stream.connection import Connection
from hunter.watchdog.launch import Watchdog

TICK = 0.05
# While nothing is traced there is nothing to look after between two scans.
IDLE_TICK = 0.5
HEARTBEAT_NS = 2_000_000_000
HEARTBEATS_PER_LINGER = 5
# Of the buffer: frames that are not acknowledged.
FRAMES_EIGHTHS = 8 - QUEUE_EIGHTHS
# How long letting go may take before hunter exits and leaves it to the kernel, which then detaches.
DETACH_SECONDS = 2.0
# How long the final message may take when nobody can say that it has arrived.
FINAL_MESSAGE_SECONDS = 1.0
SECOND = 1_000_000_000
# How long letting go may wait for the last samples of memory.
LAST_SAMPLES_NS = 200_000_000
# When a process is looked at again that has only just begun; see hunter.scan.recognition.
YOUNG_PAUSE_NS = SECOND // 4
END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Hunter:
    """One run of hunter.

    Args:
        config: what to do.
        watchdog: ends hunter when it holds its target.
    """

    def __init__(self, config: Config, watchdog: Watchdog) -> None:
        self._config = config
        self._watchdog = watchdog
        self._mount = cgroup_files.memory_mount()
        self._rights = rights.parse_rights(
            procfs.status_fields("self"), procfs.read_text("/proc/sys/kernel/yama/ptrace_scope")
        )
        self._container = Container(
            config.container_id, config.outside, config.spec_limit, self._mount, config.pod_limit
        )
        if not config.container_id:
            for pid in config.pids:
                self._container.watch(pid)
        self._scanner = Scanner(config, self._container)
        self._sampler = Sampler(self._container)
        self._evidence = Evidence(self._sampler)
        self._hidden = Hidden(self._rights.capabilities)
        self._processes = TracedProcesses()
        self._excluded: Dict[ProcessKey, str] = {}
        self._reason = ""
        self._error = ""
        self._oom_kills: Optional[int] = None
        self._sampled = ""
        self._killed_ns = -SECOND
        self._young = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._connection = Connection(
            config.buffer_bytes * FRAMES_EIGHTHS // 8,
            config.linger,
            self._wake_read,
            self._read_wake,
        )
        self._writer = self._connection.writer
        self._reports = Reports(
            config.sha256,
            self._rights,
            self._container,
            self._scanner,
            watchdog,
            self._processes,
            self._writer,
        )

    @property
    def _heartbeat_ns(self) -> int:
        """Time between two heartbeats."""
        return min(HEARTBEAT_NS, int(self._config.linger * SECOND / HEARTBEATS_PER_LINGER))

    def run(self) -> int:
        """Runs to the end and returns the exit code.

        Raises:
            NothingToTrace: none of the processes that were named can be traced, or is there.
            NoHeadroom: too little memory is left below the limit, and `force` is not set.
        """
        if self._config.only_pids:
            nothing = self._scanner.nothing_to_trace()
            if nothing:
                raise NothingToTrace(nothing)
        self._check_headroom()
        for number in END_SIGNALS:
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        if self._watchdog.pid:
            self._scanner.leave_out(self._watchdog.pid)
        self._writer.interject(self._reports.hello())
        self._writer.start()
        self._load()
        self._writer.put(self._reports.hello())
        self._warn_of_little_cpu()
        self._writer.use(self._engine)
        gc.collect()
        gc.freeze()
        gc.disable()
        heap.trim()
        sys.setswitchinterval(0.001)
        control = threading.Thread(target=self._control, name="control", daemon=True)
        control.start()
        self._engine.run()
        control.join()
        sys.stdout.flush()
        if self._error:
            raise HunterError(self._error)
        return 0

    def _load(self) -> None:
        """Loads the engine and all that works with it, and says meanwhile that hunter is there.

        On a machine that is busy, or slow, it takes longer than a silent hunter is waited for.
        """
        loaded = threading.Event()
        beats = threading.Thread(target=self._beat, args=(loaded,), name="beats", daemon=True)
        beats.start()
        try:
            self._compose()
        finally:
            loaded.set()
            beats.join()

    def _beat(self, loaded: threading.Event) -> None:
        while not loaded.wait(self._heartbeat_ns / SECOND):
            self._writer.put(self._reports.heartbeat())

    def _compose(self) -> None:
        # Imported here, because reading and compiling them is most of what a start costs.
        from hunter.control.announcer import ProcessAnnouncer
        from hunter.control.engine_events import EngineEventHandler
        from hunter.control.overhead import Overhead
        from hunter.engines import factory

        config, watchdog = self._config, self._watchdog
        self._engine, choice = factory.load(
            config, self._rights.capabilities, watchdog.progress, watchdog.refusal
        )
        self._overhead = Overhead(
            config,
            self._engine,
            self._processes,
            watchdog.table if watchdog.pid else None,
            self._report_placement,
        )
        self._announcer = ProcessAnnouncer(
            self._engine, self._processes, self._writer.put, config.decode_fds
        )
        if config.follow_forks:
            self._engine.follow = self._announcer
        self._events = EngineEventHandler(
            self._engine,
            choice,
            self._rights,
            self._processes,
            self._announcer,
            self._scanner,
            self._evidence,
            self._sampler,
            self._writer.put,
            self._container,
            self._was_oom_killed,
        )
        self._reports.use(self._engine, choice)
        self._overhead.prepare()
        if config.remove_self:
            self._remove_self()

    @staticmethod
    def _remove_self() -> None:
        """Deletes the zipapp, so that a killed hunter leaves nothing.

        Nothing can be imported from it afterwards: the table of 32-bit calls, which a traced
        program may make any time, is loaded first.
        """
        from hunter.calls import capture_plan

        capture_plan.plan(Abi.I386)
        try:
            os.unlink(sys.argv[0])
        except OSError:
            pass

    def _warn_of_little_cpu(self) -> None:
        limit = cpu_limit()
        if limit is not None and limit.cpus < LITTLE_CPUS:
            fields: Dict[str, object] = {"cpus": limit.cpus, "source": limit.source}
            self._writer.put(Event(time.monotonic_ns(), "little_cpu", None, fields))

    def _check_headroom(self) -> None:
        memory = cgroup_files.container_memory("self", self._mount)
        own = self._own_bytes()
        left = headroom(memory.limit, memory.limited_usage, own)
        if left is not None and left < HEADROOM_BYTES and not self._config.force:
            raise NoHeadroom(
                f"only {left >> 20} MiB are left below the memory limit of "
                f"{(memory.limit or 0) >> 20} MiB, {HEADROOM_BYTES >> 20} MiB are asked for "
                f"(hunter itself uses {own >> 20} MiB); --force goes on all the same"
            )

    def _own_bytes(self) -> int:
        """Returns what hunter and the process of its exec use, a share of what others map too."""
        own = 0
        for pid in (os.getpid(), *self._config.exclude):
            stat = procfs.stat(pid)
            if stat is not None and stat.ppid == os.getppid():
                rollup = procfs.rollup(pid)
                own += rollup.get("pss_bytes") or rollup.get("anon_bytes") or 0
        return own

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
            self._sample_last()
        except Exception as error:  # the tracees must be let go whatever went wrong here
            self._reason = "error"
            self._error = f"{type(error).__name__}: {error}"
            self._writer.put(Event(time.monotonic_ns(), "error", None, {"message": self._error}))
        try:
            self._shut_down()
        except Exception as error:  # nobody is left who could let the tracees go: the kernel does
            sys.stderr.write(f"hunter: error: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
            os._exit(1)

    def _watch(self) -> None:
        frequency = int(self._config.frequency * SECOND)
        heartbeat = self._heartbeat_ns
        next_scan = next_heartbeat = next_collection = time.monotonic_ns()
        while not self._reason:
            self._connection.wait(TICK if self._processes.active() else IDLE_TICK)
            now = time.monotonic_ns()
            self._engine.poke()
            self._supervise_watchdog(now)
            if self._writer.ended:
                raise HunterError("the thread that writes has ended")
            self._events.handle()
            self._overhead.tick(now)
            if now >= next_scan:
                self._scan(now)
                pause = min(frequency, YOUNG_PAUSE_NS) if self._young else frequency
                next_scan = max(next_scan + pause, time.monotonic_ns() + frequency // 10)
            elif self._sampler.is_due(now):
                self._sample_container(now)
            if now >= next_heartbeat:
                beat = self._reports.heartbeat()
                self._sampler.own_bytes = beat.pss_bytes
                self._writer.put(beat)
                next_heartbeat = now + heartbeat
            if now >= next_collection:
                gc.collect()
                next_collection = now + 60 * SECOND
            self._check_client(now)

    def _supervise_watchdog(self, now: int) -> None:
        """Replaces a watchdog that has died; nothing is traced without one."""
        watchdog = self._watchdog
        pid = watchdog.pid
        watchdog.supervise(now)
        if watchdog.refusal and watchdog.pid != pid:
            self._error = f"the watchdog has died and no other can be made ({watchdog.refusal})"
            self._end("error")
        elif watchdog.pid != pid:
            self._scanner.leave_out(watchdog.pid)
            self._writer.put(Event(now, "watchdog", None, {"replaced": pid, "by": watchdog.pid}))

    def _check_client(self, now: int) -> None:
        connection = self._connection
        reason = "stop" if connection.stopped else connection.given_up(now)
        if reason:
            self._end(reason)
        if (
            self._config.only_pids
            and len(self._processes)
            and not self._reason
            and not self._processes.active()
            and not any(procfs.living_thread(pid) for pid in self._config.pids)
        ):
            self._end("no_targets")

    def _scan(self, now: int) -> None:
        scan = self._scanner.scan({traced.key for traced in self._processes.active()})
        for traced in self._processes.active():
            pid = traced.key[0]
            if traced.attached and pid in scan.resident:
                self._writer.put(self._sampler.process(pid, scan.resident[pid], now))
        if self._config.decode_fds:
            self._announcer.refresh_fd_tables()
        for message in self._evidence.inspect(scan.resident, now):
            self._writer.put(message)
        hidden = self._hidden.inspect(scan.resident, self._sampled, now)
        if hidden is not None:
            self._writer.put(hidden)
        self._sample_container(now)
        for process, reason in scan.excluded:
            if self._excluded.get(process.key) != reason:
                self._excluded[process.key] = reason
                self._announcer.report_decision(process, now, {"excluded": reason})
        for process in scan.matched:
            self._announcer.begin(process, now)
        for process, tracer in scan.held:
            if not self._engine.shares:
                known = self._announcer.announce(process, now)
                if known is not None:
                    self._events.refuse_held(known, tracer, now)
            elif self._scanner.may_try(process.key):
                self._announcer.begin(process, now)
        self._events.expel_ours()
        self._young = scan.young
        if self._config.only_pids and not len(self._processes):
            # Those that were there as hunter began, or gatherer could not start it at all.
            self._error = self._scanner.nothing_to_trace()
            if self._error:
                self._end("no_targets")

    def _sample_container(self, now: int) -> None:
        """Sends a sample of the container, and an event when the kernel has killed in it."""
        container = self._sampler.container(now)
        self._writer.put(container)
        kills, before = container.values.get("oom_kills"), self._oom_kills
        if self._sampler.directory != self._sampled:
            # Of another cgroup: that of the first process that was chosen.
            self._sampled, before = self._sampler.directory, None
        self._oom_kills = kills
        if kills is not None and before is not None and kills > before:
            self._killed_ns = now
            self._writer.put(Event(now, "oom", None, {"kills": kills - before}))
        for group, count in self._container.kills_elsewhere(self._sampled, now):
            self._writer.put(Event(now, "oom", None, {"kills": count, "cgroup": group}))

    def _was_oom_killed(self, pid: int, when: int) -> bool:
        """Tells whether the kernel has killed a process for want of memory around a time."""
        # The kernel counts a victim before it dies.
        self._sample_container(when)
        return abs(when - self._killed_ns) < SECOND or self._container.was_killed(pid, when)

    def _sample_last(self) -> None:
        """Samples what is traced or watched once more, for as long as that may take."""
        traced = [each.key[0] for each in self._processes.active() if each.attached]
        begun = time.monotonic_ns()
        for pid in (*traced, *(pid for pid, _ in self._evidence.watched())):
            now = time.monotonic_ns()
            if now - begun > LAST_SAMPLES_NS:
                break
            rss = procfs.resident(procfs.living_thread(pid))
            if rss:
                self._writer.put(self._sampler.process(pid, rss, now, last=True))
        self._sample_container(time.monotonic_ns())

    def _report_placement(self, values: Dict[str, object]) -> None:
        self._writer.put(Event(time.monotonic_ns(), "placement", None, values))

    # The end.

    def _shut_down(self) -> None:
        """Lets everything go, sends the totals, and makes sure that the process ends."""
        self._overhead.undo()
        self._engine.stop()
        stuck = self._wait_for_detach(time.monotonic() + DETACH_SECONDS)
        self._reports.measure_self()
        self._writer.finish(self._goodbye)
        self._await_acknowledgement()
        self._writer.close(FINAL_MESSAGE_SECONDS)
        self._connection.close()
        self._watchdog.close()
        if stuck:
            # A tracee that cannot be stopped (a vfork parent, say): the kernel detaches at exit.
            os._exit(3 if self._error else 0)

    def _wait_for_detach(self, deadline: float) -> bool:
        while time.monotonic() < deadline:
            self._events.handle()
            if self._engine.ended:
                self._events.handle()
                return False
            self._engine.poke()
            self._connection.wait(TICK / 5)
        return True

    def _await_acknowledgement(self) -> None:
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
                late = now - moved > FINAL_MESSAGE_SECONDS * SECOND
                if not connection.up or writer.all_sent or late:
                    return
            elif now - moved > self._config.linger * SECOND:
                return
            connection.wait(TICK / 5)

    def _goodbye(self, frames: int) -> Goodbye:
        return self._reports.goodbye(frames, self._reason, self._error)
