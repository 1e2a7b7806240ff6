"""The life of one hunter in one instance of the target: start it, take its stream, reconcile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gatherer.capture.recorder import CaptureRecorder
from gatherer.capture.result import (
    TARGET_ENDED,
    Conclusion,
    EndFacts,
    conclude,
    hunter_failure,
    why_stuck,
)
from gatherer.config import CaptureConfig, this_user
from gatherer.errors import GathererError, Interrupted, LogWriteError, TracingDenied
from gatherer.rendering.accounting import Accounts, reconcile
from gatherer.rendering.renderer import Renderer
from gatherer.rendering.stored_stream import received
from gatherer.storage.spool import SpoolWriter, spool_name
from gatherer.stream.client import HunterStream
from gatherer.stream.events import (
    Disconnected,
    FramesReceived,
    Heard,
    Quiet,
    Reconnected,
    StreamEvent,
)
from gatherer.stream.hunter_exit import stuck
from gatherer.stream.receiver import Arrival
from gatherer.target.runtime import Runtime
from gatherer.target.values import SILENT, Exit, HunterImage, TargetEnd
from gatherer.timeouts import Pauses, Timeouts, within
from gatherer.view.base import CaptureView
from hg_shared.framing import FrameType
from hg_shared.messages import Event, Hello

RendererFactory = Callable[[Path], Renderer]
"""Makes the renderer of a spool."""
KILLED = 137
"""Exit code of a process that SIGKILL ended: so ends hunter when its container does."""


@dataclass(frozen=True)
class Outcome:
    """The end of a session.

    Attributes:
        conclusion: reason, completeness, exit code, notes.
        end: how the instance of the target ended, None when it runs on or nobody tells.
        failure: what ended it before its time.
        cancelled: the user would not wait.
        spool: what was not rendered, None when everything was.
        stuck: why hunter's watchdog has ended it, empty when it has not.
    """

    conclusion: Conclusion
    end: TargetEnd | None = None
    failure: GathererError | None = None
    cancelled: bool = False
    spool: Path | None = None
    stuck: str = ""


class Session:
    """One hunter in one instance of the target.

    Args:
        config: what to do.
        runtime: where hunter runs; it has found the target.
        image: hunter.
        renderer: makes what renders the spool.
        view: shows the capture.
        recorder: keeps the record of the capture; its present instance is this one.
        timeouts: limits of time.
        on_hello: called when hunter has said Hello.
        without_ptrace: hunter traces with an engine that never stops its target, or not at all.
    """

    def __init__(
        self,
        config: CaptureConfig,
        runtime: Runtime,
        image: HunterImage,
        renderer: RendererFactory,
        view: CaptureView,
        recorder: CaptureRecorder,
        timeouts: Timeouts,
        on_hello: Callable[[], None],
        without_ptrace: bool = False,
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._view = view
        self._recorder = recorder
        self._document = recorder.document
        self._instance = recorder.document.instance
        self._timeouts = timeouts
        self._on_hello = on_hello
        self._stream = HunterStream(
            runtime,
            image,
            [*config.hunter_arguments(without_ptrace), "--owner", this_user()],
            config.linger,
            timeouts,
            config.buffer,
        )
        self._stop_reason = ""
        self._denied: TracingDenied | None = None
        self._hello_received = False
        self._synced_at = 0.0
        self._syncing: asyncio.Future[None] | None = None
        self._kept_spool = True
        self._spool: SpoolWriter | None = None
        self._renderer = renderer(self._spool_path)

    @property
    def running(self) -> bool:
        """Whether hunter has said Hello."""
        return self._hello_received

    def stop(self, reason: str) -> None:
        """Asks hunter to let every tracee go and end; the capture then ends by itself.

        Args:
            reason: `interrupted`, `duration` or `terminated`.
        """
        if not self._stop_reason:
            self._stop_reason = reason
            self._stream.stop(reason)

    async def run(self) -> Outcome:
        """Captures to the end.

        Cancelling it is the way to end at once: the spool is then kept.

        Returns:
            How it ended, whether well or not.

        Raises:
            GathererError: hunter did not start; nothing was captured.
        """
        await self._renderer.start()
        # An error of the worker beside another one is not worth a second message.
        self._renderer.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        failure: GathererError | None = None
        ended, end = Exit(None), None
        cancelled = False
        try:
            try:
                ended = await self._follow_stream()
            except GathererError as error:
                failure = error
            if self._hello_received:
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
            if self._syncing is not None:
                await asyncio.wait({self._syncing})
            if self._spool is not None:
                self._spool.close()
        return self._conclude(ended, end, failure, cancelled)

    async def _follow_stream(self) -> Exit:
        """Follows hunter's stream to its end; raises what any task raises before."""
        following = asyncio.ensure_future(self._stream.run(self))
        pending: set[asyncio.Future[Any]] = {
            following,
            asyncio.ensure_future(self._tick()),
            asyncio.shield(self._renderer.done),
        }
        everything = list(pending)
        try:
            while following in pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            return following.result()
        finally:
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    # As listener of the stream.

    def on_event(self, event: StreamEvent) -> None:
        """Keeps received frames; writes and shows that hunter is out of reach, or there again."""
        match event:
            case FramesReceived():
                self._keep(event.arrivals)
            case Quiet():
                self._recorder.quiet(event.seconds)
            case Heard():
                self._recorder.heard(event.seconds)
            case Disconnected():
                lost = f"the connection to hunter is lost ({event.cause}); trying to come back"
                self._view.note(lost)
            case Reconnected():
                self._recorder.reconnected(event)

    def _keep(self, arrivals: list[Arrival]) -> None:
        """Spools the sequenced frames and acts on the messages; the first is the Hello."""
        spool = self._spool or self._begin()
        frames = [a.frame.wire for a in arrivals if a.frame.seq or _is_hello(a)]
        if frames:
            spool.append(b"".join(frames))
            self._renderer.notify(spool.size)
        stream = self._stream
        self._recorder.received(
            stream.inject, stream.explanation, stream.container, stream.receiver
        )
        for arrival in arrivals:
            if arrival.frame.type == FrameType.RECORDS:
                self._recorder.known_at = time.monotonic()
            self._recorder.receive(arrival)
            self._check_rights()
            if isinstance(arrival.message, Hello):
                self._hello_received = True
                self._on_hello()
            elif isinstance(arrival.message, Event):
                self._sync_soon()

    @property
    def _spool_path(self) -> Path:
        return self._config.output / spool_name(self._instance.number)

    def _begin(self) -> SpoolWriter:
        """Makes the spool: from now on there is something to write."""
        self._recorder.begin()
        self._spool = SpoolWriter(self._spool_path)
        self._renderer.open()
        return self._spool

    async def wait_for_room(self) -> None:
        """Stops reading while the backlog is at its limit: hunter then drops, and counts."""
        while True:
            if not self._renderer.full or self._renderer.done.done():
                return
            await asyncio.sleep(self._timeouts.tick)

    def _check_rights(self) -> None:
        """Ends the capture where a process may not be traced, if that was not to be put up with."""
        if not self._config.require_trace or self._denied is not None:
            return
        hello, refused = self._document.hello, self._document.processes.refused
        if hello is not None and hello.tracing != "on":
            what, tracing = "nothing may be traced", hello.tracing
        elif refused is not None:
            what = f"{refused.command}-{refused.pid} may not be traced"
            tracing = str(refused.tracing)
        else:
            return
        cause, _, remedy = tracing.removeprefix("denied: ").partition("; ")
        self._denied = TracingDenied(
            f"{what}: {cause}",
            remedy or "see what stands in the way, or leave --require-trace out",
        )
        self.stop("tracing denied")

    def _sync_soon(self) -> None:
        """Has the spool brought to the disk, in another thread, at most once a second."""
        now = time.monotonic()
        busy = self._syncing is not None and not self._syncing.done()
        if self._spool is None or busy or now - self._synced_at < self._timeouts.sync:
            return
        self._synced_at = now
        loop = asyncio.get_running_loop()
        self._syncing = loop.run_in_executor(None, self._spool.sync)

    async def _tick(self) -> None:
        """Keeps session.json and the view up to date."""
        odd = False
        pauses = Pauses()
        while True:
            paused = pauses.look(self._timeouts.tick)
            if paused:
                self._recorder.paused(paused)
            progress = self._renderer.progress()
            self._recorder.update(progress)
            self._recorder.show(
                self._spool.size - progress.offset if self._spool is not None else 0,
                bool(self._stop_reason),
                self._stream.attempts,
            )
            if self._syncing is not None and self._syncing.done():
                self._syncing.result()
            if odd:
                self._recorder.write()
            odd = not odd
            await asyncio.sleep(self._timeouts.tick)

    async def _render_to_the_end(self) -> None:
        """Waits until everything in the spool is in the logs, showing how far it is."""
        spool = self._spool
        assert spool is not None
        spool.sync()
        self._renderer.finish()
        while not self._renderer.done.done():
            await asyncio.wait({self._renderer.done}, timeout=self._timeouts.tick)
            if not self._renderer.done.done():
                self._view.rendering(self._renderer.offset, spool.size)
        self._renderer.done.result()
        if self._config.raw:
            self._view.note(f"the record stream is in {spool.keep()}")
        else:
            spool.remove()
        self._kept_spool = False

    def _conclude(
        self, ended: Exit, end: TargetEnd | None, failure: GathererError | None, cancelled: bool
    ) -> Outcome:
        """Reconciles the accounting of this instance and writes down how it ended."""
        document, recorder, instance = self._document, self._recorder, self._instance
        recorder.ended_at = self._stream.ended_at
        if cancelled and not self._hello_received:
            failure = Interrupted("interrupted before hunter had started")
        if failure is not None and not self._hello_received:
            if self._spool is not None:
                self._spool.remove()
            raise failure
        progress = self._renderer.progress()
        accounts = self._all_received() if failure is not None and not cancelled else None
        counted = accounts is not None
        if accounts is not None:
            accounts.undecoded = progress.accounts.undecoded  # only rendering knows it
            progress = replace(progress, accounts=accounts)
        try:
            recorder.update(progress)
        except LogWriteError as error:
            failure = failure or error
        receiver = self._stream.receiver
        damage = progress.accounts.damage
        broken = receiver.missing_frames or receiver.damage.places or damage.places
        spooled = self._kept_spool and not broken
        reconciliation = reconcile(
            progress.accounts, instance.goodbye, document.processes.names(), spooled=spooled
        )
        failure = failure or self._denied or hunter_failure(instance.goodbye, ended)
        unknown_ms: float = 0
        if instance.goodbye is None:
            unknown_ms = round(1000 * (self._stream.ended_at - recorder.known_at), 3)
        evidence = EndFacts(
            self._stop_reason,
            instance.goodbye,
            ended,
            failure,
            cancelled,
            end,
            not self._kept_spool,
            reconciliation,
            receiver,
            (*instance.discrepancies, *document.processes.shortages()),
            document.processes.dropped_lines_of(instance.number),
            damage,
            unknown_ms,
            self._spool.size if self._spool is not None else 0,
            progress.offset,
            counted,
        )
        conclusion = conclude(evidence)
        recorder.end_instance(evidence, conclusion)
        spool = self._spool_path if self._kept_spool else None
        return Outcome(conclusion, end, failure, cancelled, spool, why_stuck(evidence))

    def _all_received(self) -> Accounts | None:
        """Returns what was received, rendered or not, where only the spool can tell."""
        if not self._kept_spool or self._spool is None or self._instance.goodbye is not None:
            return None
        try:
            return received(self._spool.path)
        except GathererError:
            return None  # What is rendered is known.

    async def _target_end(self, ended: Exit, failure: GathererError | None) -> TargetEnd | None:
        """Asks the runtime how the target ended, for as long as it may take to learn it."""
        goodbye = self._instance.goodbye
        if failure is not None or stuck(ended):
            return None
        if goodbye is not None:
            return TargetEnd(TARGET_ENDED) if goodbye.reason == "no_targets" else None
        patient = ended.code in (None, KILLED, SILENT) or (ended.code == 0 and not ended.certain)
        end: TargetEnd | None = None
        try:
            async with within(self._timeouts.fate + self._timeouts.poll):
                until = time.monotonic() + self._timeouts.fate
                while end is None:
                    end = await self._runtime.ended()
                    if not patient or time.monotonic() >= until:
                        break
                    await asyncio.sleep(0 if end else self._timeouts.poll)
        except (TimeoutError, GathererError):
            pass  # Nobody knows.
        return end


def _is_hello(arrival: Arrival) -> bool:
    """Whether it is the Hello, which the spool needs whatever its number."""
    return arrival.frame.type == FrameType.HELLO
