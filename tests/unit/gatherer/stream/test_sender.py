from __future__ import annotations

import asyncio

from gatherer.errors import ExecError
from gatherer.stream.sender import ACK_FRAMES, Transmission
from hg_shared.framing import FrameDecoder
from hg_shared.messages import Ack, Ping, Stop
from hg_shared.wire import Content, decode


class Recorder:
    """Keeps what it is sent, and tells."""

    inject = python = explanation = container = ""

    def __init__(self, breaks: bool = False) -> None:
        self.sent: list[Content] = []
        self.arrived = asyncio.Event()
        self._decoder = FrameDecoder()
        self._breaks = breaks

    async def send(self, data: bytes) -> None:
        if self._breaks:
            raise ExecError("broken")
        self._decoder.receive_data(data)
        for frame in self._decoder.frames_received():
            content = decode(frame)
            assert content is not None
            self.sent.append(content)
        self.arrived.set()


async def until(recorder: Recorder, count: int) -> None:
    while len(recorder.sent) < count:
        recorder.arrived.clear()
        await recorder.arrived.wait()


async def run(transmission: Transmission, recorder: Recorder, count: int) -> list[Content]:
    task = asyncio.ensure_future(transmission.run(recorder))  # type: ignore[arg-type]
    await asyncio.wait_for(until(recorder, count), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return recorder.sent


async def test_acknowledgements_share_a_frame() -> None:
    transmission = Transmission(10.0)
    for seq in range(1, 31):
        transmission.durable(seq)
    assert await run(transmission, Recorder(), 1) == [Ack(30)]


async def test_many_frames_are_acknowledged_without_waiting() -> None:
    transmission = Transmission(10.0)
    transmission.durable(ACK_FRAMES)
    assert transmission._at_once.is_set()
    assert await run(transmission, Recorder(), 1) == [Ack(ACK_FRAMES)]


async def test_an_acknowledgement_never_goes_back() -> None:
    transmission = Transmission(10.0)
    transmission.durable(9)
    transmission.durable(4, at_once=True)
    assert await run(transmission, Recorder(), 1) == [Ack(9)]


async def test_stop_goes_out_once_with_what_is_durable() -> None:
    transmission = Transmission(10.0)
    transmission.durable(3)
    transmission.stop("interrupted")
    assert await run(transmission, Recorder(), 2) == [Ack(3), Stop("interrupted")]


async def test_signs_of_life_come_more_often_than_hunter_lingers() -> None:
    sent = await run(Transmission(0.03), Recorder(), 3)
    assert all(isinstance(content, Ping) for content in sent)


async def test_a_broken_channel_ends_it_quietly() -> None:
    transmission = Transmission(10.0)
    transmission.stop("duration")
    await asyncio.wait_for(transmission.run(Recorder(breaks=True)), 10)  # type: ignore[arg-type]
