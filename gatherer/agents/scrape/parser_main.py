"""The parser's process: expositions in, what concerns the captures out.

Each request on its standard input is a line of JSON and the body that it announces; each answer on
its standard output is a line of JSON, `{"reading": …}` or `{"error": [cause, remedy]}`. It ends
with its input. Its memory is limited, so that an exposition made to harm ends this process alone.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any, BinaryIO

from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.scrape.exposition import read_exposition
from gatherer.errors import ScrapeError

MAX_MEMORY = 1 << 30
"""Bytes of address space."""
_NICE = 5


def main() -> int:
    """Serves until the end of stdin; returns the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    os.nice(_NICE)
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while line := stdin.readline():
        stdout.write(json.dumps(_answer(json.loads(line), stdin), separators=(",", ":")).encode())
        stdout.write(b"\n")
        stdout.flush()
    return 0


def _answer(request: dict[str, Any], stdin: BinaryIO) -> dict[str, Any]:
    body = stdin.read(request["size"])
    selections = [ContainerFilter(**wanted) for wanted in request["selections"]]
    try:
        return {"reading": read_exposition(body, request["type"], selections).as_json()}
    except ScrapeError as error:
        return {"error": [error.cause, error.remedy]}
    except MemoryError:
        return {"error": ["the exposition needs too much memory", "reduce what the agent exposes"]}
