"""The captures of many targets: which there are, as pods come and go, and how they end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from gatherer.capture.result import FAILED, TARGET_ENDED
from gatherer.capture.target_wait import in_vain
from gatherer.config import DEFAULT_MAX_EXECS, CaptureConfig
from gatherer.errors import (
    GathererError,
    LogWriteError,
    TargetNotFound,
    WaitedInVain,
    unexpected,
)
from gatherer.fleet.fleet_document import FleetEnd, fleet_document
from gatherer.fleet.found_pods import Found
from gatherer.fleet.member import CaptureFactory, Member
from gatherer.fleet.start_limiter import StartLimiter
from gatherer.fleet.target_discovery import FleetSources
from gatherer.kube.watch.pod_sources import PodSource
from gatherer.storage.capture_directory import TargetDirectory
from gatherer.storage.earlier_capture import TARGETS
from gatherer.storage.output_directory import OutputDirectory, replace_json
from gatherer.timeouts import within
from gatherer.view.base import View
from gatherer.view.fleet_summary import FleetSummary, joint_error, worst
from gatherer.view.status import FleetStatus, TargetStatus, Waiting
from gatherer.view.target_view import TargetView

TICK_SECONDS = 0.5
WRITE_TICKS = 4
EXHAUSTED_SECONDS = 2.0
"""Time between two questions whether more pods can come, when no target is left."""
SOON_SECONDS = 0.05
"""Time between two looks at a container whose time is over."""
ALONE_SECONDS = 3.0
"""How long the error of the only target waits for the end of everything, which tells it."""

WENT_SECONDS = 3.0
"""How long the watch may take to tell that a container has ended, in which hunter did not start."""
STARTS = 3
"""How often hunter is brought into a container that ends before it has started."""
STRAGGLER_SECONDS = 30.0
"""How long the duration waits, after a hunter has started, for the next one to start."""


class Fleet:
    """One capture of many targets.

    Args:
        config: what to do with each.
        sources: where their pods come from.
        make_capture: makes the capture of one.
        view: shows all of them.
    """

    def __init__(
        self,
        config: CaptureConfig,
        sources: Sequence[PodSource],
        make_capture: CaptureFactory,
        view: View,
    ) -> None:
        self._config = config
        self._make_capture = make_capture
        self._view = view
        self._wake = asyncio.Event()
        self._sources = FleetSources(
            sources, config.target.container, config.wait > 0, view.note, self._wake.set
        )
        self._members: dict[tuple[str, str], Member] = {}
        self._starts: dict[tuple[str, str], int] = {}
        self._waiting = 0
        self._waits: dict[tuple[str, str], tuple[Found, float]] = {}
        self._stop_reason = ""
        self._cancelled = False
        self._ended_all = False
        self._started_ns = time.time_ns()
        self._first_hello_at: float | None = None
        self._last_hello_at = 0.0
        self._began_at = time.monotonic()
        limit = config.fleet.max_execs if config.fleet is not None else DEFAULT_MAX_EXECS
        self._hunters = StartLimiter(limit)
        self._timer: asyncio.TimerHandle | None = None
        self._directory: OutputDirectory | None = None

    @property
    def running(self) -> bool:
        """Whether any hunter has run."""
        return self._first_hello_at is not None

    def stop(self, reason: str) -> None:
        """Asks all hunters to let every tracee go and end; what has not started does not start.

        Args:
            reason: `interrupted`, `duration` or `terminated`.
        """
        if self._stop_reason:
            return
        self._stop_reason = reason
        for member in self._active():
            assert member.capture is not None
            assert member.task is not None
            if member.has_run:
                member.capture.stop(reason)
            else:
                member.task.cancel()
        if reason == "duration":
            self._give_up_named()
        self._wake.set()

    def _give_up_named(self) -> None:
        """Counts pods that were named and still do not run as ones that could not start."""
        for found, since in list(self._waits.values()):
            if not found.live and found.key not in self._members:
                self._refuse(found, in_vain(time.monotonic() - since, found.waits))

    async def run(self) -> FleetSummary:
        """Captures to the end.

        Cancelling it is the way to end at once: spools are then kept.

        Returns:
            How it ended, whether well or not.

        Raises:
            GathererError: there is no target, none could be captured, or the directory cannot be
                used.
        """
        self._sources.start()
        try:
            while not self._sources.heard:
                await self._wait(EXHAUSTED_SECONDS)
            self._sources.check()
            self._directory = OutputDirectory(self._config.output)
            if self._directory.warning:
                self._view.note(f"warning: {self._directory.warning}")
            await self._capture()
        finally:
            self._ended_all = True
            await self._sources.aclose()
            if self._directory is not None:
                self._directory.close()
        return self._summary()

    async def _capture(self) -> None:
        """Runs captures until there are no more."""
        ticking = asyncio.ensure_future(self._tick())
        try:
            while not await self._over():
                self._start_captures()
                self._arm()
                await self._wait(self._rest())
        except asyncio.CancelledError:
            self._cancelled = True
            tasks = [member.task for member in self._active() if member.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self.running:
                raise
        finally:
            ticking.cancel()
            if self._timer is not None:
                self._timer.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            self._write(last=True)

    def _start_captures(self) -> None:
        """Starts the captures of containers that run and have none yet."""
        self._waiting = 0
        listed = list(self._sources.found.containers())
        self._forget_waits(listed)
        for found in listed:
            member = self._members.get(found.key)
            late = member is not None and member.in_vain and found.running
            if self._stop_reason or (member is not None and not late):
                continue
            if found.refusal is not None:
                self._refuse(found, found.refusal)
            elif found.running and not any(one.name == found.name for one in self._active()):
                self._start(found)
            else:
                # Its predecessor of the same name may still use the directory.
                self._waiting += 1
                self._wait_for(found)

    def _wait_for(self, found: Found) -> None:
        """Shows why a container does not run yet, and gives it up when its time is over."""
        if found.waits is None:
            return
        now = time.monotonic()
        _, since = self._waits.get(found.key, (found, now))
        self._waits[found.key] = (found, since)
        seconds, limit = now - since, self._config.wait
        reason, message = found.waits.reason, found.waits.message
        self._view.waiting(Waiting(reason, message, seconds, limit or None), found.name)
        if limit and seconds >= limit:
            self._waiting -= 1
            del self._waits[found.key]
            self._refuse(found, in_vain(limit, found.waits))

    def _rest(self) -> float:
        """Returns how long nothing need be looked at: a container is given up when it is time."""
        limit = self._config.wait
        if not limit or not self._waits:
            return EXHAUSTED_SECONDS
        first = min(since for _, since in self._waits.values())
        return min(EXHAUSTED_SECONDS, max(SOON_SECONDS, first + limit - time.monotonic()))

    def _forget_waits(self, listed: list[Found]) -> None:
        """Ends the waits for pods that are gone; one that was named and is not back is missed."""
        names = {found.name for found in listed}
        for key in self._waits.keys() - {found.key for found in listed}:
            found, _ = self._waits.pop(key)
            if not found.live and key not in self._members and found.name not in names:
                error = TargetNotFound(
                    f"pod {found.name.pod!r} was deleted while it was waited for",
                    "see `kubectl get pods`",
                )
                self._refuse(found, error)

    def _time_left(self, found: Found) -> float:
        """Returns how long a container may still be waited for if it does not run after all."""
        _, since = self._waits.pop(found.key, (found, time.monotonic()))
        return max(0.0, self._config.wait - (time.monotonic() - since))

    def _start(self, found: Found) -> None:
        assert found.container is not None
        name = found.name
        target = replace(
            self._config.target,
            pod=name.pod,
            container=name.container,
            namespace=name.namespace,
        )
        config = replace(
            self._config,
            target=target,
            fleet=None,
            output=self._config.output / name.directory,
            duration=None,
            wait=self._time_left(found),
        )
        self._starts[found.key] = self._starts.get(found.key, 0) + 1
        member = Member(name, found.uid, found.container.container_id, found.live)
        member.slot = self._hunters.slot(found.node)
        member.view = TargetView(
            name, self._view, lambda: self._on_hello(member), member.slot.release
        )
        assert self._directory is not None
        directory = TargetDirectory(config.output, self._directory)
        member.capture = self._make_capture(name, config, member.view, directory)
        member.task = asyncio.ensure_future(self._run(member))
        member.task.add_done_callback(lambda task: self._ended(member, task))
        self._members[found.key] = member

    def _refuse(self, found: Found, error: TargetNotFound) -> None:
        """Notes once that a pod that was asked for cannot be captured."""
        member = Member(found.name, found.uid, "", found.live)
        member.in_vain = isinstance(error, WaitedInVain)
        if found.optional:
            member.remark = error.cause
        else:
            member.error = error
        member.ended_ns = time.time_ns()
        self._members[found.key] = member
        self._view.note(str(error))

    async def _run(self, member: Member) -> None:
        """Runs the capture of one target; whatever happens to it is its own."""
        assert member.capture is not None
        assert member.slot is not None
        try:
            async with member.slot:
                member.summary = await member.capture.run()
            member.error = member.summary.failure
        except GathererError as error:
            waited = error.__cause__ if self._stop_reason == "duration" else None
            if isinstance(waited, WaitedInVain) and not member.live:
                member.error = waited
            elif self._stop_reason or self._cancelled:
                member.remark = "interrupted before hunter had started"
            elif member.live and not isinstance(error, WaitedInVain) and await self._went(member):
                member.remark = f"it ended before it could be captured: {error.cause}"
            else:
                member.error = error
        except Exception as error:
            member.error = unexpected(error)

    async def _went(self, member: Member) -> bool:
        """Whether the container has ended in which hunter did not start."""
        return await self._sources.ended(
            member.uid, member.name.container, member.instance, WENT_SECONDS
        )

    def _ended(self, member: Member, task: asyncio.Task[None]) -> None:
        """Notes that the task of a capture has ended, perhaps before it took its first step."""
        member.ended_ns = time.time_ns()
        if task.cancelled():
            member.remark = "interrupted before hunter had started"
        self._wake.set()
        key = (member.uid, member.name.container)
        stopping = self._stop_reason or self._cancelled
        if (
            member.remark
            and not stopping
            and member.uid in self._sources.found
            and self._starts[key] < STARTS
        ):
            # Its next instance gets another try.
            self._members.pop(key, None)
        if member.summary is None and member.error is not None and len(self._members) == 1:
            # Of the only target it is most often the error that the whole ends with at once.
            loop = asyncio.get_running_loop()
            loop.call_later(ALONE_SECONDS, self._tell_alone, member, str(member.error))
        elif member.summary is None:
            self._view.note(str(member.error) if member.error else member.remark, member.name)
        elif not self._stop_reason:
            self._view.note(f"capture ended: {member.summary.end_reason}", member.name)

    def _tell_alone(self, member: Member, error: str) -> None:
        """Notes why the only target could not be captured, unless that has ended everything."""
        if not self._ended_all:
            self._view.note(error, member.name)

    def _on_hello(self, member: Member) -> None:
        """Notes that a hunter runs; one that comes too late is asked to end."""
        if member.slot is not None:
            member.slot.release()
        self._last_hello_at = time.monotonic()
        if self._first_hello_at is None:
            self._first_hello_at = self._last_hello_at
            if self._directory is not None and self._directory.moved_to is not None:
                self._view.note(f"an earlier capture was moved to {self._directory.moved_to}")
        if self._stop_reason:
            for member in self._active():
                if member.has_run and member.capture is not None:
                    member.capture.stop(self._stop_reason)
        self._wake.set()

    def _arm(self) -> None:
        """Lets the duration begin when all targets there were are traced, or nearly all.

        When none runs and none starts, it begins all the same after a while.
        """
        if self._config.duration is None or self._timer is not None:
            return
        starting = any(not member.has_run for member in self._active())
        waited = time.monotonic() - (self._last_hello_at or self._began_at)
        waiting = self._waiting and self._config.wait
        if not self.running and (starting or waiting or waited < STRAGGLER_SECONDS):
            return
        if starting and waited < STRAGGLER_SECONDS:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._config.duration, self.stop, "duration")

    async def _over(self) -> bool:
        """Whether no capture goes on and none can begin any more."""
        if self._active():
            return False
        if self._stop_reason:
            return True
        if self._waits:
            return False
        if any(found.key not in self._members for found in self._sources.found.containers()):
            return False
        if not self.running and any(member.in_vain for member in self._members.values()):
            return True
        return await self._sources.exhausted()

    def _active(self) -> list[Member]:
        return [member for member in self._members.values() if member.active]

    async def _wait(self, seconds: float) -> None:
        """Waits until something happens, but not for ever."""
        try:
            async with within(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _tick(self) -> None:
        """Keeps the view and targets.json up to date."""
        count = 0
        while True:
            self._show()
            if count % WRITE_TICKS == 0:
                self._write()
            count += 1
            await asyncio.sleep(TICK_SECONDS)

    def _show(self) -> None:
        rendered = [
            member.view.rendered
            for member in self._active()
            if member.view is not None and member.view.rendered is not None
        ]
        if rendered and len(rendered) == len(self._active()):
            done, total = (sum(parts) for parts in zip(*rendered, strict=True))
            self._view.rendering(done, total)
        elif self._first_hello_at is not None:
            self._view.status(self._status(time.monotonic() - self._first_hello_at))

    def _status(self, seconds: float) -> FleetStatus:
        targets = tuple(
            TargetStatus(member.name, member.state, member.view.latest if member.view else None)
            for member in self._members.values()
        )
        return FleetStatus(seconds, targets, self._waiting, bool(self._stop_reason))

    def _end_reason(self) -> str:
        if self._cancelled:
            return "stopped at once"
        return self._stop_reason or TARGET_ENDED

    def _exit_code(self) -> int:
        codes = [member.outcome().exit_code for member in self._members.values()]
        codes += [error.exit_code for error in self._sources.errors.values()]
        if self._cancelled or self._stop_reason == "terminated":
            codes.append(FAILED)
        return worst(codes)

    def _summary(self) -> FleetSummary:
        """Returns how it ended.

        Raises:
            GathererError: nothing at all was captured.
        """
        outcomes = tuple(member.outcome() for member in self._members.values())
        if not outcomes:
            raise TargetNotFound(
                "no container of the pods that were found has run", "see `kubectl get pods`"
            )
        error = joint_error(outcomes)
        if error is not None and not any(outcome.summary for outcome in outcomes):
            raise error
        return FleetSummary(
            self._config.output,
            outcomes,
            self._end_reason(),
            self._exit_code(),
            tuple(error for _, error in sorted(self._sources.errors.items())),
        )

    def _write(self, last: bool = False) -> None:
        """Replaces targets.json; when that cannot be, the last one that fitted stays.

        Before the first hunter runs there is none; at the end there is one unless nobody waited.
        """
        assert self._directory is not None
        if not self._directory.begun and (not last or self._cancelled or self._stop_reason):
            return
        end = FleetEnd(self._end_reason(), self._exit_code()) if last else None
        members = list(self._members.values())
        document = fleet_document(self._config, self._started_ns, members, end)
        try:
            self._directory.begin()
            replace_json(self._directory.path / TARGETS, document)
        except LogWriteError as error:
            if last:
                self._view.note(str(error))
