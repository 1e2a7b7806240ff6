"""The parser's process: its answers, its end, and what it takes from where it is started."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gatherer.agents.child_process import ChildProcess
from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.scrape import parser as parser_module
from gatherer.agents.scrape.parser import MAX_MEMORY, Parser
from gatherer.errors import ScrapeError
from hg_shared.mark import is_marked

EVERYTHING = [ContainerFilter()]


@pytest.fixture
async def parser() -> AsyncIterator[Parser]:
    made = Parser()
    yield made
    await made.aclose()


def process_of(parser: Parser) -> ChildProcess:
    assert parser._process is not None
    return parser._process


async def test_expositions_are_parsed_one_after_the_other(parser: Parser) -> None:
    first = await parser.parse(b"x 1\n", "text/plain", EVERYTHING)
    process = process_of(parser)
    body = b"".join(b'y{n="%d"} +Inf\n' % number for number in range(30_000))
    second = await parser.parse(body, "text/plain", EVERYTHING)
    assert (first.samples, second.samples, second.kept[0][0].value) == (1, 30_000, float("inf"))
    assert process_of(parser) is process


async def test_what_is_no_exposition_is_an_error_with_its_remedy(parser: Parser) -> None:
    with pytest.raises(ScrapeError, match="no exposition: text/html") as caught:
        await parser.parse(b"<html>", "text/html", EVERYTHING)
    assert caught.value.remedy == "check port and path of the agent"


async def test_one_that_is_killed_is_an_error_and_replaced(parser: Parser) -> None:
    await parser.parse(b"x 1\n", "text/plain", EVERYTHING)
    killed = process_of(parser)
    os.kill(killed.pid, signal.SIGSTOP)
    parsing = asyncio.ensure_future(parser.parse(b"x 1\n", "text/plain", EVERYTHING))
    await asyncio.sleep(0)
    os.kill(killed.pid, signal.SIGKILL)
    with pytest.raises(ScrapeError, match="the parser died"):
        await parsing
    assert not killed.running
    assert (await parser.parse(b"x 1\n", "text/plain", EVERYTHING)).samples == 1


async def test_one_that_takes_too_long_is_killed(
    parser: Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parser.parse(b"x 1\n", "text/plain", EVERYTHING)
    process = process_of(parser)
    monkeypatch.setattr(parser_module, "SECONDS", 0)
    with pytest.raises(ScrapeError, match="it took too long"):
        await parser.parse(b"x 1\n", "text/plain", EVERYTHING)
    assert not process.running


async def test_an_exposition_that_needs_too_much_memory_ends_no_capture(parser: Parser) -> None:
    await parser.parse(b"x 1\n", "text/plain", EVERYTHING)
    pid, limit = process_of(parser).pid, resource.RLIMIT_AS
    assert resource.prlimit(pid, limit) == (MAX_MEMORY, MAX_MEMORY)
    # Less for the test, which would need as much memory itself.
    resource.prlimit(pid, limit, (128 << 20, 128 << 20))
    body = b'x{a="%s"} 1\n' % (b"b" * (48 << 20))
    with pytest.raises(ScrapeError, match=r"too much memory|the parser died"):
        await parser.parse(body, "text/plain", EVERYTHING)


async def test_it_takes_nothing_from_the_terminal_and_the_current_directory(
    parser: Parser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    await parser.parse(b"x 1\n", "text/plain", EVERYTHING)
    pid = process_of(parser).pid
    assert os.getsid(pid) == pid
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {"/dev/null"}
    status = Path(f"/proc/{pid}/status").read_text()
    (ignored,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    assert is_marked(ignored)
