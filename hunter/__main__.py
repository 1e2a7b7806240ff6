"""Entry point of `python -m hunter` and of hunter.pyz."""

import os
import sys

from hg_shared import inherited_signals
from hg_shared.mark import set_mark
from hg_shared.open_files import raise_limit


def run() -> int:
    """Runs hunter as its command line says and returns the exit code."""
    # First of all: no other hunter may trace this one, not even while it loads the rest.
    set_mark()
    inherited_signals.reset()
    raise_limit()
    # Then what watches it: it keeps a copy of all that is loaded by now.
    from hunter import heap
    from hunter.watchdog.launch import Watchdog

    heap.use_one_arena()
    watchdog = Watchdog()
    watchdog.start()
    from hunter.cli import main

    code = 1
    try:
        code = main(watchdog)
    except SystemExit as early:
        code = early.code if isinstance(early.code, int) else 1
        raise
    finally:
        _tell(code)
    return code


def _tell(code: int) -> None:
    """Tells the exit code to whoever waits for it and is no parent of this process.

    `-X hunter=N` gives the descriptor for it (gatherer.guest.receive_hunter).
    """
    option = sys._xoptions.get("hunter")
    if isinstance(option, str) and option.isdigit():
        try:
            os.write(int(option), bytes([code & 0xFF]))
        except OSError:
            pass  # It was killed.


if __name__ == "__main__":
    sys.exit(run())
