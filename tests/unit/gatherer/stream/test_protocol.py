"""The stream's state machine, driven with bytes and a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.errors import DeployError, StreamError
from gatherer.stream.events import (
    Disconnected,
    FramesReceived,
    Heard,
    Quiet,
    Reconnected,
    StreamEvent,
)
from gatherer.stream.protocol import StreamProtocol
from gatherer.stream.states import TRANSITIONS, State, Trigger
from gatherer.target.values import Exit
from gatherer.timeouts import Timeouts
from hg_shared.framing import Frame, FrameDecoder, FrameType
from hg_shared.messages import (
    Ack,
    Joined,
    RejoinChallenge,
    RejoinHello,
    RejoinResponse,
    SessionKey,
    Stop,
)
from hg_shared.wire import Content, decode, encode
from hunter.stream.rejoin import RejoinHandshake
from tests.unit.gatherer.scripted import HELLO, batch, goodbye, process, stream

KEY = SessionKey("5e" * 16, "73" * 32)
TIMEOUTS = Timeouts()
LINGER = 10.0
SILENCE = 4.2
FRAMES = stream(HELLO, process(), *(batch(10 * n, 10) for n in range(8)), goodbye(80))
BROKEN = Exit(None, "the connection broke")


class Peer:
    """A protocol with a clock, and hunter's half of the handshake."""

    def __init__(self, timeouts: Timeouts = TIMEOUTS, linger: float = LINGER) -> None:
        self.now = 100.0
        self.protocol = StreamProtocol(linger, timeouts, 1 << 20, KEY, lambda: 1.0)
        self.events: list[StreamEvent] = []
        self.sent: list[Content | None] = []
        self.seqs: list[int] = []
        self._decoder = FrameDecoder()

    def start(self, *frames: bytes, outlives: bool = False) -> Peer:
        self.protocol.started(self.now, outlives)
        return self.receive(*frames)

    def receive(self, *chunks: bytes) -> Peer:
        for chunk in chunks:
            self.protocol.receive_data(chunk, self.now)
            self.step()
        return self

    def step(self) -> None:
        """Does what the asyncio side does."""
        for event in self.protocol.events_received():
            self.events.append(event)
            if isinstance(event, FramesReceived):
                self.seqs += [arrival.frame.seq for arrival in event.arrivals]
                self.protocol.durable(event, self.now)
        self._decoder.receive_data(self.protocol.data_to_send(self.now))
        self.sent += map(decode, self._decoder.frames_received())

    def until(self, when: float) -> None:
        """Lets the time pass, from deadline to deadline."""
        for _ in range(10_000):
            deadline = self.protocol.next_deadline()
            if deadline > when or self.protocol.exit is not None:
                break
            self.now = max(self.now, deadline)
            self.protocol.handle_timeout(self.now)
            self.step()
        else:
            pytest.fail("deadlines that are passed without effect")
        self.now = when

    def after(self, seconds: float) -> Peer:
        self.until(self.now + seconds)
        return self

    def lose(self, ended: Exit = BROKEN) -> Peer:
        self.protocol.receive_eof(self.now)
        self.protocol.channel_ended(ended, self.now)
        return self.after(0.0)

    def join(self, frames: Iterable[bytes], cut: int = 1 << 20) -> int:
        """Answers an attempt, and sends frames together with the last answer.

        Returns:
            The last sequence number that gatherer says it has.
        """
        assert self.protocol.state is State.REJOINING
        joiner = RejoinHandshake(KEY.session, bytes.fromhex(KEY.secret), "0a" * 16)
        self.protocol.channel_opened()
        self.sent.clear()
        self.step()
        [hello] = self.sent
        assert isinstance(hello, RejoinHello)
        challenge = joiner.receive(hello)
        assert isinstance(challenge, RejoinChallenge)
        self._in_pieces(encode(challenge), cut)
        join = self.sent[-1]
        assert isinstance(join, RejoinResponse)
        assert joiner.proves(join)
        self._in_pieces(encode(Joined(join.seq + 1)) + b"".join(frames), cut)
        return join.seq

    def _in_pieces(self, data: bytes, cut: int) -> None:
        self.receive(*(data[n : n + cut] for n in range(0, len(data), cut)))

    def of(self, kind: type) -> list[StreamEvent]:
        return [event for event in self.events if isinstance(event, kind)]


def test_every_state_can_end_and_only_the_last_one_leads_nowhere() -> None:
    assert set(TRANSITIONS) == set(State)
    for state, triggers in TRANSITIONS.items():
        assert (Trigger.END in triggers) == (state is not State.CLOSED)
        assert set(triggers.values()) <= set(State) - {state}
    assert TRANSITIONS[State.CLOSED] == {}


def test_a_whole_stream() -> None:
    peer = Peer().start()
    assert peer.protocol.state is State.CONNECTING
    peer.step()
    assert peer.sent == [KEY]
    peer.receive(FRAMES[0])
    assert peer.protocol.state is State.OPEN
    peer.receive(*FRAMES[1:])
    assert peer.protocol.goodbye
    assert peer.sent[-1] == Ack(len(FRAMES)), "a Goodbye is acknowledged without waiting"
    peer.lose(Exit(0))
    assert (peer.protocol.state, peer.protocol.exit) == (State.CLOSED, Exit(0))
    assert peer.protocol.next_deadline() == float("inf")


def test_the_stream_goes_on_over_another_channel() -> None:
    peer = Peer().start(*FRAMES[:4], FRAMES[4][:30]).lose()
    assert peer.events[-1] == Disconnected("the connection broke")
    assert (peer.protocol.state, peer.protocol.attempts) == (State.REJOINING, 1)
    peer.protocol.attempt_failed("no route", peer.now)
    assert peer.protocol.state is State.LOST
    assert peer.protocol.next_deadline() == pytest.approx(peer.now + TIMEOUTS.first_backoff)
    peer.after(TIMEOUTS.first_backoff)
    assert peer.join(FRAMES[4:]) == 4
    assert peer.seqs == list(range(1, len(FRAMES) + 1))
    assert peer.events[-1] == Reconnected(
        "the connection broke", pytest.approx(TIMEOUTS.first_backoff), attempts=2, missing=0
    )
    assert (peer.protocol.attempts, peer.protocol.ended_at) == (0, 0.0)


@pytest.mark.parametrize("code", [0, 137, 255])
def test_an_exec_that_may_have_ended_alone_is_told_after_a_while(code: int) -> None:
    peer = Peer().start(*FRAMES[:4]).lose(Exit(code, certain=False))
    assert peer.protocol.state is State.REJOINING
    assert peer.of(Disconnected) == []
    peer.after(TIMEOUTS.uncertain)
    assert peer.of(Disconnected) == [Disconnected(f"its exec ended with exit code {code}")]


def test_a_hunter_that_is_silent_is_lost_and_its_channel_may_still_tell() -> None:
    peer = Peer().start(*FRAMES[:3]).after(SILENCE - 0.01)
    assert peer.protocol.state is State.OPEN
    peer.after(0.02)
    assert peer.protocol.former_open
    assert peer.of(Disconnected) == [Disconnected("hunter was silent for 4.2 s")]
    peer.protocol.hunter_gone("nobody listens", peer.now)
    peer.after(TIMEOUTS.final_message - 0.1)
    assert peer.protocol.exit is None
    held = Exit(1, stderr="hunter: stuck: it held its target\n")
    peer.protocol.former_ended(held, peer.now)
    assert peer.after(0.0).protocol.exit is held


def test_a_former_channel_that_tells_nothing_is_not_waited_for() -> None:
    peer = Peer().start(*FRAMES[:3]).after(SILENCE + 0.01)
    peer.protocol.hunter_gone("nobody listens", peer.now)
    peer.protocol.former_ended(Exit(None, "it broke"), peer.now)
    ended = peer.after(0.0).protocol.exit
    assert ended is not None
    assert ended.message == "hunter was silent for 4.2 s; nobody listens"
    assert ended.silent == pytest.approx(SILENCE, abs=0.02)


def test_quiet_is_told_once_and_when_it_is_over() -> None:
    peer = Peer(linger=25.0).start(*FRAMES[:3]).after(TIMEOUTS.quiet + 3 * TIMEOUTS.tick)
    [quiet] = peer.of(Quiet)
    assert isinstance(quiet, Quiet)
    assert TIMEOUTS.quiet <= quiet.seconds <= TIMEOUTS.quiet + TIMEOUTS.tick
    peer.receive(FRAMES[3]).after(TIMEOUTS.tick)
    [heard] = peer.of(Heard)
    assert heard == Heard(pytest.approx(TIMEOUTS.quiet + 3 * TIMEOUTS.tick))


def test_a_process_that_was_stopped_heard_nothing() -> None:
    peer = Peer().start(*FRAMES[:3]).after(SILENCE - 0.2)
    peer.now += 3600
    peer.protocol.handle_timeout(peer.now)
    assert peer.protocol.state is State.OPEN
    peer.after(0.21)
    assert peer.protocol.state is State.REJOINING


def test_what_was_heard_as_a_stopped_process_woke_was_heard_then() -> None:
    peer = Peer().start(*FRAMES[:3])
    peer.now += 3600
    peer.receive(FRAMES[3])
    peer.protocol.handle_timeout(peer.now)
    peer.after(SILENCE - 0.01)
    assert peer.protocol.state is State.OPEN
    peer.after(0.02)
    assert peer.protocol.state is State.REJOINING


def test_a_stop_of_the_process_is_no_word_of_a_quiet_hunter() -> None:
    peer = Peer(linger=25.0).start(*FRAMES[:3]).after(TIMEOUTS.quiet + 3 * TIMEOUTS.tick)
    assert len(peer.of(Quiet)) == 1
    peer.now += 3600
    peer.protocol.handle_timeout(peer.now)
    peer.after(3 * TIMEOUTS.tick)
    assert peer.of(Heard) == []


def test_who_does_not_read_hears_nothing() -> None:
    peer = Peer().start(*FRAMES[:3])
    peer.protocol.pause_reading()
    peer.protocol.stop("interrupted", peer.now)
    peer.after(1000)
    assert peer.protocol.state is State.OPEN
    peer.protocol.resume_reading(peer.now)
    peer.after(1.0)
    ended = peer.protocol.exit
    assert ended is not None
    assert ended.message == "hunter did not end within 15 s after it was asked to"


def test_no_hello_is_no_start() -> None:
    peer = Peer().start()
    with pytest.raises(DeployError, match="said nothing for 30 s"):
        peer.after(31)
    peer = Peer().start(b"bash: python: not found\n")
    peer.protocol.receive_eof(peer.now)
    with pytest.raises(DeployError, match="does not speak its protocol"):
        peer.protocol.channel_ended(Exit(127), peer.now)
    assert peer.protocol.state is State.CLOSED
    with pytest.raises(DeployError, match="hunter speaks protocol 9"):
        Peer().start(Frame(FrameType.HELLO, 1, b'{"protocol": 9}').encode())


def test_a_hunter_that_loads_is_there() -> None:
    loading = encode(type(HELLO)(**{**HELLO.__dict__, "loading": True}))
    peer = Peer().start(loading)
    assert peer.protocol.state is State.CONNECTING
    with pytest.raises(DeployError, match=r"said nothing for 4\.2 s while it loaded its engine"):
        peer.after(SILENCE + 0.01)


def test_after_a_goodbye_nothing_is_waited_for_long() -> None:
    peer = Peer(linger=60.0).start(*FRAMES).after(TIMEOUTS.exit)
    assert not peer.protocol.receiving
    assert peer.protocol.state is State.OPEN
    peer.protocol.channel_ended(Exit(None, "hunter did not end"), peer.now)
    assert peer.protocol.exit == Exit(None, "hunter did not end")


def test_it_is_not_looked_for_for_ever() -> None:
    peer = Peer().start(*FRAMES[:4]).lose()
    began = peer.now
    pauses = []
    while peer.protocol.exit is None:
        failed = peer.now
        peer.protocol.attempt_failed("no route", peer.now)
        while peer.protocol.state is State.LOST:
            peer.after(0.05)
        pauses.append(peer.now - failed)
    assert LINGER + TIMEOUTS.margin < peer.now - began < LINGER + TIMEOUTS.margin + 1.1
    assert all(a <= b + 0.051 for a, b in pairwise(pauses[:-1]))
    assert peer.protocol.exit.message == (
        "the connection broke; it could not be reached again: no route"
    )


def test_attempts_without_an_answer_get_more_time() -> None:
    timeouts = Timeouts(first_backoff=0.0, margin=60.0)
    peer = Peer(timeouts).start(*FRAMES[:4]).lose()
    limits = []
    while len(limits) < 5:
        limits.append(peer.protocol._search.end_by - peer.now)  # type: ignore[union-attr]
        peer.until(peer.now + limits[-1])
        peer.after(0.0)
    assert limits == pytest.approx([2.0, 2.0, 4.0, 8.0, 10.0])


def test_two_attempts_are_made_even_after_a_sleep_of_the_machine() -> None:
    peer = Peer().start(*FRAMES[:4]).lose()
    peer.now += 7200
    peer.protocol.attempt_failed("no route", peer.now)
    peer.after(TIMEOUTS.first_backoff)
    assert peer.protocol.attempts == 2
    peer.join(FRAMES[4:])
    assert peer.seqs == list(range(1, len(FRAMES) + 1))


@pytest.mark.parametrize("outlives", [False, True])
def test_the_end_of_the_target_ends_the_search(outlives: bool) -> None:
    peer = Peer().start(*FRAMES[:4], outlives=outlives).lose()
    peer.protocol.target_ended(peer.now)
    peer.after(0.0)
    if outlives:
        assert peer.protocol.exit is None
        peer.join(FRAMES[4:])
        assert peer.protocol.goodbye
        return
    assert peer.protocol.exit is not None
    assert peer.protocol.exit.message == "the connection broke; its target has ended"


def test_one_that_outlives_its_target_is_not_waited_for_long() -> None:
    peer = Peer().start(*FRAMES[:4], outlives=True).lose(Exit(137, certain=False))
    peer.protocol.target_ended(peer.now)
    peer.after(TIMEOUTS.outlives)
    assert peer.protocol.exit == Exit(137, certain=False)


def test_what_was_said_of_a_search_that_is_over_changes_nothing() -> None:
    peer = Peer().start(*FRAMES[:4]).lose()
    peer.join(FRAMES[4:6])
    peer.protocol.attempt_failed("too late", peer.now)
    peer.protocol.hunter_gone("too late", peer.now)
    peer.protocol.target_ended(peer.now)
    peer.protocol.former_ended(Exit(1, stderr="hunter: stuck: x"), peer.now)
    assert peer.after(1.0).protocol.state is State.OPEN


def test_a_stranger_on_the_socket_is_refused() -> None:
    peer = Peer().start(*FRAMES[:4]).lose()
    peer.protocol.channel_opened()
    peer.step()
    with pytest.raises(StreamError, match="does not know the secret"):
        peer.receive(encode(RejoinChallenge("0b" * 16, "00" * 32)))
    with pytest.raises(StreamError, match="ended the attempt"):
        peer.protocol.receive_eof(peer.now)


def test_stop_ends_the_search_too() -> None:
    peer = Peer().start(*FRAMES[:4])
    peer.protocol.stop("interrupted", peer.now)
    peer.step()
    assert peer.sent[-1] == Stop("interrupted")
    peer.lose()
    peer.protocol.attempt_failed("no route", peer.now)
    began = peer.now
    while peer.protocol.exit is None and peer.now < began + 60:
        peer.after(0.5)
        peer.protocol.attempt_failed("no route", peer.now)
    assert peer.now - began == pytest.approx(TIMEOUTS.stop, abs=0.6)


def test_records_that_come_after_a_stop_give_more_time() -> None:
    peer = Peer(Timeouts(slack_bytes=0)).start(*FRAMES[:3])
    peer.protocol.stop("duration", peer.now)
    for frame in FRAMES[3:9]:
        peer.after(TIMEOUTS.progress - 0.1)
        assert peer.protocol.exit is None
        peer.receive(frame)
    peer.after(TIMEOUTS.progress + TIMEOUTS.tick)
    assert peer.protocol.exit is not None


@given(
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=8),
    breaks=st.lists(st.integers(1, len(b"".join(FRAMES)) - 1), max_size=5),
    piece=st.integers(1, 97),
)
def test_every_frame_arrives_once_however_often_the_channel_breaks(
    cuts: list[int], breaks: list[int], piece: int
) -> None:
    peer = Peer().start()
    data, begin = b"".join(FRAMES), 0
    for n, end in enumerate([*sorted(breaks), len(data)]):
        part = data[begin:end]
        if n:
            last = peer.join([], piece)
            part = b"".join(FRAMES[last:])[: max(0, end - sum(map(len, FRAMES[:last])))]
        while part:
            cut = cuts[len(part) % len(cuts)]
            peer.receive(part[:cut])
            part = part[cut:]
        begin = end
        if n < len(breaks):
            if peer.protocol.state is State.CONNECTING:
                return  # before the Hello there is nothing to come back to
            peer.lose()
            if peer.protocol.exit is not None:
                break
    assert peer.seqs == list(range(1, len(FRAMES) + 1))
    assert peer.protocol.receiver.missing_frames == 0
    assert peer.protocol.receiver.damage.places == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("receive"), st.binary(max_size=60)),
            st.tuples(st.just("frame"), st.integers(0, len(FRAMES) - 1)),
            st.tuples(
                st.sampled_from(
                    ("after", "eof", "stop", "failed", "gone", "ended", "former", "opened")
                ),
                st.integers(0, 40),
            ),
        ),
        max_size=30,
    )
)
def test_it_never_hangs_whatever_happens_in_whatever_order(
    script: list[tuple[str, object]],
) -> None:
    peer = Peer().start(FRAMES[0])
    protocol = peer.protocol
    for what, value in script:
        number = value if isinstance(value, int) else 0
        try:
            if what == "receive" and isinstance(value, bytes):
                if protocol.state is not State.REJOINING or protocol._handshake is not None:
                    peer.receive(value)
            elif what == "frame" and protocol.state is State.OPEN:
                peer.receive(FRAMES[number])
            elif what == "after":
                peer.after(number / 4)
            elif what == "eof" and protocol.state is State.OPEN:
                protocol.receive_eof(peer.now)
                protocol.channel_ended(Exit(None, "broke"), peer.now)
            elif what == "stop":
                protocol.stop("duration", peer.now)
            elif what == "failed":
                protocol.attempt_failed("no route", peer.now)
            elif what == "gone":
                protocol.hunter_gone("nobody listens", peer.now)
            elif what == "ended":
                protocol.target_ended(peer.now)
            elif what == "former":
                protocol.former_ended(Exit(1), peer.now)
            elif what == "opened" and protocol.state is State.REJOINING:
                protocol.channel_opened()
        except StreamError:
            protocol.attempt_failed("a stranger", peer.now)
        assert (protocol.exit is not None) == (protocol.state is State.CLOSED)
    if protocol.goodbye and protocol.state is State.OPEN:
        protocol.receive_eof(peer.now)
        protocol.channel_ended(Exit(0), peer.now)
    peer.until(peer.now + 200)
    assert protocol.state is State.CLOSED
    assert protocol.exit is not None
