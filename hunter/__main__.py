"""Entry point of `python -m hunter` and of hunter.pyz."""

import sys

from hunter.cli import main

if __name__ == "__main__":
    sys.exit(main())
