"""A million frames and exec messages that lie: nothing crashes or hangs, seen = received + lost.

The whole million is tried with HYPOTHESIS_PROFILE=soak, a sample otherwise.
"""

from __future__ import annotations

import contextlib
import os
from random import Random

import pytest

from hg_shared.errors import WireError
from hg_shared.framing import FrameDecoder
from hg_shared.messages import Ack, Ping, Stop
from hg_shared.wire import decode, encode
from tests.unit.hostile.mutations import Mutator, exec_message
from tests.unit.hostile.pipeline import Pipeline

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
FRAMES = 100
"""Frames of one stream, and about as many exec messages."""
STREAMS = 5000 if SOAK else 20
PARTS = 20 if SOAK else 2
MAX_MESSAGE = 1 << 16


@pytest.mark.parametrize("part", range(PARTS))
def test_frames_and_exec_messages_that_lie(part: int) -> None:
    for seed in range(part, STREAMS, PARTS):
        random = Random(seed)
        mutator = Mutator(random)
        pipeline = Pipeline()
        data = mutator.beginning() + b"".join(mutator.frame() for _ in range(FRAMES))
        at = 0
        size = 1 + 2 * len(data) // FRAMES
        while at < len(data):
            end = at + random.randrange(1, size)
            pipeline.receive_message(exec_message(random, data[at:end]))
            at = end
        if pipeline.failed is None:
            pipeline.finish()


@pytest.mark.parametrize("part", range(PARTS))
def test_what_hunter_hears_may_lie_too(part: int) -> None:
    honest = [encode(Ack(7)), encode(Ping(5)), encode(Stop("interrupted"))]
    for seed in range(part, STREAMS, PARTS):
        random = Random(seed)
        decoder = FrameDecoder(MAX_MESSAGE)
        mutator = Mutator(random)
        for _ in range(FRAMES):
            frame = random.choice((*honest, mutator.frame()))
            at = random.randrange(len(frame) + 1)
            for part_of_it in (frame[:at], frame[at:]):
                decoder.receive_data(part_of_it)
                decoder.errors.clear()
                for found in decoder.frames_received():
                    with contextlib.suppress(WireError):
                        decode(found)
        assert len(decoder._buffer) <= MAX_MESSAGE + 64
