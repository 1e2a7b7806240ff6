"""Streams that want room: whatever they claim, memory and work stay bounded."""

from __future__ import annotations

import gc
import os
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gatherer.capture import process_table
from gatherer.config import LinesConfig
from gatherer.errors import StreamError
from gatherer.rendering import pipeline
from gatherer.rendering.pipeline import Rendering, lines_factory
from gatherer.rendering.strace.lines import stamps, timeline
from hg_shared import framing
from hg_shared.batch import Batch
from hg_shared.framing import HEADER, MAX_PAYLOAD, Frame, FrameDecoder, FrameType
from hg_shared.messages import TracedProcess
from hg_shared.records import Kind
from hg_shared.wire import encode
from tests.unit.gatherer.scripted import HELLO, SECOND, event, goodbye, head, process, stream
from tests.unit.hostile.pipeline import NoLogs, Pipeline

MIB = 1 << 20
COUNT = 40_000 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 1_500
"""Records of a stream that must not be kept: about 500 bytes each, if they were."""
ROOM = 500_000


@pytest.fixture
def grown() -> Iterator[object]:
    """Returns by how many bytes the memory in use has grown since the beginning of the test."""

    def used() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = used()
    yield lambda: used() - before
    tracemalloc.stop()


def rendering() -> Rendering:
    target = Rendering(NoLogs(), lines_factory(LinesConfig()), 1 << 40)
    target.receive_data(b"".join(stream(HELLO, process())))
    return target


def hundred(first: int, kind: int = Kind.SYSCALL, watermark: int = 5, **more: int) -> bytes:
    """Returns a frame of a hundred records, each of another thread."""
    heads = b"".join(head(first + n, tid=first + n, kind=kind, **more) for n in range(100))
    return encode(Batch(0, first, watermark, heads, b""), 3 + first // 100)


def test_headers_that_claim_megabytes_every_few_bytes_cost_no_hours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked = 0
    real = zlib.crc32

    def crc32(data: bytes, value: int = 0) -> int:
        nonlocal checked
        checked += len(data)
        return real(data, value)

    monkeypatch.setattr(framing.zlib, "crc32", crc32)
    decoder = FrameDecoder(1 << 16)
    header = HEADER.pack(b"HG", FrameType.RECORDS, 0, 1 << 15, 7) + b"CRC!"
    received = 0
    for _ in range(20):
        decoder.receive_data(header * 1000)
        received += 1000 * len(header)
        decoder.errors.clear()
        assert decoder.frames_received() == []
    assert checked < 20 * received
    whole = Frame(FrameType.EVENT, 1, b"{}").encode()
    decoder.receive_data(bytes(1 << 16) + whole)
    assert [frame.seq for frame in decoder.frames_received()] == [1], "it finds the next frame"


def test_a_frame_that_never_ends_is_not_waited_for_without_bound(grown: object) -> None:
    decoder = FrameDecoder()
    decoder.receive_data(HEADER.pack(b"HG", 2, 0, MAX_PAYLOAD, 1) + bytes(4))
    for _ in range(20):
        decoder.receive_data(b"HG" + bytes(MIB - 2))
        decoder.errors.clear()
    assert len(decoder._buffer) <= MAX_PAYLOAD + 2 * MIB
    assert grown() < 3 * MAX_PAYLOAD  # type: ignore[operator]


def test_a_watermark_that_is_kept_back_is_overtaken(
    monkeypatch: pytest.MonkeyPatch, grown: object
) -> None:
    monkeypatch.setattr(pipeline, "MAX_HELD_BYTES", 20_000)
    target = rendering()
    for first in range(0, COUNT, 100):
        target.receive_data(hundred(first))
        assert grown() < ROOM  # type: ignore[operator]
    assert target._logs.written > 40 * COUNT, "lines are written all the time"  # type: ignore[attr-defined]
    target.finish()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Kind.IN_FLIGHT, {}),
        (Kind.EXEC, {"a0": 77}),
    ],
)
def test_threads_without_number_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, grown: object, kind: int, more: dict[str, int]
) -> None:
    monkeypatch.setattr(timeline, "MAX_OPEN", 100)
    monkeypatch.setattr(stamps, "MAX_PREFIXES", 100)
    target = rendering()
    for first in range(0, COUNT, 100):
        watermark = 1001 * SECOND + (first + 100) * 1000
        target.receive_data(hundred(first, kind, watermark, **more))
    assert grown() < ROOM  # type: ignore[operator]
    target.finish()


def test_prefixes_of_threads_without_number_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "MAX_PREFIXES", 100)
    prefixes = stamps.Prefixes(stamps.stamp("unix", 0), 0)
    for tid in range(1000):
        assert prefixes.text(5 * SECOND, tid) == f"{tid:<5} 5.000000 "
        assert len(prefixes) <= 100


def test_calls_that_never_end_are_not_kept(monkeypatch: pytest.MonkeyPatch, grown: object) -> None:
    monkeypatch.setattr(timeline, "MAX_OPEN", 100)
    target = rendering()
    for first in range(0, COUNT, 100):
        whole = b"".join(head(first + n, tid=first + n) for n in range(100))
        endless = bytearray(whole)
        for at in range(8, len(endless), 88):
            endless[at : at + 8] = (1 << 62).to_bytes(8, "little")
        watermark = 1001 * SECOND + first * 1000
        target.receive_data(encode(Batch(0, first, watermark, bytes(endless), b""), 3 + first))
    assert grown() < ROOM  # type: ignore[operator]
    target.finish()


def test_processes_without_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatherer.storage.logs.MAX_PROCESSES", 50)
    monkeypatch.setattr(process_table, "MAX_PROCESSES", 50)
    pipeline = Pipeline()
    pipeline.receive_data(b"".join(stream(HELLO)))
    with pytest.raises(StreamError, match="declares more than 50 processes"):
        pipeline.receive_data(
            b"".join(stream(*(process(n, 100 + n) for n in range(1, 60)), start=2))
        )
    same = Pipeline()
    same.receive_data(b"".join(stream(HELLO)))
    with pytest.raises(StreamError):
        same.receive_data(b"".join(stream(*(process(n) for n in range(1, 60)), start=2)))


def test_command_lines_share_their_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_table, "MAX_CMDLINES", 10_000)
    pipeline = Pipeline()
    pipeline.recorder.document.processes._room = 10_000
    pipeline.receive_data(b"".join(stream(HELLO)))
    many = [
        TracedProcess(n, n, 1, 0, "c" * 1000, ["x" * 4000, "y" * 4000], 0) for n in range(1, 30)
    ]
    pipeline.receive_data(b"".join(stream(*many, start=2)))
    kept = pipeline.recorder.document.processes.entries.values()
    assert sum(len(word) for entry in kept for word in entry.cmdline) <= 10_000
    assert max(len(entry.command) for entry in kept) == 64


def test_contradictions_are_counted_and_not_collected() -> None:
    pipeline = Pipeline()
    lies = [goodbye(5, frames=1000 + n) for n in range(200)]
    totals = [{"ordinal": "x"}] * 5000
    pipeline.receive_data(b"".join(stream(HELLO, process(), *lies)))
    pipeline.receive_data(b"".join(stream(replace(goodbye(5), processes=totals), start=203)))
    assert len(pipeline.recorder.document.instance.discrepancies) == 20
    pipeline.finish()
    notes = pipeline.recorder.document.discrepancies
    assert len(notes) < 50
    assert any("more contradictions" in note for note in notes)


def test_events_take_no_memory(grown: object) -> None:
    pipeline = Pipeline()
    pipeline.receive_data(b"".join(stream(HELLO)))
    for seq in range(2, 100):
        big = event("x" * 1000, None, text="y" * 50_000)
        pipeline.receive_data(b"".join(stream(big, start=seq)))
    assert grown() < 4 * MIB  # type: ignore[operator]


def test_a_small_frame_may_not_become_a_big_one() -> None:
    pipeline = Pipeline()
    bomb = Frame(FrameType.EVENT, 2, zlib.compress(bytes(8 * MIB), 9), framing.FLAG_ZLIB)
    pipeline.receive_data(b"".join(stream(HELLO)) + bomb.encode())
    assert "decompresses to more than" in pipeline.receiver.damage.named[0]


def test_the_name_of_the_directory_does_not_matter() -> None:
    assert not Path("nowhere").exists(), "the pipeline of these tests writes nothing"
