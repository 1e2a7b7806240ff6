"""A hunter that loses its gatherer waits, lets the right one join, and sends what is missing."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gatherer.errors import StreamError
from gatherer.stream.receiver import Arrival, Receiver
from gatherer.stream.rejoin import RejoinHandshake, new_session_key
from hg_shared import wire
from hg_shared.batch import Batch
from hg_shared.framing import Frame, FrameDecoder
from hg_shared.messages import (
    SOCKET_PREFIX,
    Ack,
    Goodbye,
    RejoinHello,
    RejoinResponse,
    SessionKey,
    Stop,
)
from hg_shared.records import NOTES
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import TARGETS, Tracee, tracers

Hunt = Callable[..., HunterSession]


class Joined:
    """A gatherer that has come back, over hunter's socket."""

    def __init__(self, key: SessionKey, receiver: Receiver) -> None:
        self.receiver = receiver
        self.arrivals: list[Arrival] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect("\0" + SOCKET_PREFIX + key.session)
        self._socket.settimeout(20)
        handshake = RejoinHandshake(key, receiver.last_seq)
        self._socket.sendall(handshake.hello())
        while handshake.joined is None:
            data = self._socket.recv(1 << 16)
            assert data
            self._socket.sendall(handshake.receive_data(data))
        self.first = handshake.joined.seq
        self._take(receiver.resume(handshake.decoder, handshake.frames))

    def read(self) -> bool:
        data = self._socket.recv(1 << 16)
        self._take(self.receiver.receive_data(data))
        return bool(data)

    def read_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            assert self.read()

    def send(self, message: wire.Content) -> None:
        self._socket.sendall(wire.encode(message))

    def finish(self) -> Goodbye:
        self.send(Stop("interrupted"))
        self.read_until(lambda: any(isinstance(a.message, Goodbye) for a in self.arrivals))
        self.send(Ack(self.receiver.last_seq))
        assert not self.read()
        return next(a.message for a in self.arrivals if isinstance(a.message, Goodbye))

    def close(self) -> None:
        self._socket.close()

    def _take(self, arrivals: list[Arrival]) -> None:
        self.arrivals += arrivals


@pytest.fixture
def key() -> SessionKey:
    return new_session_key()


@pytest.fixture
def join(key: SessionKey) -> Iterator[Callable[..., Joined]]:
    joined: list[Joined] = []

    def start(receiver: Receiver, other: SessionKey | None = None) -> Joined:
        joined.append(Joined(other or key, receiver))
        return joined[-1]

    yield start
    for each in joined:
        each.close()


def steps(arrivals: list[Arrival]) -> list[int]:
    """The counters of the target's calls that came."""
    found = []
    for arrival in arrivals:
        batch = wire.decode(arrival.frame)
        if isinstance(batch, Batch):
            for record in batch.records():
                _, marked, rest = record.captures.partition(b"/step-")
                if marked:
                    found.append(int(rest))
    return found


def count(arrivals: list[Arrival]) -> int:
    """The records that came, without notes."""
    batches = [wire.decode(arrival.frame) for arrival in arrivals]
    return sum(
        record.kind not in NOTES
        for batch in batches
        if isinstance(batch, Batch)
        for record in batch.records()
    )


@pytest.fixture
def target(start: Callable[..., Tracee]) -> Tracee:
    return start(sys.executable, TARGETS / "steps.py")


@pytest.fixture
def hunted(hunt_pid: Hunt, target: Tracee, key: SessionKey) -> Callable[..., HunterSession]:
    """Starts hunter for the target, with a session key."""

    def begin(*options: object) -> HunterSession:
        hunter = hunt_pid(target.pid, "--trace", "newfstatat", *options, forgets=False)
        hunter.write(wire.encode(key))
        wait_until(lambda: listening(key), "hunter listens")
        return hunter

    return begin


def listening(key: SessionKey) -> bool:
    return f"@{SOCKET_PREFIX}{key.session}" in Path("/proc/net/unix").read_text()


def lose(hunter: HunterSession) -> Receiver:
    """Breaks both pipes in the middle of whatever is under way; returns what came before."""
    hunter.stop_pings()
    hunter.close_stdin()
    hunter.close_stdout()
    hunter.wait_deaf()
    receiver = Receiver()
    receiver.receive_data(bytes(hunter.raw))
    return receiver


def first_arrivals(hunter: HunterSession) -> list[Arrival]:
    return Receiver().receive_data(bytes(hunter.raw))


def test_nothing_is_lost_while_gatherer_is_away(
    hunted: Hunt, target: Tracee, join: Callable[..., Joined]
) -> None:
    hunter = hunted()
    target.ask("300")
    hunter.wait_record(lambda r: b"/step-200" in r.captures, "200 steps")
    before = lose(hunter)
    target.ask("300")
    assert hunter.traces(target.pid)
    last = before.last_seq
    gatherer = join(before)
    assert gatherer.first == last + 1
    target.ask("300")
    goodbye = gatherer.finish()
    assert hunter.process.wait(15) == 0
    assert steps(first_arrivals(hunter) + gatherer.arrivals) == list(range(900))
    assert (goodbye.reason, goodbye.lost) == ("stop", 0)
    assert goodbye.seen == count(first_arrivals(hunter) + gatherer.arrivals) >= 900
    assert gatherer.receiver.missing_frames == 0
    assert gatherer.receiver.damage.places == 0
    assert target.ask("1") == "done 901"


def test_it_is_lost_and_found_again_and_again(
    hunted: Hunt, target: Tracee, join: Callable[..., Joined]
) -> None:
    hunter = hunted()
    arrivals = []
    receiver = None
    for turn in range(12):
        target.ask("50")
        if receiver is None:
            receiver = lose(hunter)
            arrivals = first_arrivals(hunter)
        gatherer = join(receiver)
        if turn % 3:
            gatherer.read()
        if turn % 2:
            # It is not the reading that tells hunter, but the acknowledgement.
            gatherer.send(Ack(receiver.last_seq))
        arrivals += gatherer.arrivals
        gatherer.arrivals.clear()
        if turn % 4 == 0:
            gatherer.close()
    assert receiver is not None
    gatherer = join(receiver)
    gatherer.finish()
    assert hunter.process.wait(15) == 0
    assert steps(arrivals + gatherer.arrivals) == list(range(600))


def test_the_newer_gatherer_wins_over_one_that_does_not_read(
    hunted: Hunt, target: Tracee, join: Callable[..., Joined]
) -> None:
    hunter = hunted()
    hunter.pause_reading()  # half-dead: both pipes are open and nobody is there
    target.ask("3000")
    receiver = Receiver()
    gatherer = join(receiver)
    gatherer.finish()
    hunter.resume_reading()
    assert hunter.wait_ended() == 0
    assert steps(gatherer.arrivals) == list(range(3000))
    assert receiver.hello is not None


def test_nobody_joins_without_the_secret(
    hunted: Hunt,
    target: Tracee,
    join: Callable[..., Joined],
    key: SessionKey,
) -> None:
    hunter = hunted()
    target.ask("10")
    guessing = RejoinHandshake(SessionKey(key.session, (b"guessed" * 4).hex()), 0)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect("\0" + SOCKET_PREFIX + key.session)
        stranger.sendall(guessing.hello())
        with pytest.raises(StreamError, match="does not know the secret"):
            guessing.receive_data(stranger.recv(4096))
    for words in (
        wire.encode(RejoinResponse("00" * 32, 0)),
        wire.encode(RejoinHello("00")) + wire.encode(RejoinResponse("00" * 32, 0)),
        wire.encode(Stop("interrupted")),
        wire.encode(Ack(1 << 60)),
        b"\0" * 100,
        b"HG" + b"\xff" * 50,
    ):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(20)
            stranger.connect("\0" + SOCKET_PREFIX + key.session)
            stranger.sendall(words)
            while stranger.recv(4096):
                pass  # at most a challenge
    with ExitStack() as crowd:
        for _ in range(40):
            one = crowd.enter_context(socket.socket(socket.AF_UNIX))
            one.connect("\0" + SOCKET_PREFIX + key.session)
        # A crowd that says nothing keeps nobody out, and disturbs nobody.
        gatherer = join(Receiver())
        gatherer.finish()
    assert steps(gatherer.arrivals) == list(range(10))
    assert hunter.wait_ended() == 0


def test_without_its_gatherer_hunter_lets_go_and_ends(
    hunted: Hunt, target: Tracee, key: SessionKey
) -> None:
    hunter = hunted("--linger", "1")
    lose(hunter)
    began = time.monotonic()
    assert hunter.process.wait(15) == 0
    assert 0.9 < time.monotonic() - began < 1 + 5
    assert tracers(target.pid) == {0}
    assert not listening(key)
    assert target.ask("1") == "done 1"


def test_a_goodbye_that_did_not_arrive_waits_for_gatherer(
    hunted: Hunt, target: Tracee, join: Callable[..., Joined]
) -> None:
    hunter = hunted()
    target.ask("100")
    hunter.acknowledge = False
    hunter.send(Stop("interrupted"))
    hunter.wait_for(lambda: hunter.of(Goodbye), "Goodbye")
    assert tracers(target.pid) == {0}
    lose(hunter)
    gatherer = join(Receiver())
    gatherer.finish()
    assert hunter.process.wait(15) == 0
    assert steps(gatherer.arrivals) == list(range(100))


def test_a_connection_whose_other_end_was_lost_is_joined_in_place(
    hunted: Hunt, target: Tracee, key: SessionKey
) -> None:
    """As `attach` gives it: the same stdin and stdout, but nobody knows what got through."""
    hunter = hunted()
    target.ask("200")
    hunter.wait_record(lambda r: b"/step-199" in r.captures, "200 steps")
    handshake = RejoinHandshake(key, 2)
    at = len(hunter.raw)
    hunter.write(handshake.hello())
    deadline = time.monotonic() + 20
    while handshake.joined is None:
        assert time.monotonic() < deadline
        data = bytes(hunter.raw[at:])
        at += len(data)
        hunter.write(handshake.receive_data(data))
        time.sleep(0.005)
    assert handshake.joined.seq == 3
    hunter.send(Stop("interrupted"))
    assert hunter.wait_ended() == 0
    receiver = Receiver()
    arrivals = receiver.receive_data(b"".join(f.encode() for f in first_frames(hunter, 2)))
    arrivals += receiver.resume(handshake.decoder, handshake.frames)
    arrivals += receiver.receive_data(bytes(hunter.raw[at:]))
    assert steps(arrivals) == list(range(200))
    assert any(isinstance(arrival.message, Goodbye) for arrival in arrivals)


def first_frames(hunter: HunterSession, last: int) -> list[Frame]:
    decoder = FrameDecoder()
    decoder.receive_data(bytes(hunter.raw))
    return [frame for frame in decoder.frames_received() if frame.seq <= last][:last]


def test_more_than_the_buffer_is_counted_while_gatherer_is_away(
    hunted: Hunt, target: Tracee, join: Callable[..., Joined]
) -> None:
    hunter = hunted("--buffer", 1 << 16, "--linger", 60)
    receiver = lose(hunter)
    before = first_arrivals(hunter)
    target.ask("60000")
    target.ask("10")
    gatherer = join(receiver)
    made = 60010
    while not steps(gatherer.arrivals[-1:])[-1:] > [60010]:
        # The queue takes records again as soon as half of it has been taken.
        made = int(target.ask("10").split()[1])
        gatherer.send(Ack(receiver.last_seq))
        gatherer.read()
    goodbye = gatherer.finish()
    assert hunter.process.wait(15) == 0
    found = steps(before + gatherer.arrivals)
    assert found == sorted(set(found))
    assert found[-1] == made - 1
    assert goodbye.lost == made - len(found) > 0
    assert goodbye.seen == count(before + gatherer.arrivals) + goodbye.lost


def test_hunter_stays_within_its_memory_while_gatherer_is_away(
    hunted: Hunt, target: Tracee, join: Callable[..., Joined]
) -> None:
    hunter = hunted()
    receiver = lose(hunter)
    target.ask("150000")
    assert hunter.pss() < 32 << 20
    gatherer = join(receiver)
    gatherer.finish()
    assert hunter.process.wait(15) == 0
