"""What all programs share: is this process traced, its thread, putting a record out. Pure.

Registers by convention: r9 the process's slot once `target` has found it; FP - 8 the tid of the
initial PID namespace as a key of `threads`; FP - 16 the slot, once it is spilled.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple

from hg_shared.records import HEAD_SIZE, Abi, Kind
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.assembler import (
    FP,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R7,
    R8,
    R9,
    Assembler,
)

# bpf-helpers(7); linux/bpf.h.
MAP_LOOKUP, MAP_UPDATE, MAP_DELETE = 1, 2, 3
KTIME_GET_NS, TAIL_CALL, CURRENT_PID_TGID, CURRENT_COMM, CURRENT_TASK = 5, 12, 14, 16, 35
READ_USER, READ_KERNEL, READ_USER_STRING = 112, 113, 114
CURRENT_NS_PID_TGID = 120
MAP_POP = 88
RINGBUF_OUTPUT = 130
RB_NO_WAKEUP = 1

KEY = -8
SLOT = -16
NS_PID = -24
EVENT = -256
"""Where a record stands that is made on the stack: a head, and room for 136 bytes of captures."""
EVENT_CAPTURES = EVENT + HEAD_SIZE


class PidNamespace(NamedTuple):
    """Hunter's PID namespace: device and inode of /proc/self/ns/pid.

    Attributes:
        device: st_dev as the kernel encodes it.
        inode: st_ino.
        initial: it is the one in which the kernel counts itself.
    """

    device: int
    inode: int
    initial: bool


class Kernel(NamedTuple):
    """What differs between kernels.

    Attributes:
        abi: `Abi.X86_64` or `Abi.AARCH64`.
        compat_offset: of the word in task_struct that tells compat calls.
        compat_bit: mask in that word.
        pid_offset: of task_struct.pid, followed by tgid; 0 when it is not known.
        exit_code_offset: of task_struct.exit_code; 0 when it is not known.
        clock_offset: what hunter's CLOCK_MONOTONIC is ahead of the kernel's, ns: not 0 in a time
            namespace.
    """

    abi: int
    compat_offset: int
    compat_bit: int
    pid_offset: int = 0
    exit_code_offset: int = 0
    clock_offset: int = 0


class Settings(NamedTuple):
    """What the programs are made for.

    Attributes:
        fds: descriptors of the maps by name.
        kernel: what differs between kernels.
        namespace: hunter's PID namespace.
        slots: sizes of the rings' slots.
        filtered: not all calls are recorded.
        follow: children of traced processes are traced too.
    """

    fds: Mapping[str, int]
    kernel: Kernel
    namespace: PidNamespace
    slots: layout.Slot
    filtered: bool
    follow: bool = False


class Program(Assembler):
    """One program.

    Args:
        settings: what it is made for.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.fds = settings.fds

    def end(self) -> bytes:
        """Puts the label `out` at the end and returns the program."""
        self.label("out")
        self.exit()
        return self.code()

    def target(self) -> None:
        """Sets r9 to the slot of the current process and the key to its tid, or ends; r8 is lost.

        A process that is not traced pays for these instructions and nothing else, but while hunter
        waits to learn how the kernel numbers one.
        """
        self.call(CURRENT_PID_TGID)
        self.mov(R7, R0)
        self.alu("rsh", R0, 32)
        if self.settings.namespace.initial:
            self.slot_of(R0)
        else:
            missed, found = self.fresh("missed"), self.fresh("found")
            self.slot_of(R0, missed)
            self.jump(found)
            self.label(missed)
            self._learn()
            self.label(found)
        self.store(4, FP, KEY, R7)

    def _learn(self) -> None:
        """Sets r9 to the slot of a process whose number was not known, or ends.

        Its tgid in the initial namespace is noted where the programs look for it. It stays in
        `wanted` until hunter has seen it there: another CPU may note another in the same place.
        """
        learned = self.fresh("learned")
        self.map_value(R1, self.fds["state"], layout.LEARNING)
        self.load(4, R1, R1)
        self.jump_if("eq", R1, 0, "out")
        self.constant(R1, self.settings.namespace.device)
        self.constant(R2, self.settings.namespace.inode)
        self.mov(R3, FP)
        self.alu("add", R3, NS_PID)
        self.mov(R4, 8)
        self.call(CURRENT_NS_PID_TGID)
        self.jump_if("ne", R0, 0, "out")
        self.lookup("wanted", NS_PID + 4)
        self.jump_if("eq", R0, 0, "out")
        self.load(4, R8, R0)
        self.mov(R1, R8)
        self.slot_address(R1)
        self.mov(R1, R7)
        self.alu("rsh", R1, 32)
        self.store(4, R9, layout.PROCESS_TGID, R1)
        if self.settings.follow:
            self.store(4, FP, KEY, R1)
            self.store(4, FP, SLOT, R8)
            self.update("members", KEY, SLOT)
            return
        self.alu("and", R1, layout.TABLE_SIZE - 1)
        self.map_value(R2, self.fds["state"])
        self.alu("add", R2, R1)
        for probe in range(layout.PROBES):
            free, next_one = self.fresh("free"), self.fresh("next")
            self.load(1, R3, R2, probe)
            self.jump_if("eq", R3, 0, free)
            self.jump_if("ne", R3, layout.TOMBSTONE, next_one)
            self.label(free)
            self.store(1, R2, probe, R8)
            self.jump(learned)
            self.label(next_one)
        # Hunter finds that it has a number and no place.
        self.jump("out")
        self.label(learned)

    def slot_of(self, tgid: str, missed: str = "out") -> None:
        """Sets r9 to the slot of a process; r1 to r5 are lost.

        Args:
            tgid: register that holds its tgid in the initial namespace.
            missed: label of what is done when it is not traced.
        """
        if self.settings.follow:
            # A hash map costs others more than the table, but two CPUs may enter children at once.
            self.store(4, FP, KEY + 4, tgid)
            self.lookup("members", KEY + 4)
            self.jump_if("eq", R0, 0, missed)
            self.load(4, R1, R0)
            self.slot_address(R1)
            return
        found = self.fresh("found")
        self.mov(R2, tgid)
        self.alu("and", R2, layout.TABLE_SIZE - 1)
        self.map_value(R1, self.fds["state"])
        self.alu("add", R1, R2)
        for probe in range(layout.PROBES):
            self.load(1, R3, R1, probe)
            self.jump_if("eq", R3, 0, missed)
            self.alu("lsh", R3, 6)
            self.map_value(R9, self.fds["state"], layout.PROCESSES)
            self.alu("add", R9, R3)
            self.load(4, R5, R9, layout.PROCESS_TGID)
            self.jump_if("eq", R5, tgid, found)
        self.jump(missed)
        self.label(found)

    def slot_address(self, number: str) -> None:
        """Sets r9 to the slot whose number is in a register, which is lost."""
        self.alu("and", number, layout.FOLLOW_SLOTS - 1 if self.settings.follow else 255)
        self.alu("lsh", number, 6)
        self.map_value(R9, self.fds["state"], layout.PROCESSES)
        self.alu("add", R9, number)

    def update(self, name: str, key: int, value: int) -> None:
        """Puts a value into a map; r0 is not 0 when there was no room.

        Args:
            name: the map.
            key: where the key is on the stack.
            value: where the value is on the stack.
        """
        self.map(R1, self.fds[name])
        self.mov(R2, FP)
        self.alu("add", R2, key)
        self.mov(R3, FP)
        self.alu("add", R3, value)
        self.mov(R4, 0)
        self.call(MAP_UPDATE)

    def lookup(self, name: str, key: int = KEY) -> None:
        """R0 = address of the value of the key at FP + key, or 0."""
        self.map(R1, self.fds[name])
        self.mov(R2, FP)
        self.alu("add", R2, key)
        self.call(MAP_LOOKUP)

    def delete(self, name: str, key: int = KEY) -> None:
        """Removes the key at FP + key from a map."""
        self.map(R1, self.fds[name])
        self.mov(R2, FP)
        self.alu("add", R2, key)
        self.call(MAP_DELETE)

    def read_kernel(self, base: str, offset: int, size: int) -> None:
        """Reads from address r3 to base + offset; r0 is not 0 when that failed."""
        self.mov(R1, base)
        self.alu("add", R1, offset)
        self.mov(R2, size)
        self.call(READ_KERNEL)

    def spill_slot(self) -> None:
        """Puts r9 where `lost` finds it."""
        self.store(8, FP, SLOT, R9)

    def lost(self) -> None:
        """Counts a record that found no room."""
        self.load(8, R1, FP, SLOT)
        self.mov(R2, 1)
        self.atomic_add(R1, layout.PROCESS_LOST, R2)

    def output(self, ring: str, base: str, offset: int, size: int | str) -> None:
        """Copies a record into a ring, or counts it as lost.

        Args:
            ring: name of the map.
            base: register with its address.
            offset: added to that.
            size: bytes, or the register that holds them.
        """
        done = self.fresh("written")
        if size != R3:
            self.mov(R3, size)
        self.mov(R2, base)
        self.alu("add", R2, offset)
        self.map(R1, self.fds[ring])
        self.mov(R4, RB_NO_WAKEUP)
        self.call(RINGBUF_OUTPUT)
        self.jump_if("eq", R0, 0, done)
        self.lost()
        self.label(done)

    def namespace_tid(self) -> None:
        """Sets the word at FP + NS_PID to the current tid in hunter's PID namespace; r7 is kept."""
        namespace = self.settings.namespace
        self.store(4, FP, NS_PID, R7)
        if namespace.initial:
            return
        seen = self.fresh("seen")
        self.constant(R1, namespace.device)
        self.constant(R2, namespace.inode)
        self.mov(R3, FP)
        self.alu("add", R3, EVENT)
        self.mov(R4, 8)
        self.call(CURRENT_NS_PID_TGID)
        self.jump_if("ne", R0, 0, seen)
        self.load(4, R1, FP, EVENT)
        self.store(4, FP, NS_PID, R1)
        self.label(seen)

    def event(self, kind: int, tid: str, nr: int = 0) -> None:
        """Begins a record on the stack; r9 is the slot. The time is left at 0.

        Args:
            kind: its kind.
            tid: register with the tid.
            nr: its number.
        """
        self.store(4, FP, EVENT + 72, tid)
        for offset in range(0, 72, 8):
            self.store(8, FP, EVENT + offset, 0)
        self.load(4, R1, R9, layout.PROCESS_ORDINAL)
        self.store(4, FP, EVENT + 76, R1)
        self.store(2, FP, EVENT + 80, nr)
        self.store(1, FP, EVENT + 82, kind)
        self.store(1, FP, EVENT + 83, self.settings.kernel.abi)
        self.store(4, FP, EVENT + 84, 0)

    def clock(self) -> None:
        """Sets r0 to hunter's CLOCK_MONOTONIC, ns; r1 to r5 are lost."""
        self.call(KTIME_GET_NS)
        if self.settings.kernel.clock_offset:
            self.constant(R1, self.settings.kernel.clock_offset)
            self.alu("add", R0, R1)

    def stamp(self) -> None:
        """Sets the time of the record on the stack to now."""
        self.clock()
        self.store(8, FP, EVENT, R0)

    def send_event(self, captures: int = 0) -> None:
        """Puts the record on the stack out; r9 was spilled."""
        self.output("events", FP, EVENT, HEAD_SIZE + captures)

    def first_sight(self, full: str = "") -> None:
        """Makes the entry of a thread that has none: r0 is its address afterwards.

        Needs r7 (pid_tgid) and r9; r9 is spilled. The thread is announced with ATTACHED.

        Args:
            full: label of what is done when there is no room; empty: a record is lost.
        """
        self.spill_slot()
        self.namespace_tid()
        self.map(R1, self.fds["threads"])
        self.mov(R2, FP)
        self.alu("add", R2, KEY)
        self.map_value(R3, self.fds["zeroes"])
        self.mov(R4, 0)
        self.call(MAP_UPDATE)
        crowded = self.fresh("crowded")
        self.jump_if("ne", R0, 0, crowded)
        self.load(4, R2, FP, NS_PID)
        self.event(Kind.ATTACHED, R2)
        self.stamp()
        self.send_event()
        self.lookup("threads")
        made = self.fresh("made")
        self.jump_if("ne", R0, 0, made)
        self.label(crowded)
        self.map_value(R1, self.fds["state"], layout.CROWDED)
        self.store(4, R1, 0, 1)
        if not full:
            self.lost()
        self.jump(full or "out")
        self.label(made)
        self.load(4, R1, FP, NS_PID)
        self.store(4, R0, 72, R1)
        self.load(8, R9, FP, SLOT)
        self.load(4, R1, R9, layout.PROCESS_ORDINAL)
        self.store(4, R0, 76, R1)

    def thread(self, full: str = "") -> None:
        """R0 = the current thread's entry; one is made for a new thread; see `first_sight`."""
        known = self.fresh("known")
        self.lookup("threads")
        self.jump_if("ne", R0, 0, known)
        self.first_sight(full)
        self.label(known)

    def tail_call(self, index: int) -> None:
        """Goes on in another program of `routes`; r1 is the context before."""
        self.map(R2, self.fds["routes"])
        self.mov(R3, index)
        self.call(TAIL_CALL)


def kernel_of(machine: str, release: tuple[int, int]) -> Kernel:
    """Returns what is known of a kernel before anything is loaded.

    Args:
        machine: as uname(2) says.
        release: major and minor number.
    """
    if machine == "aarch64":
        return Kernel(Abi.AARCH64, 0, 1 << 22)  # thread_info.flags, TIF_32BIT
    # thread_info.status & TS_COMPAT; syscall_work was put in front of it in 5.11.
    return Kernel(Abi.X86_64, 16 if release >= (5, 11) else 8, 2)
