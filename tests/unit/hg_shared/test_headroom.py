"""What is left below a memory limit."""

from __future__ import annotations

from hg_shared.headroom import headroom


def test_headroom_counts_what_can_be_had_back() -> None:
    assert headroom(100, 70, 0) == 30
    assert headroom(100, 70, 20) == 50
    assert headroom(100, 120, 10) == -10
    assert headroom(None, 70, 0) is None
    assert headroom(100, None, 0) is None
