"""Notes in a log about pauses of tracing."""

from __future__ import annotations

import pytest

from gatherer.rendering.strace.lines.notes import window_note
from hg_shared.records import Kind, Record


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((0, 313), "off, the target lost about 31.3% of its time"),
        ((1, 500), "on"),
        ((1, 500, 1), "on but for 1 thread in calls that a stop would end"),
        ((1, 500, 3), "on but for 3 threads in calls that a stop would end"),
        ((1, 0, 0, 4711), "on again for 4711"),
    ],
)
def test_a_window(args: tuple[int, ...], text: str) -> None:
    full = (*args, 0, 0, 0, 0, 0, 0)[:6]
    record = Record(5, 0, 0, full, 1, 1, 0, Kind.WINDOW, 0, b"")
    assert window_note(record) == f"+++ WINDOW tracing {text} +++"
