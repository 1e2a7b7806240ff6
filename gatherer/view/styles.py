"""The view of each style."""

from __future__ import annotations

from typing import TextIO

from gatherer.config import ViewConfig
from gatherer.view.base import View


def make_view(config: ViewConfig, stream: TextIO) -> View:
    """Returns the view that was asked for.

    Args:
        config: style, colours, verbosity.
        stream: where it writes.
    """
    if config.style == "json":
        from gatherer.view.json_lines import JsonView

        return JsonView(stream)
    from gatherer.view.folding import FoldedView

    if config.style == "live":
        from gatherer.view.live import LiveView

        return FoldedView(LiveView(stream, color=config.color))
    from gatherer.view.plain import PlainView

    view = PlainView(stream, verbosity=config.verbosity)
    # Who asks for more wants each event.
    return view if config.verbosity > 0 else FoldedView(view)
