"""The configuration of hunter: one frozen value, made from the command line."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

QUEUE_EIGHTHS = 5
"""Of the buffer: a ptrace engine's queue. The rest is for frames that are not acknowledged."""


class Threshold(NamedTuple):
    """The size or growth from which a process is traced; `-m`, `--of` and `--growth` of gatherer.

    Attributes:
        percent: of the denominator, None when `size` counts.
        size: resident bytes, None when `percent` counts.
        of: denominator of percent: `limit` or `node`.
        growth: bytes per second, None when growth does not matter.
    """

    percent: Optional[float] = None
    size: Optional[int] = None
    of: str = "limit"
    growth: Optional[float] = None


class Config(NamedTuple):
    """Options of one run.

    Attributes:
        threshold: which processes are traced.
        frequency: seconds between scans.
        pids: processes to trace whatever their memory.
        only_pids: no other processes.
        exclude: processes never to trace.
        trace: strace's `-e trace=` expression, empty for all calls.
        string_size: bytes of each string and buffer to keep.
        buffer_bytes: bound of what is kept in memory.
        linger: seconds without a word from gatherer after which hunter lets go.
        engine: name, or auto.
        placement: auto or off.
        max_overhead: share of its time that the target may lose, None for any.
        force: go on without memory headroom.
        sha256: digest of the zipapp, as gatherer verified it.
        remove_self: delete the zipapp once it is loaded.
        container_id: the runtime's id of the container that is looked at, empty for all processes.
        outside: hunter runs in another container than that.
        spec_limit: memory limit of the pod's spec in bytes, None when there is none.
        pod_limit: the same of the whole pod.
        follow_forks: trace the children of traced processes too.
        decode_fds: say what descriptors refer to, all the time.
        no_ptrace: trace with an engine that stops nobody, or not at all.
    """

    threshold: Threshold
    frequency: float = 5.0
    pids: Tuple[int, ...] = ()
    only_pids: bool = False
    exclude: Tuple[int, ...] = ()
    trace: str = ""
    string_size: int = 32
    buffer_bytes: int = 4 << 20
    linger: float = 10.0
    engine: str = "auto"
    placement: str = "auto"
    max_overhead: Optional[float] = None
    force: bool = False
    sha256: str = ""
    remove_self: bool = False
    container_id: str = ""
    outside: bool = False
    spec_limit: Optional[int] = None
    pod_limit: Optional[int] = None
    follow_forks: bool = False
    decode_fds: bool = False
    no_ptrace: bool = False
