"""Batches of records with a right checksum and something wrong inside: said, where, exit code 4."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.commands.render import Printer, run_render
from gatherer.config import LinesConfig
from gatherer.rendering.pipeline import Rendering, lines_factory
from hg_shared.batch import BATCH, COLUMNS, ROWS, SLOT_COLUMNS, SLOTS, Batch, SlotBatch
from hg_shared.framing import FLAG_ZLIB, Frame, FrameType
from hg_shared.records import HEAD_SIZE
from tests.unit.gatherer.scripted import (
    HELLO,
    SECOND,
    ScriptedRuntime,
    batch,
    goodbye,
    head,
    process,
    session,
    stream,
)

MIB = 1 << 20
MARK = 1001 * SECOND


def payload(
    count: int = 2, first: int = 2, body: bytes | None = None, encoding: int = ROWS
) -> bytes:
    """Returns a batch that follows one of two records; what it says need not be what it holds."""
    heads = head(2) + head(3) if body is None else body
    return BATCH.pack(encoding, 0, 0, count, first, MARK) + heads


def slots(stride: int = 96, count: int = 2) -> bytes:
    area = b"".join(bytes(8) + head(n) for n in (2, 3))
    return payload(count, 2, struct.pack("<I", stride) + area, SLOTS)


def with_byte(offset: int, value: int) -> bytes:
    changed = bytearray(payload())
    changed[BATCH.size + offset] = value
    return bytes(changed)


def with_length(length: int) -> bytes:
    return payload(body=head(2) + head(3)[:84] + struct.pack("<I", length))


def inflated(mebibytes: int) -> Frame:
    """Returns a frame of few bytes that inflates to many."""
    packer = zlib.compressobj(9)
    begin = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block stands for itself, as often as it comes.
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return Frame(FrameType.RECORDS, 4, begin + block * mebibytes, FLAG_ZLIB)


CASES = {
    "empty": (b"", "a batch of 0 bytes has no header"),
    "a bomb": (inflated(400), "decompresses to more than 4194304 bytes"),
    "half a zlib stream": (
        Frame(FrameType.RECORDS, 4, zlib.compress(bytes(999))[:-3], FLAG_ZLIB),
        "its zlib stream is not whole",
    ),
    "no zlib stream": (Frame(FrameType.RECORDS, 4, b"plain", FLAG_ZLIB), "incorrect header check"),
    "count": (payload(2**32 - 1), "a batch says 4294967295 records"),
    "count of columns": (payload(2**32 - 1, encoding=COLUMNS), "a batch says 4294967295 records"),
    "count of slots": (slots(count=2**32 - 1), "4294967295 slots of 96 bytes announced"),
    "one less than it holds": (payload(1), "captures of 0 bytes announced, 88 there"),
    "slots of nothing": (slots(0), "a batch has slots of 0 bytes"),
    "slots too small": (slots(88), "a batch has slots of 88 bytes"),
    "slots too large": (slots(2**32 - 8), "2 slots of 4294967288 bytes announced"),
    "no slot size": (payload(0, body=b"", encoding=SLOTS), "does not say the size of its slots"),
    "capture": (with_length(2**32 - 1), "captures of 4294967295 bytes announced, 0 there"),
    "encoding": (payload(encoding=9), "a batch has the unknown encoding 9"),
    "undeclared": (with_byte(76, 99), "1 record of processes that hunter never declared"),
    "kind": (with_byte(82, 250), "1 record of the unknown kind 250"),
    "abi": (with_byte(83, 77), "1 record of the unknown ABI 77"),
    "number": (payload(first=2**64 - 2), "a batch begins with record 18446744073709551614"),
}  # fmt: skip


def frames(broken: bytes | Frame) -> list[bytes]:
    """Returns a stream whose second of three batches, frame 4, is broken."""
    frame = broken if isinstance(broken, Frame) else Frame(FrameType.RECORDS, 4, broken)
    start = stream(HELLO, process(), batch(0, 2))
    return [*start, frame.encode(), *stream(batch(4, 2), goodbye(6), start=5)]


@pytest.mark.parametrize("name", CASES)
def test_render_says_what_is_damaged_and_prints_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    broken, words = CASES[name]
    path = tmp_path / "records.hgs"
    path.write_bytes(b"".join(frames(broken)))
    out = io.BytesIO()
    tracemalloc.start()
    code = run_render(path, {}, None, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = capsys.readouterr().err
    assert code == 4
    assert said.startswith(f"gatherer: {path} is damaged in 1 place")
    assert "first: frame 4" in said
    assert words in said
    assert said.count("\n") == 1
    calls = [line for line in out.getvalue().splitlines() if b"getpid" in line]
    assert len(calls) >= 4
    assert peak < 40 * MIB


@pytest.mark.parametrize("name", CASES)
async def test_a_capture_says_it_too(tmp_path: Path, name: str) -> None:
    broken, words = CASES[name]
    summary = await session(tmp_path, ScriptedRuntime(frames(broken))).run()
    assert (summary.exit_code, summary.complete) == (4, False)
    [damage] = [note for note in summary.notes if "damaged" in note]
    assert damage.startswith("the stream was damaged in 1 place, first: frame 4")
    assert words in damage
    assert summary.seen == summary.received + summary.lost


def test_a_whole_stream_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "records.hgs"
    for good in (payload(), slots(), payload(encoding=COLUMNS, body=b"".join(
        (head(2) + head(3))[column::HEAD_SIZE] for column in range(HEAD_SIZE)
    ))):  # fmt: skip
        path.write_bytes(b"".join(frames(good)))
        out = io.BytesIO()
        assert run_render(path, {}, None, out) == 0
        assert capsys.readouterr().err == ""
        assert out.getvalue().count(b"getpid") == 6


def test_missing_records_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "records.hgs"
    path.write_bytes(b"".join(stream(HELLO, process(), batch(0, 2), batch(3, 2), goodbye(5))))
    assert run_render(path, {}, None, io.BytesIO()) == 4
    assert capsys.readouterr().err == f"gatherer: {path} lacks 1 record\n"
    gap = stream(HELLO, process(), batch(0, 2), batch(2, 2), batch(4, 2), goodbye(6))
    path.write_bytes(b"".join(gap[:3] + gap[4:]))
    assert run_render(path, {}, None, io.BytesIO()) == 4
    assert capsys.readouterr().err == f"gatherer: {path} lacks 1 frame and 2 records\n"


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Makes a batch of any encoding of which some bytes are others, more, or missing."""
    heads = [head(n, draw(st.sampled_from((1, 1, 1, 7)))) for n in range(2, 6)]
    encoding = draw(st.sampled_from((ROWS, COLUMNS, SLOTS, SLOT_COLUMNS)))
    if encoding in (ROWS, COLUMNS):
        data = Batch(0, 2, MARK, b"".join(heads), b"").encode(encoding)
    else:
        area = b"".join(bytes(8) + one for one in heads)
        data = SlotBatch(0, 2, MARK, 96, area).encode(encoding)
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(changed) - 1) if changed else st.just(0))
        what = draw(st.integers(0, 2))
        if what == 0 and changed:
            changed[at] = draw(st.integers(0, 255))
        elif what == 1:
            changed[at:at] = draw(st.binary(max_size=9))
        else:
            del changed[at : at + draw(st.integers(1, 200))]
    return bytes(changed)


@given(data=mutated(), packed=st.booleans())
def test_whatever_is_in_a_batch_the_books_are_right(data: bytes, packed: bool) -> None:
    frame = Frame(FrameType.RECORDS, 4, data)
    if packed:
        frame = Frame(FrameType.RECORDS, 4, zlib.compress(data), FLAG_ZLIB)
    rendering = Rendering(Printer(io.BytesIO()), lines_factory(LinesConfig()), MIB)
    tail = stream(batch(6, 2), goodbye(8), start=5)
    rendering.receive_data(b"".join(stream(HELLO, process(), batch(0, 2))))
    rendering.receive_data(frame.encode() + b"".join(tail))
    rendering.finish()
    accounts, books = rendering.accounts, rendering.reconciliation()
    assert books.seen == books.received + books.lost
    # Everything that was sent is in the log, or it is said that something is not.
    sound = not accounts.damage.places and not books.discrepancies and not books.transit
    assert sound == (accounts.processes[1].received == 8 and not accounts.damage.places)
