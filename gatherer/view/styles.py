"""The view of each style."""

from __future__ import annotations

from typing import TextIO

from gatherer.config import ViewConfig
from gatherer.view.base import View


def make_view(config: ViewConfig, stream: TextIO) -> View:
    """Returns the view that was asked for, of one capture or of many.

    Args:
        config: style, colours, verbosity.
        stream: where it writes.
    """
    if config.style == "json":
        from gatherer.view.json_lines import JsonView

        return JsonView(stream)
    if config.style == "live":
        from gatherer.view.live import LiveView

        return LiveView(stream, color=config.color)
    from gatherer.view.plain import PlainView

    return PlainView(stream, verbosity=config.verbosity)
