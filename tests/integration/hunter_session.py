"""Starts hunter.pyz as a child and speaks frames on its stdin and stdout, as gatherer does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from hg_shared import wire
from hg_shared.batch import Batch
from hg_shared.framing import FrameDecoder
from hg_shared.messages import Ack, Event, Goodbye, Hello, Ping, Stop, TracedProcess
from hg_shared.records import HEAD_SIZE, Kind, Record
from tests.integration.tracee import tracers

M = TypeVar("M")
PATIENCE = 20.0


def wait_until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Polls until the condition is true and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.005)


class HunterSession:
    """One run of hunter.pyz.

    Args:
        pyz: the zipapp.
        options: its command line.
        python: interpreter that runs it, with options.
        prefix: what runs the interpreter, such as strace.
        pings: say every half second that somebody listens.
        forgets: acknowledge frames as they come, and not only the Goodbye.
        reads: descriptor where its frames come, None for its stdout.
        pass_fds: descriptors that it inherits.
    """

    def __init__(
        self,
        pyz: Path,
        options: Sequence[object],
        python: Sequence[str] = (sys.executable, "-I", "-S"),
        prefix: Sequence[object] = (),
        pings: bool = True,
        forgets: bool = True,
        reads: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.pyz = pyz
        command = [str(word) for word in (*prefix, *python, pyz, *options)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=pass_fds,
        )  # fmt: skip
        self._reads = reads
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.messages: list[Any] = []
        self.loading: list[Hello] = []
        self.batches: list[Batch] = []
        self.decoder = FrameDecoder()
        self.raw = bytearray()
        self.sequence: list[int] = []
        self.acknowledge = True
        self._forgets = forgets
        self._changed = threading.Condition()
        self._reading = threading.Event()
        self._reading.set()
        self._closing = threading.Event()
        self._write_lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._pinger = threading.Thread(target=self._ping, daemon=True)
        if pings:
            self._pinger.start()

    def send(self, message: Any) -> None:
        """Writes one message to hunter's stdin, as far as that is still open."""
        self.write(wire.encode(message))

    def write(self, data: bytes) -> None:
        """Writes to hunter's stdin, as far as that is still open."""
        assert self.process.stdin is not None
        with self._write_lock:
            try:
                self.process.stdin.write(data)
                self.process.stdin.flush()
            except (OSError, ValueError):
                pass

    def _ping(self) -> None:
        while not self._closing.wait(0.5):
            self.send(Ping(time.monotonic_ns()))

    def _read(self) -> None:
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno() if self._reads is None else self._reads
        while True:
            self._reading.wait()
            try:
                data = os.read(fd, 1 << 16)
            except OSError:
                break
            if not data:
                break
            self.decoder.receive_data(data)
            self.raw += data
            with self._changed:
                for frame in self.decoder.frames_received():
                    content = wire.decode(frame)
                    if frame.seq:
                        self.sequence.append(frame.seq)
                    if isinstance(content, Batch):
                        self.batches.append(content)
                    elif isinstance(content, Hello) and content.loading:
                        self.loading.append(content)
                    else:
                        self.messages.append(content)
                ended = any(isinstance(message, Goodbye) for message in self.messages[-1:])
                if self.acknowledge and self.sequence and (self._forgets or ended):
                    self.send(Ack(self.sequence[-1]))
                self._changed.notify_all()
        self.decoder.receive_eof()
        with self._changed:
            self._closing.set()
            self._changed.notify_all()

    def of(self, cls: type[M]) -> list[M]:
        """Returns the messages of one class so far."""
        return [message for message in list(self.messages) if isinstance(message, cls)]

    def events(self, name: str) -> list[Event]:
        """Returns the events of one name so far."""
        return [event for event in self.of(Event) if event.event == name]

    def records(self) -> list[Record]:
        """Returns all records so far."""
        return [record for batch in list(self.batches) for record in batch.records()]

    def count(self, kind: Kind) -> int:
        """Returns how many records of one kind came so far."""
        return sum(batch.heads[82::HEAD_SIZE].count(kind) for batch in list(self.batches))

    def wait_for(self, condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
        """Waits until a condition on what was received is true, and returns its value."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                value = condition()
                if value:
                    return value
                left = deadline - time.monotonic()
                if left <= 0 or self._closing.is_set():
                    raise AssertionError(f"not received: {what}; {self.describe()}")
                self._changed.wait(left)

    def describe(self) -> str:
        """Returns what came, for the message of a failure."""
        code = self.process.poll()
        errors = "" if code is None else f", errors {self.errors()!r}"
        return f"exit code {code}, last messages {self.messages[-4:]}{errors}"

    def wait_hello(self) -> Hello:
        """Waits for Hello."""
        return self.wait_for(lambda: self.of(Hello), "Hello")[0]

    def wait_event(self, name: str, pid: int | None = None) -> Event:
        """Waits for the first event of a name, about one process where it is given."""

        def found() -> list[Event]:
            return [e for e in self.events(name) if pid is None or e.pid == pid]

        return self.wait_for(found, f"event {name} of {pid}")[0]

    def wait_attached(self, pid: int) -> None:
        """Waits until a process is traced."""
        self.wait_event("attach", pid)

    def wait_record(self, condition: Callable[[Record], bool], what: str) -> Record:
        """Waits for a record."""
        looked_at: list[int] = [0]

        def found() -> Record | None:
            while looked_at[0] < len(self.batches):
                batch = self.batches[looked_at[0]]
                looked_at[0] += 1
                for record in batch.records():
                    if condition(record):
                        return record
            return None

        return self.wait_for(found, what)

    def ordinal(self, pid: int) -> int:
        """Returns the ordinal that hunter gave a process."""
        return next(each.ordinal for each in self.of(TracedProcess) if each.pid == pid)

    def pause_reading(self) -> None:
        """Leaves what hunter writes in the pipe, but for one more read."""
        self._reading.clear()

    def resume_reading(self) -> None:
        """Reads again."""
        self._reading.set()

    def stop_pings(self) -> None:
        """Says nothing more to hunter, with its stdin still open."""
        self._closing.set()

    def close_stdin(self) -> None:
        """Gives hunter the end of its stdin."""
        assert self.process.stdin is not None
        with self._write_lock:
            self.process.stdin.close()

    def close_stdout(self) -> None:
        """Breaks hunter's stdout."""
        assert self.process.stdout is not None
        self._reading.clear()
        os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), self.process.stdout.fileno())
        self._reading.set()

    def wait_deaf(self) -> None:
        """Waits until nothing more of hunter's stdout will be read, after `close_stdout`."""
        self._reader.join(10)
        assert not self._reader.is_alive()

    def wait_ended(self, timeout: float = 15.0) -> int:
        """Waits until hunter has ended and all it wrote is read; returns its exit code."""
        code = self.process.wait(timeout)
        self._reading.set()
        self._reader.join(10)
        return code

    def stop(self) -> Goodbye:
        """Asks hunter to end, acknowledges its Goodbye and returns it."""
        self.send(Stop("interrupted"))
        code = self.wait_ended()
        assert code == 0, (code, self.errors())
        assert self.decoder.errors == []
        assert self.sequence == list(range(1, len(self.sequence) + 1))
        return self.of(Goodbye)[0]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends hunter a signal."""
        self.process.send_signal(number)

    def traces(self, pid: int) -> bool:
        """Tells whether every thread of a process is traced by hunter, with ptrace(2)."""
        own = {thread.id for thread in psutil.Process(self.process.pid).threads()}
        found = tracers(pid)
        return bool(found) and found <= own

    def errors(self) -> str:
        """Returns what hunter wrote to stderr; it must have ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def processes(self) -> list[psutil.Process]:
        """Returns all processes of this hunter, its first one and what it forked."""
        found = []
        starters = {"strace", "nsenter", "sh"}
        for process in psutil.process_iter(["cmdline", "name"]):
            words = process.info["cmdline"] or []
            if str(self.pyz) in words and process.info["name"] not in starters:
                found.append(process)
        return found

    def pss(self) -> int:
        """Returns the Pss of all of them together, bytes."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        assert total > 0
        return total

    def close(self) -> None:
        """Ends hunter whatever its state, and closes the pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._closing.set()
        self._reading.set()
        self._reader.join(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass
