"""Reads what a real Kubernetes answered to exec requests (tests/fixtures/kubernetes)."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubernetes"


@dataclass(frozen=True)
class Recording:
    """One exec request: the answer to the handshake and the messages that followed."""

    name: str
    status: int
    headers: dict[str, str]
    body: bytes
    messages: tuple[bytes, ...]
    close_code: int | None

    @property
    def subprotocol(self) -> str:
        return self.headers["Sec-WebSocket-Protocol"]

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "")


@cache
def recordings() -> dict[str, Recording]:
    text = (FIXTURES / "exec-errors.txt").read_text()
    found = {}
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = section.partition("\n")
        found[name] = _parse(name, rest)
    return found


def _parse(name: str, text: str) -> Recording:
    status, headers, body, messages, close_code = 0, {}, b"", [], None
    for line in text.splitlines():
        if match := re.fullmatch(r"HTTP/1\.1 (\d+) .*", line):
            status = int(match[1])
        elif line.startswith("BODY"):
            body = line.removeprefix("BODY").removeprefix(" ").encode()
        elif match := re.fullmatch(r"\[[\d.]+\] op=2 fin=1 ch=(\d\d) len=(\d+) (b['\"].*)", line):
            payload = ast.literal_eval(match[3])
            assert len(payload) + 1 == int(match[2])
            messages.append(bytes([int(match[1], 16)]) + payload)
        elif match := re.fullmatch(r"\[[\d.]+\] CLOSE (\d+) .*", line):
            close_code = int(match[1])
        elif match := re.fullmatch(r"([A-Za-z-]+): (.*)", line):
            headers[match[1]] = match[2]
        else:
            assert not line, line
    return Recording(name, status, headers, body, tuple(messages), close_code)


def load(name: str) -> Any:
    """Returns a recorded object, a fresh one each time."""
    return json.loads((FIXTURES / name).read_text())
