"""Rendering: lines a second of processor time, from rows and from a spool to its log."""

from __future__ import annotations

import platform
import time
from pathlib import Path

from gatherer.config import LinesConfig
from gatherer.rendering.pipeline import CHUNK, Rendering, lines_factory
from gatherer.rendering.strace.lines import process_lines as compiled_or_not
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from gatherer.storage.logs import LogDirectory
from tests.bench import streams

BATCHES = 60
UNLIMITED = 1 << 50


def form() -> str:
    """Returns which form of the renderer runs, and on which interpreter."""
    compiled = not str(compiled_or_not.__file__).endswith(".py")
    return f"{'compiled' if compiled else 'pure Python'}, CPython {platform.python_version()}"


def measure(folder: Path, mix: str) -> dict[str, float]:
    """Renders the same calls of one thread, of four, and from a spool, one after the other.

    Args:
        folder: for a spool and a log.
        mix: one of `streams.MIXES`.
    """
    content = list(streams.batches(mix, BATCHES))
    count = sum(batch.count for batch in content)
    one = _rate(content)
    four = _rate([streams.threaded(batch) for batch in content])
    spool, logs = folder / "spool", folder / "logs"
    logs.mkdir()
    streams.write_stream(spool, content, 1, 1)
    data = spool.read_bytes()
    rendering = Rendering(LogDirectory(logs), lines_factory(LinesConfig()), UNLIMITED)
    start = time.process_time()
    for at in range(0, len(data), CHUNK):
        rendering.receive_data(data[at : at + CHUNK])
    rendering.finish()
    whole = time.process_time() - start
    [log] = logs.iterdir()
    assert log.read_bytes().count(b"\n") == count
    log.unlink()
    logs.rmdir()
    spool.unlink()
    return {
        "lines_per_second": one,
        "lines_per_second, 4 threads, 1 call in 20 overlaps": four,
        "spool_to_log_lines_per_second": count / whole,
    }


def _rate(content: streams.Batches) -> float:
    """Returns lines a second of processor time."""
    lines = ProcessLines(0)
    start = time.process_time()
    for batch in content:
        lines.feed_rows(batch.heads, batch.captures, batch.watermark)
    lines.finish()
    assert lines.lines >= sum(batch.count for batch in content)
    return lines.lines / (time.process_time() - start)
