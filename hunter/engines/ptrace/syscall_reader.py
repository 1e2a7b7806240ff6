"""System calls at their stops: which are recorded, what is read of them, the heads of records."""

from __future__ import annotations

from struct import Struct
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from hg_shared.records import (
    BIG_NUMBER,
    CWD_ARGUMENT,
    FD_ARGUMENT,
    HEAD,
    MAX_CAPTURE,
    NUMBER_HOP,
    Kind,
    encode_capture,
)
from hunter.calls import capture_plan, captures, descriptors
from hunter.calls.fds import CWD, Sockets, fd_text
from hunter.engines.base import MACHINE_ABI
from hunter.engines.ptrace import syscall_info
from hunter.engines.ptrace.kernel import Kernel
from hunter.engines.ptrace.tracee import Entered, Tracee, Tracees

_PAIR = Struct("<ii")


def _fd_capture(argument: int, hop: int, text: Optional[str]) -> bytes:
    if text is None:
        return b""
    data = text.encode("utf-8", "surrogateescape")[:MAX_CAPTURE]
    return encode_capture(argument, hop, data, len(data))


class TraceOptions(NamedTuple):
    """The choice of what is recorded of system calls, and the room for it.

    Attributes:
        machine: as uname(2) says, `x86_64` or `aarch64`.
        string_size: bytes of each string and buffer to keep.
        buffer_bytes: bound of the queue.
        wanted: syscall numbers to record by ABI, None for all.
        decode_fds: also read what new descriptors refer to.
        source: which tracer of this hunter.
    """

    machine: str
    string_size: int
    buffer_bytes: int
    wanted: Optional[Dict[int, FrozenSet[int]]] = None
    decode_fds: bool = False
    source: int = 0


class SyscallReader:
    """The reader of system calls for their records, of any ABI and any number.

    Args:
        options: what is recorded.
        tracees: kept by the tracer.
        kernel: memory of tracees.
    """

    def __init__(self, options: TraceOptions, tracees: Tracees, kernel: Kernel) -> None:
        self.arch = syscall_info.MACHINE_ARCH[options.machine]
        self.abi = MACHINE_ABI[options.machine]
        self._limit = options.string_size
        self._wanted = options.wanted
        self._decode_fds = options.decode_fds
        self._owners = tracees.owners
        self._kernel = kernel

    def is_wanted(self, call: Tuple[int, ...]) -> bool:
        """Tells whether the filter lets a call of any ABI through."""
        if self._wanted is None:
            return True
        abi = self._abi_of(call[0], call[1])
        number = syscall_info.number_of(abi, call[1])
        return number in self._wanted.get(abi, frozenset())

    def read_entry(self, tid: int, call: Tuple[int, ...], stack: int) -> bytes:
        """Reads what must be read before the call runs; `stack` is the stack pointer."""
        arch, nr, *args = call
        abi = self._abi_of(arch, nr)
        number = syscall_info.number_of(abi, nr)
        if number >= BIG_NUMBER:
            return encode_capture(0, NUMBER_HOP, nr.to_bytes(8, "little"), 8, at_entry=True)
        plan = capture_plan.call_plan(abi, number)
        tracee = self._owners.get(tid)
        if plan is None or not plan[0] or tracee is None:
            return b""
        read = self._kernel.reader(tracee.memory, tid)
        return captures.read_captures(plan[0], args, 0, read, self._limit, True, stack)

    def read_exit(self, tid: int, tracee: Tracee, begun: Entered, rval: int) -> bytes:
        """Reads what the plan says at the exit stop, for all forms."""
        _, (arch, nr, *args), data = begun
        abi = self._abi_of(arch, nr)
        plan = capture_plan.call_plan(abi, syscall_info.number_of(abi, nr))
        read = self._kernel.reader(tracee.memory, tid)
        if plan is not None:
            data += captures.read_captures(plan[1], args, rval, read, self._limit, False)
        return data + self._read_fds(tid, abi, nr, args, rval, read) if self._decode_fds else data

    def head(
        self, tid: int, tracee: Tracee, begun: Entered, end: int, rval: int, length: int
    ) -> bytes:
        """Packs the head of a SYSCALL record, for any ABI and any number."""
        start, (arch, nr, *args), _ = begun
        abi = self._abi_of(arch, nr)
        return HEAD.pack(
            start, end - start, rval, *args, tid, tracee.ordinal,
            syscall_info.number_of(abi, nr), Kind.SYSCALL, abi, length,
        )  # fmt: skip

    def open_record(
        self, tid: int, tracee: Tracee, entered: Entered, now: int
    ) -> Tuple[bytes, bytes]:
        """Returns head and captures of an IN_FLIGHT record; may be called by any thread.

        Args:
            tid: the thread.
            tracee: its process.
            entered: the call it is in.
            now: CLOCK_MONOTONIC ns.
        """
        start, (arch, nr, *args), data = entered
        abi = self._abi_of(arch, nr)
        number = syscall_info.number_of(abi, nr)
        plan = capture_plan.call_plan(abi, number)
        if plan is not None:
            # It runs, as far as anybody knows: without the file there is nothing to read it by.
            data += captures.read_in_flight(
                plan[1], args, self._kernel.reader(tracee.memory, 0), self._limit
            )
        head = HEAD.pack(
            start, max(now - start, 0), 0, *args, tid, tracee.ordinal, number,
            Kind.IN_FLIGHT, abi, len(data),
        )  # fmt: skip
        return head, data

    def _abi_of(self, arch: int, nr: int) -> int:
        """Returns the ABI of a call, 255 for one that has no name here."""
        if arch == self.arch and nr < BIG_NUMBER:
            return self.abi
        abi = syscall_info.abi_of(arch, nr)
        return 255 if abi is None else abi

    def _read_fds(
        self, tid: int, abi: int, nr: int, args: List[int], rval: int, read: captures.Read
    ) -> bytes:
        """Reads what the descriptors that a call made or changed refer to."""
        how = descriptors.makers(abi).get(nr)
        if how is None:
            return b""
        if how == descriptors.DIRECTORY:
            text = fd_text(tid, CWD, Sockets(tid)) if rval >= 0 else None
            return _fd_capture(CWD_ARGUMENT, 0, text)
        numbers = [descriptors.returned(how, args, rval)]
        if how == descriptors.PAIR:
            at = args[descriptors.pair_argument(abi, nr)]
            held = read(at, _PAIR.size) if rval >= 0 and at else None
            numbers = list(_PAIR.unpack(held)) if held and len(held) == _PAIR.size else []
        elif how == descriptors.PASSED:
            head = read(args[1], descriptors.MSGHDR_SIZE) if rval >= 0 else None
            address, size = descriptors.control_of(head or b"")
            control = read(address, size) if size else None
            numbers = descriptors.passed(control or b"")
        sockets = Sockets(tid)
        return b"".join(
            _fd_capture(FD_ARGUMENT, hop, fd_text(tid, str(number), sockets))
            for hop, number in enumerate(numbers)
            if number >= 0
        )
