"""Makes the bundled Python of this machine's architecture: the same bytes from the same machine.

    python build/make_bundle.py [TARGET]

It is what `python -m gatherer.inject.portable_python` makes, with a name that `find_bundle` there
looks for. Nothing is downloaded and nothing compiled: interpreter, loader and libraries are this
machine's own.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from gatherer.inject.portable_python import main

if __name__ == "__main__":
    where = Path(__file__).resolve().parent.parent / "dist"
    where.mkdir(exist_ok=True)
    named = (
        sys.argv[1] if len(sys.argv) > 1 else str(where / f"hunter-bundle-{platform.machine()}.zip")
    )
    sys.exit(main([named]))
