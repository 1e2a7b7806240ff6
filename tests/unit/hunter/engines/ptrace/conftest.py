"""What several of these tests start from."""

from __future__ import annotations

import pytest

from tests.unit.hunter.engines.ptrace.scripted_stops import Machine


@pytest.fixture
def machine() -> Machine:
    return Machine()
