"""The life of one hunter in one instance of the target: start it, take its stream, settle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gatherer.accounting import settle
from gatherer.chronicle import Chronicle
from gatherer.config import CaptureConfig
from gatherer.ending import (
    TARGET_ENDED,
    Conclusion,
    Evidence,
    conclude,
    hunter_failure,
    no_hello,
)
from gatherer.errors import (
    DeployError,
    GathererError,
    Interrupted,
    LogWriteError,
    TracingDenied,
)
from gatherer.patience import within
from gatherer.reception import Arrival, Reception
from gatherer.renderer import Renderer
from gatherer.runtimes import Exit, HunterChannel, HunterImage, Runtime, TargetEnd
from gatherer.spool import MAX_BACKLOG, SpoolWriter, spool_name
from gatherer.transmission import Transmission
from gatherer.view import View
from hg_shared.errors import UnsupportedVersion
from hg_shared.framing import FrameType
from hg_shared.messages import Goodbye, Hello, Stop
from hg_shared.wire import encode

RendererFactory = Callable[[Path], Renderer]
"""Makes the renderer of a spool."""
KILLED = 137
"""Exit code of a process that SIGKILL ended: so ends hunter when its container does."""


@dataclass(frozen=True)
class Timing:
    """How long things may take, in seconds.

    Attributes:
        hello: from the start of hunter to its Hello.
        silence: without a byte from hunter, which says at least every 5 s that it is alive.
        exit: from the end of the stream to the end of hunter.
        tick: between two looks at the progress; session.json is replaced every second one.
        close: for leaving a hunter that does not matter any more.
        fate: for the runtime to tell that the target has ended; a kubelet looks once a second, and
            reports a little later.
        poll: between two questions about it.
    """

    hello: float = 15.0
    silence: float = 30.0
    exit: float = 10.0
    tick: float = 0.5
    close: float = 3.0
    fate: float = 10.0
    poll: float = 0.25


@dataclass(frozen=True)
class Outcome:
    """How a session ended.

    Attributes:
        conclusion: reason, completeness, exit code, notes.
        end: how the instance of the target ended, None when it runs on or nobody tells.
        failure: what ended it before its time.
        cancelled: the user would not wait.
        spool: what was not rendered, None when everything was.
    """

    conclusion: Conclusion
    end: TargetEnd | None = None
    failure: GathererError | None = None
    cancelled: bool = False
    spool: Path | None = None


class Session:
    """One hunter in one instance of the target.

    Args:
        config: what to do.
        runtime: where hunter runs; it has found the target.
        image: hunter.
        renderer: makes what renders the spool.
        view: shows the capture.
        chronicle: keeps the record of the capture; its present instance is this one.
        timing: patience.
        greeted: called when hunter has said Hello.
    """

    def __init__(
        self,
        config: CaptureConfig,
        runtime: Runtime,
        image: HunterImage,
        renderer: RendererFactory,
        view: View,
        chronicle: Chronicle,
        timing: Timing,
        greeted: Callable[[], None],
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._image = image
        self._make_renderer = renderer
        self._view = view
        self._chronicle = chronicle
        self._document = chronicle.document
        self._instance = chronicle.document.instance
        self._timing = timing
        self._on_greeted = greeted
        self._reception = Reception()
        self._transmission = Transmission(config.linger)
        self._stop_reason = ""
        self._denied: TracingDenied | None = None
        self._greeted = asyncio.Event()
        self._heard_at = 0.0
        self._ended_at = 0.0
        self._kept_spool = True
        self._spool: SpoolWriter
        self._renderer: Renderer
        self._rendered: asyncio.Future[None]

    @property
    def running(self) -> bool:
        """Whether hunter has said Hello."""
        return self._greeted.is_set()

    def stop(self, reason: str) -> None:
        """Asks hunter to let every tracee go and end; the capture then ends by itself.

        Args:
            reason: `interrupted`, `duration` or `terminated`.
        """
        if not self._stop_reason:
            self._stop_reason = reason
            self._transmission.stop(reason)

    async def run(self) -> Outcome:
        """Captures to the end.

        Cancelling it is the way to end at once: the spool is then kept.

        Returns:
            How it ended, whether well or not.

        Raises:
            GathererError: hunter did not start; nothing was captured.
        """
        number = self._instance.number
        self._spool = SpoolWriter(self._config.output / spool_name(number))
        self._renderer = self._make_renderer(self._spool.path)
        try:
            await self._renderer.start()
        except GathererError:
            self._spool.remove()
            raise
        self._rendered = self._renderer.done
        # An error of the worker beside another one is not worth a second message.
        self._rendered.add_done_callback(lambda done: done.cancelled() or done.exception())
        failure: GathererError | None = None
        ended, end = Exit(None), None
        cancelled = False
        try:
            try:
                ended = await self._converse()
            except GathererError as error:
                failure = error
            if self._greeted.is_set():
                asking = asyncio.ensure_future(self._target_end(ended, failure))
                try:
                    await self._render_to_the_end()
                    end = await asking
                finally:
                    asking.cancel()
        except GathererError as error:
            failure = failure or error
        except asyncio.CancelledError:
            cancelled = True
        finally:
            await self._renderer.aclose()
            self._spool.close()
        return self._conclude(ended, end, failure, cancelled)

    async def _converse(self) -> Exit:
        """Starts hunter and talks to it until its stream ends."""
        arguments = self._config.hunter_arguments()
        channel = await self._runtime.start(self._image, arguments)
        self._document.inject = channel.inject
        self._heard_at = time.monotonic()
        try:
            receiving = asyncio.ensure_future(self._receive(channel))
            others = [
                asyncio.ensure_future(self._transmission.run(channel)),
                asyncio.ensure_future(self._tick()),
                asyncio.shield(self._rendered),
            ]
            try:
                await self._watch(receiving, others)
            finally:
                for task in (receiving, *others):
                    task.cancel()
                await asyncio.gather(receiving, *others, return_exceptions=True)
            self._ended_at = time.monotonic()
            return await self._exit(channel)
        finally:
            self._ended_at = self._ended_at or time.monotonic()
            await self._drop(channel)

    async def _exit(self, channel: HunterChannel) -> Exit:
        try:
            async with within(self._timing.exit):
                return await channel.wait()
        except (TimeoutError, GathererError):
            return Exit(None, "hunter did not end")

    async def _watch(
        self, receiving: asyncio.Future[None], others: list[asyncio.Future[None]]
    ) -> None:
        """Waits for the end of the stream; raises what any task raises before."""
        pending = {receiving, *others}
        while receiving in pending:
            done, pending = await asyncio.wait(
                pending,
                timeout=min(self._patience(), self._timing.tick),
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                task.result()
            if not done and self._patience() <= 0:
                if not self._greeted.is_set():
                    raise no_hello(self._reception, Exit(None), self._timing.hello)
                self._instance.disagree(f"hunter was silent for {self._timing.silence:g} s")
                return

    def _patience(self) -> float:
        limit = self._timing.silence if self._greeted.is_set() else self._timing.hello
        return max(0.0, self._heard_at + limit - time.monotonic())

    async def _receive(self, channel: HunterChannel) -> None:
        """Takes the stream to its end, and after a Goodbye no longer than hunter needs to exit."""
        said_goodbye_at = 0.0
        while True:
            if said_goodbye_at:
                left = said_goodbye_at + self._timing.exit - time.monotonic()
                try:
                    async with within(left):
                        data = await channel.receive()
                except TimeoutError:
                    return
            else:
                data = await channel.receive()
            if not data:
                break
            if self._greeted.is_set():
                self._heard_at = time.monotonic()
            try:
                self._take(self._reception.receive_data(data))
            except UnsupportedVersion as error:
                raise DeployError(
                    str(error), "use the hunter that came with this gatherer"
                ) from error
            if self._document.goodbye is not None and not said_goodbye_at:
                said_goodbye_at = time.monotonic()
            await self._wait_for_room()
        self._take(self._reception.receive_eof())
        if not self._greeted.is_set():
            raise no_hello(self._reception, await self._exit(channel), self._timing.hello)

    def _take(self, arrivals: list[Arrival]) -> None:
        """Spools the sequenced frames, acknowledges them, and acts on the messages."""
        frames = [a.frame.encode() for a in arrivals if a.frame.seq or _is_hello(a)]
        if frames:
            self._spool.append(b"".join(frames))
            self._renderer.notify(self._spool.size)
            self._transmission.durable(self._reception.last_seq)
        self._instance.wire_bytes = self._reception.wire_bytes
        for arrival in arrivals:
            if arrival.frame.type == FrameType.RECORDS:
                self._chronicle.known_at = time.monotonic()
            self._chronicle.take(arrival)
            self._judge_rights()
            if isinstance(arrival.message, Hello):
                self._begin()
            elif isinstance(arrival.message, Goodbye):
                self._transmission.durable(self._reception.last_seq, at_once=True)

    def _judge_rights(self) -> None:
        """Ends the capture where nothing may be traced, if that was not to be put up with."""
        tracing = self._document.tracing or "on"
        if not self._config.require_trace or self._denied is not None or tracing == "on":
            return
        cause, _, remedy = tracing.removeprefix("denied: ").partition("; ")
        self._denied = TracingDenied(
            f"nothing may be traced: {cause}",
            remedy or "see what stands in the way, or leave --require-trace out",
        )
        self.stop("tracing denied")

    def _begin(self) -> None:
        """Hunter runs: its silence counts from now, and so does the duration."""
        self._heard_at = time.monotonic()
        self._greeted.set()
        self._on_greeted()

    async def _wait_for_room(self) -> None:
        """Stops reading while the backlog is at its limit: hunter then drops, and counts."""
        while self._spool.size - self._renderer.offset > MAX_BACKLOG:
            self._heard_at = time.monotonic()
            await asyncio.sleep(self._timing.tick)

    async def _tick(self) -> None:
        """Keeps session.json and the view up to date."""
        odd = False
        while True:
            progress = self._renderer.progress()
            self._chronicle.look(progress)
            self._chronicle.show(self._spool.size - progress.offset, bool(self._stop_reason))
            if odd:
                self._chronicle.write()
            odd = not odd
            await asyncio.sleep(self._timing.tick)

    async def _render_to_the_end(self) -> None:
        """Waits until everything in the spool is in the logs, showing how far it is."""
        self._spool.sync()
        self._renderer.finish()
        while not self._rendered.done():
            await asyncio.wait({self._rendered}, timeout=self._timing.tick)
            if not self._rendered.done():
                self._view.rendering(self._renderer.offset, self._spool.size)
        self._rendered.result()
        if self._config.raw:
            self._view.note(f"the record stream is in {self._spool.keep()}")
        else:
            self._spool.remove()
        self._kept_spool = False

    def _conclude(
        self, ended: Exit, end: TargetEnd | None, failure: GathererError | None, cancelled: bool
    ) -> Outcome:
        """Settles the books of this instance and writes down how it ended."""
        document, chronicle, instance = self._document, self._chronicle, self._instance
        if cancelled and not self._greeted.is_set():
            failure = Interrupted("interrupted before hunter had started")
        if failure is not None and not self._greeted.is_set():
            self._spool.remove()
            raise failure
        progress = self._renderer.progress()
        try:
            chronicle.look(progress)
        except LogWriteError as error:
            failure = failure or error
        settlement = settle(progress.accounts, instance.goodbye, document.declared())
        failure = failure or self._denied or hunter_failure(instance.goodbye, ended)
        conclusion = conclude(
            Evidence(
                self._stop_reason,
                instance.goodbye,
                ended,
                failure,
                cancelled,
                end,
                not self._kept_spool,
                settlement,
                self._reception,
                tuple(instance.discrepancies),
                document.dropped_lines_of(instance),
            )
        )
        document.settle(settlement)
        instance.end = end
        if instance.goodbye is not None:
            instance.tail_unknown_ms = 0
        else:
            instance.tail_unknown_ms = round(1000 * (self._ended_at - chronicle.known_at), 3)
        chronicle.close_instance()
        spool = self._spool.path if self._kept_spool else None
        return Outcome(conclusion, end, failure, cancelled, spool)

    async def _target_end(self, ended: Exit, failure: GathererError | None) -> TargetEnd | None:
        """Asks the runtime how the target ended, for as long as it may take to learn it."""
        goodbye = self._instance.goodbye
        if failure is not None:
            return None
        if goodbye is not None:
            return TargetEnd(TARGET_ENDED) if goodbye.reason == "no_targets" else None
        patient = ended.code in (None, KILLED)
        end: TargetEnd | None = None
        try:
            async with within(self._timing.fate + self._timing.poll):
                until = time.monotonic() + self._timing.fate
                while end is None:
                    end = await self._runtime.ended()
                    if not patient or time.monotonic() >= until:
                        break
                    await asyncio.sleep(0 if end else self._timing.poll)
        except (TimeoutError, GathererError):
            pass  # Nobody knows.
        return end

    async def _drop(self, channel: HunterChannel) -> None:
        """Leaves hunter; one that still runs is told to, or it would wait for another gatherer."""
        try:
            async with within(self._timing.close):
                if self._instance.goodbye is None:
                    await channel.send(encode(Stop("error")))
                await channel.aclose()
        except (TimeoutError, GathererError):
            pass  # Without its gatherer hunter ends by itself.


def _is_hello(arrival: Arrival) -> bool:
    """Whether it is the Hello, which the spool needs whatever its number."""
    return arrival.frame.type == FrameType.HELLO
