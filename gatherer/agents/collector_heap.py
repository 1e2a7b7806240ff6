"""A heap profile of Collector, taken by a process that outlives gatherer: on, wait, off, fetch.

The profiler must be off afterwards, whatever happens to gatherer: the process switches it off when
it is told to, when a signal ends it, and when its connection ends, which is how it learns that
gatherer was killed. Should it be killed itself, gatherer switches the profiler off.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from gatherer.agents.child_process import ChildProcess
from gatherer.agents.kinds.collector import read_profiling
from gatherer.agents.scrape.endpoints import ApiServerRoutes, Endpoint, Limits, PodEndpoint
from gatherer.errors import GathererError, ScrapeError

LIMITS = Limits(seconds=10.0, size=64 << 20)
OFF_ATTEMPTS = 5
OFF_PAUSE_SECONDS = 1.0
HEAP = "/profile/heap"
ON, OFF = "on", "off"
_MAX_MESSAGE = LIMITS.size + (1 << 20)


@dataclass(frozen=True)
class ProfileRequest:
    """The Collector to profile.

    Attributes:
        kubeconfig: path, None for where kubectl looks.
        context: its name, None for the current one.
        namespace: of the Collector.
        pod: its name.
        port: of its server.
        seconds: how long to profile.
    """

    kubeconfig: str | None
    context: str | None
    namespace: str
    pod: str
    port: int
    seconds: float


class HeapProfiler:
    """Takes one profile.

    Args:
        endpoint: the same server, for the case that the process is killed.

    Attributes:
        state: `on` while the profiler runs.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.state = ""
        self._endpoint = endpoint
        self._process: ChildProcess | None = None

    async def profile(self, request: ProfileRequest) -> bytes:
        """Takes a profile and returns it; `stop` ends it early.

        Cancelling it leaves the process to switch the profiler off.

        Args:
            request: the Collector.

        Raises:
            ScrapeError: there is none.
        """
        try:
            self._process = process = ChildProcess(__name__)
        except OSError as error:
            raise ScrapeError(f"cannot start a process: {error.strerror}") from error
        try:
            message = await self._final_message(process, request)
        except asyncio.CancelledError:
            process.hang_up()  # nobody reads what it would send
            raise
        finally:
            self.stop()
            ended = process.wait()
        await ended
        if isinstance(message, bytes):
            return message
        if self.state == ON:
            await switch_off(self._endpoint)
        raise message

    def stop(self) -> None:
        """Lets it end early."""
        if self._process is not None:
            try:
                self._process.send(None)
            except OSError:
                pass  # It has ended.

    async def _final_message(
        self, process: ChildProcess, request: ProfileRequest
    ) -> bytes | ScrapeError:
        try:
            process.send(request)
            while True:
                message = await process.receive(_MAX_MESSAGE)
                if isinstance(message, (bytes, ScrapeError)):
                    return message
                self.state = str(message)
        except (EOFError, OSError):
            return ScrapeError("the process that took the heap profile died", "take it again")


async def switch_off(endpoint: Endpoint) -> None:
    """Switches the heap profiler off, and makes sure that it is.

    Raises:
        ScrapeError: it could not be made off; the profiler may still run.
    """
    problem = ScrapeError("the heap profiler stays on")
    for attempt in range(OFF_ATTEMPTS):
        if attempt:
            await asyncio.sleep(OFF_PAUSE_SECONDS)
        try:
            await endpoint.fetch("POST", HEAP, body=b"off", limits=LIMITS)
            answer = await endpoint.fetch("GET", "/profile", limits=LIMITS)
            if read_profiling(answer.body)[0] != "on":
                return
        except ScrapeError as error:
            problem = error
    raise ScrapeError(
        f"Collector's heap profiler may still be on: {problem.cause}",
        "switch it off: `curl -X POST -d off localhost:8080/profile/heap` through a port-forward",
    )


async def take_profile(
    endpoint: Endpoint, seconds: float, stop: asyncio.Event, report: Callable[[str], None]
) -> bytes:
    """Takes a profile and returns it.

    Args:
        endpoint: Collector's server on port 8080.
        seconds: how long to profile.
        stop: set when it shall end earlier.
        report: is told when the profiler is on, and when it is off.

    Raises:
        ScrapeError: it could not be taken; the profiler is off, unless the error says so.
    """
    answer = await endpoint.fetch("GET", "/profile", limits=LIMITS)
    state, supported = read_profiling(answer.body)
    if not supported:
        raise ScrapeError("this Collector is built without the heap profiler")
    if state == "on":
        raise ScrapeError("its heap profiler is on already, by somebody else")
    try:
        answer = await endpoint.fetch("POST", HEAP, body=b"on", limits=LIMITS)
        if answer.status != 200:
            raise ScrapeError(f"{HEAP} answers {answer.status} to `on`", "see Collector's log")
        report(ON)
        try:
            async with asyncio.timeout(seconds):  # type: ignore[attr-defined,unused-ignore]
                await stop.wait()
        except TimeoutError:
            pass
    finally:
        await switch_off(endpoint)
        report(OFF)
    return (await endpoint.fetch("GET", HEAP, limits=LIMITS)).body


def serve(connection: Connection) -> None:
    """Takes one profile.

    Args:
        connection: to gatherer, which sends a `ProfileRequest`, and anything to end it early.
    """
    # A signal before the handlers stand ends it before anything is switched on.
    asyncio.run(_serve(connection, connection.recv()))


async def _serve(connection: Connection, request: ProfileRequest) -> None:
    # Imported here: tests need none of it.
    from gatherer.kube.auth.configuration import load_access

    def report(message: object) -> None:
        try:
            connection.send(message)
        except OSError:
            pass  # Gatherer is gone; what is left to do does not depend on it.

    def end_early() -> None:
        loop.remove_reader(connection.fileno())
        stop.set()

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(connection.fileno(), end_early)
    routes = ApiServerRoutes(load_access(request.kubeconfig, request.context))
    endpoint = PodEndpoint(routes, request.namespace, request.pod, (request.port,))
    try:
        report(await take_profile(endpoint, request.seconds, stop, report))
    except GathererError as error:
        report(ScrapeError(error.cause, error.remedy))
    finally:
        await routes.aclose()
