"""Rendering behind the stream: the spool in, log files and counts out.

The worker's only input is the spool and how far it is written, its only output the logs and a
`Progress`; it runs in a thread of its own and shares no other state with the event loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gatherer.accounting import Accounts
from gatherer.clock import CaptureClock, local_time
from gatherer.demux import Watermarks, by_process
from gatherer.errors import StreamError
from gatherer.logs import LogDirectory, LogNames, ProcessKey
from gatherer.reception import Reception
from gatherer.spool import SpoolReader
from hg_shared.batch import Batch
from hg_shared.errors import WireError
from hg_shared.framing import Frame, FrameType
from hg_shared.messages import Event, Hello, Message, TracedProcess
from hg_shared.records import NOTES, Kind, Record
from hg_shared.wire import decode

CHUNK = 32 << 10
"""Bytes of the spool between two progresses; some thousand records."""
MAX_PROCESSES = 100_000
"""Processes one hunter may declare; more is no container but a hostile stream."""


class Lines(Protocol):
    """Renders the records of one process; see gatherer.render.lines."""

    def feed(self, records: Sequence[Record], watermark: int) -> bytes:
        """Takes the next records and returns the lines that can be written now.

        Args:
            records: in the order in which they were taken.
            watermark: CLOCK_MONOTONIC ns; no record that starts before it follows.
        """
        ...

    def finish(self) -> bytes:
        """Returns the lines that were held back."""
        ...


LinesFactory = Callable[[Hello, TracedProcess], Lines]


@dataclass(frozen=True)
class Loss:
    """Records of a process that hunter dropped.

    Attributes:
        time_ns: CLOCK_MONOTONIC of the note.
        ordinal: the process.
        count: how many.
    """

    time_ns: int
    ordinal: int
    count: int


@dataclass(frozen=True)
class Progress:
    """How far the worker is.

    Attributes:
        offset: bytes of the spool that are rendered.
        accounts: what arrived.
        losses: losses met since the last progress was taken.
        written: bytes of log lines.
    """

    offset: int
    accounts: Accounts
    losses: tuple[Loss, ...]
    written: int


@dataclass
class _Process:
    name: str
    pid: int
    lines: Lines
    fed_to: int = 0


class Rendering:
    """Turns frames into log lines; no thread, no spool.

    Attributes:
        accounts: what arrived so far.
    """

    def __init__(self, logs: LogDirectory, lines: LinesFactory) -> None:
        self.accounts = Accounts()
        self._logs = logs
        self._lines = lines
        self._names = LogNames()
        self._reception = Reception()
        self._clock: CaptureClock | None = None
        self._processes: dict[int, _Process] = {}
        self._by_key: dict[ProcessKey, _Process] = {}
        self._by_pid: dict[int, _Process] = {}
        self._watermarks = Watermarks()
        self._losses: dict[int, Loss] = {}

    def receive_data(self, data: bytes) -> None:
        """Takes the next bytes of the spool and appends what they say to the logs.

        Raises:
            LogWriteError: a log cannot be written.
            StreamError: hunter declares more processes than there can be.
        """
        for arrival in self._reception.receive_data(data):
            if arrival.frame.type == FrameType.RECORDS:
                self._take_batch(arrival.frame)
            else:
                self._take_message(arrival.message)
        self._advance()

    def finish(self) -> None:
        """Appends everything that was held back.

        Raises:
            LogWriteError: a log cannot be written.
        """
        for process in self._by_key.values():
            lines = process.lines.finish()
            if lines:
                self._logs.append(process.name, lines)

    def take_losses(self) -> tuple[Loss, ...]:
        """Returns the losses since the last call, one a process."""
        losses, self._losses = tuple(self._losses.values()), {}
        return losses

    def _take_message(self, message: Message | None) -> None:
        if isinstance(message, Hello):
            self._clock = CaptureClock(message)
        elif isinstance(message, TracedProcess):
            self._declare(message)
        elif isinstance(message, Event) and message.event == "attach":
            # The log is there as soon as the process is traced, also while it is silent.
            attached = self._by_pid.get(-1 if message.pid is None else message.pid)
            if attached is not None:
                self._logs.append(attached.name, b"")

    def _declare(self, process: TracedProcess) -> None:
        hello = self._reception.hello
        if process.ordinal in self._processes or hello is None:
            return
        if len(self._processes) >= MAX_PROCESSES:
            raise StreamError(
                f"hunter declares more than {MAX_PROCESSES} processes",
                "check what runs as hunter in the container",
            )
        key = (process.pid, process.start_time)
        known = self._by_key.get(key)
        if known is None:
            name = self._names.assign(process.pid, process.start_time, process.command)
            known = _Process(name, process.pid, self._lines(hello, process))
            self._by_key[key] = known
        self._by_pid[process.pid] = known
        self._processes[process.ordinal] = known

    def _take_batch(self, frame: Frame) -> None:
        try:
            batch = decode(frame)
        except WireError:
            # What it held is missing before the next batch of its source.
            self.accounts.damaged_batches += 1
            return
        assert isinstance(batch, Batch)
        missing, repeated = self.accounts.place(batch)
        if missing:
            self._note_gap(missing, batch)
        watermark = self._watermarks.advance(batch.source, batch.watermark)
        for ordinal, records in by_process(batch, repeated).items():
            process = self._processes.get(ordinal)
            if process is None:
                # A hostile stream could name four billion of them.
                self.accounts.undeclared += len(records)
                continue
            notes = [record for record in records if record.kind in NOTES]
            self.accounts.received(ordinal, len(records) - len(notes))
            for note in notes:
                if note.kind == Kind.LOST:
                    self._take_loss(ordinal, note)
            process.fed_to = watermark
            self._logs.append(process.name, process.lines.feed(records, watermark))

    def _take_loss(self, ordinal: int, note: Record) -> None:
        count = note.args[0]
        self.accounts.lost(ordinal, count)
        earlier = self._losses.get(ordinal)
        if earlier is not None:
            self._losses[ordinal] = Loss(earlier.time_ns, ordinal, earlier.count + count)
        else:
            self._losses[ordinal] = Loss(note.start, ordinal, count)

    def _note_gap(self, missing: int, batch: Batch) -> None:
        """Notes in every log that records of some process are missing here."""
        if self._clock is None:
            return
        first = next(batch.records(), None)
        at = local_time(self._clock.realtime_ns(first.start if first else batch.watermark))
        plural = "" if missing == 1 else "s"
        for process in self._by_key.values():
            note = f"{process.pid:<5} {at} +++ GAP {missing} record{plural} (lost in transit) +++\n"
            self._logs.append(process.name, note.encode("ascii"))

    def _advance(self) -> None:
        """Lets processes that had no records in the last batches write what waits."""
        watermark = self._watermarks.now
        for process in self._by_key.values():
            if process.fed_to < watermark:
                process.fed_to = watermark
                lines = process.lines.feed((), watermark)
                if lines:
                    self._logs.append(process.name, lines)


class RenderWorker:
    """Runs a `Rendering` over a growing spool in a thread.

    Args:
        spool: the spool; it must exist.
        rendering: what is run.
        logs: where it writes, for the count of bytes.

    Attributes:
        done: finished when everything was rendered, or with the error that stopped it.
    """

    def __init__(self, spool: Path, rendering: Rendering, logs: LogDirectory) -> None:
        self.done: Future[None] = Future()
        self._reader = SpoolReader(spool)
        self._rendering = rendering
        self._logs = logs
        self._condition = threading.Condition()
        self._counting = threading.Lock()
        self._available = 0
        self._offset = 0
        self._finishing = False
        self._aborted = False
        self._thread = threading.Thread(target=self._run, name="renderer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def notify(self, available: int) -> None:
        """Says how many bytes of the spool are written, whole frames all of them."""
        with self._condition:
            self._available = available
            self._condition.notify()

    def finish(self) -> None:
        """Says that the spool does not grow any more."""
        with self._condition:
            self._finishing = True
            self._condition.notify()

    def abort(self) -> None:
        """Asks the worker to stop where it is."""
        with self._condition:
            self._aborted = True
            self._condition.notify()

    @property
    def offset(self) -> int:
        """Bytes of the spool that are rendered."""
        return self._offset

    def progress(self) -> Progress:
        """Returns how far the worker is, and takes the losses it met."""
        with self._counting:
            return Progress(
                self._offset,
                self._rendering.accounts.copy(),
                self._rendering.take_losses(),
                self._logs.written,
            )

    def _run(self) -> None:
        try:
            with self._reader as reader:
                while True:
                    available, last = self._wait(reader.offset)
                    if self._aborted:
                        return
                    self._render(reader, available)
                    if last and reader.offset >= available:
                        break
            with self._counting:
                self._rendering.finish()
        except BaseException as error:
            self.done.set_exception(error)
        finally:
            if not self.done.done():
                self.done.set_result(None)

    def _wait(self, offset: int) -> tuple[int, bool]:
        with self._condition:
            self._condition.wait_for(
                lambda: self._available > offset or self._finishing or self._aborted
            )
            return self._available, self._finishing

    def _render(self, reader: SpoolReader, available: int) -> None:
        while reader.offset < available and not self._aborted:
            data = reader.read(min(CHUNK, available - reader.offset))
            if not data:
                raise StreamError(
                    f"the spool ends after {reader.offset} of {available} bytes",
                    "leave the capture directory in place until the end",
                )
            with self._counting:
                self._rendering.receive_data(data)
                self._offset = reader.offset
