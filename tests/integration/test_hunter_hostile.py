"""What hunter hears may lie: it goes on, in bounded memory, and can still be stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from hg_shared.framing import Frame, FrameType
from hg_shared.message_codec import encode_message
from hg_shared.messages import (
    Ack,
    Goodbye,
    Heartbeat,
    Ping,
    RejoinHello,
    RejoinResponse,
    SessionKey,
    Stop,
)
from hg_shared.records import Kind
from tests.integration.hunter_session import HunterSession
from tests.integration.test_hunter_ends import Counter, Start
from tests.unit.hostile.mutations import Mutator, values

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
FRAMES = 20_000 if SOAK else 1500
MIB = 1 << 20
HEARD: tuple[tuple[int, Any], ...] = (
    (FrameType.ACK, Ack(3)),
    (FrameType.PING, Ping(5)),
    (FrameType.SESSION_KEY, SessionKey("ab" * 16, "cd" * 32)),
    (FrameType.REJOIN_HELLO, RejoinHello("ef" * 32)),
    (FrameType.REJOIN_RESPONSE, RejoinResponse("01" * 32, 7)),
)


def lie(random: Random) -> bytes:
    """Returns a message of gatherer of which a field lies, in a whole frame."""
    kind, message = random.choice(HEARD)
    document = json.loads(encode_message(message))
    document[random.choice(list(document))] = values(random)
    return Frame(kind, random.getrandbits(64), json.dumps(document).encode()).encode()


@pytest.mark.parametrize("seed", range(5) if SOAK else [1])
def test_hunter_goes_on_whatever_it_hears(
    hunt_pid: Callable[..., HunterSession],
    start: Start,
    compiled: Callable[[str], Path],
    tmp_path: Path,
    seed: int,
) -> None:
    counter = Counter(start, compiled("counter"), tmp_path, 1)
    hunter = hunt_pid(counter.pid, "--linger", 6)
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > 200, "200 calls")
    random = Random(seed)
    mutator = Mutator(random)
    for _ in range(FRAMES):
        hunter.write(random.choice((lie(random), mutator.frame(), random.randbytes(40))))
    # What is half a frame now must not swallow what follows: it ends at the latest here.
    hunter.write(bytes(1 << 17))
    beats = len(hunter.of(Heartbeat))
    hunter.wait_for(lambda: len(hunter.of(Heartbeat)) > beats + 1, "it is alive")
    calls = hunter.count(Kind.SYSCALL)
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > calls, "it traces")
    assert hunter.of(Heartbeat)[-1].pss_bytes < 32 * MIB
    assert psutil.Process(hunter.process.pid).num_fds() < 64
    hunter.send(Stop("interrupted"))
    assert hunter.wait_ended() == 0
    assert hunter.decoder.errors == []
    assert hunter.of(Goodbye)[0].reason == "stop"
    counter.runs_untraced()
    counter.ends_well()
