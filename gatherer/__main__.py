"""`python -m gatherer`."""

import sys

from gatherer.cli import main

if __name__ == "__main__":
    sys.exit(main())
