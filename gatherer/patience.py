"""Time limits for awaiting."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import cast


def within(seconds: float) -> AbstractAsyncContextManager[object]:
    """Returns a context whose body must end in time, or `TimeoutError` is raised.

    Not asyncio.wait_for: before Python 3.12 it may swallow a cancellation that comes together with
    the result (python/cpython#86296), and the task then lives on.

    Args:
        seconds: how long the body may take.
    """
    # The type checker looks at 3.10 too, which knows no asyncio.timeout.
    timeout = asyncio.timeout(max(seconds, 0))  # type: ignore[attr-defined,unused-ignore]
    return cast("AbstractAsyncContextManager[object]", timeout)
