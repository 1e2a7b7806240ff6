"""Mounts of the stand-in, in a mount namespace of its own.

With a private mount namespace the kernel takes every mount away when the last process of a run
is gone, so that not even a crash can leave one on the machine.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_REC, MS_PRIVATE = 16384, 1 << 18
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter_private_namespace() -> None:
    """Moves this process into a mount namespace whose mounts nobody else sees (unshare(2))."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare of the mount namespace")
    _mount("none", Path("/"), None, MS_REC | MS_PRIVATE, None)


def _mount(
    source: str, target: Path, filesystem: str | None, flags: int, options: str | None
) -> None:
    _check(
        _libc.mount(
            source.encode(),
            os.fsencode(target),
            filesystem.encode() if filesystem else None,
            ctypes.c_ulong(flags),
            options.encode() if options else None,
        ),
        f"mount of {target}",
    )


def tmpfs(target: Path, options: str = "mode=755", flags: int = 0) -> None:
    """Mounts a tmpfs on a directory, which is made when it is not there."""
    target.mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", target, "tmpfs", flags, options)


def shared_memory(target: Path) -> None:
    """Mounts what all containers of a pod see as /dev/shm: 64 MiB, noexec."""
    tmpfs(target, "mode=1777,size=65536k", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def overlay(target: Path, lower: list[Path], scratch: Path) -> None:
    """Mounts an overlay; what is written goes below ``scratch``, which must be on a tmpfs.

    The kernel refuses a lower layer that contains the upper one (ELOOP), and ``/`` is one of
    ours.
    """
    upper, work = scratch / "upper", scratch / "work"
    for path in (target, upper, work):
        path.mkdir(parents=True)
    layers = ":".join(str(path) for path in lower)
    _mount("overlay", target, "overlay", 0, f"lowerdir={layers},upperdir={upper},workdir={work}")


def unmount(target: Path) -> None:
    """Detaches a mount; it is no error when there is none."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH) != 0:
        number = ctypes.get_errno()
        if number not in (22, 2):  # EINVAL: not a mount point, ENOENT
            raise OSError(number, f"umount of {target}: {os.strerror(number)}")
