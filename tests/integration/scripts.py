"""Random calls that can do no harm, as scripts for the `--play` of workloads: pure."""

from __future__ import annotations

import struct
from random import Random

from hg_shared.records import Abi
from hg_shared.syscalls import numbers

NO_BYTES = 0xFFFFFFFF
CLOSED = 99
"""A descriptor that is not open: calls on it do nothing."""

# What is random about each argument: F a closed descriptor, P a path that is not there, B bytes,
# L a length, N any number, S a small one, X a pointer to nothing.
_CALLS = """\
openat:FPN openat:SPN stat:PX lstat:PB access:PN readlink:PBL unlinkat:SPN faccessat2:SPNN
newfstatat:SPBN statx:SPNNB rename:PP renameat2:SPSPN chdir:P chmod:PN getxattr:PBXL
setxattr:PBBLN utimensat:SPBN truncate:PN name_to_handle_at:SPBXN openat2:SPBL
read:FXL write:FBL pread64:FXLN pwrite64:FBLN readv:FBS writev:FBS preadv2:FBSNNN pwritev2:FBSNNN
lseek:FNN fcntl:FNN ioctl:FNB ioctl:FNN flock:FN fallocate:FNNN ftruncate:FN
getdents64:FXL dup3:FFN sendfile:FFBL splice:FBFBLN copy_file_range:FBFBLN fstat:FX fstatfs:FX
connect:FBL bind:FBL accept4:FXBN getsockname:FXB sendto:FBLNBL recvfrom:FXLNXB sendmsg:FBN
recvmsg:FBN sendmmsg:FBSN setsockopt:FNNBL setsockopt:FSSBL getsockopt:FNNXB getsockopt:FSSXB
shutdown:FN listen:FN socket:NNN socketpair:NNNX
epoll_ctl:FNFB epoll_wait:FXNS epoll_pwait2:FXNBBL signalfd4:FBLN timerfd_settime:FNBX
inotify_add_watch:FPN fanotify_mark:FNNSP
rt_sigaction:NBXN rt_sigprocmask:NXXL clock_gettime:NX clock_getres:NX timer_create:NBX
timer_settime:NNBX getitimer:NX setitimer:NXX sched_getattr:NXNN
mq_open:PNNB mq_timedsend:FBLNB semop:NBS msgsnd:NBLN semctl:NNNN shmctl:NNX msgctl:NNX
waitid:NNXNX prlimit64:NNXX getrlimit:NX getrusage:NX uname:X sysinfo:X times:X
capget:BX add_key:BBBLN request_key:BBBN
bpf:NXN perf_event_open:XNNNN landlock_create_ruleset:BLN landlock_add_rule:FNBN
mount_setattr:SPNXL fsconfig:FNBBN move_mount:SPSPN umount2:PN mount:PPBNB swapoff:P pivot_root:PP
kcmp:NNNNN process_vm_readv:NBSBSN pidfd_send_signal:FNBN pidfd_open:NN
execve:PBB execveat:SPBBN
"""
_NEWER = {
    "preadv2": {5: 0x1E0}, "pwritev2": {5: 0x1E0}, "fallocate": {1: 0x80}, "execveat": {4: 0x10000},
    "pidfd_open": {1: 0x280}, "pidfd_send_signal": {3: 2**64 - 1},
    "landlock_create_ruleset": {2: 2},
    "fanotify_mark": {1: 0x700, 2: 0x3300000}, "move_mount": {4: 0x200}, "fsconfig": {1: 8},
    "statx": {3: 0x3E000}, "sendto": {3: 0x2000000}, "recvfrom": {3: 0x2000000},
    "sendmsg": {2: 0x2000000}, "recvmsg": {2: 0x2000000}, "sendmmsg": {3: 0x2000000},
    "landlock_add_rule": {1: 2},
}  # fmt: skip
"""Bits of arguments that have got names since strace 6.1."""
_OTHERS = frozenset(("kcmp", "process_vm_readv", "prlimit64", "waitid"))
_PIECES = (
    b"\x1b[31m", b"\x1b]0;title\x07", b"\n", b"\r", b"\xff\xfe", b"\xc3\xa9", b'"', b"\\", b"/",
    b"\x7f", b"\x80", b"1", b"7", b"\x01", b" ", b"name", b"=",
)  # fmt: skip


def _bytes(random: Random) -> bytes:
    kind = random.randrange(5)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind == 1:
        # Structures are made of small numbers.
        words = [random.choice((0, 1, 2, 8, 16, 0xFFFFFFFF, random.randrange(300)))
                 for _ in range(random.randrange(40))]  # fmt: skip
        return struct.pack(f"<{len(words)}I", *words)
    if kind == 2:
        return bytes(random.randrange(64))
    if kind == 3:
        family = random.choice((0, 1, 2, 10, 16, 17, 77))
        return struct.pack("<H", family) + random.randbytes(random.randrange(120))
    return b"".join(random.choices(_PIECES, k=random.randrange(12)))


def _number(random: Random) -> int:
    kind = random.randrange(6)
    if kind == 0:
        return random.getrandbits(64)
    if kind == 1:
        return random.getrandbits(32)
    if kind == 2:
        return 1 << random.randrange(32)
    if kind == 3:
        return random.choice((0, 0xFFFFFFFF, 2**64 - 1, 2**63, 2**31))
    return random.randrange(64)


def _path(random: Random) -> bytes:
    length = random.choice((3, 10, 60, 300, 4095, 4096, 9000))
    text = b"missing/" + b"".join(random.choices(_PIECES, k=random.randrange(9)))
    if random.randrange(5) == 0:
        text = (text + b"x" * length)[:length]
    return text.replace(b"\0", b"") + (b"" if random.randrange(9) == 0 else b"\0")


def _argument(random: Random, kind: str) -> bytes:
    value = None
    if kind == "F":
        value = CLOSED
    elif kind == "S":
        value = random.choice((0, 1, 2, 3, 5, 8, CLOSED, 2**64 - 100))
    elif kind == "N":
        value = _number(random)
    elif kind == "L":
        value = random.choice((0, 1, 2, 8, 16, 28, 32, 33, 110, 128, 1000, 2**31, 2**64 - 1))
    elif kind == "X" or random.randrange(12) == 0:
        value = random.choice((0, 16, 0x7000000000F0, 2**64 - 1, 0xFFFF800000000000))
    if value is not None:
        return struct.pack("<QI", value, NO_BYTES)
    data = _path(random) if kind == "P" else _bytes(random)
    return struct.pack("<QI", random.randrange(2), len(data)) + data


def _without(argument: bytes, bits: int) -> bytes:
    value, length = struct.unpack_from("<QI", argument)
    return struct.pack("<QI", value & ~bits, length) + argument[12:]


def script(seed: int, count: int) -> bytes:
    """Returns a script of random calls.

    Args:
        seed: the same gives the same script.
        count: calls.
    """
    random = Random(seed)
    known = numbers(Abi.X86_64)
    calls = [word.partition(":") for word in _CALLS.split()]
    parts = []
    for _ in range(count):
        if random.randrange(25) == 0:
            nr = random.choice((600, 1000, 65535, 65536, 70000, 2**29, 2**64 - 1))
            kinds = "NNNNNN"
        else:
            name, _, kinds = random.choice(calls)
            nr = known[name]
        arguments = [_argument(random, kind) for kind in kinds]
        if nr < 600:
            for at, bits in _NEWER.get(name, {}).items():
                arguments[at] = _without(arguments[at], bits)
        if nr in (known[name] for name in _OTHERS):
            # A process that is not there.
            at = 1 if nr == known["waitid"] else 0
            arguments[at] = struct.pack("<QI", 1 << 30, NO_BYTES)
        arguments += [struct.pack("<QI", _number(random), NO_BYTES)] * (6 - len(arguments))
        parts.append(struct.pack("<Q", nr) + b"".join(arguments))
    return b"".join(parts)
