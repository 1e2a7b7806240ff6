"""The images the stand-in's node has, as stacks of read-only directories.

``pyapp:dev`` is this machine's own root, with Debian's python3, under a layer that brings the
demonstration program and hides what belongs to the machine; ``bare:dev`` is a root that holds
nothing but a static busybox; ``distroless:dev`` has a busybox beside its program, outside the PATH,
and no other directory that is usual; ``pause:dev`` is what keeps a shared PID namespace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
_LAYERS = Path(__file__).parent / "layers"

# A shell script gives its process the name "pause"; ash reaps every orphan while it waits.
_PAUSE_SCRIPT = "#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 1000000 & wait; done\n"
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"


@dataclass(frozen=True)
class Image:
    """One image of the node.

    Attributes:
        reference: the name containerd reports.
        digest: the imageID of the recordings.
        layers: directories, uppermost first.
        command: what runs when the pod gives neither command nor args.
    """

    reference: str
    digest: str
    layers: tuple[Path, ...]
    command: tuple[str, ...]


class ImageStore:
    """The images, built below a directory that must be on a tmpfs."""

    def __init__(self, directory: Path) -> None:
        """Builds every layer.

        Raises:
            FileNotFoundError: busybox-static is not installed.
        """
        if not BUSYBOX.exists():
            raise FileNotFoundError(f"{BUSYBOX} is missing; install the package busybox-static")
        app = _app_layer(directory / "pyapp")
        bare = _bare_layer(directory / "bare")
        distroless = _distroless_layer(directory / "distroless")
        pause = directory / "pause-script"
        pause.mkdir()
        (pause / "pause").write_text(_PAUSE_SCRIPT)
        (pause / "pause").chmod(0o755)
        self._images = {
            "pyapp:dev": Image(
                "registry.invalid/library/pyapp:dev",
                "sha256:1f7c21caa9b09bab95638b8a14e48010d45b8d57cfa7d23cdaa17b692b072418",
                (app, Path("/")),
                ("python3", "/app/leak.py"),
            ),
            # What gatherer takes for an ephemeral container when it is told of no other.
            "python:3.13-slim": Image(
                "registry.invalid/library/python:3.13-slim",
                "sha256:3c9a1b7f0d5e4c2a8b6f1e0d9c8b7a695847362514039281706f5e4d3c2b1a09",
                (app, Path("/")),
                ("python3",),
            ),
            "bare:dev": Image(
                "registry.invalid/library/bare:dev",
                "sha256:6b47eae9e540d224b70669d819b65c828a26d45df90903dc31d1710102887002",
                (bare,),
                ("sleep", "1000000"),
            ),
            "distroless:dev": Image(
                "registry.invalid/library/distroless:dev",
                "sha256:9d2f4c7be01a5f3d8c6b7a0e1f2d3c4b5a69788f7e6d5c4b3a29180f0e1d2c3b",
                (distroless,),
                ("/busybox/sleep", "1000000"),
            ),
            "pause:dev": Image(
                "registry.invalid/library/pause:dev", "", (pause, bare), ("/pause",)
            ),
        }

    def find(self, name: str) -> Image | None:
        """Returns the image a pod names, short or in full, or None."""
        return self._images.get(name.removeprefix("registry.invalid/library/"))


def _hide(directory: Path) -> None:
    """Makes a directory of the layer hide the one below (overlayfs: an opaque directory)."""
    directory.mkdir(parents=True)
    os.setxattr(directory, "trusted.overlay.opaque", b"y")


def _app_layer(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name, mode in (("tmp", 0o1777), ("run", 0o755), ("var/tmp", 0o1777)):
        _hide(directory / name)
        (directory / name).chmod(mode)
    shutil.copytree(_LAYERS / "app", directory / "app", ignore=shutil.ignore_patterns("__py*"))
    for path in (directory / "app").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def _bare_layer(directory: Path) -> Path:
    return _busybox_layer(directory, "bin", ("root", "run", "var"))


def _distroless_layer(directory: Path) -> Path:
    return _busybox_layer(directory, "busybox", ())


def _busybox_layer(directory: Path, programs: str, more: tuple[str, ...]) -> Path:
    """Makes a root that holds nothing but a busybox.

    Args:
        directory: to make.
        programs: directory in it for the busybox and its names.
        more: directories beside the necessary ones.
    """
    for name in (programs, "dev", "etc", "proc", "sys", "tmp", *more):
        (directory / name).mkdir(parents=True)
    (directory / "tmp").chmod(0o1777)
    shutil.copy2(BUSYBOX, directory / programs / "busybox")
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True)
    for name in applets.stdout.split():
        if name != "busybox":
            (directory / programs / name).symlink_to("busybox")
    (directory / "etc/passwd").write_text(_PASSWD)
    (directory / "etc/group").write_text("root:x:0:\n")
    return directory
