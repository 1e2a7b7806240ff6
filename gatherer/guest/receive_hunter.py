"""The program that takes hunter from stdin and becomes it; it runs inside the target.

gatherer.inject.exec_start passes its text to `PYTHON -I -S -c TEXT WHERE SIZE SHA256 ARGS...`,
without comments, docstrings and annotations; WHERE is `copy` or `memory`.

It reads exactly SIZE bytes from stdin, because exec v4 cannot half-close it and what follows is
hunter's own stdin. The file that holds them has no name: `copy` takes it away before the first byte
is in it, `memory` makes one of memfd_create(2), which is on no file system. It is run through
/proc/self/fd: whatever kills hunter, or keeps it from starting, nothing stays.

Hunter is not the process of the exec but one beside it: when a kubelet is restarted, containerd may
send SIGKILL to the process of each exec that ran over it (ExecInContainer, the context of whose
request has been cancelled), and hunter has to go on. The process of the exec waits for hunter and
ends with its exit code. Both are children of the container runtime's shim (CLONE_PARENT), which
waits for them; an application that is init of its container may not.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys

RECEIVED = b"hunter: received\n"
"""What it writes to stderr just before it becomes hunter."""

STDIN_ENDED = 97
DIGEST_DIFFERS = 98
NOTHING_WRITABLE = 99
NOT_EXECUTED = 100
SILENT = 101
"""Exit code for a hunter that did not say how it ended, as one that is killed."""


def failure(code: int, message: str) -> SystemExit:
    """Writes one line to stderr and returns what to raise."""
    os.write(2, (message + "\n").encode("utf-8", "replace"))
    return SystemExit(code)


def receive(size: int) -> bytes:
    """Returns exactly `size` bytes of stdin, taking none beyond."""
    data = bytearray()
    while len(data) < size:
        part = os.read(0, min(65536, size - len(data)))
        if not part:
            raise failure(STDIN_ENDED, f"stdin ended after {len(data)} of {size} bytes")
        data += part
    return bytes(data)


def write(fd: int, data: bytes) -> int:
    """Writes everything; returns the descriptor."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return fd


def in_memory(data: bytes) -> int:
    """Returns a descriptor of a file in memory with `data`."""
    try:
        try:
            fd = os.memfd_create("hunter", 8)  # MFD_NOEXEC_SEAL: all that some kernels allow
        except OSError:
            fd = os.memfd_create("hunter", 0)
        return write(fd, data)
    except OSError as error:
        raise failure(NOTHING_WRITABLE, f"memfd_create: {error.strerror}") from None


def store(data: bytes) -> int:
    """Returns a descriptor of a nameless file with `data`, in the first place that takes it."""
    refusals = []
    home = os.environ.get("HOME", "")
    for directory in ("/tmp", "/var/tmp", "/dev/shm", home, "/run", "."):  # noqa: S108
        if not directory:
            continue
        name = os.urandom(8).hex()
        path = os.path.join(directory, f".hunter-{name}.pyz")
        fd = -1
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            os.unlink(path)
            return write(fd, data)
        except OSError as error:
            refusals.append(f"{directory}: {error.strerror}")
            if fd >= 0:
                os.close(fd)
    raise failure(NOTHING_WRITABLE, ", ".join(refusals))


def beside() -> int:
    """Makes a copy of this process beside it.

    Returns its process id, in the copy 0, and -1 where there can be none.
    """
    try:
        import ctypes

        number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
        words = [ctypes.c_long(word) for word in (number, 0x8011, 0, 0, 0, 0)]
        # CLONE_PARENT | SIGCHLD. The interpreter's lock is kept: the copy has this thread alone.
        return int(ctypes.PyDLL(None).syscall(*words))
    except (ImportError, KeyError, OSError):
        return -1


def become(path: str, arguments: list[str]) -> None:
    """Starts hunter beside this process and ends as it does."""
    reading, writing = os.pipe()
    front = os.getpid()
    copy = beside()
    if copy > 0:
        os.close(writing)
        try:
            # Of the zipapp: waiting takes 5 MiB less then.
            sys.path.insert(0, path)
            importlib.import_module("hunter.front").wait(reading, SILENT)
        except ImportError:
            pass
        part = code = bytes([SILENT])
        while part:
            code, part = part, os.read(reading, 1)
        raise SystemExit(code[0])
    os.set_inheritable(writing, True)
    os.close(reading)
    # hunter.__main__ writes its exit code there; it also tells who looks at the process list.
    command = [sys.executable, "-I", "-B", "-S", "-X", f"hunter={writing}", path, *arguments]
    if copy == 0:
        command += ["--exclude-pid", str(front)]
    try:
        os.stat(path)
        os.write(2, RECEIVED)
        os.execv(sys.executable, command)  # noqa: S606
    except OSError as error:
        failure(NOT_EXECUTED, f"{path} with {sys.executable}: {error.strerror}")
        os.write(writing, bytes([NOT_EXECUTED]))
        os._exit(NOT_EXECUTED)


def main(where: str, size: int, sha256: str, arguments: list[str]) -> None:
    """Receives hunter, checks it and becomes it."""
    data = receive(size)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise failure(DIGEST_DIFFERS, f"sha256 {sha256} expected, {digest} received")
    fd = in_memory(data) if where == "memory" else store(data)
    del data
    os.set_inheritable(fd, True)
    become(f"/proc/self/fd/{fd}", arguments)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
