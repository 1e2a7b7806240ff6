"""The only caller of bpf(2).

Maps, programs and their attachments are file descriptors: the kernel takes all of them away when
hunter ends, however it ends.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
from struct import Struct
from typing import Dict, List, Optional

from hunter.errors import HunterError, NotPermitted

_BPF = {"x86_64": 321, "aarch64": 280}
_ATTR_SIZE = 144

# enum bpf_cmd, bpf_map_type, bpf_prog_type of linux/bpf.h.
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD = 0, 1, 2, 3, 5
_RAW_TRACEPOINT_OPEN, _MAP_LOOKUP_BATCH = 17, 24
HASH, ARRAY, PROG_ARRAY, PERCPU_ARRAY, QUEUE, RINGBUF = 1, 2, 3, 6, 22, 27
RAW_TRACEPOINT = 17
KINDS = {"raw_tp": RAW_TRACEPOINT}
"""Types of programs by the name that their source gives them."""
MMAPABLE = 1 << 10
_ANY = 0

_LICENSE = b"Dual MIT/GPL"
_LOG_TAIL = 1 << 16
_MAP = Struct("<IIIII")
_ELEMENT = Struct("<I4xQQQ")
_BATCH = Struct("<QQQQIIQQ")
_PROGRAM = Struct("<IIQQIIQII16s")
_TRACEPOINT = Struct("<QI4x")

_syscall = ctypes.CDLL(None, use_errno=True).syscall


def _call(number: int, what: str, *arguments: object) -> int:
    result: int = _syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        text = f"{what}: {os.strerror(code)}"
        if code in (errno.EPERM, errno.EACCES):
            raise NotPermitted(text) from OSError(code, os.strerror(code))
        raise HunterError(text) from OSError(code, os.strerror(code))
    return result


def _bpf(command: int, attributes: bytes, what: str) -> int:
    buffer = ctypes.create_string_buffer(attributes, max(_ATTR_SIZE, len(attributes)))
    size = ctypes.c_uint(_ATTR_SIZE)
    return _call(_BPF[platform.machine()], what, ctypes.c_int(command), buffer, size)


def _address(buffer: object) -> int:
    return ctypes.addressof(buffer)  # type: ignore[arg-type]


def raise_memlock() -> None:
    """Lifts RLIMIT_MEMLOCK, against which kernels before 5.11 count maps; failure shows later."""
    try:
        resource.setrlimit(
            resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
    except (OSError, ValueError):
        pass


def create_map(kind: int, key: int, value: int, entries: int, flags: int = 0) -> int:
    """Creates a map and returns its descriptor.

    Args:
        kind: BPF_MAP_TYPE_.
        key: bytes of a key.
        value: bytes of a value.
        entries: most elements; of a ring buffer its bytes, a power of two and whole pages.
        flags: BPF_F_.

    Raises:
        NotPermitted: CAP_BPF is missing, or a seccomp profile forbids bpf(2).
        HunterError: the kernel has no such map.
    """
    fd = _bpf(_MAP_CREATE, _MAP.pack(kind, key, value, entries, flags), "bpf(BPF_MAP_CREATE)")
    os.set_inheritable(fd, False)
    return fd


def push(queue: int, value: bytes) -> None:
    """Appends a value to a queue.

    Raises:
        HunterError: it is full.
    """
    buffer = ctypes.create_string_buffer(value, len(value))
    _bpf(_MAP_UPDATE, _ELEMENT.pack(queue, 0, _address(buffer), _ANY), "map update")


def update(fd: int, key: bytes, value: bytes) -> None:
    """Sets an element of a map."""
    keys, values = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value)
    attributes = _ELEMENT.pack(fd, _address(keys), _address(values), _ANY)
    _bpf(_MAP_UPDATE, attributes, "bpf(BPF_MAP_UPDATE_ELEM)")


def lookup(fd: int, key: bytes, size: int) -> Optional[bytes]:
    """Returns the value of a key, None when it is not there.

    Args:
        fd: the map.
        key: the key.
        size: bytes of a value.
    """
    keys, values = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    attributes = _ELEMENT.pack(fd, _address(keys), _address(values), 0)
    try:
        _bpf(_MAP_LOOKUP, attributes, "bpf(BPF_MAP_LOOKUP_ELEM)")
    except HunterError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOENT:
            return None
        raise
    return values.raw


def delete(fd: int, key: bytes) -> None:
    """Removes a key from a map, if it is there."""
    keys = ctypes.create_string_buffer(key, len(key))
    try:
        _bpf(_MAP_DELETE, _ELEMENT.pack(fd, _address(keys), 0, 0), "bpf(BPF_MAP_DELETE_ELEM)")
    except HunterError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.ENOENT:
            raise


class Elements:
    """Reads all elements of a hash map at once.

    Args:
        fd: the map.
        key: bytes of a key.
        value: bytes of a value.
        entries: most elements to return.
    """

    def __init__(self, fd: int, key: int, value: int, entries: int) -> None:
        self._fd = fd
        self._key = key
        self._value = value
        self._entries = entries
        self._cursor = ctypes.create_string_buffer(16)
        self._keys = ctypes.create_string_buffer(key * entries)
        self._values = ctypes.create_string_buffer(value * entries)

    def read(self) -> tuple[memoryview, memoryview]:
        """Returns keys and values, back to back each, valid until the next call (kernel 5.6)."""
        attributes = bytearray(_BATCH.size)
        _BATCH.pack_into(
            attributes, 0, 0, _address(self._cursor), _address(self._keys), _address(self._values),
            self._entries, self._fd, 0, 0,
        )  # fmt: skip
        buffer = (ctypes.c_char * _ATTR_SIZE).from_buffer(attributes.ljust(_ATTR_SIZE, b"\0"))
        number = _BPF[platform.machine()]
        size = ctypes.c_uint(_ATTR_SIZE)
        result = _syscall(ctypes.c_long(number), ctypes.c_int(_MAP_LOOKUP_BATCH), buffer, size)
        code = ctypes.get_errno()
        if result < 0 and code not in (errno.ENOENT, errno.ENOSPC):
            raise HunterError(f"bpf(BPF_MAP_LOOKUP_BATCH): {os.strerror(code)}")
        count = int.from_bytes(buffer.raw[32:36], "little")
        keys, values = memoryview(self._keys), memoryview(self._values)
        return keys[: count * self._key], values[: count * self._value]


def load_program(kind: int, name: str, code: bytes) -> int:
    """Loads a program and returns its descriptor.

    Args:
        kind: `RAW_TRACEPOINT`.
        name: shown by bpftool, at most 15 letters, digits and underscores.
        code: its instructions.

    Raises:
        NotPermitted: CAP_BPF or CAP_PERFMON is missing.
        HunterError: the verifier refused it; the text ends with its last line.
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(_LICENSE)

    def attributes(log: int, size: int) -> bytes:
        return _PROGRAM.pack(
            kind, len(code) // 8, _address(instructions), _address(licence), 1 if size else 0,
            size, log, 0, 0, name.encode(),
        )  # fmt: skip

    try:
        fd = _bpf(_PROG_LOAD, attributes(0, 0), f"bpf(BPF_PROG_LOAD, {name})")
    except HunterError as error:
        # The memory is the container's: of this only what the kernel writes is taken.
        log = mmap.mmap(-1, 1 << 24)
        try:
            address = _address(ctypes.c_char.from_buffer(log))
            fd = _bpf(_PROG_LOAD, attributes(address, len(log)), name)
        except HunterError:
            end = log.find(b"\0")
            text = log[max(0, end - _LOG_TAIL) : end].decode("ascii", "replace")
            lines: List[str] = text.strip().splitlines()
            if not lines:
                raise error from error.__cause__
            # The verifier, which says EACCES too.
            said = " / ".join(lines[-int(os.environ.get("HUNTER_VERIFIER_LINES", "2")) :])
            raise HunterError(f"{error}: {said}") from error
    os.set_inheritable(fd, False)
    return fd


def attach_raw_tracepoint(name: str, program: int) -> int:
    """Attaches a program to a raw tracepoint and returns the descriptor that holds it there."""
    text = ctypes.create_string_buffer(name.encode())
    attributes = _TRACEPOINT.pack(_address(text), program)
    fd = _bpf(_RAW_TRACEPOINT_OPEN, attributes, f"raw tracepoint {name}")
    os.set_inheritable(fd, False)
    return fd


def map_memory(fd: int, length: int, offset: int = 0, writable: bool = True) -> mmap.mmap:
    """Maps a map's memory into hunter.

    Args:
        fd: a ring buffer or an array made with `MMAPABLE`.
        length: bytes.
        offset: where in it to begin.
        writable: whether hunter writes to it.
    """
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return mmap.mmap(fd, length, mmap.MAP_SHARED, protection, offset=offset)


def open_node_lock() -> Optional[int]:
    """Takes the lock that one hunter of a node holds, None when another holds it.

    The file is the node's time namespace, which all its containers share whatever else they do not;
    the lock ends with hunter. A container with a time namespace of its own has its own lock.
    """
    for name in ("time", "user"):
        try:
            fd = os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return None
        return fd
    return None


Maps = Dict[str, int]
