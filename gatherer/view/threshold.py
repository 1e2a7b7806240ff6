"""The threshold of tracing, in one sentence with numerator, denominator and source."""

from __future__ import annotations

from gatherer.config import CaptureConfig
from gatherer.text import byte_count
from hg_shared.messages import Hello


def describe_threshold(config: CaptureConfig, hello: Hello) -> str:
    """Returns the sentence.

    Args:
        config: what was asked for.
        hello: the limits hunter found for its own cgroup; a process in another one has its own.
    """
    parts = []
    if not config.only_pids:
        parts.append(_memory(config, hello))
    if config.growth is not None:
        parts.append(f"growth of at least {config.growth} bytes/s ({byte_count(config.growth)}/s)")
    if config.pids:
        pids = ", ".join(map(str, config.pids))
        parts.append(f"pid {pids} whatever its memory")
    return "; ".join(parts)


def _memory(config: CaptureConfig, hello: Hello) -> str:
    threshold = config.threshold
    if threshold.percent is None:
        size = threshold.size_bytes or 0
        return f"rss of at least {size} bytes ({byte_count(size)})"
    limited = hello.memory_limit_bytes is not None and hello.memory_source != ""
    note = ""
    if config.of == "limit" and limited:
        total, source = hello.memory_limit_bytes or 0, hello.memory_source
    else:
        total, source = hello.node_memory_bytes, "/proc/meminfo MemTotal"
        if config.of == "limit":
            note = ", there is no memory limit, so of the node"
    size = int(total * float(threshold.percent) / 100)
    return (
        f"rss of at least {threshold.percent}% of {total} bytes ({source}){note}"
        f" = {size} bytes ({byte_count(size)})"
    )
