"""What a machine must have for the stand-in's containers."""

from __future__ import annotations

import os
import shutil


def missing() -> str | None:
    """Returns what is missing and what to do about it, None when all is there."""
    if os.geteuid() != 0:
        return "containers need root; run it as root"
    for program, package in (
        ("runc", "runc"),
        ("busybox", "busybox-static"),
        ("unshare", "util-linux"),
    ):
        if shutil.which(program) is None:
            return f"{program} is not installed; install the Debian package {package}"
    return None
