"""The asyncio side of the stream: one hunter, its channels, and the protocol between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from gatherer.config import DEFAULT_BUFFER
from gatherer.errors import GathererError, HunterGone
from gatherer.stream.events import FramesReceived, StreamEvent
from gatherer.stream.protocol import StreamProtocol
from gatherer.stream.receiver import Receiver
from gatherer.stream.states import CONNECTED, DISCONNECTED, State
from gatherer.target.runtime import HunterChannel, Runtime
from gatherer.target.values import Exit, HunterImage
from gatherer.timeouts import Timeouts, within
from hg_shared.messages import Stop
from hg_shared.wire import encode

T = TypeVar("T")

OUTSIDE_THE_TARGET = ("ephemeral", "sidecar")
"""Injections by which hunter outlives its target, and has a final message when that ends."""


class Listener(Protocol):
    """The consumer of a stream's events."""

    def on_event(self, event: StreamEvent) -> None:
        """Takes an event; when it returns, received frames are on disk, or it raises."""
        ...

    async def wait_for_room(self) -> None:
        """Returns when more can be taken."""
        ...


class HunterStream:
    """Starts one hunter and follows its stream to the end.

    Args:
        runtime: where hunter runs.
        image: hunter.
        arguments: its command line.
        linger: seconds it waits for a lost gatherer.
        timeouts: limits of time.
        buffer: bytes that hunter may still have when it is asked to end.

    Attributes:
        inject: how hunter got in, empty before it has.
        explanation: why that way.
        container: in which it runs.
        ended_at: CLOCK_MONOTONIC seconds of the end of the stream.
    """

    def __init__(
        self,
        runtime: Runtime,
        image: HunterImage,
        arguments: Sequence[str],
        linger: float,
        timeouts: Timeouts,
        buffer: int = DEFAULT_BUFFER,
    ) -> None:
        self.inject = ""
        self.explanation = ""
        self.container = ""
        self.ended_at = 0.0
        self._runtime = runtime
        self._image = image
        self._arguments = list(arguments)
        self._timeouts = timeouts
        self._protocol = StreamProtocol(linger, timeouts, buffer)
        self._listener: Listener
        self._outgoing = bytearray()
        self._writable = asyncio.Event()
        self._wake = asyncio.Event()
        self._wakes_at = 0.0
        self._open: list[HunterChannel] = []
        self._leaving: set[asyncio.Future[None]] = set()

    @property
    def receiver(self) -> Receiver:
        """The state of the stream."""
        return self._protocol.receiver

    @property
    def attempts(self) -> int:
        """The number of attempts to reach a hunter since it was lost; 0 when it is there."""
        return self._protocol.attempts

    def stop(self, reason: str) -> None:
        """Asks hunter to let every tracee go and end.

        Args:
            reason: `interrupted`, `duration` or `terminated`.
        """
        self._protocol.stop(reason, time.monotonic())
        self._wake.set()

    async def run(self, listener: Listener) -> Exit:
        """Follows the stream to the end and returns how hunter ended.

        Args:
            listener: gets what hunter says.

        Raises:
            GathererError: hunter did not start, or what it said could not be kept.
        """
        self._listener = listener
        protocol = self._protocol
        channel = await self._runtime.start(self._image, self._arguments)
        self._open.append(channel)
        self.inject = channel.inject
        self.explanation = channel.explanation
        self.container = channel.container
        try:
            protocol.started(time.monotonic(), channel.inject in OUTSIDE_THE_TARGET)
            following: HunterChannel | None = channel
            while following is not None:
                await self._follow(following)
                following = await self._next_channel(following)
            assert protocol.exit is not None
            return protocol.exit
        finally:
            self.ended_at = protocol.ended_at or time.monotonic()
            for channel in list(self._open):
                self._leave(channel, stop=not protocol.goodbye)
            await asyncio.gather(*self._leaving)

    # Between the protocol, the listener and the channel.

    def _step(self) -> None:
        """Carries out what the protocol says after something was given to it."""
        for event in self._protocol.events_received():
            self._listener.on_event(event)
            if isinstance(event, FramesReceived):
                self._protocol.durable(event, time.monotonic())
        if self._protocol.state in CONNECTED:
            self._outgoing += self._protocol.data_to_send(time.monotonic())
        if self._outgoing:
            self._writable.set()
        if self._protocol.next_deadline() < self._wakes_at:
            self._wake.set()

    async def _wait(self) -> None:
        """Waits for something to happen, or the next deadline."""
        self._wakes_at = self._protocol.next_deadline()
        try:
            async with within(self._wakes_at - time.monotonic()):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        self._protocol.handle_timeout(time.monotonic())
        self._step()

    def _begin(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a task whose end is something that happens."""
        task = asyncio.ensure_future(coroutine)
        task.add_done_callback(lambda _: self._wake.set())
        return task

    # A channel that is there.

    async def _follow(self, channel: HunterChannel) -> None:
        """Follows the stream over one channel until it ends or is given up."""
        protocol = self._protocol
        self._step()
        reading, writing = self._begin(self._read(channel)), self._begin(self._write(channel))
        try:
            while protocol.receiving and not reading.done():
                await self._wait()
            if reading.done():
                reading.result()
        finally:
            await _cancelled(reading, writing)
        if protocol.state in CONNECTED:
            ended = await self._exit(channel)
            protocol.channel_ended(ended, time.monotonic())
            self._step()

    async def _read(self, channel: HunterChannel) -> None:
        protocol = self._protocol
        while data := await channel.receive():
            protocol.receive_data(data, time.monotonic())
            self._step()
            if not protocol.goodbye:
                protocol.pause_reading()
                await self._listener.wait_for_room()
                protocol.resume_reading(time.monotonic())
        protocol.receive_eof(time.monotonic())
        self._step()

    async def _write(self, channel: HunterChannel) -> None:
        """Sends from one task, so that frames never mix; the reader tells of a broken channel."""
        try:
            while True:
                await self._writable.wait()
                self._writable.clear()
                data = bytes(self._outgoing)
                self._outgoing.clear()
                if data:
                    await channel.send(data)
        except GathererError:
            return

    async def _exit(self, channel: HunterChannel) -> Exit:
        try:
            async with within(self._timeouts.exit):
                return await channel.wait()
        except (TimeoutError, GathererError):
            return Exit(None, "hunter did not end")

    # A hunter that is lost.

    async def _next_channel(self, lost: HunterChannel) -> HunterChannel | None:
        """Returns the channel over which the stream goes on, None when it is over."""
        if self._protocol.exit is not None:
            return None
        if self._protocol.former_open:
            joined = await self._rejoin(lost)
            self._leave(lost)
            return joined
        # A dead connection takes seconds to close, and hunter does not wait that long.
        self._leave(lost)
        return await self._rejoin(None)

    async def _rejoin(self, former: HunterChannel | None) -> HunterChannel | None:
        """Looks for a lost hunter until it is found, or cannot be there any more.

        Args:
            former: the channel to it, where that has not ended.
        """
        protocol = self._protocol
        self._outgoing.clear()
        beside = [self._begin(self._ask_for_target_end())]
        if former is not None:
            beside.append(self._begin(self._await_final_message(former)))
        attempt: asyncio.Task[HunterChannel | None] | None = None
        try:
            self._step()
            while protocol.state in DISCONNECTED:
                if attempt is not None and attempt.done():
                    attempt.result()
                    attempt = None
                elif attempt is not None and protocol.state is State.LOST:
                    await _cancelled(attempt)  # It takes too long.
                    attempt = None
                if protocol.state is State.REJOINING and attempt is None:
                    attempt = self._begin(self._join())
                await self._wait()
            return None if protocol.exit is not None or attempt is None else attempt.result()
        finally:
            await _cancelled(*beside, *([attempt] if attempt is not None else []))

    async def _join(self) -> HunterChannel | None:
        """Makes one attempt; the protocol is told how it ended."""
        protocol = self._protocol
        try:
            channel = await self._runtime.rejoin(protocol.key.session)
            self._open.append(channel)
            try:
                protocol.channel_opened()
                while protocol.state is not State.OPEN:
                    await channel.send(protocol.data_to_send(time.monotonic()))
                    data = await channel.receive()
                    if not data:
                        protocol.receive_eof(time.monotonic())
                    protocol.receive_data(data, time.monotonic())
            except BaseException:
                self._leave(channel)
                raise
            return channel
        except HunterGone as gone:
            protocol.hunter_gone(gone.cause, time.monotonic())
        except GathererError as error:
            protocol.attempt_failed(error.cause, time.monotonic())
        return None

    async def _ask_for_target_end(self) -> None:
        """Asks the runtime until it says for certain that the target has ended."""
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
                self._protocol.target_ended(time.monotonic())
                return

    async def _await_final_message(self, channel: HunterChannel) -> None:
        """Reads a channel that was given up to its end: hunter's watchdog may say how it ended.

        What hunter says there once more is sent again over the next one.
        """
        try:
            while await channel.receive():
                pass
            self._protocol.former_ended(await channel.wait(), time.monotonic())
        except GathererError:
            pass

    def _leave(self, channel: HunterChannel, stop: bool = False) -> None:
        """Closes a channel, beside everything else.

        Args:
            channel: the channel.
            stop: nobody comes back to hunter, which is told so and need not wait.
        """
        self._open.remove(channel)
        leaving = asyncio.ensure_future(self._drop(channel, stop))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _drop(self, channel: HunterChannel, stop: bool) -> None:
        # Without its gatherer hunter ends by itself. A channel that takes nothing is closed too.
        if stop:
            await _tried(channel.send(encode(Stop("error"))), self._timeouts.close / 2)
        await _tried(channel.aclose(), self._timeouts.close)


async def _tried(action: Awaitable[None], seconds: float) -> None:
    """Does something that may fail, or not be done in time."""
    try:
        async with within(seconds):
            await action
    except (TimeoutError, GathererError):
        pass


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks and waits for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
