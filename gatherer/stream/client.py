"""The talk with one hunter, from its start to its end, over as many channels as that takes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gatherer.config import DEFAULT_BUFFER
from gatherer.errors import DeployError, GathererError, HunterGone, StreamError
from gatherer.stream.hunter_exit import no_hello, stuck
from gatherer.stream.receiver import Arrival, Reception
from gatherer.stream.rejoin import Appointment, Joining
from gatherer.stream.sender import Transmission
from gatherer.target.runtime import HunterChannel, Runtime
from gatherer.target.values import Exit, HunterImage
from gatherer.timeouts import Timeouts, within
from hg_shared.errors import UnsupportedVersion
from hg_shared.framing import FrameType
from hg_shared.messages import Goodbye, Stop
from hg_shared.wire import encode

OUTLIVES = ("ephemeral", "sidecar")
"""Ways in by which hunter is not in the target, and has its last words to say when that ends."""


@dataclass(frozen=True)
class Reconnection:
    """A hunter that was lost and found.

    Attributes:
        cause: why it was lost.
        seconds: how long.
        attempts: how many it took.
        missing: frames that hunter had given up meanwhile.
    """

    cause: str
    seconds: float
    attempts: int
    missing: int


@dataclass(frozen=True)
class _Parting:
    """Why a lost hunter is not looked for any longer.

    Attributes:
        words: for the user.
        gone: it is known not to run any more.
        ended: how its own process ended, None when that was not told.
    """

    words: str = ""
    gone: bool = False
    ended: Exit | None = None


def _how(ended: Exit) -> str:
    """Returns how a channel ended, in words."""
    return ended.message if ended.code is None else f"its exec ended with exit code {ended.code}"


class Listener(Protocol):
    """Who wants to know what hunter says, and whether it is there."""

    def take(self, arrivals: list[Arrival], reception: Reception) -> None:
        """Takes frames; when it returns they are on disk, or it raises."""
        ...

    async def wait_for_room(self) -> None:
        """Returns when more can be taken."""
        ...

    def disconnected(self, cause: str) -> None:
        """The channel to hunter is lost."""
        ...

    def quiet(self, seconds: float) -> None:
        """Hunter has said nothing for a while, over a channel that is there."""
        ...

    def heard(self, seconds: float) -> None:
        """It says something again."""
        ...

    def reconnected(self, reconnection: Reconnection) -> None:
        """It is there again."""
        ...


class Conversation:
    """Starts one hunter and talks to it until it ends.

    Args:
        runtime: where hunter runs.
        image: hunter.
        arguments: its command line.
        linger: seconds it waits for a lost gatherer.
        timeouts: limits of time.
        listener: gets what hunter says.
        buffer: bytes that hunter may still have when it is asked to end.

    Attributes:
        reception: the state of the stream.
        inject: how hunter got in, empty before it has.
        explanation: why that way.
        container: in which it runs.
        ended_at: CLOCK_MONOTONIC seconds of the end of the stream.
        attempts: how often a lost hunter has been looked for since it was lost; 0 when it is there.
    """

    def __init__(
        self,
        runtime: Runtime,
        image: HunterImage,
        arguments: Sequence[str],
        linger: float,
        timeouts: Timeouts,
        listener: Listener,
        buffer: int = DEFAULT_BUFFER,
    ) -> None:
        self.reception = Reception()
        self.inject = ""
        self.explanation = ""
        self.container = ""
        self.ended_at = 0.0
        self.attempts = 0
        self._runtime = runtime
        self._image = image
        self._arguments = list(arguments)
        self._linger = linger
        self._timeouts = timeouts
        self._silence = timeouts.silence_of(linger)
        self._listener = listener
        self._transmission = Transmission(linger)
        self._appointment = Appointment.make()
        self._heard_at = 0.0
        self._quiet_since = 0.0
        self._fell_silent = False
        self._said_goodbye = False
        self._reading = True
        self._stopped_at = 0.0
        # What of its buffer has come since: bytes that may, and until when that is progress.
        self._owed = 2 * buffer + timeouts.slack_bytes
        self._owed_until = 0.0
        self._leaving: set[asyncio.Future[None]] = set()

    def stop(self, reason: str) -> None:
        """Asks hunter to let every tracee go and end.

        Args:
            reason: `interrupted`, `duration` or `terminated`.
        """
        self._stopped_at = self._stopped_at or time.monotonic()
        self._transmission.stop(reason)

    @property
    def _overdue(self) -> bool:
        """Whether hunter has been asked to end, and had all the time it may take."""
        now = time.monotonic()
        if not self._stopped_at or now - self._stopped_at < self._timeouts.stop:
            return False
        if not self._reading:
            return False  # it is gatherer that hunter waits for
        return now > self._owed_until or self._owed <= 0

    async def _until_overdue(self) -> None:
        while True:
            if self._overdue:
                return
            await asyncio.sleep(self._timeouts.tick)

    async def run(self) -> Exit:
        """Talks to the end and returns how hunter ended.

        Raises:
            GathererError: hunter did not start, or what it said could not be kept.
        """
        channel = await self._runtime.start(self._image, self._arguments)
        self.inject = channel.inject
        self.explanation = channel.explanation
        self.container = channel.container
        self._heard_at = time.monotonic()
        try:
            try:
                await channel.send(self._appointment.rendezvous())
            except GathererError:
                pass  # The reader learns of it, and knows more.
            while True:
                ended = await self._talk(channel)
                self.ended_at = time.monotonic()
                # A watchdog that has ended hunter says so.
                certain = bool(stuck(ended)) or (ended.code is not None and ended.certain)
                if self._said_goodbye or certain or self._overdue:
                    return ended
                silent = time.monotonic() - self._heard_at
                # Over a channel that is there its watchdog may still say what became of hunter.
                former = channel if self._fell_silent else None
                if former is None:
                    # A dead connection takes seconds to close, and hunter does not wait that long.
                    self._leave(channel)
                try:
                    rejoined, cause = await self._rejoin(ended, former)
                finally:
                    if former is not None:
                        self._leave(former)
                if rejoined is None:
                    return self._without_goodbye(ended, cause, silent)
                channel = rejoined
        finally:
            self.ended_at = self.ended_at or time.monotonic()
            self._leave(channel, stop=not self._said_goodbye)
            await asyncio.gather(*self._leaving)

    async def _talk(self, channel: HunterChannel) -> Exit:
        """Talks over one channel until it ends, or is silent for too long."""
        self._fell_silent = False
        receiving = asyncio.ensure_future(self._receive(channel))
        sending = asyncio.ensure_future(self._transmission.run(channel))
        try:
            while not receiving.done():
                wanted = min(self._patience(), self._timeouts.tick)
                since = time.monotonic()
                await asyncio.wait({receiving}, timeout=wanted)
                # While this process was stopped nothing could be heard: what has come is read now.
                self._heard_at += max(
                    0.0, time.monotonic() - since - wanted - self._timeouts.stopped
                )
                self._note_quiet()
                if not receiving.done() and self._patience() <= 0:
                    if self.reception.hello is None:
                        waited = self._silence if self._is_there else self._timeouts.hello
                        raise no_hello(self.reception, Exit(None), waited)
                    self._fell_silent = True
                    return Exit(None, f"hunter was silent for {self._silence:g} s")
                if not receiving.done() and self._overdue and not self._said_goodbye:
                    return Exit(None, self._overdue_words)
            receiving.result()
        finally:
            for task in (receiving, sending):
                task.cancel()
            await asyncio.gather(receiving, sending, return_exceptions=True)
        return await self._exit(channel)

    def _note_quiet(self) -> None:
        """Tells the listener when hunter falls silent, and when it is heard again."""
        if self.reception.hello is None or not self._reading or self._said_goodbye:
            return
        if self._quiet_since and self._heard_at > self._quiet_since:
            self._listener.heard(self._heard_at - self._quiet_since)
            self._quiet_since = 0.0
        quiet = time.monotonic() - self._heard_at
        if not self._quiet_since and quiet >= self._timeouts.quiet:
            self._quiet_since = self._heard_at
            self._listener.quiet(quiet)

    @property
    def _overdue_words(self) -> str:
        return f"hunter did not end within {self._timeouts.stop:g} s after it was asked to"

    @property
    def _is_there(self) -> bool:
        """Whether hunter has said that it is there, if only to load its engine."""
        return self.reception.hello is not None or self.reception.loading

    def _patience(self) -> float:
        if not self._reading:
            return self._silence
        limit = self._silence if self._is_there else self._timeouts.hello
        return max(0.0, self._heard_at + limit - time.monotonic())

    async def _receive(self, channel: HunterChannel) -> None:
        """Takes the stream to its end, and after a Goodbye no longer than hunter needs to exit."""
        until = None
        while True:
            if self._said_goodbye:
                until = until or time.monotonic() + self._timeouts.exit
                try:
                    async with within(until - time.monotonic()):
                        data = await channel.receive()
                except TimeoutError:
                    return
            else:
                data = await channel.receive()
            if not data:
                break
            self._hear(self._arrivals(data))
            if not self._said_goodbye:
                # Whoever does not read hears nothing.
                self._reading = False
                await self._listener.wait_for_room()
                self._reading = True
            if self._is_there:
                self._heard_at = time.monotonic()
        if self._said_goodbye:
            self._listener.take(self.reception.receive_eof(), self.reception)
        if self.reception.hello is None:
            self.reception.receive_eof()
            raise no_hello(self.reception, await self._exit(channel), self._timeouts.hello)

    def _arrivals(self, data: bytes) -> list[Arrival]:
        try:
            return self.reception.receive_data(data)
        except UnsupportedVersion as error:
            raise DeployError(str(error), "use the hunter that came with this gatherer") from error

    def _hear(self, arrivals: list[Arrival]) -> None:
        """Has frames kept, and acknowledges them."""
        self._listener.take(arrivals, self.reception)
        size = sum(len(arrival.frame.wire) for arrival in arrivals)
        if self._stopped_at and any(a.frame.type == FrameType.RECORDS for a in arrivals):
            self._owed -= size
            self._owed_until = time.monotonic() + self._timeouts.progress
        if any(isinstance(arrival.message, Goodbye) for arrival in arrivals):
            self._said_goodbye = True
        self._transmission.durable(self.reception.last_seq, size, at_once=self._said_goodbye)

    async def _exit(self, channel: HunterChannel) -> Exit:
        try:
            async with within(self._timeouts.exit):
                return await channel.wait()
        except (TimeoutError, GathererError):
            return Exit(None, "hunter did not end")

    def _without_goodbye(self, ended: Exit, cause: _Parting, silent: float) -> Exit:
        """Returns how hunter ended, as far as that can be told without its Goodbye.

        Args:
            ended: how its last channel did.
            cause: why it is not looked for any longer.
            silent: for how many seconds it had said nothing when that channel ended.
        """
        if cause.ended is not None:
            return cause.ended
        # One that waits for its gatherer in vain ends by itself, but not so soon.
        soon = cause.gone and time.monotonic() - self._heard_at < self._linger
        if ended.code is not None and cause.gone:
            return replace(ended, silent=silent)
        words = f"{_how(ended)}; {cause.words}"
        return Exit(None, words, ended.stderr, silent=silent if soon else 0.0)

    async def _last_words(self, channel: HunterChannel) -> Exit:
        """Returns how hunter ended once its watchdog says so over a channel that was given up.

        Args:
            channel: on which hunter had fallen silent. What it says there once more is sent again
                over the next one.
        """
        try:
            while await channel.receive():
                pass
            ended = await channel.wait()
            if stuck(ended):
                return ended
        except GathererError:
            pass
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def _rejoin(
        self, ended: Exit, former: HunterChannel | None
    ) -> tuple[HunterChannel | None, _Parting]:
        """Looks for a lost hunter until it is found, or cannot be there any more.

        Args:
            ended: how the channel to it ended, which is not how hunter did.
            former: that channel, where it has not ended.

        Returns:
            The channel, or None and why there is none.
        """
        lost_at = time.monotonic()
        missing_before = self.reception.missing_frames
        looking = asyncio.ensure_future(self._look(lost_at + self._linger + self._timeouts.margin))
        asking = asyncio.ensure_future(self._until_target_ended())
        waiting = asyncio.ensure_future(self._until_overdue())
        tasks: set[asyncio.Future[Any]] = {looking, asking, waiting}
        listening: asyncio.Future[Exit] | None = None
        if former is not None:
            listening = asyncio.ensure_future(self._last_words(former))
            tasks.add(listening)
        try:
            # The usual end of a container is no connection that is lost.
            patience = self._timeouts.uncertain if ended.code is not None else 0
            await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not any(task.done() for task in tasks):
                self._listener.disconnected(_how(ended))
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if listening is not None:
                if looking.done() and looking.result()[0] is None:
                    await asyncio.wait({listening}, timeout=self._timeouts.final_message)
                if listening.done():
                    return None, _Parting(gone=True, ended=listening.result())
            if not looking.done() and asking.done() and self.inject in OUTLIVES:
                await asyncio.wait({looking}, timeout=self._timeouts.outlives)
            if not looking.done() and asking.done():
                return None, _Parting("its target has ended", gone=True)
            if not looking.done():
                return None, _Parting(self._overdue_words)
            channel, parting = looking.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if channel is not None:
            self._heard_at = time.monotonic()
            self._listener.reconnected(
                Reconnection(
                    _how(ended),
                    self._heard_at - lost_at,
                    self.attempts,
                    self.reception.missing_frames - missing_before,
                )
            )
        self.attempts = 0
        return channel, parting

    async def _look(self, deadline: float) -> tuple[HunterChannel | None, _Parting]:
        """Makes attempts until one works, or the time is over."""
        backoff = self._timeouts.first_backoff
        longest = min(self._timeouts.longest_backoff, self._linger / 10)
        # A connection that hangs must not take all the time that hunter waits.
        first = patience = min(
            self._timeouts.join, max(self._timeouts.shortest_join, self._linger / 5)
        )
        hung = 0
        while True:
            self.attempts += 1
            try:
                async with within(patience):
                    return await self._join(), _Parting()
            except HunterGone as gone:
                return None, _Parting(gone.cause, gone=True)
            except TimeoutError:
                problem = f"no answer within {patience:g} s"
                patience = min(self._timeouts.join, first * 2**hung)
                hung += 1
            except GathererError as error:
                problem = error.cause
            # After a sleep of the laptop the time is over at once, but hunter may be there.
            if time.monotonic() > deadline and self.attempts > 1:
                return None, _Parting(f"it could not be reached again: {problem}")
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))
            backoff = min(2 * backoff, longest)

    async def _until_target_ended(self) -> None:
        """Returns when the runtime says for certain that the target has ended."""
        pause = min(self._timeouts.poll, self._timeouts.longest_backoff)
        while True:
            await asyncio.sleep(pause)
            pause = min(self._timeouts.poll_growth * pause, self._timeouts.longest_backoff)
            try:
                async with within(self._timeouts.join):
                    end = await self._runtime.ended()
            except (TimeoutError, GathererError):
                continue  # Nobody knows.
            if end is not None and end.certain:
                return

    async def _join(self) -> HunterChannel:
        """Makes one attempt.

        Raises:
            HunterGone: there is nobody to join.
            GathererError: it did not work.
        """
        channel = await self._runtime.rejoin(self._appointment.session)
        try:
            joining = Joining(self._appointment, self.reception.last_seq)
            await channel.send(joining.knock())
            while joining.joined is None:
                data = await channel.receive()
                if not data:
                    raise StreamError("hunter ended the attempt to join it")
                answer = joining.receive_data(data)
                if answer:
                    await channel.send(answer)
            self._hear(self.reception.resume(joining.decoder, joining.frames))
        except BaseException:
            self._leave(channel)
            raise
        return channel

    def _leave(self, channel: HunterChannel, stop: bool = False) -> None:
        """Closes a channel, beside everything else.

        Args:
            channel: the channel.
            stop: nobody comes back to hunter, which is told so and need not wait.
        """
        leaving = asyncio.ensure_future(self._drop(channel, stop))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _drop(self, channel: HunterChannel, stop: bool) -> None:
        try:
            async with within(self._timeouts.close):
                if stop:
                    await channel.send(encode(Stop("error")))
                await channel.aclose()
        except (TimeoutError, GathererError):
            pass  # Without its gatherer hunter ends by itself.
