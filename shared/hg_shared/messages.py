"""Messages of the stream that are not records, as values; see `hg_shared.message_codec` for JSON.

Times are CLOCK_MONOTONIC nanoseconds of the node unless a name says otherwise; Hello ties that
clock to CLOCK_REALTIME.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Union

PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class Hello:
    """The first frame of hunter: who it is and what it found.

    Attributes:
        protocol: protocol version, `PROTOCOL_VERSION`.
        version: hunter's version.
        sha256: digest of the zipapp that runs, empty when it runs from source.
        python: version of the interpreter, such as `3.11.2`.
        executable: path of the interpreter.
        arch: machine as uname(2) says, such as `x86_64`.
        kernel: kernel release.
        pid: hunter's pid in its own PID namespace.
        uid: effective user id.
        monotonic_ns: CLOCK_MONOTONIC when the next field was read.
        realtime_ns: CLOCK_REALTIME at that moment.
        boottime_ns: CLOCK_BOOTTIME at that moment; process start times count from it.
        engine: name of the engine, empty when nothing can be traced.
        engine_reason: why this engine, or why none.
        tracing: `on`, or `denied: <cause>`.
        cgroup_version: 1, 2, or 0 when no memory cgroup was found.
        memory_limit_bytes: limit of hunter's own memory cgroup, None when unlimited.
        memory_usage_bytes: its usage without inactive file pages, None when unknown.
        memory_source: file the limit was read from.
        node_memory_bytes: MemTotal of the node.
        yama_ptrace_scope: /proc/sys/kernel/yama/ptrace_scope, None without Yama.
        seccomp: Seccomp mode of hunter, 0 to 2.
        no_new_privs: NoNewPrivs of hunter.
        capabilities: effective capabilities by name, without `CAP_`.
        page_size: bytes of a page.
        cpus: CPUs hunter may run on.
        loading: said before the engine is loaded, out of the sequence: nothing about engine and
            tracing is known, and a complete Hello follows.
    """

    protocol: int
    version: str
    sha256: str
    python: str
    executable: str
    arch: str
    kernel: str
    pid: int
    uid: int
    monotonic_ns: int
    realtime_ns: int
    boottime_ns: int
    engine: str
    engine_reason: str
    tracing: str
    cgroup_version: int
    memory_limit_bytes: Optional[int]
    memory_usage_bytes: Optional[int]
    memory_source: str
    node_memory_bytes: int
    yama_ptrace_scope: Optional[int]
    seccomp: int
    no_new_privs: bool
    capabilities: List[str]
    page_size: int
    cpus: int
    loading: bool = False


@dataclass(frozen=True)
class TracedProcess:
    """A process that is about to be traced; records name it by its ordinal.

    Attributes:
        ordinal: number within this hunter, from 1.
        pid: process id in hunter's PID namespace.
        start_time: field 22 of /proc/PID/stat, clock ticks since boot.
        started_ns: the same as CLOCK_REALTIME ns.
        command: /proc/PID/comm.
        cmdline: arguments, as text with undecodable bytes escaped.
        time_ns: when it was chosen.
        parent: ordinal of the traced process that started it, when it is traced for that; else 0.
    """

    ordinal: int
    pid: int
    start_time: int
    started_ns: int
    command: str
    cmdline: List[str]
    time_ns: int
    parent: int = 0


@dataclass(frozen=True)
class Event:
    """Something that happened, for events.jsonl.

    Attributes:
        time_ns: when.
        event: its name: scan, attach, attach_failed, detach, exec, exit, oom, smaps, hidden,
            clock_step, error, no_rejoin.
        pid: process concerned, None when it is about the container or hunter.
        fields: further values of the event.
    """

    time_ns: int
    event: str
    pid: Optional[int] = None
    fields: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One memory sample, of a process (pid set) or of the container (pid None).

    Attributes:
        time_ns: when it was read.
        pid: the process, None for the container.
        values: byte counts and counters by the names of memory.jsonl.
    """

    time_ns: int
    pid: Optional[int]
    values: Dict[str, Optional[int]]


@dataclass(frozen=True)
class FdTable:
    """Open files of a process at one moment.

    Attributes:
        time_ns: when it was read.
        process: ordinal of the process.
        entries: what each descriptor refers to, as readlink(2) or the socket tables say.
    """

    time_ns: int
    process: int
    entries: Dict[str, str]


@dataclass(frozen=True)
class Goodbye:
    """The last frame of hunter: totals of everything before it.

    Attributes:
        time_ns: when.
        reason: why hunter ends: stop, stdin_closed, stdout_closed, no_heartbeat, signal,
            no_targets, error.
        seen: records taken.
        lost: records dropped.
        processes: the same per process.
        cpu_seconds: CPU time hunter used.
        peak_pss_bytes: highest Pss of all hunter processes together.
        frames: frames made in the sequence before this one.
        error: what kept hunter from its work, empty when nothing did.
        dropped_messages: messages that were dropped before they became frames.
    """

    time_ns: int
    reason: str
    seen: int
    lost: int
    processes: List[Dict[str, Any]]
    cpu_seconds: float
    peak_pss_bytes: int
    frames: int
    error: str = ""
    dropped_messages: int = 0


@dataclass(frozen=True)
class Heartbeat:
    """Hunter is alive.

    Attributes:
        time_ns: CLOCK_MONOTONIC.
        realtime_ns: CLOCK_REALTIME at that moment; a change of the difference is a clock step.
        seen: records taken so far.
        lost: records dropped so far.
        queued_bytes: bytes waiting to be sent.
        cpu_seconds: CPU time used so far.
        pss_bytes: Pss of all hunter processes together.
    """

    time_ns: int
    realtime_ns: int
    seen: int
    lost: int
    queued_bytes: int
    cpu_seconds: float
    pss_bytes: int


@dataclass(frozen=True)
class Ack:
    """Gatherer has everything up to and including this sequence number on disk."""

    seq: int


@dataclass(frozen=True)
class Ping:
    """Gatherer is alive.

    Attributes:
        time_ns: gatherer's own CLOCK_MONOTONIC; hunter does not interpret it.
    """

    time_ns: int


@dataclass(frozen=True)
class Stop:
    """Gatherer asks hunter to let every tracee go, send its Goodbye and end.

    Attributes:
        reason: interrupted, duration, or error.
    """

    reason: str


@dataclass(frozen=True)
class SessionKey:
    """The socket at which hunter waits for a gatherer that it has lost, and who may join there.

    Attributes:
        session: name of the abstract unix socket behind `SOCKET_PREFIX`; no secret.
        secret: who knows it may join, hexadecimal.
    """

    session: str
    secret: str


@dataclass(frozen=True)
class RejoinHello:
    """Somebody wants to join; the first message of a new connection.

    Attributes:
        nonce: the joiner's random number, hexadecimal.
    """

    nonce: str


@dataclass(frozen=True)
class RejoinChallenge:
    """Hunter's answer to `RejoinHello`.

    Attributes:
        nonce: hunter's random number, hexadecimal.
        proof: that this is hunter, see `hg_shared.rejoin_proof`.
    """

    nonce: str
    proof: str


@dataclass(frozen=True)
class RejoinResponse:
    """Gatherer is back: the stream goes on here.

    Attributes:
        proof: that this is gatherer, see `hg_shared.rejoin_proof`.
        seq: gatherer has everything up to this sequence number.
    """

    proof: str
    seq: int


@dataclass(frozen=True)
class Joined:
    """The connection is the stream from here on.

    Attributes:
        seq: sequence number of the next frame; what lies between it and that of `RejoinResponse`
            was given up for want of room.
    """

    seq: int


SOCKET_PREFIX = "hunter-"

Message = Union[
    Hello,
    TracedProcess,
    Event,
    Sample,
    FdTable,
    Goodbye,
    Heartbeat,
    RejoinChallenge,
    Joined,
    Ack,
    Ping,
    Stop,
    SessionKey,
    RejoinHello,
    RejoinResponse,
]
