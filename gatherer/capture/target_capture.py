"""One capture of one target: a session in each instance of it, one directory, one summary."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from gatherer.capture.hunter_session import Outcome, RendererFactory, Session
from gatherer.capture.node_agents import NodeAgents, NodeAgentsFactory
from gatherer.capture.recorder import CaptureRecorder
from gatherer.capture.result import COMPLETE, FAILED, LOST, Conclusion
from gatherer.capture.session_document import AgentAccount
from gatherer.capture.target_wait import TargetWait
from gatherer.config import CaptureConfig
from gatherer.errors import (
    ApiError,
    DeployError,
    ExecError,
    GathererError,
    Interrupted,
    NotFound,
    TargetGone,
    TargetNotFound,
    TargetNotRunning,
)
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.target.runtime import Runtime
from gatherer.target.values import HunterImage, Target, TargetEnd
from gatherer.timeouts import Timeouts, within
from gatherer.view.base import CaptureView
from gatherer.view.summary import Summary

STARTS = 3
"""How often hunter is started in an instance that runs and does not let it start."""
MAX_POLL_SECONDS = 2.0
"""Time between two attempts to start hunter in an instance that runs."""
MISSED_SECONDS = 2.0
"""How long the kubelet may take to tell that a container has ended."""
_DEATH = ("killed", "exit code 137", "without a status", "is not running", "container not found")
"""In the causes of starts that failed because the container ended meanwhile."""


class TargetCapture:
    """Captures one target to its end, through its restarts.

    Args:
        config: what to do.
        runtime: where hunter runs.
        image: hunter.
        renderer: makes what renders the spool of a session.
        view: shows the capture.
        timeouts: limits of time.
        attach: makes the node agents of the capture, None for none.
        directory: the capture directory, None to open it when the target is found.
    """

    def __init__(
        self,
        config: CaptureConfig,
        runtime: Runtime,
        image: HunterImage,
        renderer: RendererFactory,
        view: CaptureView,
        timeouts: Timeouts | None = None,
        attach: NodeAgentsFactory | None = None,
        directory: CaptureDirectory | None = None,
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._image = image
        self._make_renderer = renderer
        self._view = view
        self._timeouts = timeouts or Timeouts()
        self._attach = attach
        self._directory = directory
        self._agents: NodeAgents | None = None
        self._stop_reason = ""
        self._stopped = asyncio.Event()
        self._running = False
        self._without_ptrace = False
        self._wait: TargetWait | None = None
        self._session: Session | None = None
        self._recorder: CaptureRecorder

    @property
    def running(self) -> bool:
        """Whether a hunter has said Hello."""
        return self._running

    def stop(self, reason: str) -> None:
        """Asks hunter to let every tracee go and end; the capture then ends by itself.

        Args:
            reason: `interrupted`, `duration` or `terminated`.
        """
        if not self._stop_reason:
            self._stop_reason = reason
            self._stopped.set()
            if self._agents is not None:
                self._agents.stop()
            if self._session is not None:
                self._session.stop(reason)

    async def run(self) -> Summary:
        """Captures to the end.

        Cancelling it is the way to end at once: the spool is then kept.

        Returns:
            How it ended, whether well or not.

        Raises:
            GathererError: the target or the capture directory cannot be used, or hunter did not
                start; nothing was captured.
        """
        target = await self._arrive()
        directory = self._directory or CaptureDirectory(self._config.output)
        try:
            if directory.warning:
                self._view.note(f"warning: {directory.warning}")
            self._recorder = CaptureRecorder(self._config, target, directory, self._view)
            if self._attach is not None:
                self._agents = self._attach(target, directory, self._view, self._recorder.document)
                self._agents.start()
            outcomes = await self._instances()
            return self._conclude(outcomes, await self._finish_agents(outcomes[-1]))
        finally:
            if self._agents is not None:
                await self._agents.cancel()
            directory.close()

    async def _arrive(self) -> Target:
        """Finds the target, and waits for it where it does not run yet.

        Raises:
            GathererError: it cannot be had; nothing was captured, and nothing was written.
        """
        try:
            return await self._runtime.resolve()
        except TargetNotRunning as error:
            if not self._config.wait:
                raise
            why = error
        return await self._waited(self._runtime.resolve, why)

    async def _waited(
        self, look: Callable[[], Awaitable[Target]], why: TargetNotRunning | None = None
    ) -> Target:
        """Waits for the first instance that hunter gets into; see `TargetWait.until`.

        Raises:
            Interrupted: nobody waits any more; its cause says what was waited for.
            GathererError: it does not run in time, or never will.
        """
        if self._wait is None:
            self._wait = TargetWait(self._runtime, self._view, self._stopped, self._config.wait)
        try:
            target = await self._wait.until(look, why)
        except asyncio.CancelledError:
            target = None
        if target is None:
            interrupted = "interrupted while the container was waited for"
            raise Interrupted(interrupted) from self._wait.in_vain()
        return target

    async def _finish_agents(self, outcome: Outcome) -> Sequence[AgentAccount]:
        """Returns what node agents gave."""
        if self._agents is not None and not outcome.cancelled:
            try:
                return await self._agents.finish()
            except asyncio.CancelledError:
                pass  # Nobody waits for its final message; the capture itself is whole.
        return ()

    async def _instances(self) -> list[Outcome]:
        """Captures one instance after the other."""
        outcomes = [await self._first_instance()]
        try:
            while True:
                if self._may_begin_again(outcomes[-1]):
                    again = await self._begin_again(outcomes[-1])
                    if again is None:
                        break
                    outcomes.append(again)
                    continue
                if not self._may_go_on(outcomes[-1]):
                    break
                target = await self._next_instance()
                if target is None:
                    break
                self._recorder.next_instance(target)
                outcomes.append(await self._later_instance())
        except asyncio.CancelledError:
            stopped = Conclusion("stopped at once", False, FAILED, (), "it was stopped at once")
            outcomes.append(Outcome(stopped))
        return outcomes

    async def _first_instance(self) -> Outcome:
        """Captures the first instance that lives long enough for hunter to get in."""
        while True:
            try:
                return await self._one_instance()
            except Interrupted:
                raise
            except GathererError as error:
                failure = error
            end = await self._missed(failure)
            if end is None:
                raise failure
            await self._next_first_instance(end)

    async def _missed(self, failure: GathererError) -> TargetEnd | None:
        """Returns how the instance ended while hunter was on its way into it, if it is restarted.

        Args:
            failure: what kept hunter from starting.
        """
        if not self._config.wait:
            return None
        # An end is told a little later than it is felt.
        died = self._wait is not None or any(word in failure.cause for word in _DEATH)
        until = time.monotonic() + (MISSED_SECONDS if died else 0.0)
        while True:
            try:
                end = await self._runtime.ended()
            except GathererError:
                return None
            if end is not None:
                return end if end.restarts else None
            if not isinstance(failure, (ApiError, ExecError, DeployError)):
                return None
            if time.monotonic() >= until:
                return None
            await self._runtime.changed(until - time.monotonic())

    async def _next_first_instance(self, end: TargetEnd) -> None:
        """Waits for the instance after one that was missed, which then takes its place.

        Raises:
            GathererError: there is none in time.
        """
        self._view.note(f"the container ended before hunter was in it: {end.text()}")
        try:
            target = await self._waited(self._runtime.restarted)
        except TargetGone as gone:
            raise TargetNotFound(gone.cause, gone.remedy or "see `kubectl get pods`") from gone
        self._recorder.replace_instance(target)

    async def _later_instance(self) -> Outcome:
        """Captures a restarted instance; it may be gone again before hunter is in it."""
        for _ in range(STARTS):
            try:
                return await self._one_instance()
            except Interrupted:
                raise asyncio.CancelledError from None
            except GathererError as error:
                failure = error
            try:
                end = await self._runtime.ended()
            except GathererError:
                end = None
            if end is not None:
                self._recorder.missed(end)
                why = f"an instance of the container ended before hunter was in it: {failure.cause}"
                return Outcome(Conclusion(end.reason, False, COMPLETE, (), why), end)
            if await self._pause(MAX_POLL_SECONDS):
                break
        reason = f"failed: {failure.cause}"
        return Outcome(Conclusion(reason, False, FAILED, (), failure.cause), failure=failure)

    def _may_begin_again(self, outcome: Outcome) -> bool:
        """Tells whether another hunter is to go on after one that was stuck: once, not twice."""
        if not outcome.stuck:
            return False
        may = not (self._without_ptrace or self._stop_reason or outcome.cancelled)
        then = "another hunter goes on, without ptrace" if may else ""
        self._recorder.stuck(outcome.stuck, then)
        return may

    async def _begin_again(self, outcome: Outcome) -> Outcome | None:
        """Captures on with another hunter, which never stops the target.

        Args:
            outcome: of the one that was stuck.

        Returns:
            How it ended, None when there could be none.
        """
        self._without_ptrace = True
        # What was asked for at the beginning is not asked of the rest.
        self._config = replace(self._config, require_trace=False)
        self._recorder.begin_again()
        try:
            return await self._one_instance()
        except Interrupted:
            raise asyncio.CancelledError from None
        except GathererError as error:
            self._recorder.not_started(error.cause)
            self._view.note(f"no other hunter could be started: {error}")
            return None

    def _may_go_on(self, outcome: Outcome) -> bool:
        """Tells whether a later instance is to be captured too."""
        config = self._config
        # Other pids than that of the container's first process name nothing in another instance.
        same_pids = not config.only_pids or 1 in config.pids
        return (
            config.restart
            and same_pids
            and not self._stop_reason
            and not outcome.cancelled
            and outcome.failure is None
            and outcome.end is not None
            and outcome.end.restarts
        )

    async def _next_instance(self) -> Target | None:
        """Waits until the target runs again; None when it will not, or nobody waits any more."""
        self._view.note(
            f"{self._recorder.document.instance.end_line()}; waiting for the container to run again"
        )
        wait = TargetWait(self._runtime, self._view, self._stopped, None)
        try:
            return await wait.until(self._runtime.restarted)
        except (TargetGone, TargetNotFound, NotFound) as gone:
            self._view.note(str(gone))
            await self._note_successor()
            return None

    async def _note_successor(self) -> None:
        """Finds out who takes the place of a pod that went while its container was down."""
        known = self._recorder.document.instance.end
        try:
            end = await self._runtime.ended()
        except GathererError:
            return
        if end is not None and known is not None:
            self._recorder.missed(replace(known, restarts=False, successor=end.successor))

    async def _pause(self, seconds: float) -> bool:
        """Waits a while; returns whether the capture has been asked to stop."""
        try:
            async with within(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return False
        return True

    async def _one_instance(self) -> Outcome:
        session = Session(
            self._config,
            self._runtime,
            self._image,
            self._make_renderer,
            self._view,
            self._recorder,
            self._timeouts,
            self._on_hello,
            self._without_ptrace,
        )
        self._session = session
        if self._stop_reason:
            session.stop(self._stop_reason)
        return await session.run()

    def _on_hello(self) -> None:
        """A hunter runs; the duration counts from the first one."""
        if not self._running and self._config.duration is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(self._config.duration, self.stop, "duration")
        self._running = True
        if self._agents is not None:
            self._agents.on_hello()

    def _conclude(self, outcomes: list[Outcome], agents: Sequence[AgentAccount]) -> Summary:
        """Puts the ends of all sessions together and writes session.json for the last time."""
        last = outcomes[-1]
        conclusions = [outcome.conclusion for outcome in outcomes]
        code, reason = last.conclusion.exit_code, last.conclusion.end_reason
        if code == COMPLETE and any(each.exit_code == LOST for each in conclusions):
            code = LOST
        if self._stop_reason == "terminated" and code in (COMPLETE, LOST):
            code, reason = FAILED, "terminated"
        notes = tuple(dict.fromkeys(note for each in conclusions for note in each.notes))
        complete = all(each.complete for each in conclusions)
        incomplete = next((each.incomplete for each in conclusions if not each.complete), "")
        kept = [outcome.spool for outcome in outcomes if outcome.spool is not None]
        return self._recorder.conclude(
            Conclusion(reason, complete, code, notes, incomplete),
            last.failure,
            agents,
            kept[-1] if kept else None,
        )
