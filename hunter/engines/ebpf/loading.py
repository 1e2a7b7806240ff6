"""The test whether the ebpf engine may be used here: its programs are loaded."""

from __future__ import annotations

import os
import re
from typing import Dict, FrozenSet, List, Optional, Tuple

from hunter.engines.base import MACHINE_ABI
from hunter.engines.choose import ANOTHER_HUNTER
from hunter.engines.ebpf import loader
from hunter.engines.ebpf.engine import EbpfEngine
from hunter.errors import HunterError, NotPermitted
from hunter.memory import procfs
from hunter.watchdog.progress import ProgramsProgress

Options = Tuple[int, int, Optional[Dict[int, FrozenSet[int]]], bool, int, ProgramsProgress]


def missing(machine: str, release: str, capabilities: List[str]) -> str:
    """Returns what certainly stands in the way, empty when trying makes sense. Pure.

    Args:
        machine: as uname(2) says.
        release: kernel release, such as `6.1.0-18-amd64`.
        capabilities: effective ones, without `CAP_`.
    """
    if machine not in MACHINE_ABI:
        return f"no syscall table for {machine} machines"
    if version(release) < (5, 8):
        return f"kernel {release} has no BPF ring buffer, which came with 5.8"
    if "SYS_ADMIN" not in capabilities:
        for name in ("BPF", "PERFMON"):
            if name not in capabilities:
                return f"CAP_{name} missing"
    return ""


def version(release: str) -> Tuple[int, int]:
    """Returns major and minor number of a kernel release."""
    numbers = [int(number) for number in re.findall(r"\d+", release)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def why_not_permitted(uid_map: str) -> str:
    """Returns why capabilities do not help with bpf(2). Pure.

    Args:
        uid_map: /proc/self/uid_map; all ids mapped to themselves outside of user namespaces, see
            user_namespaces(7).
    """
    if uid_map.split() in ([], ["0", "0", "4294967295"]):
        return "as by a seccomp profile or a locked-down kernel"
    return "as in a user namespace (hostUsers: false)"


def load(
    machine: str, release: str, capabilities: List[str], alone: bool, options: Options
) -> Tuple[Optional[EbpfEngine], str]:
    """Loads the engine.

    Args:
        machine: as uname(2) says.
        release: kernel release.
        capabilities: effective ones, without `CAP_`.
        alone: it was asked for by name: another hunter of the node does not matter.
        options: string size, bytes of the first ring, wanted calls, whether children are
            followed, the number of its source, and what is told of how the programs fare.

    Returns:
        The engine and an empty text, or None and what stands in the way.
    """
    cause = missing(machine, release, capabilities)
    if cause:
        return None, cause
    lock = loader.open_node_lock()
    if lock is None and not alone:
        return None, ANOTHER_HUNTER
    try:
        return EbpfEngine(machine, version(release), *options), ""
    except NotPermitted as error:
        text = f"{error}, {why_not_permitted(procfs.read_text('/proc/self/uid_map'))}"
    except (HunterError, OSError) as error:
        # Whatever it is, ptrace may still be possible.
        text = str(error)
    if lock is not None:
        os.close(lock)  # another hunter may have what this one cannot
    return None, text
