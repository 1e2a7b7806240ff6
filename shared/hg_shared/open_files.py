"""The limit on open files (RLIMIT_NOFILE): the soft one is raised to the hard one.

The usual soft limit of 1024 (256 on macOS) is for programs that use select(2): neither does.
"""

from __future__ import annotations

from typing import Tuple

FEW_FILES = "hunter may open no more than"
"""Begins the cause of whatever failed for want of descriptors."""
# macOS says that there is no hard limit, and takes no more than this.
_MOST_WITHOUT_LIMIT = 10240


def raise_limit() -> int:
    """Raises the soft limit of open files to the hard one; returns it, 0 where it is not known."""
    try:
        import resource
    except ImportError:  # not on this system
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in _candidates(soft, hard, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):
            continue
        return limit
    return soft


def _candidates(soft: int, hard: int, infinity: int) -> Tuple[int, ...]:
    if soft in (infinity, hard):
        return ()
    if hard == infinity and soft < _MOST_WITHOUT_LIMIT:
        return hard, _MOST_WITHOUT_LIMIT
    return (hard,)
