"""The examples of docs/wire-format.md are what the code reads and writes."""

import re
from pathlib import Path

from hg_shared import wire
from hg_shared.batch import SLOTS, Batch, SlotBatch
from hg_shared.framing import FrameDecoder
from hg_shared.messages import Ack, Event
from hg_shared.records import Kind
from tests.captures import Capture, decode_captures

DOCUMENT = Path(__file__).parents[3] / "docs" / "wire-format.md"


def examples():
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"```hex\n(.*?)```", text, re.DOTALL)
    return [bytes.fromhex("".join(block.split())) for block in blocks]


def decode(data):
    decoder = FrameDecoder()
    decoder.receive_data(data)
    decoder.receive_eof()
    assert decoder.errors == []
    (frame,) = decoder.frames_received()
    return frame.seq, wire.decode(frame)


def test_acknowledgement():
    data = examples()[0]
    assert decode(data) == (0, Ack(7))
    assert wire.encode(Ack(7)) == data


def test_event():
    data = examples()[1]
    assert decode(data) == (3, Event(5, "attach", 4711, {"threads": 2}))


def test_batch():
    data = examples()[2]
    seq, batch = decode(data)
    assert seq == 2
    assert isinstance(batch, Batch)
    (record,) = batch.records()
    assert (record.tid, record.process, record.nr, record.kind) == (4711, 1, 257, Kind.SYSCALL)
    assert (record.start, record.duration, record.rval) == (1_000_000_000, 15_329, 4)
    assert record.args[2] == 0o2000000
    assert decode_captures(record.captures) == [Capture(1, 0, False, 11, b"/etc/passwd")]
    assert batch.encode() == data[20:]


def test_slots():
    rows = decode(examples()[2])[1]
    assert decode(examples()[3])[1] == rows
    slot = examples()[3][20 + 28 :]
    made = SlotBatch(0, 0, rows.watermark, len(slot), slot)
    assert made.encode(SLOTS) == examples()[3][20:]
