"""Raising the limit of open files, over a scripted kernel."""

from __future__ import annotations

import resource

import pytest

from hg_shared.open_files import raise_limit

INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "most", "raised"),
    [
        (64, 4096, 4096, 4096),
        (64, 64, 64, 64),
        (1024, INFINITY, INFINITY, INFINITY),
        # macOS: no hard limit, but no more than this.
        (256, INFINITY, 10240, 10240),
        (INFINITY, INFINITY, INFINITY, INFINITY),
        # Refused altogether: it stays as it is.
        (64, 4096, 0, 64),
    ],
)
def test_the_soft_limit_becomes_the_hard_one(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int, raised: int
) -> None:
    now = [soft, hard]

    def set_limit(_kind: int, limits: tuple[int, int]) -> None:
        if most != INFINITY and (limits[0] == INFINITY or limits[0] > most):
            raise ValueError("current limit exceeds maximum limit")
        now[:] = limits

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    assert raise_limit() == raised
    assert now == [raised, hard]
