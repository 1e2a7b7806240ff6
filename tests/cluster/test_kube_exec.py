"""gatherer's exec session against real processes in the stand-in cluster."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time

import pytest

from gatherer.errors import ExecError
from gatherer.kube.exec.channels import (
    STDERR,
    STDOUT,
    V4,
    V5,
    ExecExited,
    ExecFailed,
    ExecInterrupted,
    StreamData,
)
from tests.cluster.kube_access import access_to, execute, finish
from tests.cluster.standin.harness import StandInCluster

BULK_BYTES = 50 << 20


@pytest.mark.parametrize("subprotocol", [V5, V4])
async def test_stdout_stderr_and_exit_code(cluster: StandInCluster, subprotocol: str) -> None:
    session = await execute(
        access_to(cluster),
        *("sh", "-c", "echo out; echo error >&2; exit 7"),
        subprotocols=[subprotocol],
    )
    assert session.subprotocol == subprotocol
    assert await finish(session) == (b"out\n", b"error\n", ExecExited(7))


@pytest.mark.parametrize(
    ("script", "code"), [("true", 0), ("exit 1", 1), ("exit 255", 255), ("kill -9 $$", 137)]
)
async def test_exit_codes(cluster: StandInCluster, script: str, code: int) -> None:
    session = await execute(access_to(cluster), "sh", "-c", script)
    assert await finish(session) == (b"", b"", ExecExited(code))


async def test_arguments_arrive_as_they_are(cluster: StandInCluster) -> None:
    arguments = ["a b", "", "&c=d", "é\n'\"%20+", "--"]
    session = await execute(access_to(cluster), "printf", "%s|", *arguments)
    stdout, _, end = await finish(session)
    assert (stdout.decode(), end) == ("".join(f"{a}|" for a in arguments), ExecExited(0))


async def test_a_closed_stdin_ends_a_filter_with_v5(cluster: StandInCluster) -> None:
    session = await execute(access_to(cluster), "wc", "-c", stdin=True)
    assert session.can_close_stdin
    await session.send_stdin(b"x" * 100_000)
    await session.close_stdin()
    assert await finish(session) == (b"100000\n", b"", ExecExited(0))


async def test_v4_cannot_close_stdin_but_a_counted_read_ends(cluster: StandInCluster) -> None:
    session = await execute(
        access_to(cluster), "head", "-c", "100000", stdin=True, subprotocols=[V4]
    )
    assert not session.can_close_stdin
    with pytest.raises(ExecError, match="cannot close stdin"):
        await session.close_stdin()
    await session.send_stdin(b"y" * 100_000)
    assert await finish(session) == (b"y" * 100_000, b"", ExecExited(0))


async def test_without_stdin_the_process_reads_the_end_at_once(cluster: StandInCluster) -> None:
    session = await execute(access_to(cluster), "cat")
    assert await finish(session) == (b"", b"", ExecExited(0))


@pytest.mark.parametrize("subprotocol", [V5, V4])
async def test_50_mb_each_way_are_the_same_bytes(cluster: StandInCluster, subprotocol: str) -> None:
    data = os.urandom(1 << 20) * (BULK_BYTES >> 20)
    session = await execute(
        access_to(cluster),
        *("head", "-c", str(len(data))),
        stdin=True,
        subprotocols=[subprotocol],
    )
    (stdout, stderr, end), _ = await asyncio.gather(finish(session), session.send_stdin(data))
    assert (stderr, end) == (b"", ExecExited(0))
    assert len(stdout) == len(data)
    assert hashlib.sha256(stdout).digest() == hashlib.sha256(data).digest()


async def test_the_end_is_told_again_and_again(cluster: StandInCluster) -> None:
    session = await execute(access_to(cluster), "true")
    ends = [await session.receive() for _ in range(3)]
    assert ends == [ExecExited(0)] * 3
    await session.aclose()


async def test_a_program_that_is_missing(
    cluster: StandInCluster, recorded_pods: frozenset[str]
) -> None:
    session = await execute(access_to(cluster), "python3", pod="barepod", container="barecontainer")
    stdout, stderr, end = await finish(session)
    assert (stdout, stderr) == (b"", b"")
    assert isinstance(end, ExecFailed)
    assert 'exec: "python3": executable file not found in $PATH' in end.status.message


async def test_dropping_the_session_ends_the_remote_stdin(cluster: StandInCluster) -> None:
    session = await execute(access_to(cluster), "sh", "-c", "echo $$; exec cat", stdin=True)
    event = await session.receive()
    assert isinstance(event, StreamData)
    pid = int(event.data)
    assert pid in cluster.host_pids("problempod", "buggycontainer")
    await session.aclose()
    deadline = time.monotonic() + 10
    while pid in cluster.host_pids("problempod", "buggycontainer"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert await session.receive() == ExecInterrupted("the connection is closed")
    with pytest.raises(ExecError, match="the exec connection is closed"):
        await session.send_stdin(b"x")


async def test_output_waits_for_the_reader_and_none_is_lost(cluster: StandInCluster) -> None:
    size = 20 << 20
    session = await execute(
        access_to(cluster),
        *("sh", "-c", f"echo ready >&2; head -c {size} /dev/zero; echo tail"),
    )
    first = await session.receive()
    # Nobody reads now: a writer that were not held back would be done before this exec is.
    stdout, _, end = await finish(await execute(access_to(cluster), "ps", "-e"))
    assert end == ExecExited(0)
    assert b"head" in stdout
    stdout, stderr, end = await finish(session)
    if isinstance(first, StreamData):
        stdout = first.data + stdout if first.channel == STDOUT else stdout
        stderr = first.data + stderr if first.channel == STDERR else stderr
    assert (len(stdout), stdout[-5:], stderr, end) == (
        *(size + 5, b"tail\n", b"ready\n"),
        ExecExited(0),
    )
