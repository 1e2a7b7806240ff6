"""Streams made for measuring: what a hunter would send, without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from hg_shared.batch import Batch
from hg_shared.messages import Goodbye, Hello, TracedProcess
from hg_shared.records import HEAD, Abi, Kind, encode_capture
from hg_shared.syscalls import numbers
from hg_shared.version import __version__
from hg_shared.wire import encode

SECOND = 1_000_000_000
START = 1000 * SECOND
PID = 4711
MIXES = ("mix", "mix and futex", "mix, text payload", "mix, random payload")
"""write 32 bytes, openat, read 16, close; the payload is constant where nothing else is said."""
_NR = numbers(Abi.X86_64)
_POINTER = 0x7FFE1000
_LETTERS = b"abcdefghijklmnopqrstuvwxyz 0123456789"
Batches = list[Batch]


def batches(mix: str, count: int, per_batch: int = 720, seed: int = 1) -> Iterator[Batch]:
    """Yields batches of one thread's calls, each ending before the next begins.

    Args:
        mix: one of `MIXES`.
        count: batches.
        per_batch: records in each.
        seed: of payloads and durations.
    """
    random = Random(seed)
    time, first = START, 0
    for _ in range(count):
        heads, captures = [], []
        while len(heads) < per_batch:
            for name, args, rval, held in _calls(mix, random):
                duration = 350 + random.randrange(2000)
                six = (*args, 0, 0, 0, 0, 0, 0)[:6]
                heads.append(
                    HEAD.pack(
                        *(time, duration, rval, *six, PID, 1, _NR[name]),
                        *(Kind.SYSCALL, Abi.X86_64, len(held)),
                    )
                )
                captures.append(held)
                time += duration + 300 + random.randrange(1000)
        yield Batch(0, first, time, b"".join(heads), b"".join(captures))
        first += len(heads)


def threaded(batch: Batch) -> Batch:
    """Returns a batch as four threads would make it: one call in twenty outlasts the next one.

    Args:
        batch: of `batches`.
    """
    heads = bytearray(batch.heads)
    durations, tids = memoryview(heads).cast("Q")[1::11], memoryview(heads).cast("I")[18::22]
    for at in range(batch.count):
        tids[at] += at % 4
        durations[at] += 3000 if at % 20 == 0 else 0
    return batch._replace(heads=bytes(heads))


def _calls(mix: str, random: Random) -> list[tuple[str, tuple[int, ...], int, bytes]]:
    if mix == "mix, random payload":
        payload = random.randbytes(32)
    elif mix == "mix, text payload":
        payload = bytes(random.choices(_LETTERS, k=32))
    else:
        payload = b"x" * 32
    calls: list[tuple[str, tuple[int, ...], int, bytes]] = [
        ("write", (3, _POINTER, 32, 0, 8), 32, encode_capture(1, 0, payload, 32)),
        ("openat", (2**64 - 100, 0x55D000001000), 4, encode_capture(1, 0, b"/etc/hostname", 13)),
        ("read", (4, _POINTER, 16), 16, encode_capture(1, 0, b"0123456789abcdef", 16)),
        ("close", (4,), 0, b""),
    ]
    if mix == "mix and futex":
        calls += [("futex", (0x7F0012340000 + i * 64, 0x81, 1), i % 2, b"") for i in range(4)]
    return calls


def hello() -> Hello:
    """Returns the beginning of a stream."""
    return Hello(
        protocol=1, version=__version__, sha256="0" * 64, python="3.11.2",
        executable="/usr/bin/python3", arch="x86_64", kernel="6.1.0", pid=77, uid=0,
        monotonic_ns=START, realtime_ns=1_790_000_000 * SECOND, boottime_ns=START,
        engine="none", engine_reason="a made stream", tracing="on", cgroup_version=2,
        memory_limit_bytes=None, memory_usage_bytes=None, memory_source="",
        node_memory_bytes=8 << 30, yama_ptrace_scope=None, seccomp=0, no_new_privs=False,
        capabilities=[], page_size=4096, cpus=2,
    )  # fmt: skip


def write_stream(path: Path, content: Batches, repeats: int, level: int) -> tuple[int, int]:
    """Writes a whole stream; returns its records and the bytes of its records uncompressed.

    Args:
        path: the file.
        content: batches, which are repeated with the times moved on.
        repeats: how often.
        level: zlib level, 0 for none.
    """
    frames = records = size = 0
    span = content[-1].watermark - START
    with path.open("wb") as file:
        file.write(encode(hello(), 1))
        file.write(encode(TracedProcess(1, PID, 5, START, "made", ["made"], START), 2))
        frames = 2
        for turn in range(repeats):
            for batch in content:
                moved = _moved(batch, turn * span)._replace(first=records)
                frames += 1
                file.write(encode(moved, frames, level))
                records += moved.count
                size += len(moved.heads) + len(moved.captures)
        totals = [{"ordinal": 1, "seen": records, "lost": 0, "end_reason": "detached"}]
        at = START + repeats * span
        goodbye = Goodbye(at, "stop", records, 0, totals, 0.1, 1 << 20, frames)
        file.write(encode(goodbye, frames + 1))
    return records, size


def _moved(batch: Batch, nanoseconds: int) -> Batch:
    heads = bytearray(batch.heads)
    starts = memoryview(heads).cast("Q")
    for at in range(0, len(starts), 11):
        starts[at] += nanoseconds
    return batch._replace(heads=bytes(heads), watermark=batch.watermark + nanoseconds)


def measure_wire() -> dict[str, float]:
    """Returns what a record needs on the wire beyond its payload, when payloads are random."""
    content = list(batches("mix, random payload", 60))
    records = sum(batch.count for batch in content)
    wire = sum(len(encode(batch, 1, 1)) for batch in content)
    # Three of four calls have a string; only that of write, 32 bytes, differs from call to call.
    payload = records // 4 * 32
    return {
        "bytes a record": wire / records,
        "bytes a record beyond random payload": (wire - payload) / records,
    }
