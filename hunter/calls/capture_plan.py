"""Capture plan: which of the tracee's memory is read at which stop of which system call.

Derived from the signatures of hg_shared.syscalls; the same table for every engine. Pure.
`plan(abi)` is a list indexed by syscall number. An element is None (nothing is read) or a pair of
tuples

    (items at the syscall-enter-stop, items at the syscall-exit-stop)

and an item is five values

    (form, arg, n, m, out)

    form  what is read, one of the small integers below
    arg   index of the argument that holds the pointer
    n, m  numbers that the form needs, see below; 0 when it needs none
    out   0: in-argument; at the exit stop it is also what to read for a call in flight
          1: written by the kernel, read only when the call did not fail
          2: written by the kernel when a signal ended the call, read only when it failed

Forms; `limit` is the string size (-s). A NULL pointer is never read.

    PATH          NUL-terminated, at most 4096 bytes whatever the limit
    BUF_ARG       args[n] bytes, at most limit + m
    BUF_RET       as many bytes as the call returned + m, at most limit + m
    STRUCT        n bytes
    STRING        NUL-terminated, at most limit bytes
    BYTES_ARG     args[n] bytes, at most m
    BYTES_RET     as many bytes as the call returned, at most m
    BYTES_PTR     as many bytes as the int args[n] points to says, at most m
    ARRAY_ARG     args[n] elements of m bytes, at most limit elements
    ARRAY_RET     as many elements of m bytes as the call returned, at most limit elements
    IOVEC         args[n] struct iovec of m bytes each, and their buffers. Out: the return value
                  bounds the bytes of all buffers together. m negative: without the buffers
    MSGHDR        struct msghdr of m bytes: name, iovec array, control, buffers
    MMSGHDR       struct mmsghdr of m bytes each: args[n], out: as many as the call returned
    STRINGS       NULL-terminated array of strings, pointers of m bytes
    STRING_COUNT  the same, only counted
    BITS          bitmap of args[n] bits, in whole words of 8 bytes, at most m bytes
    PAGES         one byte for every page of args[n] bytes, at most limit
    DENTS         directory entries, args[n] bytes asked, counted by walking d_reclen at offset m
    SIGSET_PACK   struct of a pointer to and the size of a sigset_t, words of m bytes, and the set
    SIGFRAME      8 bytes of blocked signals at m bytes above the stack pointer
    POINTED       4 bytes behind the pointer at byte n of a structure that begins with flags, m one
                  of which is set
    SELECT        the call's other arguments decide: n = mask, m = {args[arg] & mask: items},
                  out = items for any other value

Hops (see hg_shared.records): 0 is what the argument points to. IOVEC: buffer i is 1 + i. MSGHDR: 1
name, 2 iovec array, 3 control, 4 + i buffer i. MMSGHDR: message i has 1 + 20 * i name, then iovec
array, control, and up to 17 buffers. STRINGS: hop 0 has the pointers, the count as its true length,
string i is 1 + i. STRING_COUNT: the count as the true length, as 4 bytes when no NULL ends it.
POINTED: 1 + n / 8. DENTS: hop 0 has the count of entries as its true length and
no bytes. SIGSET_PACK: 1 is the set. BYTES_PTR: the int itself is an item of its own, (its argument,
hop 0).

In-arguments are read at the exit stop, as almost always nothing changed them and one stop with
reads is cheaper than two; at the entry stop are read: what the call destroys (execve), may
overwrite (rt_sigaction with aliased pointers, select's sets, timeouts that the kernel counts down),
and lengths that are values and results. A call that never returns (exit) captures nothing; one
that blocks is read through the items with out = 0 when its IN_FLIGHT record is made.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from hg_shared.records import Abi
from hg_shared.syscalls import AT_ENTRY, CHANGED, IN_OUT, INTERRUPTED, OUT, Arg, names, signature

(
    PATH,
    BUF_ARG,
    BUF_RET,
    STRUCT,
    STRING,
    BYTES_ARG,
    BYTES_RET,
    BYTES_PTR,
    ARRAY_ARG,
    ARRAY_RET,
    IOVEC,
    MSGHDR,
    MMSGHDR,
    STRINGS,
    STRING_COUNT,
    BITS,
    PAGES,
    DENTS,
    SIGSET_PACK,
    SIGFRAME,
    SELECT,
    POINTED,
) = range(22)

Item = Tuple[int, int, Any, Any, Any]
Items = Tuple[Item, ...]
CallPlan = Tuple[Items, Items]

# Sizes in bytes: one for all ABIs, or x86_64,aarch64,i386.
_STRUCTS = """\
stat:144,128,64 stat64:96 oldstat:32 statx:256 statfs:120,120,64 statfs64:84 loff:8 u64:8 loffp:8
offp:8,8,4 utimbuf:16,16,8 timevals:32,32,16 timespecs:32,32,16 timespecs64:32 pipefds:8
flock:32,32,16 flock64:32,32,24 flock_got:32,32,16 flock64_got:32,32,24
f_owner_ex:8 termios:36 termios2:44 ints1:4 uints1:4 pids1:4
char1:1 winsize:8 timeval:16,16,8 timespec:16,16,8 timespec64:16 ulongs1:8,8,4 ptrs1:8,8,4
mpol_modep:4 tid:4 wait_status:4 rusage:144,144,72 siginfo:128 uids1:4 sched_param:4 sched_attr:56
rlimit:16,16,8 rlimit64:16 tms:32,32,16 cap_header:8 cap_data:24 sigp:4 name16:16 utsname:390
sysinfo:112,112,64 sigaction:32,32,20 optlen:4 stack_t:24,24,12 epoll_event:12,16,12
timex:208,208,128 timezone:8 time_p:8,8,4 timep:8,8,4 itimerval:32,32,16 itimerspec:32,32,16
itimerspec64:32
sigevent:64 io_uring_params:120 socklen:4 mq_attr:64,64,32 perf_attr:136 user_desc:16
mmap_args:24 notif_sizes:6 file_handle:136 seccomp_action:4 tscs1:4 fprog:16,16,8 kcmp_slot:12
shmid_set:48 shmid_stat:112 msqid_set:104 msqid_stat:104 semid_stat:88 landlock_beneath:12
landlock_port:16 bare_char:1 ifreq:40,40,32 old_sigset:4 xattr_args:16 cache_range:16
cache_state:40
"""
# Elements of arrays whose count is an argument or the return value.
_ARRAYS = """\
pollfds:8 epoll_events:12,16,12 gids:4 ints:4 ptrs:8,8,4 io_events:32 sembufs:6 futex_waiters:24
"""
# Byte strings that are structures: at most so many bytes.
_BYTES = """\
sockaddr:128 sigset:128 sigset_part:128 landlock_attr:24 mount_attr:32 clone_args:128 open_how:64
cpuset:128 bpf_attr:128 sock_optval:256
"""
_BUFFERS = {"buf": 0, "keybuf": 0, "strbuf": 0, "attribute": 0, "hexbuf": 0, "cstr": 0, "msgbuf": 8}
_COLUMN: Dict[int, int] = {Abi.X86_64: 0, Abi.AARCH64: 1, Abi.I386: 2}
_SIGFRAME = (296, 168, 0)
# Stands for the index of the length argument.
_LENGTH = -1
_plans: Dict[int, List[Optional[CallPlan]]] = {}


def plan(abi: int) -> List[Optional[CallPlan]]:
    """Returns the capture plan of an ABI, indexed by syscall number; empty for an unknown ABI.

    Args:
        abi: an `Abi`.
    """
    made = _plans.get(abi)
    if made is None:
        made = _plans[abi] = []
        if abi in _COLUMN:
            builder = _Builder(abi)
            for name in names(abi):
                made.append(None if name is None else builder.call(name))
    return made


def call_plan(abi: int, nr: int) -> Optional[CallPlan]:
    """Returns the plan of one system call, None when nothing is read for it.

    Args:
        abi: an `Abi`.
        nr: syscall number; one without a name has no plan.
    """
    made = plan(abi)
    return made[nr] if 0 <= nr < len(made) else None


class _Builder:
    def __init__(self, abi: int) -> None:
        self._abi = abi
        column = _COLUMN[abi]
        self._word = 4 if abi == Abi.I386 else 8
        word = self._word
        self._fixed: Dict[str, Tuple[int, int, int]] = {
            "path": (PATH, 0, 0),
            "iovec": (IOVEC, _LENGTH, 2 * word),
            "iovec_local": (IOVEC, _LENGTH, 2 * word),
            "iovec_addr": (IOVEC, _LENGTH, -2 * word),
            "msghdr": (MSGHDR, 0, 7 * word),
            "mmsghdr": (MMSGHDR, _LENGTH, 8 * word),
            "strings": (STRINGS, 0, word),
            "envp": (STRING_COUNT, 0, word),
            "fdset": (BITS, _LENGTH, 1024),
            "nodemask": (BITS, _LENGTH, 1024),
            "mincore": (PAGES, _LENGTH, 0),
            "dents64": (DENTS, 2, 16),
            "dents": (DENTS, 2, 2 * word),
            "sigset_pack": (SIGSET_PACK, 0, word),
            "sigframe": (SIGFRAME, 0, _SIGFRAME[column]),
            **{kind: (STRUCT, size, 0) for kind, size in _sizes(_STRUCTS, column).items()},
        }
        self._arrays = _sizes(_ARRAYS, column)
        self._bytes = _sizes(_BYTES, column)

    def call(self, name: str) -> Optional[CallPlan]:
        """Returns the plan of one call."""
        syscall = signature(name, self._abi)
        default = self._arguments(syscall.args)
        if syscall.selector < 0:
            return default if default[0] or default[1] else None
        stops: List[Items] = []
        for stop in (0, 1):
            by_value = {
                value: self._arguments(args)[stop] for value, (args, _) in syscall.variants.items()
            }
            if all(items == default[stop] for items in by_value.values()):
                stops.append(default[stop])
            elif default[stop] or any(by_value.values()):
                select: Item = (SELECT, syscall.selector, syscall.mask, by_value, default[stop])
                stops.append((select,))
        return (stops[0], stops[1]) if stops[0] or stops[1] else None

    def _arguments(self, args: Tuple[Arg, ...]) -> CallPlan:
        at_entry: List[Item] = []
        at_exit: List[Item] = []
        for index, arg in enumerate(args):
            out = 1 if arg.direction in (OUT, IN_OUT, CHANGED) else 0
            if arg.direction == INTERRUPTED:
                out = 2
            found = self._form(arg)
            if found is None:
                continue
            form, n, m = found
            if arg.direction in (AT_ENTRY, CHANGED, IN_OUT):
                at_entry.append((form, index, n, m, 0))
            elif arg.kind == "msghdr" and out:
                at_entry.append((STRUCT, index, 7 * self._word, 0, 0))
            if arg.direction != AT_ENTRY:
                at_exit.append((form, index, n, m, out))
            if arg.kind == "clone_args":
                at_exit += [(POINTED, index, 8, 0x1000, 1), (POINTED, index, 24, 0x100000, 1)]
            if arg.kind == "iovec_local":
                # Printed when the call failed too, without buffers.
                at_exit.append((form, index, n, -m, 2))
        return tuple(at_entry), tuple(at_exit)

    def _form(self, arg: Arg) -> Optional[Tuple[int, int, int]]:
        kind = arg.kind
        source = arg.length
        index = int(source.strip("*")) if source and source != "r" else 0
        if kind in self._fixed:
            form, n, m = self._fixed[kind]
            return form, (index if n == _LENGTH else n), m
        if kind in ("str", "mount_type", "mount_data") and not source:
            return STRING, 0, 0
        if kind in _BUFFERS or kind == "str":
            extra = _BUFFERS.get(kind, 0) and self._word
            return (BUF_RET, 0, extra) if source == "r" else (BUF_ARG, index, extra)
        if kind in self._arrays:
            size = self._arrays[kind]
            return (ARRAY_RET, 0, size) if source == "r" else (ARRAY_ARG, index, size)
        if kind in self._bytes:
            most = self._bytes[kind]
            if source == "r":
                return BYTES_RET, 0, most
            return (BYTES_PTR if source[:1] == "*" else BYTES_ARG), index, most
        return None


def _sizes(text: str, column: int) -> Dict[str, int]:
    sizes = {}
    for word in text.split():
        kind, _, given = word.partition(":")
        numbers = given.split(",")
        sizes[kind] = int(numbers[column if len(numbers) > 1 else 0])
    return sizes
