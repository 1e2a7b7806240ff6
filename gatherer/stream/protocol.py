"""The stream from one hunter as a state machine: bytes and times in, events and bytes out. Pure.

    protocol.started(now)
    send(protocol.data_to_send(now))
    protocol.receive_data(receive(), now)  # or receive_eof and channel_ended
    for event in protocol.events_received(): ...
    protocol.handle_timeout(now)  # at protocol.next_deadline() at the latest

It outlives its channels: one that is lost is followed by attempts to join hunter over another, and
the stream goes on behind the last frame. `now` is seconds of any clock that does not go back.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf

from gatherer.errors import DeployError, StreamError
from gatherer.stream.events import (
    Disconnected,
    FramesReceived,
    Reconnected,
    StreamEvent,
)
from gatherer.stream.hunter_exit import no_hello, stuck
from gatherer.stream.liveness import Liveness
from gatherer.stream.receiver import Arrival, Receiver
from gatherer.stream.rejoin import RejoinHandshake, new_session_key
from gatherer.stream.search import Search, SearchEnd
from gatherer.stream.sender import Sender
from gatherer.stream.states import CONNECTED, TRANSITIONS, State, Trigger
from gatherer.target.values import Exit
from gatherer.timeouts import Timeouts
from hg_shared.errors import UnsupportedVersion
from hg_shared.framing import FrameType
from hg_shared.messages import Goodbye, SessionKey
from hg_shared.wire import encode


class StreamProtocol:
    """One hunter, from its start to its end.

    Args:
        linger: seconds hunter waits for a lost gatherer.
        timeouts: limits of time.
        buffer: bytes that hunter may still have when it is asked to end.
        key: what is agreed on for coming back; a new one by default.
        jitter: factor of each pause between two attempts.

    Attributes:
        state: see `State`.
        receiver: the frames so far, and what was wrong with them.
        key: see above.
        exit: how hunter ended, once the state is CLOSED.
        ended_at: when the last channel ended; 0 while there is one.
        receiving: more may come over the channel.
        goodbye: hunter has said Goodbye.
    """

    def __init__(
        self,
        linger: float,
        timeouts: Timeouts,
        buffer: int,
        key: SessionKey | None = None,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),
    ) -> None:
        self.state = State.CONNECTING
        self.receiver = Receiver()
        self.key = key or new_session_key()
        self.exit: Exit | None = None
        self.ended_at = 0.0
        self.receiving = False
        self.goodbye = False
        self._linger = linger
        self._timeouts = timeouts
        self._jitter = jitter
        self._silence = timeouts.silence_of(linger)
        self._sender = Sender(linger, timeouts)
        self._liveness = Liveness()
        self._events: list[StreamEvent] = []
        self._first = b""
        self._outlives = False
        self._looked_at = 0.0
        self._end_by = inf
        self._stopped_at = inf
        # What of its buffer has come since: bytes that may, and until when that is progress.
        self._owed = 2 * buffer + timeouts.slack_bytes
        self._owed_until = 0.0
        self._search: Search | None = None
        self._missing_before = 0
        self._handshake: RejoinHandshake | None = None

    @property
    def attempts(self) -> int:
        """The number of attempts to reach a hunter since it was lost; 0 when it is there."""
        return self._search.attempts if self._search is not None else 0

    @property
    def former_open(self) -> bool:
        """Whether the channel that was given up may still tell what became of hunter."""
        return self._search is not None and self._search.former_open

    def started(self, now: float, outlives: bool = False) -> None:
        """Begins: hunter was started and there is a channel.

        Args:
            now: the time.
            outlives: hunter is not in the target, and has something to say when that ends.
        """
        self._outlives = outlives
        self._first = encode(self.key)
        self._connected(now)

    def stop(self, reason: str, now: float) -> None:
        """Asks hunter to let every tracee go and end.

        Args:
            reason: `interrupted`, `duration` or `terminated`.
            now: the time.
        """
        self._stopped_at = min(self._stopped_at, now)
        self._sender.stop(reason)

    # What comes over the channel.

    def receive_data(self, data: bytes, now: float) -> None:
        """Takes the next bytes of the channel, cut anywhere.

        Raises:
            DeployError: hunter speaks another version of the protocol.
            StreamError: what answers an attempt to join hunter is not that hunter.
        """
        try:
            if self.state is State.REJOINING:
                self._receive_handshake(data, now)
            elif self.state in CONNECTED:
                self._receive(self.receiver.receive_data(data), now)
        except UnsupportedVersion as error:
            raise DeployError(str(error), "use the hunter that came with this gatherer") from error

    def receive_eof(self, now: float) -> None:
        """Takes the end of the channel's bytes; `channel_ended` says how it ended.

        Raises:
            StreamError: an attempt to join hunter was ended by it.
        """
        if self.state is State.REJOINING:
            raise StreamError("hunter ended the attempt to join it")
        self.receiving = False
        # Of a stream that goes on, what was cut off comes again.
        if self.goodbye or self.receiver.hello is None:
            self._receive(self.receiver.receive_eof(), now)

    def channel_ended(self, ended: Exit, now: float) -> None:
        """Takes how the channel ended.

        Args:
            ended: what it says of hunter's process.
            now: the time.

        Raises:
            GathererError: hunter did not start.
        """
        if self.state is State.CONNECTING:
            self._close(ended, now)
            raise no_hello(self.receiver, ended, self._timeouts.hello)
        if self.state is State.OPEN:
            # A watchdog that has ended hunter says so.
            certain = bool(stuck(ended)) or (ended.code is not None and ended.certain)
            self._lose(ended, now, final=certain, former_open=False)

    def pause_reading(self) -> None:
        """Tells that nothing is read now: who does not read hears nothing."""
        self._liveness.reading = False

    def resume_reading(self, now: float) -> None:
        """Tells that it is read again."""
        self._liveness.reading = True
        if self._is_there:
            self._liveness.heard_at = now

    def durable(self, event: FramesReceived, now: float) -> None:
        """Tells that frames are on disk, so that they are acknowledged."""
        self._sender.durable(event.seq, event.size, now, at_once=self.goodbye)

    # What becomes of the search for a lost hunter.

    def channel_opened(self) -> None:
        """Begins the handshake of an attempt, over a channel that is there now."""
        self._handshake = RejoinHandshake(self.key, self.receiver.last_seq)
        self._first = self._handshake.hello()

    def attempt_failed(self, problem: str, now: float) -> None:
        """Takes the failure of an attempt, which says nothing about hunter.

        Args:
            problem: what went wrong, for the user.
            now: the time.
        """
        if self._search is not None and self.state is State.REJOINING:
            self._change(Trigger.ATTEMPT_FAILED)
            self._search.attempt_failed(problem, now)

    def hunter_gone(self, cause: str, now: float) -> None:
        """Takes that hunter does not run any more, as an attempt has found.

        Args:
            cause: for the user.
            now: the time.
        """
        if self._search is not None and self.state is State.REJOINING:
            self._change(Trigger.ATTEMPT_FAILED)
            self._search.hunter_gone(cause, now)

    def target_ended(self, now: float) -> None:
        """Takes that the target has ended, for certain."""
        if self._search is not None:
            self._search.target_ended(now, self._outlives)

    def former_ended(self, ended: Exit, now: float) -> None:
        """Takes how a channel ended that had been given up.

        Args:
            ended: what it says of hunter's process.
            now: the time.
        """
        if self._search is not None:
            self._search.former_ended(ended, bool(stuck(ended)), now)

    # What comes of it.

    def events_received(self) -> list[StreamEvent]:
        """Returns what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def data_to_send(self, now: float) -> bytes:
        """Returns what is to be sent over the channel now, which may be nothing."""
        first, self._first = self._first, b""
        return first + self._sender.data_to_send(now) if self.state in CONNECTED else first

    def next_deadline(self) -> float:
        """Returns when `handle_timeout` is due at the latest."""
        # The clock is looked at often enough to notice that this process was stopped.
        look = self._looked_at + self._timeouts.tick
        if self.state in CONNECTED:
            silent = self._liveness.until(self._silence_limit)
            return min(look, silent, self._end_by, self._sender.next_deadline())
        return min(look, self._search.next_deadline()) if self._search is not None else inf

    def handle_timeout(self, now: float) -> None:
        """Does what is due; may be called at any time.

        Raises:
            GathererError: hunter did not start.
        """
        # While this process was stopped nothing could be heard: what has come is read now.
        passed, self._looked_at = now - self._looked_at, now
        if self.state in CONNECTED:
            if passed > self._timeouts.tick + self._timeouts.stopped:
                self._liveness.skip(passed, now)
            self._check_channel(now)
        if self._search is not None:
            self._check_search(self._search, now)

    def _connected(self, now: float) -> None:
        self.receiving = True
        self._looked_at = self._liveness.heard_at = now
        self._sender.connected(now)

    def _receive(self, arrivals: list[Arrival], now: float) -> None:
        if self._is_there:
            self._liveness.heard_at = now
        if not arrivals:
            return
        if self.state is State.CONNECTING:
            self._change(Trigger.HELLO)
        size = sum(len(arrival.frame.wire) for arrival in arrivals)
        if self._stopped_at < inf and _has_records(arrivals):
            self._owed -= size
            self._owed_until = now + self._timeouts.progress
        if not self.goodbye and any(isinstance(a.message, Goodbye) for a in arrivals):
            self.goodbye = True
            self._end_by = now + self._timeouts.exit
        self._events.append(FramesReceived(arrivals, self.receiver.last_seq, size))

    @property
    def _is_there(self) -> bool:
        """Whether hunter has said that it is there, if only to load its engine."""
        return self.receiver.hello is not None or self.receiver.loading

    @property
    def _silence_limit(self) -> float:
        return self._silence if self._is_there else self._timeouts.hello

    def _check_channel(self, now: float) -> None:
        if self.state is State.OPEN and not self.goodbye:
            self._events += self._liveness.change(now, self._timeouts.quiet)
        if now >= self._liveness.until(self._silence_limit):
            if self.state is State.CONNECTING:
                self._close(Exit(None), now)
                raise no_hello(self.receiver, Exit(None), self._silence_limit)
            silence = f"hunter was silent for {self._silence:g} s"
            self._lose(Exit(None, silence), now, former_open=True)
        elif now >= self._end_by:
            self.receiving, self._end_by = False, inf
        elif self._overdue(now) and not self.goodbye:
            self._close(Exit(None, self._overdue_text), now)

    def _overdue(self, now: float) -> bool:
        """Whether hunter has been asked to end, and had all the time it may take."""
        if now - self._stopped_at < self._timeouts.stop:
            return False
        if not self._liveness.reading:
            return False  # it is gatherer that hunter waits for
        return now > self._owed_until or self._owed <= 0

    @property
    def _overdue_text(self) -> str:
        return f"hunter did not end within {self._timeouts.stop:g} s after it was asked to"

    def _lose(self, ended: Exit, now: float, *, former_open: bool, final: bool = False) -> None:
        if final or self.goodbye or self._overdue(now):
            self._close(ended, now)
            return
        self._change(Trigger.CHANNEL_LOST)
        self.receiving = False
        self.ended_at = self._looked_at = now
        self._missing_before = self.receiver.missing_frames
        heard_at = self._liveness.heard_at
        self._search = Search(
            ended, self._linger, self._timeouts, now, heard_at, former_open, self._jitter
        )

    def _receive_handshake(self, data: bytes, now: float) -> None:
        assert self._handshake is not None
        assert self._search is not None
        self._first += self._handshake.receive_data(data)
        if self._handshake.joined is None:
            return
        arrivals = self.receiver.resume(self._handshake.decoder, self._handshake.frames)
        missing = self.receiver.missing_frames - self._missing_before
        search, self._search = self._search, None
        self.ended_at = 0.0
        self._change(Trigger.JOINED)
        self._connected(now)
        self._receive(arrivals, now)
        took = now - search.began_at
        self._events.append(Reconnected(search.cause, took, search.attempts, missing))

    def _check_search(self, search: Search, now: float) -> None:
        if self._overdue(now):
            search.end, search.end_at = SearchEnd(self._overdue_text), now
        if self.state is State.REJOINING and now >= search.end_by:
            self.attempt_failed(search.attempt_unanswered(), now)
        elif self.state is State.LOST and now >= search.begin_at:
            search.begin_attempt(now)
            self._change(Trigger.ATTEMPT)
        if search.end is not None and now >= search.end_at:
            self._search = None
            self._close(search.exit(search.end, now), now)
        elif now >= search.announce_at:
            search.announce_at = inf
            self._events.append(Disconnected(search.cause))

    def _close(self, ended: Exit, now: float) -> None:
        self._change(Trigger.END)
        self.receiving = False
        self.exit = ended
        self.ended_at = self.ended_at or now

    def _change(self, trigger: Trigger) -> None:
        self.state = TRANSITIONS[self.state][trigger]


def _has_records(arrivals: list[Arrival]) -> bool:
    return any(arrival.frame.type == FrameType.RECORDS for arrival in arrivals)
