"""A hunter that is a script: frames out, frames in, no process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gatherer.capture.target_capture import TargetCapture
from gatherer.config import CaptureConfig, TargetConfig
from gatherer.errors import ExecError, GathererError, HunterGone, TargetGone
from gatherer.rendering.pipeline import Rendering
from gatherer.rendering.progress import Progress
from gatherer.rendering.renderer import LinesFactory
from gatherer.storage.logs import LogDirectory
from gatherer.storage.spool import restart_of
from gatherer.target.values import Exit, HunterImage, Target, TargetEnd
from gatherer.timeouts import Timeouts
from gatherer.view.status import CaptureStatus, Start, Waiting
from gatherer.view.summary import Summary
from hg_shared.batch import Batch
from hg_shared.framing import FrameDecoder
from hg_shared.messages import (
    Ack,
    Event,
    Goodbye,
    Heartbeat,
    Hello,
    Joined,
    RejoinHello,
    RejoinResponse,
    Sample,
    SessionKey,
    Stop,
    TracedProcess,
)
from hg_shared.records import HEAD, Kind, Record, iter_records
from hg_shared.wire import Content, decode, encode
from hunter.stream.rejoin import RejoinHandshake

SECOND = 1_000_000_000
REALTIME = 1_790_000_000 * SECOND
IMAGE = HunterImage(b"zipapp", "00" * 32)
QUICK = Timeouts(tick=0.001, fate=0.0, poll=0.001, first_backoff=0.0001, longest_backoff=0.001)

HELLO = Hello(
    protocol=1, version="0.1.0", sha256="00" * 32, python="3.11.2", executable="/usr/bin/python3",
    arch="x86_64", kernel="6.18.0", pid=77, uid=0, monotonic_ns=1000 * SECOND, realtime_ns=REALTIME,
    boottime_ns=1000 * SECOND, engine="ptrace-python", engine_reason="the only one", tracing="on",
    cgroup_version=2, memory_limit_bytes=128 << 20, memory_usage_bytes=64 << 20,
    memory_source="/sys/fs/cgroup/memory.max", node_memory_bytes=8 << 30, yama_ptrace_scope=None,
    seccomp=0, no_new_privs=False, capabilities=["SYS_PTRACE"], page_size=4096, cpus=2,
)  # fmt: skip


def process(
    ordinal: int = 1, pid: int = 4711, command: str = "leak", start_time: int = 5
) -> TracedProcess:
    return TracedProcess(
        ordinal, pid, start_time, REALTIME, command, [command, "--fast"], 1001 * SECOND
    )


def head(
    index: int, ordinal: int = 1, tid: int = 4711, kind: int = Kind.SYSCALL, **more: int
) -> bytes:
    args = [more.get(f"a{n}", 0) for n in range(6)]
    start = 1001 * SECOND + index * 1000
    return HEAD.pack(start, 500, 7, *args, tid, ordinal, 39, kind, 0, 0)


def batch(first: int, count: int, ordinal: int = 1, source: int = 0) -> Batch:
    heads = b"".join(head(first + n, ordinal) for n in range(count))
    return Batch(source, first, 1001 * SECOND + (first + count) * 1000, heads, b"")


def goodbye(seen: int, lost: int = 0, frames: int = -1, reason: str = "stop") -> Goodbye:
    totals = [{"ordinal": 1, "seen": seen, "lost": lost, "end_reason": "detached"}]
    return Goodbye(1003 * SECOND, reason, seen, lost, totals, 0.25, 20 << 20, frames)


def stream(*contents: Content | bytes, start: int = 1) -> list[bytes]:
    """Returns the frames of a stream, numbered; bytes go as they are."""
    frames = []
    seq = start - 1
    for content in contents:
        if isinstance(content, bytes):
            frames.append(content)
        elif isinstance(content, Heartbeat):
            frames.append(encode(content))
        else:
            seq += 1
            if isinstance(content, Goodbye) and content.frames < 0:
                content = replace(content, frames=seq - 1)
            frames.append(encode(content, seq))
    return frames


class ScriptedChannel:
    """Plays chunks; then waits for what the script waits for, then ends."""

    inject = "copy"
    explanation = "a script"
    container = ""
    python = "/usr/bin/python3"

    def __init__(self, chunks: Sequence[bytes], ended: Exit, after_stop: Sequence[bytes]) -> None:
        self._chunks = list(chunks)
        self._after_stop = list(after_stop)
        self._ended = ended
        self._decoder = FrameDecoder()
        self._stopped = asyncio.Event()
        self.acked = 0
        self.stop_reason = ""
        self.session_key: SessionKey | None = None
        self.closed = False
        self.broken = False
        self.hold: Callable[[], Awaitable[object]] | None = None

    async def receive(self) -> bytes:
        await asyncio.sleep(0)
        if self._chunks:
            return self._chunks.pop(0)
        if self.hold is not None:
            await self.hold()
        if self._after_stop:
            await self._stopped.wait()
            return self._after_stop.pop(0)
        return b""

    async def send(self, data: bytes) -> None:
        if self.broken:
            raise ExecError("the channel is broken")
        self._decoder.receive_data(data)
        for frame in self._decoder.frames_received():
            content = decode(frame)
            if isinstance(content, Ack):
                self.acked = content.seq
            elif isinstance(content, SessionKey):
                self.session_key = content
            elif isinstance(content, Stop):
                self.stop_reason = content.reason
                self._stopped.set()

    async def close_stdin(self) -> None:
        self.closed = True

    async def wait(self) -> Exit:
        return self._ended

    async def aclose(self) -> None:
        self.closed = True


Chunks = Sequence[bytes]


class JoinableChannel(ScriptedChannel):
    """A hunter that was lost: it wants the handshake first, then plays its chunks."""

    def __init__(
        self,
        runtime: ScriptedRuntime,
        chunks: Sequence[bytes],
        ended: Exit | None = None,
        after_stop: Sequence[bytes] = (),
    ) -> None:
        super().__init__([], ended or Exit(0), after_stop)
        self.joined_at = -1
        self._runtime = runtime
        self._later = list(chunks)
        self._joiner: RejoinHandshake | None = None
        self._said = asyncio.Event()

    async def receive(self) -> bytes:
        if self.joined_at < 0:
            await self._said.wait()
            self._said.clear()
        return await super().receive()

    async def send(self, data: bytes) -> None:
        decoder = FrameDecoder()
        decoder.receive_data(data)
        for message in map(decode, decoder.frames_received()):
            if isinstance(message, RejoinHello):
                where = self._runtime.channel.session_key
                assert where is not None
                self._joiner = RejoinHandshake(
                    where.session, bytes.fromhex(where.secret), "0c" * 16
                )
                self._say(self._joiner.receive(message))
            elif isinstance(message, RejoinResponse):
                assert self._joiner is not None
                assert self._joiner.proves(message)
                self.joined_at = message.seq
                self._say(Joined(message.seq + 1))
                self._chunks += self._later
        await super().send(data)

    def _say(self, message: Content | None) -> None:
        assert message is not None
        self._chunks.append(encode(message))
        self._said.set()


class ScriptedRuntime:
    """Starts a scripted hunter in each instance of the target.

    Args:
        chunks: what the first hunter says.
        ended: how its process ends.
        after_stop: what it says once it was asked to stop.
        end: how the first instance ends; None while it runs on.
        restarts: what the hunters of the later instances say, and how those end.
    """

    def __init__(
        self,
        chunks: Chunks,
        ended: Exit | None = None,
        after_stop: Chunks = (),
        end: TargetEnd | None = None,
        restarts: Sequence[tuple[Chunks, TargetEnd | None]] = (),
    ) -> None:
        exit_ = ended or Exit(0)
        self.channel = ScriptedChannel(chunks, exit_, after_stop)
        self.arguments: list[str] = []
        self.rejoined: list[ScriptedChannel | GathererError] = []
        self.sessions: list[str] = []
        self.channels = [self.channel]
        self.channels += [ScriptedChannel(said, exit_, after_stop) for said, _ in restarts]
        self._ends = [end, *(end for _, end in restarts)]
        self._number = 0

    def _target(self) -> Target:
        place = ("kubernetes", "ctx", "default", "problempod", "buggy", "node1", "image:1")
        return Target(*place, f"containerd://{self._number}")

    async def resolve(self) -> Target:
        return self._target()

    async def changed(self, seconds: float) -> None:
        await asyncio.sleep(0)

    async def ended(self) -> TargetEnd | None:
        return self._ends[self._number]

    async def restarted(self) -> Target:
        if self._number + 1 == len(self._ends):
            raise TargetGone("container 'buggy' does not run again: Deleted")
        self._number += 1
        return self._target()

    async def start(self, hunter: HunterImage, arguments: Sequence[str]) -> ScriptedChannel:
        self.arguments = list(arguments)
        return self.channels[self._number]

    async def rejoin(self, session: str) -> ScriptedChannel:
        self.sessions.append(session)
        if not self.rejoined:
            raise HunterGone("hunter does not run any more")
        outcome = self.rejoined.pop(0)
        if isinstance(outcome, GathererError):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        pass


class RecordingView:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.starts: list[Start] = []
        self.events: list[tuple[str, str, int | None, dict[str, object]]] = []
        self.notes: list[str] = []
        self.waits: list[Waiting] = []
        self.states: list[CaptureStatus] = []
        self.renderings: list[tuple[int, int]] = []
        self.summaries: list[Summary] = []

    def waiting(self, waiting: Waiting) -> None:
        self.waits.append(waiting)

    def started(self, start: Start) -> None:
        self.starts.append(start)

    def event(self, time: str, event: str, pid: int | None, fields: dict[str, object]) -> None:
        self.events.append((time, event, pid, fields))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def status(self, status: CaptureStatus) -> None:
        self.states.append(status)

    def rendering(self, done: int, total: int) -> None:
        self.renderings.append((done, total))

    def summary(self, summary: Summary) -> None:
        self.summaries.append(summary)

    def close(self) -> None:
        pass


class NumberedLines:
    """Renders a record as its start, so that a log shows which records came in which order."""

    def __init__(self, hello: Hello, process: TracedProcess) -> None:
        self._pid = process.pid
        self._held = b""
        self.table = None
        self.undecoded = 0

    def feed_rows(self, heads: bytes, captures: bytes, watermark: int) -> bytes:
        lines = [self._line(record) for record in iter_records(heads, captures)]
        ready = b"".join([self._held, *lines[:-1]])
        self._held = b"".join(lines[-1:]) if lines else b""
        return ready

    @property
    def waits(self) -> bool:
        return True

    def note(self, time_ns: int, text: str) -> bytes:
        return f"{self._pid} {(time_ns - 1001 * SECOND) // 1000} +++ {text} +++\n".encode()

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return held

    def _line(self, record: Record) -> bytes:
        return f"{record.tid} {(record.start - 1001 * SECOND) // 1000} {record.kind}\n".encode()


class InlineRenderer:
    """Renders in the same thread, as soon as it hears of more."""

    full = False

    def __init__(self, spool: Path, lines: LinesFactory, max_log_size: int) -> None:
        self.offset = 0
        self._spool = spool
        restart = restart_of(spool.name) or 0
        self._rendering = Rendering(LogDirectory(spool.parent), lines, max_log_size, restart)
        self.done: asyncio.Future[None]

    async def start(self) -> None:
        self.done = asyncio.get_running_loop().create_future()

    def open(self) -> None:
        assert self._spool.exists()

    def notify(self, available: int) -> None:
        try:
            self._rendering.receive_data(self._spool.read_bytes()[self.offset : available])
        except GathererError as error:
            self.done.set_exception(error)
        self.offset = available

    def finish(self) -> None:
        if not self.done.done():
            self._rendering.finish()
            self.done.set_result(None)

    def progress(self) -> Progress:
        return self._rendering.progress(self.offset)

    async def aclose(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def config(tmp_path: Path, **more: object) -> CaptureConfig:
    return CaptureConfig(
        target=TargetConfig(pod="problempod"), output=tmp_path / "strace-logs", **more
    )  # type: ignore[arg-type]


def session(
    tmp_path: Path, runtime: ScriptedRuntime, view: RecordingView | None = None, **more: object
) -> TargetCapture:
    timeouts = more.pop("timeouts", QUICK)
    lines = more.pop("lines", NumberedLines)
    settings = config(tmp_path, **more)

    def renderer(spool: Path) -> InlineRenderer:
        return InlineRenderer(spool, lines, settings.max_log_size)  # type: ignore[arg-type]

    return TargetCapture(settings, runtime, IMAGE, renderer, view or RecordingView(), timeouts)  # type: ignore[arg-type]


def event(name: str, pid: int | None = 4711, **fields: object) -> Event:
    return Event(1002 * SECOND, name, pid, fields)


def sample(pid: int | None, **values: int | None) -> Sample:
    return Sample(1002 * SECOND, pid, values)
