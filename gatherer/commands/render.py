"""`gatherer render`: a record stream on disk to lines again, or the rest of a capture to its logs.

A stream that was kept by `capture --raw` is printed with other options, which can only narrow what
was captured. One that was left because gatherer was ended early is rendered into the logs of its
capture as if nothing had happened.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from gatherer.capture.result import Conclusion, EndFacts, conclude, fate
from gatherer.capture.session_document import SessionDocument
from gatherer.clock import CaptureClock
from gatherer.config import LinesConfig
from gatherer.errors import ConfigError, GathererError, LogWriteError
from gatherer.rendering.accounting import known_sum
from gatherer.rendering.pipeline import Rendering, lines_factory
from gatherer.rendering.stored_stream import StoredStream, find, unfinished_targets
from gatherer.storage.capture_directory import replace_session
from gatherer.storage.logs import LogDirectory
from gatherer.storage.output_directory import lock_directory
from gatherer.storage.spool import restart_of
from gatherer.stream.receiver import Receiver
from gatherer.target.values import Exit, Target, TargetEnd
from gatherer.text import counted, printable
from gatherer.view.fleet_summary import worst
from hg_shared.messages import Event, Goodbye, Hello, Sample, TracedProcess

COMPLETE, DAMAGED = 0, 4
UNLIMITED = 1 << 62


class Printer:
    """Prints the lines of a stream's only process.

    Args:
        out: where to.

    Attributes:
        written: bytes printed.
    """

    def __init__(self, out: BinaryIO) -> None:
        self.written = 0
        self._out = out

    def append(self, _name: str, data: bytes) -> None:
        """Prints whole lines."""
        self._out.write(data)
        self.written += len(data)


class NewLogs(LogDirectory):
    """Writes logs anew: what an earlier rendering left under their names goes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._begun: set[str] = set()

    def append(self, name: str, data: bytes) -> None:
        """Appends whole lines to a log, to an empty one the first time."""
        if name not in self._begun:
            self._begun.add(name)
            (self.path / name).unlink(missing_ok=True)
        super().append(name, data)


def run_render(
    path: Path, changes: dict[str, Any], output: Path | None, out: BinaryIO | None = None
) -> int:
    """Renders a stream and returns the exit code.

    Args:
        path: a record stream, or a capture directory.
        changes: fields of `LinesConfig` that shall not be as in the capture.
        output: directory for the logs; None to print them.
        out: where they are printed, stdout by default.

    Raises:
        ConfigError: there is no stream, or options for one that is not finished.
        StreamError: it is of another version, or no record stream.
        LogWriteError: the logs cannot be written.
    """
    targets = unfinished_targets(path)
    if targets:
        return _finish_targets(path, targets, bool(changes) or output is not None)
    stream = find(path)
    if path.is_dir() and stream.path.suffix == ".partial":
        if changes or output is not None:
            raise _unfinished(path, stream.path.name)
        return Finishing(path, stream).run()
    lines = replace(stream.lines, **changes)
    receiver = Receiver()
    processes = sum(
        isinstance(arrival.message, TracedProcess) for arrival in stream.arrivals(receiver)
    )
    rendering: Rendering | None
    if output is not None:
        if output.exists() and any(output.glob("*.log")):
            raise ConfigError(f"there are logs in {output}", "give an empty directory with -o")
        _make_directory(output)
        rendering = _render(stream, lines, LogDirectory(output))
    else:
        rendering = _print(stream, lines, processes, out or sys.stdout.buffer)
    return _judge(stream, receiver, rendering)


def _unfinished(path: Path, stream: str) -> ConfigError:
    return ConfigError(
        f"the capture in {path} was not rendered to its end",
        f"finish it with gatherer render {path}, or print its {stream}",
    )


def _finish_targets(path: Path, targets: list[Path], asked_otherwise: bool) -> int:
    """Finishes the captures of many targets, and returns the worst exit code.

    Raises:
        ConfigError: something else was asked for.
    """
    if asked_otherwise:
        raise _unfinished(path, f"{targets[0].name}/{find(targets[0]).path.name}")
    codes = []
    for directory in targets:
        try:
            codes.append(run_render(directory, {}, None))
        except GathererError as error:
            _tell(str(error))
            codes.append(error.exit_code)
    return worst(codes)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LogWriteError(
            f"cannot create {path}: {error.strerror}", "give a directory that can be written"
        ) from error


def _judge(stream: StoredStream, receiver: Receiver, rendering: Rendering | None) -> int:
    """Says what is wrong with a stream and returns the exit code.

    Args:
        stream: the stream.
        receiver: has seen all its frames.
        rendering: has rendered it, None when nobody wanted to read it to the end.
    """
    damage, missing, lacking = receiver.damage, receiver.missing_frames, 0
    if rendering is not None:
        damage = damage + rendering.accounts.damage
        lacking = rendering.reconciliation().transit
    lacks = [
        counted(count, noun) for count, noun in ((missing, "frame"), (lacking, "record")) if count
    ]
    parts = [f"is {damage}"] if damage.places else []
    parts += [f"lacks {' and '.join(lacks)}"] if lacks else []
    if not parts:
        return COMPLETE
    first = f", first: {printable(damage.named[0], 200)}" if damage.named else ""
    _tell(f"{stream.path} {' and '.join(parts)}{first}")
    return DAMAGED


def _tell(text: str) -> None:
    print(f"gatherer: {text}", file=sys.stderr)


def _render(stream: StoredStream, lines: LinesConfig, logs: LogDirectory | Printer) -> Rendering:
    # Lines that a narrower view leaves out are no reason to drop others.
    limit = stream.max_log_size if lines == stream.lines else UNLIMITED
    restart = restart_of(stream.path.name) or 0
    rendering = Rendering(logs, lines_factory(lines), limit, restart)
    for data in stream.chunks():
        rendering.receive_data(data)
    rendering.finish()
    return rendering


def _print(
    stream: StoredStream, lines: LinesConfig, processes: int, out: BinaryIO
) -> Rendering | None:
    """Prints the log of the only process, or each log under its name.

    Returns:
        What was rendered, None when the reader had enough before the end.
    """
    try:
        if processes == 1:
            rendering = _render(stream, lines, Printer(out))
        else:
            with TemporaryDirectory(prefix="gatherer-") as directory:
                rendering = _render(stream, lines, LogDirectory(Path(directory)))
                for log in sorted(Path(directory).iterdir()):
                    out.write(f"==> {log.name} <==\n".encode("ascii"))
                    with log.open("rb") as file:
                        while data := file.read(1 << 20):
                            out.write(data)
        out.flush()
    except BrokenPipeError:
        # The reader has had enough. What is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        return None
    return rendering


class Finishing:
    """The rest of a capture that gatherer left early.

    Args:
        directory: the capture directory.
        stream: its spool.
    """

    def __init__(self, directory: Path, stream: StoredStream) -> None:
        self._directory = directory
        self._stream = stream
        self._restart = restart_of(stream.path.name) or 0

    def run(self) -> int:
        """Renders the spool into the logs, then session.json follows and the spool goes.

        Killed on the way it can be run again.

        Raises:
            LogWriteError: the directory cannot be written, or a capture is writing to it.
        """
        stream = self._stream
        lock = lock_directory(self._directory)
        try:
            receiver = Receiver()
            document = self._read(receiver)
            rendering = _render(stream, stream.lines, NewLogs(self._directory))
            progress = rendering.progress(0)
            document.count(progress.accounts)
            for drop in progress.drops:
                entry = document.processes.entry(drop.ordinal)
                if entry is not None:
                    entry.dropped_lines = drop.lines
            conclusion = self._conclude(document, rendering, receiver)
            if stream.session:
                replace_session(self._directory, self._merged(document, conclusion))
            if stream.options.get("raw") is True:
                os.replace(stream.path, stream.path.with_suffix(""))
            else:
                stream.path.unlink()
        except OSError as error:
            raise LogWriteError(
                f"cannot finish {self._directory}: {error.strerror}",
                "make it writable and run it again",
            ) from error
        finally:
            os.close(lock)
        for note in conclusion.notes:
            _tell(f"note: {note}")
        state = "complete" if conclusion.complete else f"not complete: {conclusion.incomplete}"
        _tell(f"{self._directory} is rendered to its end; {state}")
        broken = receiver.damage.places or rendering.accounts.damage.places
        return DAMAGED if broken else COMPLETE

    def _read(self, receiver: Receiver) -> SessionDocument:
        """Returns what the stream alone says of the capture."""
        document = SessionDocument(Target(""), {}, 0, self._restart)
        for arrival in self._stream.arrivals(receiver):
            message = arrival.message
            if isinstance(message, Hello):
                document.on_hello(message, CaptureClock(message))
            elif document.clock is None:
                continue
            elif isinstance(message, TracedProcess):
                document.processes.declare(message)
            elif isinstance(message, Event):
                document.processes.happened(message, document.clock.time(message.time_ns))
            elif isinstance(message, Sample):
                document.sampled(message)
            elif isinstance(message, Goodbye):
                document.on_goodbye(message)
        return document

    def _conclude(
        self, document: SessionDocument, rendering: Rendering, receiver: Receiver
    ) -> Conclusion:
        reconciliation = rendering.reconciliation()
        document.reconcile(reconciliation)
        evidence = EndFacts(
            "interrupted",
            document.goodbye,
            Exit(None, "gatherer ended before hunter did"),
            None,
            False,
            self._former_end(),
            True,
            reconciliation,
            receiver,
            (),
            document.processes.dropped_lines,
            rendering.accounts.damage,
        )
        conclusion = conclude(evidence)
        clock, goodbye = document.clock, document.goodbye
        document.instance.totals_unknown = evidence.totals_unknown
        if clock is not None and goodbye is not None:
            document.conclude(conclusion, None, clock.realtime_ns(goodbye.time_ns))
            document.instance.tail_unknown_ms = 0
        elif clock is not None:
            document.ended = clock.time(rendering.known_to or document.instance.memory.time_ns)
            document.processes.close(document.ended, fate(evidence.end), evidence.totals_unknown)
        return conclusion

    def _former_end(self) -> TargetEnd | None:
        """Returns how the instance ended, if gatherer still learned that."""
        instances = _objects(self._stream.session, "instances")
        end = instances[self._restart].get("end") if self._restart < len(instances) else None
        reason = end.get("reason") if isinstance(end, dict) else None
        return TargetEnd(reason) if isinstance(reason, str) and reason else None

    def _merged(self, document: SessionDocument, conclusion: Conclusion) -> dict[str, Any]:
        """Returns session.json: what the stream says, and what only gatherer knew."""
        former, now = self._stream.session, document.as_json()
        merged = dict(former)
        for name in ("processes", "records", "lines", "discrepancies"):
            merged[name] = now[name]
        if self._restart:
            self._add_earlier(merged, former)
        sizes = former.get("bytes")
        merged["bytes"] = {**(sizes if isinstance(sizes, dict) else {}), **_known(now["bytes"])}
        merged["complete"] = conclusion.complete
        merged["incomplete_reason"] = conclusion.incomplete or None
        merged["discrepancies"] = list(conclusion.notes)
        if former.get("end_reason") is None:
            merged["end_reason"] = conclusion.end_reason
            merged["exit_code"] = conclusion.exit_code
        if former.get("ended") is None:
            merged["ended"] = now["ended"]
        if document.goodbye is not None:
            merged["ended"], merged["tail"] = now["ended"], now["tail"]
            hunter = former.get("hunter")
            merged["hunter"] = {
                **now["hunter"], **(hunter if isinstance(hunter, dict) else {}),
                "peak_pss_bytes": now["hunter"]["peak_pss_bytes"],
                "cpu_seconds": now["hunter"]["cpu_seconds"],
            }  # fmt: skip
        return merged

    def _add_earlier(self, merged: dict[str, Any], former: dict[str, Any]) -> None:
        """Adds what session.json says of the instances before the one that is finished."""
        entries = [e for e in _objects(former, "processes") if e.get("instance") != self._restart]
        merged["processes"] = entries + merged["processes"]
        instances = _objects(former, "instances")
        for number, instance in enumerate(instances):
            if number == self._restart:
                instances[number] = {**instance, "records": dict(merged["records"])}
        merged["instances"] = instances
        merged["records"] = {
            name: known_sum(_count(each.get("records"), name) for each in instances)
            for name in ("seen", "received", "lost")
        }
        dropped = (_count(entry, "dropped_lines") or 0 for entry in merged["processes"])
        # Of earlier instances only the sum that was written then is known.
        known = _count(former.get("lines"), "undecoded") or 0
        undecoded = max(known, merged["lines"]["undecoded"])
        merged["lines"] = {**merged["lines"], "dropped": sum(dropped), "undecoded": undecoded}


def _objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = document.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _count(document: object, name: str) -> int | None:
    """Returns a count of session.json, None where it says that it is not known."""
    value = document.get(name, 0) if isinstance(document, dict) else 0
    return value if isinstance(value, int) or value is None else 0


def _known(sizes: dict[str, Any]) -> dict[str, Any]:
    return {name: size for name, size in sizes.items() if size}
