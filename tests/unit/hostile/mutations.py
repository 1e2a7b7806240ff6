"""Frames and exec messages that lie, made from honest ones by a seeded generator."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from gatherer.kube.exec.channels import ERROR, STDERR, STDOUT
from hg_shared.batch import BATCH, COLUMNS, ROWS, SLOT_COLUMNS, SLOTS, Batch, SlotBatch
from hg_shared.framing import FLAG_ZLIB, HEADER, Frame, FrameType
from hg_shared.message_codec import encode_message
from hg_shared.messages import FdTable, Heartbeat
from hg_shared.records import HEAD, HEAD_SIZE, Kind, encode_capture
from hg_shared.wire import encode
from tests.unit.gatherer.scripted import (
    HELLO,
    REALTIME,
    SECOND,
    event,
    goodbye,
    head,
    process,
    sample,
)

EDGES = (0, 1, -1, 2**15, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 10**30)
TEXTS = (
    "",
    "\0",
    "\x1b[2J",
    "../../x",
    "\u202e",
    "\ud800",
    "x" * 5000,
    "\n+++ LOST 1 record +++\n",
)


def values(random: Random, depth: int = 0) -> Any:
    """Returns a JSON value that no honest peer would send there."""
    kind = random.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return random.choice(EDGES)
    if kind == 1:
        return random.choice(TEXTS)
    if kind == 2:
        return random.choice((None, True, False))
    if kind == 3:
        return random.choice((1e308, -1e308, 5e-324, 0.1))
    if kind == 4:
        return random.getrandbits(random.choice((8, 64, 3000)))
    if kind == 5:
        return -random.getrandbits(90)
    if kind == 6:
        return [values(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 7:
        return {random.choice(TEXTS): values(random, depth + 1) for _ in range(random.randrange(4))}
    deep: Any = 0
    for _ in range(random.choice((3, 40, 200))):
        deep = [deep]
    return deep


def records(random: Random, count: int) -> tuple[bytes, bytes]:
    """Returns heads and captures, some of them with random fields."""
    heads, captures = [], []
    for index in range(count):
        if random.random() < 0.5:
            heads.append(head(index, random.choice((1, 1, 2, 99)), kind=random.choice(list(Kind))))
            captures.append(b"")
            continue
        data = encode_capture(random.randrange(6), random.randrange(9), random.randbytes(9), 9)
        data = random.choice((b"", data, random.randbytes(20)))
        start = random.choice((1001 * SECOND + index, random.getrandbits(64), 0))
        heads.append(
            HEAD.pack(
                start, random.choice((500, random.getrandbits(63))), random.getrandbits(62),
                *(random.getrandbits(64) for _ in range(6)), random.getrandbits(32),
                random.choice((1, random.getrandbits(32))), random.getrandbits(16),
                random.choice((0, 1, 2, random.getrandbits(8))), random.getrandbits(8), len(data),
            )
        )  # fmt: skip
        captures.append(data)
    return b"".join(heads), b"".join(captures)


def batch_payload(random: Random, firsts: dict[int, int]) -> bytes:
    """Returns the payload of a RECORDS frame whose header may lie.

    Args:
        random: where its choices come from.
        firsts: where the sequence of each source goes on.
    """
    heads, captures = records(random, random.randrange(6))
    source = random.choice((0, 0, 1, 255))
    first = firsts.get(source, 0)
    firsts[source] = first + len(heads) // HEAD_SIZE
    if random.random() < 0.02:
        first = random.choice((0, first + random.randrange(100), random.getrandbits(64)))
    watermark = random.choice((1002 * SECOND, 0, 1001 * SECOND + random.randrange(10**6)))
    if random.random() < 0.01:
        watermark = random.getrandbits(64)
    if random.random() < 0.3:
        stride = 8 + HEAD_SIZE + 24
        lengths = [struct.pack("<I", random.choice((0, 24, 99))) for _ in range(len(heads))]
        area = b"".join(
            bytes(8) + heads[at : at + HEAD_SIZE - 4] + lengths[at] + bytes(24)
            for at in range(0, len(heads), HEAD_SIZE)
        )
        slots = SlotBatch(source, first, watermark, stride, area)
        # An honest hunter writes no times beyond 63 bits as differences, a liar any bytes.
        payload = slots.encode(SLOTS)
        if random.random() < 0.5:
            payload = bytes([SLOT_COLUMNS]) + payload[1 : -8 * slots.count or None]
    else:
        batch = Batch(source, first, watermark, heads, captures)
        payload = batch.encode(random.choice((ROWS, COLUMNS)))
    if random.random() < 0.1:
        lie = BATCH.pack(
            random.getrandbits(8), source, random.getrandbits(16), random.getrandbits(32), first,
            watermark,
        )  # fmt: skip
        payload = lie + payload[BATCH.size :]
    return payload


MESSAGES: tuple[tuple[int, Callable[[], Any]], ...] = (
    (FrameType.PROCESS, process),
    (FrameType.EVENT, lambda: event("exit", code=0)),
    (FrameType.EVENT, lambda: event("scan", rss_bytes=5, of_bytes=7, percent=1.5, source="x")),
    (FrameType.SAMPLE, lambda: sample(4711, rss_bytes=3)),
    (FrameType.SAMPLE, lambda: sample(None, usage_bytes=3, limit_bytes=9, oom_kills=0)),
    (FrameType.FD_TABLE, lambda: FdTable(1001 * SECOND, 1, {"0": "/dev/null"})),
    (FrameType.HEARTBEAT, lambda: Heartbeat(1002 * SECOND, REALTIME, 3, 0, 0, 0.1, 1 << 20)),
    (FrameType.GOODBYE, lambda: goodbye(3, frames=9)),
    (FrameType.HELLO, lambda: HELLO),
)


def message_payload(random: Random) -> tuple[int, bytes]:
    """Returns the type and the payload of a message of which some fields lie."""
    kind, make = random.choice(MESSAGES)
    document = json.loads(encode_message(make()))
    for _ in range(random.randrange(3)):
        name = random.choice(list(document))
        if name == "protocol":
            continue
        if random.random() < 0.2:
            del document[name]
        else:
            document[name] = values(random)
        if not document:
            break
    if kind == FrameType.GOODBYE and random.random() < 0.3:
        document["processes"] = [
            {key: values(random) for key in ("ordinal", "seen", "lost", "end_reason")}
            for _ in range(random.randrange(5))
        ]
    text = json.dumps(document)
    if random.random() < 0.02:
        lie = random.choice(("[" * 100_000, "9" * 5000, "NaN", "1e999", '"' + "x" * 100_000 + '"'))
        text = text.replace("0", lie, 1)
    return kind, text.encode()


class Mutator:
    """Makes frames that lie.

    Args:
        random: where its choices come from.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._seq = 2
        self._former: list[bytes] = []
        self._firsts: dict[int, int] = {}

    def beginning(self) -> bytes:
        """Returns an honest beginning, without which nothing else counts."""
        return encode(HELLO, 1) + encode(process(), 2)

    def frame(self) -> bytes:
        """Returns the next frame; now and then one that is honest."""
        random = self._random
        data = self._whole()
        if random.random() < 0.2:
            data = self._damaged(data)
        if len(self._former) < 50:
            self._former.append(data)
        return data

    def _whole(self) -> bytes:
        random = self._random
        if self._former and random.random() < 0.1:
            return random.choice(self._former)
        if random.random() < 0.5:
            kind, payload = FrameType.RECORDS, batch_payload(random, self._firsts)
        else:
            kind, payload = message_payload(random)
        flags = 0
        if random.random() < 0.3:
            payload, flags = zlib.compress(payload, 1), FLAG_ZLIB
        if random.random() < 0.05:
            kind = random.getrandbits(8)
        if random.random() < 0.05:
            flags = random.getrandbits(8)
        if random.random() < 0.02:
            payload, flags = zlib.compress(bytes(random.choice((1 << 20, 5 << 20))), 1), FLAG_ZLIB
        return Frame(kind, self._next_seq(kind), payload, flags).encode()

    def _next_seq(self, kind: int) -> int:
        random = self._random
        if kind == FrameType.HEARTBEAT or random.random() < 0.05:
            return 0
        if random.random() < 0.05:
            return random.choice((1, self._seq - 1, random.getrandbits(64) | 1 << 40))
        self._seq += 1 if random.random() < 0.95 else random.randrange(1 << 10)
        return self._seq

    def _damaged(self, data: bytes) -> bytes:
        random = self._random
        kind = random.randrange(5) if data else 4
        if kind == 0:
            at = random.randrange(len(data))
            return data[:at] + bytes([random.getrandbits(8)]) + data[at + 1 :]
        if kind == 1:
            return data[: random.randrange(len(data))]
        if kind == 2:
            length = random.choice((0, 3, 1 << 20, (4 << 20) + 1, 2**32 - 1))
            lie = HEADER.pack(b"HG", random.getrandbits(8), 0, length, random.getrandbits(64))
            return lie + data[HEADER.size :]
        if kind == 3:
            return data[random.randrange(len(data)) :]
        return random.randbytes(random.randrange(60))


def exec_message(random: Random, data: bytes) -> bytes:
    """Returns an exec message that carries stream bytes, or one that lies."""
    if random.random() > 0.004:
        return bytes([STDOUT]) + data
    kind = random.randrange(6)
    if kind == 0:
        return b""
    if kind == 1:
        return bytes([STDERR]) + random.randbytes(30)
    if kind == 2:
        return bytes([ERROR]) + json.dumps(values(random)).encode()
    if kind == 3:
        cause = {"reason": "ExitCode", "message": values(random)}
        status = {"status": values(random), "reason": "NonZeroExitCode",
                  "details": {"causes": [cause, values(random)]}, "code": values(random),
                  "message": values(random)}  # fmt: skip
        return bytes([ERROR]) + json.dumps(status).encode()
    if kind == 4:
        return bytes([255, random.getrandbits(8)])
    return random.randbytes(random.randrange(1, 20))
