from __future__ import annotations

from gatherer.stream.sender import ACK_BYTES, ACK_FRAMES, Sender
from gatherer.timeouts import Timeouts
from hg_shared.framing import FrameDecoder
from hg_shared.messages import Ack, Ping, Stop
from hg_shared.wire import Content, decode

TIMEOUTS = Timeouts(ack=0.05, ping=5.0)


def sender(linger: float = 100.0) -> Sender:
    made = Sender(linger, TIMEOUTS)
    made.connected(0.0)
    return made


def sent(sender: Sender, now: float) -> list[Content | None]:
    decoder = FrameDecoder()
    decoder.receive_data(sender.data_to_send(now))
    return [decode(frame) for frame in decoder.frames_received()]


def test_acknowledgements_share_a_frame() -> None:
    tested = sender()
    for seq in range(1, 31):
        tested.durable(seq, 1, 1.0 + seq / 1000)
    assert tested.next_deadline() == 1.001 + TIMEOUTS.ack
    assert sent(tested, 1.04) == []
    assert sent(tested, 1.051) == [Ack(30)]
    assert sent(tested, 1.2) == []


def test_many_frames_or_bytes_are_acknowledged_without_waiting() -> None:
    tested = sender()
    tested.durable(ACK_FRAMES - 1, 1, 1.0)
    assert sent(tested, 1.0) == []
    tested.durable(ACK_FRAMES, 1, 1.0)
    assert sent(tested, 1.0) == [Ack(ACK_FRAMES)]
    tested.durable(ACK_FRAMES + 1, ACK_BYTES - 1, 2.0)
    assert sent(tested, 2.0) == []
    tested.durable(ACK_FRAMES + 2, 1, 2.0)
    assert sent(tested, 2.0) == [Ack(ACK_FRAMES + 2)]
    tested.durable(ACK_FRAMES + 3, ACK_BYTES - 1, 3.0)
    assert sent(tested, 3.0) == [], "bytes that were acknowledged do not count again"


def test_an_acknowledgement_never_goes_back() -> None:
    tested = sender()
    tested.durable(9, 1, 1.0)
    tested.durable(4, 1, 1.0, at_once=True)
    assert sent(tested, 1.0) == [Ack(9)]
    tested.durable(4, 1, 1.0, at_once=True)
    assert sent(tested, 2.0) == []


def test_stop_goes_out_once_with_what_is_durable() -> None:
    tested = sender()
    tested.durable(3, 1, 1.0)
    tested.stop("interrupted")
    assert tested.next_deadline() < 1.0
    assert sent(tested, 1.0) == [Ack(3), Stop("interrupted")]
    assert sent(tested, 2.0) == []


def test_another_channel_is_told_again() -> None:
    tested = sender()
    tested.durable(3, 1, 1.0)
    tested.stop("duration")
    assert sent(tested, 1.0) == [Ack(3), Stop("duration")]
    tested.connected(2.0)
    assert sent(tested, 2.0) == [Ack(3), Stop("duration")]


def test_signs_of_life_come_more_often_than_hunter_lingers() -> None:
    tested = sender(linger=10.0)
    assert tested.next_deadline() == 2.0
    assert sent(tested, 1.9) == []
    assert sent(tested, 2.0) == [Ping(2_000_000_000)]
    assert tested.next_deadline() == 4.0
    assert sender().next_deadline() == TIMEOUTS.ping
