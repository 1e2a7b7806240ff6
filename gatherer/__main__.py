"""The program: `gatherer`, `kubectl gatherer` and `python -m gatherer`."""

import sys

from hg_shared.mark import set_mark


def run() -> int:
    """Runs the command line of this process and returns the exit code."""
    # First of all: no hunter may trace a gatherer, not even while it loads the rest.
    set_mark()
    from gatherer.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
