"""Tracers under measurement: attached on entry, detached on exit."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hg_shared.batch import BATCH, Batch
from hg_shared.framing import FrameDecoder, FrameType
from hg_shared.messages import Ack, Event, Goodbye, Stop
from hg_shared.wire import decode, encode

F_SETPIPE_SZ = 1031


@contextmanager
def strace(pid: int, folder: Path, cpu: int | None) -> Iterator[None]:
    """Stock strace writing what gatherer's logs look like.

    Args:
        pid: the target.
        folder: where the log goes.
        cpu: CPU strace is pinned to, None for any.
    """
    pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
    log = folder / "strace.log"
    command = ["strace", "-f", "-tt", "-T", "-s", "32", "-o", str(log), "-p", str(pid)]
    process = subprocess.Popen([*pin, *command], stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"attached" in process.stderr.readline()
    try:
        yield
    finally:
        process.terminate()
        process.stderr.read()
        process.stderr.close()
        process.wait()
        log.unlink()


def cpu_seconds(pid: int) -> float:
    """Returns the processor time a process has used, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Received:
    """What came from hunter.

    Attributes:
        wire: bytes on the wire.
        raw: bytes of records before compression.
        captured: of these, captured memory.
        records: records.
        goodbye: totals.
        decoding: records are read, not only counted.
        pid: of hunter.
        attached: set when hunter has attached.
        placed: set when hunter has tried to place its target.
    """

    wire: int = 0
    raw: int = 0
    captured: int = 0
    records: int = 0
    goodbye: Goodbye | None = None
    decoding: bool = True
    pid: int = 0
    attached: threading.Event = field(default_factory=threading.Event)
    placed: threading.Event = field(default_factory=threading.Event)


@contextmanager
def hunter(
    pid: int,
    zipapp: Path,
    cpu: int | None,
    python: str = sys.executable,
    options: Sequence[str] = (),
    decoding: bool = True,
) -> Iterator[Received]:
    """Hunter, its stream decoded by this process.

    Args:
        pid: the target.
        zipapp: hunter.pyz.
        cpu: CPU hunter is pinned to, None for any.
        python: interpreter.
        options: more of hunter's options.
        decoding: whether records are read; else only their frames' headers are, so that a reader
            in Python keeps up with a million records a second.
    """
    pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
    process = subprocess.Popen(
        [
            *pin,
            python,
            "-I",
            "-S",
            str(zipapp),
            "--pid",
            str(pid),
            "--only-pids",
            "--linger",
            "60",
            *options,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    # As gatherer's local runtime has it.
    fcntl.fcntl(process.stdout.fileno() if process.stdout else -1, F_SETPIPE_SZ, 1 << 20)
    received = Received(decoding=decoding, pid=process.pid)
    reader = threading.Thread(target=_read, args=(process, received))
    reader.start()
    try:
        assert received.attached.wait(20), "hunter did not attach"
        yield received
    finally:
        assert process.stdin is not None
        process.stdin.write(encode(Stop("duration")))
        reader.join()
        process.wait()
        process.stdin.close()


def _read(process: subprocess.Popen[bytes], received: Received) -> None:
    assert process.stdout is not None
    assert process.stdin is not None
    decoder = FrameDecoder()
    while data := process.stdout.read(1 << 20):
        received.wire += len(data)
        decoder.receive_data(data)
        for frame in decoder.frames_received():
            if frame.type == FrameType.RECORDS and not received.decoding:
                received.records += BATCH.unpack_from(frame.body())[3]
                continue
            content = decode(frame)
            if isinstance(content, Batch):
                received.records += content.count
                received.raw += len(content.heads) + len(content.captures)
                received.captured += len(content.captures)
            elif isinstance(content, Event) and content.event == "attach":
                received.attached.set()
            elif isinstance(content, Event) and content.event == "placement":
                received.placed.set()
            elif isinstance(content, Goodbye):
                received.goodbye = content
                process.stdin.write(encode(Ack(frame.seq)))
    process.stdout.close()
