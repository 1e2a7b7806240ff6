"""Loads the engine that was asked for, or the best one that may be used here."""

from __future__ import annotations

import os
import platform
from typing import Dict, FrozenSet, List, Optional, Tuple

from hg_shared.records import Abi
from hg_shared.syscalls.filter import syscall_set
from hunter.calls import descriptors
from hunter.config import QUEUE_EIGHTHS, Config
from hunter.engines import process_memory
from hunter.engines.base import Engine
from hunter.engines.choose import ANOTHER_HUNTER, Choice, choose, without_ptrace
from hunter.engines.fallback import SECOND_SOURCE, Fallback
from hunter.engines.idle import IdleEngine
from hunter.engines.native import library
from hunter.engines.ptrace import kernel
from hunter.engines.ptrace.multi_tracer import MultiTracer
from hunter.engines.ptrace.ptrace_engine import PtraceEngine
from hunter.engines.ptrace.syscall_reader import TraceOptions
from hunter.errors import UsageError
from hunter.watchdog.progress import MAX_TRACERS, Progress

Wanted = Optional[Dict[int, FrozenSet[int]]]


def load(
    config: Config, capabilities: List[str], progress: Progress, unwatched: str = ""
) -> Tuple[Engine, Choice]:
    """Loads the engine.

    Args:
        config: what to do.
        capabilities: effective ones, without `CAP_`.
        progress: what the watchdog sees of the engine.
        unwatched: why there is no watchdog, without which nothing is traced; empty when there is.

    Returns:
        The engine, which traces nothing where nothing may be traced, and why it is this one.

    Raises:
        UsageError: a call that is asked for does not exist, or the engine is not for this machine.
    """
    machine, wanted = platform.machine(), _wanted(config)
    if unwatched:
        return IdleEngine(), Choice("", f"no watchdog can be made ({unwatched})")
    ebpf, refused = _load_ebpf(config, machine, capabilities, wanted, progress)
    choice = _choose(config, machine, refused)
    engine = ebpf or _make_ptrace(config, machine, choice, wanted, progress)
    if config.engine != "auto" or not choice.engine:
        return engine, choice
    if ebpf is not None:
        if config.no_ptrace:
            return engine, choice

        def load_ptrace() -> Tuple[Optional[Engine], str]:
            return _second_ptrace(config, machine, wanted, progress)

        return Fallback(engine, load_ptrace, False), choice
    if refused == ANOTHER_HUNTER:
        # One hunter of a node is enough for what both may have, and a second one where it must be.
        def load_ebpf() -> Tuple[Optional[Engine], str]:
            return _load_ebpf(config, machine, capabilities, wanted, progress, SECOND_SOURCE)

        return Fallback(engine, load_ebpf, True), choice
    return engine, choice


def _choose(config: Config, machine: str, ebpf_refused: str) -> Choice:
    choice = choose(
        config.engine,
        machine,
        platform.release(),
        kernel.syscalls_are_allowed(),
        library.refusal() or process_memory.memory_refusal(),
        ebpf_refused,
    )
    return without_ptrace(choice) if config.no_ptrace else choice


def _second_ptrace(
    config: Config, machine: str, wanted: Wanted, progress: Progress
) -> Tuple[Optional[Engine], str]:
    """Returns an engine for what ebpf refuses, or what stands in its way."""
    choice = _choose(config, machine, "it refuses this process")
    if not choice.engine:
        return None, choice.reason
    options = _options(config, machine, wanted)._replace(source=SECOND_SOURCE)
    return PtraceEngine(choice.engine, options, progress.tracers[0]), ""


def _wanted(config: Config) -> Wanted:
    """Returns the numbers of the calls to record by ABI, None for all."""
    if not config.trace:
        return None
    # Gatherer keeps its tables of descriptors from these, and does not show them.
    more = descriptors.needed if config.decode_fds else None
    try:
        return {
            abi: syscall_set(config.trace, abi) | (more(abi) if more else frozenset())
            for abi in (Abi.X86_64, Abi.AARCH64, Abi.I386)
        }
    except ValueError as error:
        raise UsageError(str(error)) from error


def _load_ebpf(
    config: Config,
    machine: str,
    capabilities: List[str],
    wanted: Wanted,
    progress: Progress,
    source: int = 0,
) -> Tuple[Optional[Engine], str]:
    """Tries the ebpf engine where it may be used; returns it, or what stands in its way.

    Args:
        config: what to do.
        machine: as uname(2) says.
        capabilities: effective ones, without `CAP_`.
        wanted: calls to record.
        progress: what the watchdog sees of the engine.
        source: number of its source; not 0 for an engine beside another one.
    """
    if config.engine not in ("auto", "ebpf"):
        return None, "not asked for"
    from hunter.engines.ebpf import loading

    return loading.load(
        machine,
        platform.release(),
        capabilities,
        config.engine == "ebpf" or source != 0,
        (
            config.string_size,
            config.buffer_bytes,
            wanted,
            config.follow_forks,
            source,
            progress.programs,
        ),
    )


def _make_ptrace(
    config: Config, machine: str, choice: Choice, wanted: Wanted, progress: Progress
) -> Engine:
    if not choice.engine:
        return IdleEngine()
    options, tracers = _options(config, machine, wanted), progress.tracers
    most = min(len(os.sched_getaffinity(0)), MAX_TRACERS)
    alone = most < 2 or config.placement == "off" or config.follow_forks
    if alone or choice.engine == "ptrace-python":
        return PtraceEngine(choice.engine, options, tracers[0])

    def make(source: int) -> PtraceEngine:
        # The first tracer often has everything; the others get parts of another half.
        size = options.buffer_bytes // (most if source else 1)
        more = options._replace(source=source, buffer_bytes=size)
        return PtraceEngine(choice.engine, more, tracers[source])

    return MultiTracer(make, most)


def _options(config: Config, machine: str, wanted: Wanted) -> TraceOptions:
    buffer = config.buffer_bytes * QUEUE_EIGHTHS // 8
    return TraceOptions(machine, config.string_size, buffer, wanted, config.decode_fds)
