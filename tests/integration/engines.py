"""The engines that can be tested here."""

from __future__ import annotations

import platform

import pytest

from hg_shared import rights
from hunter.engines.ebpf import loading
from hunter.memory import procfs

REFUSED = loading.missing(
    platform.machine(),
    platform.release(),
    rights.parse_rights(procfs.status_fields("self"), "").capabilities,
)
"""What forbids the ebpf engine here; empty when nothing does."""
EVERY_ENGINE = [
    pytest.param("ebpf", marks=pytest.mark.skipif(bool(REFUSED), reason=f"ebpf: {REFUSED}")),
    "ptrace",
    "ptrace-python",
]
"""Parameters for a test that every engine must pass."""
