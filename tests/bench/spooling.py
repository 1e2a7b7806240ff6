"""The receiving side: a made stream through a whole session, acknowledged, rendered behind.

`python -m tests.bench.spooling STREAM DIRECTORY` runs one session and prints its figures; it is a
process of its own so that its peak of memory is gatherer's.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gatherer.capture.target_capture import TargetCapture
from gatherer.commands.run import renderer_factory
from gatherer.config import CaptureConfig, TargetConfig
from gatherer.target.values import Exit, HunterImage, Target
from gatherer.view.json_lines import JsonView
from hg_shared.framing import FrameDecoder
from hg_shared.messages import Ack
from hg_shared.wire import decode
from tests.bench import streams
from tests.bench.memory import gatherer_peak_mib

ROOT = Path(__file__).resolve().parents[2]
READ_SIZE = 1 << 18


class FileChannel:
    """A stream that was written before: as fast as it is read."""

    inject = "none"
    explanation = "a made stream"
    container = ""
    python = sys.executable

    def __init__(self, path: Path, last_seq: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self._last_seq = last_seq
        self._decoder = FrameDecoder()
        self._done = asyncio.Event()
        self.started_at = 0.0
        self.acked_at = 0.0

    async def receive(self) -> bytes:
        self.started_at = self.started_at or time.perf_counter()
        data = os.read(self._descriptor, READ_SIZE)
        if data:
            # As a socket does, it lets others run.
            await asyncio.sleep(0)
        else:
            await self._done.wait()
        return data

    async def send(self, data: bytes) -> None:
        self._decoder.receive_data(data)
        for frame in self._decoder.frames_received():
            content = decode(frame)
            if isinstance(content, Ack) and content.seq == self._last_seq:
                self.acked_at = time.perf_counter()
                self._done.set()

    async def close_stdin(self) -> None:
        pass

    async def wait(self) -> Exit:
        return Exit(0)

    async def aclose(self) -> None:
        os.close(self._descriptor)


class FileRuntime:
    """Starts no hunter."""

    def __init__(self, channel: FileChannel) -> None:
        self._channel = channel

    async def resolve(self) -> Target:
        return Target("local", node="here")

    async def start(self, hunter: HunterImage, arguments: Sequence[str]) -> FileChannel:
        return self._channel

    async def ended(self) -> None:
        return None

    async def aclose(self) -> None:
        pass


def measure(folder: Path, megabytes: int = 300) -> dict[str, float]:
    """Sends records as they are and, in a second session, compressed.

    Args:
        folder: on the disk that is to be measured.
        megabytes: of records.
    """
    content = list(streams.batches("mix, text payload", 100))
    size = sum(len(batch.heads) + len(batch.captures) for batch in content)
    repeats = max(1, megabytes * 1_000_000 // size)
    figures: dict[str, float] = {}
    for name, level in (("plain", 0), ("compressed", 1)):
        path = folder / "stream"
        turns = repeats if not level else max(1, repeats // 3)
        records, raw = streams.write_stream(path, content, turns, level)
        last_seq = 3 + len(content) * turns
        took = _session(path, folder / name, last_seq)
        path.unlink()
        figures[f"{name}_mb_of_records_per_second"] = raw / 1e6 / took["seconds"]
        figures[f"{name}_records_per_second"] = records / took["seconds"]
        figures[f"{name}_lines_per_second_behind"] = records / took["until_rendered"]
        figures[f"{name}_peak_mib"] = took["peak_mib"]
    return figures


def _session(stream: Path, output: Path, last_seq: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.spooling", stream, output, str(last_seq)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    assert figures["complete"], figures
    for path in output.iterdir():
        path.unlink()
    output.rmdir()
    return figures


async def _run(stream: Path, output: Path, last_seq: int) -> dict[str, Any]:
    channel = FileChannel(stream, last_seq)
    config = CaptureConfig(
        target=TargetConfig("local"), pids=(streams.PID,), output=output, max_log_size=1 << 50
    )
    with open(os.devnull, "w") as nothing:
        session = TargetCapture(
            config,
            FileRuntime(channel),
            HunterImage(b"", "0" * 64),
            renderer_factory(config),
            JsonView(nothing),
        )
        peaks: list[float] = []
        watching = asyncio.ensure_future(_watch(peaks))
        summary = await session.run()
        watching.cancel()
    ended_at = time.perf_counter()
    return {
        "seconds": channel.acked_at - channel.started_at,
        "until_rendered": ended_at - channel.started_at,
        "peak_mib": max(peaks),
        "complete": summary.complete,
    }


async def _watch(peaks: list[float]) -> None:
    """Takes note of the peak of memory for as long as it runs."""
    while True:
        try:
            peaks.append(gatherer_peak_mib(os.getpid()))
        except (OSError, IndexError):
            pass  # The renderer has just ended.
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))))
