"""Entry point of `python -m hunter` and of hunter.pyz."""

import sys

from hg_shared.mark import set_mark
from hg_shared.open_files import raise_limit


def run() -> int:
    """Runs hunter as its command line says and returns the exit code."""
    # First of all: no other hunter may trace this one, not even while it loads the rest.
    set_mark()
    raise_limit()
    from hunter.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
