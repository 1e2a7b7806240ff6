"""A Collector heap profile, in a process of its own: on, wait, off, fetch.

The profiler must be off afterwards, whatever happens to gatherer: this process is in a session of
its own, and switches it off when it is told to, when a signal ends it, and when its standard input
ends, which is how it learns that gatherer was killed.

Standard input: a line of JSON that says where, then `stop` when it is time. Standard output: a line
of JSON for each state: `on`, `off`, `skipped` with a reason, `failed` with cause and remedy; after
`off` one `profile` with its size, and its bytes.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

from gatherer.agents.kinds.collector import read_profiling
from gatherer.agents.scrape.endpoints import ApiServerRoutes, Endpoint, Limits, PodEndpoint
from gatherer.errors import GathererError, ScrapeError

LIMITS = Limits(seconds=10.0, size=64 << 20)
OFF_ATTEMPTS = 5
OFF_PAUSE_SECONDS = 1.0
HEAP = "/profile/heap"


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


async def profile(endpoint: Endpoint, seconds: float, stop: asyncio.Event, say: Any) -> None:
    """Takes a profile.

    Args:
        endpoint: Collector's server on port 8080.
        seconds: how long to profile.
        stop: set when it shall end earlier.
        say: takes each state.

    Raises:
        ScrapeError: it could not be taken; the profiler is off, unless the error says so.
    """
    answer = await endpoint.fetch("GET", "/profile", limits=LIMITS)
    state, supported = read_profiling(answer.body)
    if not supported:
        say({"state": "skipped", "reason": "this Collector is built without the heap profiler"})
        return
    if state == "on":
        say({"state": "skipped", "reason": "its heap profiler is on already, by somebody else"})
        return
    try:
        answer = await endpoint.fetch("POST", HEAP, body=b"on", limits=LIMITS)
        if answer.status != 200:
            raise ScrapeError(f"{HEAP} answers {answer.status} to `on`", "see Collector's log")
        say({"state": "on"})
        try:
            async with asyncio.timeout(seconds):  # type: ignore[attr-defined,unused-ignore]
                await stop.wait()
        except TimeoutError:
            pass
    finally:
        await switch_off(endpoint)
        say({"state": "off"})
    answer = await endpoint.fetch("GET", HEAP, limits=LIMITS)
    say({"state": "profile", "size": len(answer.body)}, answer.body)


def _say(value: dict[str, Any], body: bytes = b"") -> None:
    try:
        sys.stdout.buffer.write(json.dumps(value).encode("ascii") + b"\n" + body)
        sys.stdout.buffer.flush()
    except OSError:
        pass  # Gatherer is gone; what is left to do does not depend on it.


async def _run(request: dict[str, Any]) -> None:
    # Imported here: the kubernetes package takes long to load, and tests need none.
    from gatherer.kube.auth.credentials import load_access

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    # Both `stop` and the end of stdin mean the same.
    loop.add_reader(sys.stdin.fileno(), _stop, loop, stop)
    routes = ApiServerRoutes(load_access(request["kubeconfig"], request["context"]))
    endpoint = PodEndpoint(routes, request["namespace"], request["pod"], (request["port"],))
    try:
        await profile(endpoint, request["seconds"], stop, _say)
    except GathererError as error:
        _say({"state": "failed", "cause": error.cause, "remedy": error.remedy})
    finally:
        await routes.aclose()


def _stop(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    loop.remove_reader(sys.stdin.fileno())
    stop.set()


def main() -> int:
    """Takes one profile; returns the exit code."""
    # A signal before the handlers stand ends it before anything is switched on.
    asyncio.run(_run(json.loads(sys.stdin.buffer.readline())))
    return 0
