"""The first program that the portable Python runs inside the target: it becomes hunter.

gatherer.inject.portable_python_upload passes its text to the interpreter of the bundle,
`-I -S -c TEXT DIRECTORY DIGEST SIZE SHA256 ARGS...`, without comments, docstrings and annotations.
When the first of ARGS is `join` what it takes from stdin, and becomes, is no hunter but the program
`rejoin_relay`. It checks the bundle's files (a container may have no program that does), takes
hunter from stdin as `receive_hunter` does, loads everything that would be read later, and removes
the bundle's directory: from then on nothing of it has a name, whatever kills hunter.

As with `receive_hunter`, hunter is a process beside that of the exec, which may be killed with its
connection; the same program starts once more for that, with the option -X hunter.
"""

from __future__ import annotations

import importlib
import os
import sys

RECEIVED = b"hunter: received\n"
"""What it writes to stderr just before it becomes hunter."""

SILENT = 101
"""Exit code for a hunter that did not say how it ended, as one that is killed."""

JOIN = "join"
STDIN_ENDED = 97
DIGEST_DIFFERS = 98


def failure(code: int, message: str) -> SystemExit:
    """Writes one line to stderr and returns what to raise."""
    os.write(2, (message + "\n").encode("utf-8", "replace"))
    return SystemExit(code)


def digest_of(data: bytes) -> str:
    """Returns the sha256 in hexadecimal digits, without hashlib, which may want OpenSSL."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from _sha256 import sha256  # type: ignore[import-not-found]
    return str(sha256(data).hexdigest())


def receive(size: int) -> bytes:
    """Returns exactly `size` bytes of stdin, taking none beyond."""
    data = bytearray()
    while len(data) < size:
        part = os.read(0, min(65536, size - len(data)))
        if not part:
            raise failure(STDIN_ENDED, f"stdin ended after {len(data)} of {size} bytes")
        data += part
    return bytes(data)


def remove(directory: str) -> None:
    """Removes a directory and all in it."""
    for path, folders, files in os.walk(directory, topdown=False):
        for name in files:
            os.unlink(os.path.join(path, name))
        for name in folders:
            os.rmdir(os.path.join(path, name))
    os.rmdir(directory)


def check(directory: str, wanted: str) -> None:
    """Compares the bundle's files with what was sent."""
    lines = []
    for path, _, files in os.walk(directory):
        for name in files:
            where = os.path.join(path, name)
            with open(where, "rb") as file:
                lines.append(f"{digest_of(file.read())} {os.path.relpath(where, directory)}\n")
    got = digest_of("".join(sorted(lines)).encode())
    if got != wanted:
        raise failure(DIGEST_DIFFERS, f"the bundle's digest is {got} instead of {wanted}")


def load(directory: str) -> str:
    """Loads all that is not Python; returns a path of the library that outlives its name."""
    import ctypes

    for path in sys.path:
        if path.endswith("lib-dynload"):
            for name in sorted(os.listdir(path)):
                __import__(name.split(".")[0])
    try:
        ctypes.CDLL("libgcc_s.so.1")
    except OSError:
        pass
    archive = next(path for path in sys.path if path.endswith(".zip"))
    kept = f"/proc/self/fd/{os.open(archive, os.O_RDONLY)}"
    for module in list(sys.modules.values()):
        # Modules of packages that are loaded already are looked for where the packages were.
        paths = getattr(module, "__path__", None)
        if isinstance(paths, list):
            paths[:] = [path.replace(archive, kept, 1) for path in paths]
    return kept


def nameless(data: bytes) -> str:
    """Returns a path of a file in memory that holds `data`."""
    try:
        fd = os.memfd_create("hunter", 1 | 8)  # MFD_CLOEXEC, MFD_NOEXEC_SEAL
    except OSError:
        fd = os.memfd_create("hunter", 1)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return f"/proc/self/fd/{fd}"


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


def stand_in_front(directory: str) -> None:
    """Starts this program once more beside this process, and ends as it does.

    Returns where there can be no other process: this one then becomes hunter itself.
    """
    reading, writing = os.pipe()
    front = os.getpid()
    copy = beside()
    if copy > 0:
        os.close(writing)
        part = code = bytes([SILENT])
        while part:
            code, part = part, os.read(reading, 1)
        raise SystemExit(code[0])
    if copy < 0:
        return
    os.set_inheritable(writing, True)
    loader = f"{directory}/lib/ld.so"
    program, *rest = sys.orig_argv
    command = [loader, "--library-path", f"{directory}/lib", program, "-X", f"hunter={writing}"]
    try:
        os.execv(loader, [*command, *rest, "--exclude-pid", str(front)])  # noqa: S606
    except OSError as error:
        os.write(2, f"{loader}: {error.strerror}\n".encode())
        os._exit(SILENT)


def main(directory: str, digest: str, size: int, sha256: str, arguments: list[str]) -> int:
    """Receives hunter, checks everything and becomes it."""
    joins = arguments[:1] == [JOIN]
    if not joins and "hunter" not in sys._xoptions:
        stand_in_front(directory)
    try:
        check(directory, digest)
        data = receive(size)
        got = digest_of(data)
        if got != sha256:
            raise failure(DIGEST_DIFFERS, f"sha256 {sha256} expected, {got} received")
        sys.path[:] = [nameless(data), load(directory)]
    finally:
        remove(directory)
    os.write(2, RECEIVED)
    if joins:
        sys.argv[:] = arguments
        exec(data.decode(), {"__name__": "__main__"})  # noqa: S102
        return 0
    sys.argv[:] = ["hunter", *arguments]
    return int(importlib.import_module("hunter.__main__").run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:]))
