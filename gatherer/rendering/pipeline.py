"""Rendering behind the stream: the spool in, log files and counts out.

Its only input is the spool and how far it is written, its only output the logs and a `Progress`;
in a capture it runs in a process of its own, see gatherer.rendering.worker_client.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatherer.config import LinesConfig
from gatherer.rendering.accounting import Accounts, Reconciliation, reconcile
from gatherer.rendering.demux import ProcessRecords, WatermarkBuffer, Watermarks, by_process
from gatherer.rendering.progress import Drop, Loss, Progress
from gatherer.rendering.renderer import Lines, LinesFactory, Logs
from gatherer.rendering.strace.args.descriptor_table import DescriptorTable
from gatherer.rendering.strace.args.descriptors import Descriptors
from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from gatherer.rendering.syscall_filter import Selected
from gatherer.storage.logs import MAX_PROCESSES, LogNames, ProcessKey, too_many_processes
from gatherer.stream.receiver import Receiver, place_of
from gatherer.text import counted
from hg_shared.batch import Batch
from hg_shared.errors import BadPayload, WireError
from hg_shared.framing import Frame, FrameType
from hg_shared.messages import Event, FdTable, Goodbye, Hello, Message, TracedProcess
from hg_shared.records import HEAD, HEAD_SIZE, NOTES, Abi, Kind, Record, iter_records
from hg_shared.wire import decode

CHUNK = 32 << 10
"""Bytes of the spool between two progresses; some thousand records."""
MAX_HELD_BYTES = 32 << 20
"""Records that may wait for a watermark; a hunter that keeps it back must not fill the memory."""
_KIND, _ABI = 82, 83
_KINDS, _ABIS = bytes(Kind), bytes(Abi)


def lines_factory(config: LinesConfig) -> LinesFactory:
    """Returns what makes the lines of each process.

    Args:
        config: how lines look, and which there are.
    """
    calls = CallRenderer(config.string_size, Descriptors() if config.decode_fds else None)

    def lines(hello: Hello, process: TracedProcess) -> Lines:
        offset = hello.realtime_ns - hello.monotonic_ns
        table = DescriptorTable() if config.decode_fds else None
        made = ProcessLines(
            offset, calls, process.pid, process.command, config.timestamps, None, table
        )
        return Selected(made, config.trace_set) if config.trace_set else made

    return lines


@dataclass
class _Process:
    name: str
    command: str
    pid: int
    ordinal: int
    lines: Lines
    traced: bool = False
    fed_to: int = 0
    size: int = 0
    whole_to: int = 0
    dropped: int = 0


class Rendering:
    """Turns frames into log lines.

    Args:
        logs: where to.
        lines: makes the lines of each process.
        max_log_size: bytes of lines that one log may hold; what follows is dropped and counted.
        restart: which restart of the target this is, for the names of the logs.

    Attributes:
        accounts: what arrived so far.
    """

    def __init__(
        self, logs: Logs, lines: LinesFactory, max_log_size: int, restart: int = 0
    ) -> None:
        self.accounts = Accounts()
        self._max_log_size = max_log_size
        self._logs = logs
        self._lines = lines
        self._names = LogNames(restart)
        self._receiver = Receiver()
        self._goodbye: Goodbye | None = None
        self._processes: dict[int, _Process] = {}
        self._by_key: dict[ProcessKey, _Process] = {}
        self._by_pid: dict[int, _Process] = {}
        self._waiting: dict[str, _Process] = {}
        self._watermarks = Watermarks()
        self._held = WatermarkBuffer(MAX_HELD_BYTES)
        self._losses: dict[int, Loss] = {}
        # The heads of the last batch of each source.
        self._last: dict[int, bytes] = {}

    def receive_data(self, data: bytes) -> None:
        """Takes the next bytes of the spool and appends what they say to the logs.

        Raises:
            LogWriteError: a log cannot be written.
            StreamError: hunter declares more processes than there can be.
        """
        for arrival in self._receiver.receive_data(data):
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
            self._append(process, process.lines.finish())
            if process.dropped:
                text = f"DROPPED {counted(process.dropped, 'line')} (log size limit)"
                self._logs.append(process.name, process.lines.note(process.whole_to, text))
            if self._goodbye is None and process.traced:
                text = "GAP from here on (hunter's last words did not arrive)"
                self._logs.append(process.name, process.lines.note(self.known_to, text))
        self._note_transit()

    @property
    def known_to(self) -> int:
        """The time when any process was heard last, CLOCK_MONOTONIC ns; 0 without any records."""
        rows = (row for heads in self._last.values() for row in HEAD.iter_unpack(heads))
        return max(self._watermarks.now, max((row[0] + row[1] for row in rows), default=0))

    def reconciliation(self) -> Reconciliation:
        """Returns the accounting, which is final when the Goodbye is among what was received."""
        names = {
            ordinal: f"{process.command}-{process.pid}"
            for ordinal, process in self._processes.items()
        }
        return reconcile(self.accounts, self._goodbye, names)

    def _note_transit(self) -> None:
        """Notes at the end of each log what was sent and never arrived.

        What GAP notes have told already is not told again where it can only be of this process.
        """
        if self._goodbye is None:
            return
        noted = self.accounts.missing if len(self._by_key) == 1 else 0
        for ordinal, reconciled in self.reconciliation().processes.items():
            process = self._processes.get(ordinal)
            count = reconciled.transit - noted
            if count > 0 and process is not None:
                text = f"LOST {counted(count, 'record')} (lost in transit)"
                note = process.lines.note(self._goodbye.time_ns, text)
                self._logs.append(process.name, note)

    def progress(self, offset: int) -> Progress:
        """Returns how far it is, and takes the losses since the last call, one a process.

        Args:
            offset: bytes of the spool that were received.
        """
        losses, self._losses = tuple(self._losses.values()), {}
        lines = [process.lines for process in self._by_key.values()]
        self.accounts.undecoded = sum(each.undecoded for each in lines)
        drops = tuple(
            Drop(process.whole_to, process.ordinal, process.dropped)
            for process in self._by_key.values()
            if process.dropped
        )
        return Progress(offset, self.accounts.copy(), losses, drops, self._logs.written)

    def _take_message(self, message: Message | None) -> None:
        if isinstance(message, TracedProcess):
            self._declare(message)
        elif isinstance(message, FdTable):
            process = self._processes.get(message.process)
            if process is not None and process.lines.table is not None:
                process.lines.table.load(message.time_ns, message.entries)
        elif isinstance(message, Goodbye):
            self._goodbye = message
        elif isinstance(message, Event) and message.event in ("attach", "exit", "detach"):
            process = self._by_pid.get(-1 if message.pid is None else message.pid)
            if process is not None:
                process.traced = message.event == "attach"
                # The log is there as soon as the process is traced, also while it is silent.
                self._logs.append(process.name, b"")

    def _declare(self, process: TracedProcess) -> None:
        hello = self._receiver.hello
        if process.ordinal in self._processes or hello is None:
            return
        if len(self._processes) >= MAX_PROCESSES:
            raise too_many_processes(MAX_PROCESSES)
        key = (process.pid, process.start_time)
        known = self._by_key.get(key)
        if known is None:
            name = self._names.assign(process.pid, process.start_time, process.command)
            lines = self._lines(hello, process)
            known = _Process(name, process.command, process.pid, process.ordinal, lines)
            self._by_key[key] = known
            parent = self._processes.get(process.parent)
            if parent is not None and parent.lines.table is not None and lines.table is not None:
                lines.table.inherit(parent.lines.table)
        self._by_pid[process.pid] = known
        self._processes[process.ordinal] = known

    def _take_batch(self, frame: Frame) -> None:
        try:
            batch = decode(frame)
            assert isinstance(batch, Batch)
            self._check(frame, batch)
        except WireError as error:
            # What it held is missing before the next batch of its source.
            self.accounts.damage.record(place_of(frame, error))
            return
        missing, repeated = self.accounts.place(batch)
        if missing:
            self._note_gap(missing, batch)
        if batch.heads:
            self._last[batch.source] = batch.heads
        watermark = self._watermarks.advance(batch.source, batch.watermark)
        watermark = self._held.add(batch, watermark)
        undeclared = 0
        for ordinal, records in by_process(batch, repeated).items():
            process = self._processes.get(ordinal)
            if process is None:
                # A hostile stream could name four billion of them.
                self.accounts.undeclared += records.count
                undeclared += records.count
                continue
            self.accounts.received(ordinal, records.count - self._take_notes(ordinal, records))
            process.fed_to = watermark
            self._waiting[process.name] = process
            self._append(
                process, process.lines.feed_rows(records.heads, records.captures, watermark)
            )
        if undeclared:
            finding = f"{counted(undeclared, 'record')} of processes that hunter never declared"
            self.accounts.damage.record(f"frame {frame.seq}: {finding}")

    def _check(self, frame: Frame, batch: Batch) -> None:
        """Looks at what decoding a batch does not; records of unknown kinds are left out of logs.

        Raises:
            BadPayload: the batch has no place in the sequence of its source.
        """
        accounts = self.accounts
        if not accounts.follows(batch):
            raise BadPayload(f"a batch begins with record {batch.first} of its source")
        for offset, known, noun in ((_KIND, _KINDS, "kind"), (_ABI, _ABIS, "ABI")):
            unknown = batch.heads[offset::HEAD_SIZE].translate(None, known)
            if unknown:
                finding = f"{counted(len(unknown), 'record')} of the unknown {noun} {unknown[0]}"
                accounts.damage.record(f"frame {frame.seq}: {finding}")

    def _take_notes(self, ordinal: int, records: ProcessRecords) -> int:
        """Takes what is told about the stream itself, and returns how many records that is."""
        kinds = records.heads[_KIND::HEAD_SIZE]
        notes = sum(kinds.count(kind) for kind in NOTES)
        if notes and Kind.LOST in kinds:
            for record in iter_records(records.heads, records.captures):
                if record.kind == Kind.LOST:
                    self._take_loss(ordinal, record)
        return notes

    def _take_loss(self, ordinal: int, note: Record) -> None:
        count = note.args[0]
        self.accounts.lost(ordinal, count)
        self._lose(Loss(note.start, ordinal, count))

    def _lose(self, loss: Loss) -> None:
        """Keeps a loss until it is reported, together with those of the same process."""
        earlier = self._losses.get(loss.ordinal)
        if earlier is not None:
            loss = Loss(earlier.time_ns, loss.ordinal, earlier.count + loss.count)
        self._losses[loss.ordinal] = loss

    def _note_gap(self, missing: int, batch: Batch) -> None:
        """Notes in every log that records of some process are missing here."""
        first = next(batch.records(), None)
        at = first.start if first else batch.watermark
        self._lose(Loss(at, 0, missing))
        for process in self._by_key.values():
            text = f"GAP {counted(missing, 'record')} (lost in transit)"
            self._append(process, process.lines.note(at, text))

    def _append(self, process: _Process, lines: bytes) -> None:
        """Writes whole lines up to the size limit of a log, and counts the others."""
        if process.dropped or process.size + len(lines) > self._max_log_size:
            if not process.dropped:
                process.whole_to = process.fed_to
            room = 0 if process.dropped else self._max_log_size - process.size
            end = lines.rfind(b"\n", 0, room) + 1
            process.dropped += lines.count(b"\n", end)
            lines = lines[:end]
        if lines:
            self._logs.append(process.name, lines)
            process.size += len(lines)

    def _advance(self) -> None:
        """Lets processes that had no records in the last batches write what waits."""
        watermark = max(self._watermarks.now, self._held.watermark)
        for process in list(self._waiting.values()):
            if process.fed_to < watermark:
                process.fed_to = watermark
                self._append(process, process.lines.feed_rows(b"", b"", watermark))
            if not process.lines.waits:
                # Of thousands of processes that have ended none need be looked at again.
                del self._waiting[process.name]
