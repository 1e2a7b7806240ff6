"""The view of each style."""

from __future__ import annotations

from typing import TextIO

from gatherer.config import ViewConfig
from gatherer.view.base import FleetView, View


def make_view(config: ViewConfig, stream: TextIO) -> View:
    """Returns the view of one capture that was asked for.

    Args:
        config: style, colours, verbosity.
        stream: where it writes.
    """
    view = make_fleet_view(config, stream)
    # Scripts get each event, and so does who asks for more.
    if config.style == "json" or (config.style != "live" and config.verbosity > 0):
        return view
    from gatherer.view.folding import FoldedView

    return FoldedView(view)


def make_fleet_view(config: ViewConfig, stream: TextIO) -> FleetView:
    """Returns the view of any number of captures that was asked for.

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
