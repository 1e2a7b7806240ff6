"""Calls against lines that strace 6.1 printed for the same arguments and memory."""

from __future__ import annotations

import struct

import pytest

from gatherer.rendering.strace.args.returns import error_text
from gatherer.rendering.strace.calls import call as call_module
from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.calls.compiler import Form
from hg_shared.records import UNKNOWN_LENGTH, Abi, Kind, Record, encode_capture
from hg_shared.syscalls import numbers
from tests.unit.gatherer.rendering.strace.packed import call_text, split_text

M1 = 0xFFFFFFFF
CWD = 0xFFFFFF9C
P = 0x7FFE1000
BUF = b"0123456789abcdef0123456789abcdefXYZ"


def record(
    name: str, args: tuple[int, ...], rval: int = 0, *captures: bytes, abi: Abi = Abi.X86_64
) -> Record:
    six = (*args, 0, 0, 0, 0, 0, 0)[:6]
    nr = numbers(abi)[name]
    joined = b"".join(captures)
    return Record(0, 0, rval, six, 10, 1, nr, Kind.SYSCALL, abi, joined)  # type: ignore[arg-type]


def at_exit(arg: int, data: bytes | None, length: int | None = None, hop: int = 0) -> bytes:
    return encode_capture(arg, hop, data, len(data or b"") if length is None else length)


def at_entry(arg: int, data: bytes | None, length: int | None = None, hop: int = 0) -> bytes:
    return encode_capture(arg, hop, data, len(data or b"") if length is None else length, True)


def text(
    name: str, args: tuple[int, ...], rval: int = 0, *captures: bytes, abi: Abi = Abi.X86_64
) -> str:
    return call_text(CallRenderer(), record(name, args, rval, *captures, abi=abi))


PASSWD = at_exit(1, b"/etc/passwd")


@pytest.mark.parametrize(
    ("rendered", "expected"),
    [
        (text("close", (3,)), "close(3) = 0"),
        (text("close", (M1,), -9), "close(-1) = -1 EBADF (Bad file descriptor)"),
        (text("read", (3, P, 5), 5, at_exit(1, b"a\n\t\x1b[")), r'read(3, "a\n\t\33[", 5) = 5'),
        (
            text("read", (3, P, 5), -11),
            "read(3, 0x7ffe1000, 5) = -1 EAGAIN (Resource temporarily unavailable)",
        ),
        (text("read", (3, P, 5), 0, at_exit(1, b"")), 'read(3, "", 5) = 0'),
        (
            text("write", (1, P, 35), 35, at_exit(1, BUF[:32], 35)),
            'write(1, "0123456789abcdef0123456789abcdef"..., 35) = 35',
        ),
        (
            text("write", (1, P, 32), 32, at_exit(1, BUF[:32], 32)),
            'write(1, "0123456789abcdef0123456789abcdef", 32) = 32',
        ),
        (
            text("write", (1, P, 6), 6, at_exit(1, b"\x011\x019\x01a")),
            r'write(1, "\0011\19\1a", 6) = 6',
        ),
        (text("write", (1, P, 4), 4, at_exit(1, b'"\\\xff1')), r'write(1, "\"\\\3771", 4) = 4'),
        (
            text("write", (1, 8, 5), -14, at_exit(1, None, 5)),
            "write(1, 0x8, 5) = -1 EFAULT (Bad address)",
        ),
        (text("write", (1, 0, 5), -14), "write(1, NULL, 5) = -1 EFAULT (Bad address)"),
        (
            text("openat", (CWD, P, 0x80000), 3, PASSWD),
            'openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3',
        ),
        (
            text("openat", (4, P, 0o1102, 0o640), -2, PASSWD),
            'openat(4, "/etc/passwd", O_RDWR|O_CREAT|O_TRUNC, 0640)'
            " = -1 ENOENT (No such file or directory)",
        ),
        (
            text("openat", (CWD, P, 0x410002, 0), 3, PASSWD),
            'openat(AT_FDCWD, "/etc/passwd", O_RDWR|O_TMPFILE, 000) = 3',
        ),
        (
            text("openat", (CWD, P, 0x84000), 3, PASSWD, abi=Abi.AARCH64),
            'openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC|O_DIRECTORY) = 3',
        ),
        (text("access", (P, 5), 0, at_exit(0, b"/e")), 'access("/e", R_OK|X_OK) = 0'),
        (text("access", (P, 0), 0, at_exit(0, b"/e")), 'access("/e", F_OK) = 0'),
        (
            text("chdir", (P,), -36, at_exit(0, b"p" * 4096, UNKNOWN_LENGTH)),
            f'chdir("{"p" * 4095}"...) = -1 ENAMETOOLONG (File name too long)',
        ),
        (text("lseek", (3, 2**64 - 5, 2), 10), "lseek(3, -5, SEEK_END) = 10"),
        (
            text("lseek", (3, 0, 77), -22),
            "lseek(3, 0, 0x4d /* SEEK_??? */) = -1 EINVAL (Invalid argument)",
        ),
        (
            text("mmap", (0, 8192, 3, 0x4022, M1, 0), 0x7F0000001000),
            "mmap(NULL, 8192, PROT_READ|PROT_WRITE,"
            " MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0) = 0x7f0000001000",
        ),
        (
            text("mmap", (0x1000, 4096, 0, 0x12, 3, 0x3000), -12),
            "mmap(0x1000, 4096, PROT_NONE, MAP_PRIVATE|MAP_FIXED, 3, 0x3000)"
            " = -1 ENOMEM (Cannot allocate memory)",
        ),
        (
            text("mmap", (0, 2 << 20, 3, 0x22 | 0x40000 | 21 << 26, M1, 0), 0x10000),
            "mmap(NULL, 2097152, PROT_READ|PROT_WRITE,"
            " MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|21<<MAP_HUGE_SHIFT, -1, 0) = 0x10000",
        ),
        (
            text("mprotect", (P, 4096, 0x107), -22),
            "mprotect(0x7ffe1000, 4096, PROT_READ|PROT_WRITE|PROT_EXEC|0x100)"
            " = -1 EINVAL (Invalid argument)",
        ),
        (text("madvise", (P, 4096, 4)), "madvise(0x7ffe1000, 4096, MADV_DONTNEED) = 0"),
        (
            text("madvise", (P, 4096, 999), -22),
            "madvise(0x7ffe1000, 4096, 0x3e7 /* MADV_??? */) = -1 EINVAL (Invalid argument)",
        ),
        (
            text("mremap", (P, 4096, 8192, 1), P),
            "mremap(0x7ffe1000, 4096, 8192, MREMAP_MAYMOVE) = 0x7ffe1000",
        ),
        (
            text("mremap", (P, 4096, 8192, 3, P), P),
            "mremap(0x7ffe1000, 4096, 8192, MREMAP_MAYMOVE|MREMAP_FIXED, 0x7ffe1000) = 0x7ffe1000",
        ),
        (text("brk", (0,), 0x55ED1000), "brk(NULL) = 0x55ed1000"),
        (text("munmap", (P, 4096)), "munmap(0x7ffe1000, 4096) = 0"),
        (
            text("socket", (2, 0x80001, 6), 3),
            "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 3",
        ),
        (text("socket", (16, 3, 0), 3), "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 3"),
        (text("socket", (1, 5, 0), 3), "socket(AF_UNIX, SOCK_SEQPACKET, 0) = 3"),
        (
            text("socket", (99, 1, 9), -97),
            "socket(0x63 /* AF_??? */, SOCK_STREAM, 9) = -1 EAFNOSUPPORT"
            " (Address family not supported by protocol)",
        ),
        (text("fcntl", (3, 1), 0), "fcntl(3, F_GETFD) = 0"),
        (text("fcntl", (3, 1), 1), "fcntl(3, F_GETFD) = 0x1 (flags FD_CLOEXEC)"),
        (
            text("fcntl", (3, 3), 0x8802),
            "fcntl(3, F_GETFL) = 0x8802 (flags O_RDWR|O_NONBLOCK|O_LARGEFILE)",
        ),
        (text("fcntl", (3, 4, 0x800)), "fcntl(3, F_SETFL, O_RDONLY|O_NONBLOCK) = 0"),
        (
            text("fcntl", (3, 999, 3), -22),
            "fcntl(3, 0x3e7 /* F_??? */, 0x3) = -1 EINVAL (Invalid argument)",
        ),
        (
            text("fcntl", (3, 6, P), 0, at_exit(2, struct.pack("<hh4xqqi4x", 1, 0, 1, 5, 0))),
            "fcntl(3, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=1, l_len=5}) = 0",
        ),
        (
            text("futex", (P, 0x80, 2, 0), -11),
            "futex(0x7ffe1000, FUTEX_WAIT_PRIVATE, 2, NULL)"
            " = -1 EAGAIN (Resource temporarily unavailable)",
        ),
        (text("futex", (P, 1, 1), 1), "futex(0x7ffe1000, FUTEX_WAKE, 1) = 1"),
        (
            text("futex", (P, 0x189, 1, P, 0, M1), -110, at_exit(3, struct.pack("<qq", 1, 5))),
            "futex(0x7ffe1000, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 1,"
            " {tv_sec=1, tv_nsec=5}, FUTEX_BITSET_MATCH_ANY) = -1 ETIMEDOUT (Connection timed out)",
        ),
        (text("umask", (0o22,), 0o77), "umask(022) = 077"),
        (text("chmod", (P, 0o4755), 0, at_exit(0, b"f")), 'chmod("f", 04755) = 0'),
        (text("kill", (7, 9)), "kill(7, SIGKILL) = 0"),
        (text("kill", (7, 35)), "kill(7, SIGRT_3) = 0"),
        (text("getpid", (), 42), "getpid() = 42"),
        (
            text("wait4", (M1, P, 0, 0), 9, at_exit(1, struct.pack("<i", 0x700))),
            "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 7}], 0, NULL) = 9",
        ),
        (
            text("wait4", (9, P, 1, 0), 0, at_exit(1, bytes(4))),
            "wait4(9, 0x7ffe1000, WNOHANG, NULL) = 0",
        ),
        (
            text("wait4", (9, P, 0, 0), 9, at_exit(1, struct.pack("<i", 0x8B))),
            "wait4(9, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}], 0, NULL) = 9",
        ),
        (
            text("pipe2", (P, 0x80800), 0, at_exit(0, struct.pack("<ii", 3, 4))),
            "pipe2([3, 4], O_NONBLOCK|O_CLOEXEC) = 0",
        ),
        (
            text("getrandom", (P, 2, 1), 2, at_exit(0, b"\x00A")),
            r'getrandom("\x00\x41", 2, GRND_NONBLOCK) = 2',
        ),
        (text("getcwd", (P, 100), 5, at_exit(0, b"/tmp\0")), 'getcwd("/tmp", 100) = 5'),
        (
            text("getdents64", (3, P, 32768), 72, at_exit(1, b"", 3)),
            "getdents64(3, 0x7ffe1000 /* 3 entries */, 32768) = 72",
        ),
        (
            text("getdents64", (3, P, 32768), 0, at_exit(1, b"", 0)),
            "getdents64(3, 0x7ffe1000 /* 0 entries */, 32768) = 0",
        ),
        (
            text(
                "prlimit64", (0, 3, 0, P), 0, at_exit(3, struct.pack("<QQ", 8192 * 1024, 2**64 - 1))
            ),
            "prlimit64(0, RLIMIT_STACK, NULL, {rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}) = 0",
        ),
        (
            text("nanosleep", (P, P), 0, at_entry(0, struct.pack("<qq", 1, 2))),
            "nanosleep({tv_sec=1, tv_nsec=2}, 0x7ffe1000) = 0",
        ),
        (
            text(
                "nanosleep",
                (P, P),
                -516,
                at_entry(0, struct.pack("<qq", 1, 2)),
                at_exit(1, struct.pack("<qq", 0, 9)),
            ),
            "nanosleep({tv_sec=1, tv_nsec=2}, {tv_sec=0, tv_nsec=9})"
            " = ? ERESTART_RESTARTBLOCK (Interrupted by signal)",
        ),
        (text("pause", (), -514), "pause() = ? ERESTARTNOHAND (To be restarted if no handler)"),
        (text("exit_group", (3,), 0)[:13], "exit_group(3)"),
        (
            text("prctl", (15, P), 0, at_exit(1, b"newname\0" + bytes(8))),
            'prctl(PR_SET_NAME, "newname") = 0',
        ),
        (
            text("ioctl", (0, 0x5413, P), 0, at_exit(2, struct.pack("<4H", 24, 80, 0, 0))),
            "ioctl(0, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0",
        ),
        (
            text("ioctl", (3, 0x5401, P), -25),
            "ioctl(3, TCGETS, 0x7ffe1000) = -1 ENOTTY (Inappropriate ioctl for device)",
        ),
        (
            text("ioctl", (3, 0x80087A05, P), -25),
            "ioctl(3, _IOC(_IOC_READ, 0x7a, 0x5, 0x8), 0x7ffe1000)"
            " = -1 ENOTTY (Inappropriate ioctl for device)",
        ),
        (
            text("sched_getaffinity", (0, 128, P), 8, at_exit(2, b"\x03" + bytes(7))),
            "sched_getaffinity(0, 128, [0 1]) = 8",
        ),
        (
            text("mknod", (P, 0o20666, 0x103), 0, at_exit(0, b"n")),
            'mknod("n", S_IFCHR|0666, makedev(0x1, 0x3)) = 0',
        ),
        (text("mknod", (P, 0o10600, 0), 0, at_exit(0, b"n")), 'mknod("n", S_IFIFO|0600) = 0'),
    ],
)
def test_calls_print_as_strace_prints_them(rendered: str, expected: str) -> None:
    assert rendered == expected


def stat_bytes(mode: int, size: int, rdev: int = 0) -> bytes:
    return struct.pack("<QQQIIIIQq", 1, 2, 1, mode, 0, 0, 0, rdev, size).ljust(144, b"\0")


def test_stat_shows_type_mode_and_size_or_device() -> None:
    path = at_exit(0, b"/x")
    assert text("stat", (P, P), 0, path, at_exit(1, stat_bytes(0o100644, 12))) == (
        'stat("/x", {st_mode=S_IFREG|0644, st_size=12, ...}) = 0'
    )
    assert text("stat", (P, P), 0, path, at_exit(1, stat_bytes(0o41777, 4096))) == (
        'stat("/x", {st_mode=S_IFDIR|S_ISVTX|0777, st_size=4096, ...}) = 0'
    )
    assert text("stat", (P, P), 0, path, at_exit(1, stat_bytes(0o20666, 0, 0x103))) == (
        'stat("/x", {st_mode=S_IFCHR|0666, st_rdev=makedev(0x1, 0x3), ...}) = 0'
    )
    assert text("stat", (P, P), -2, path) == (
        'stat("/x", 0x7ffe1000) = -1 ENOENT (No such file or directory)'
    )
    aarch64 = struct.pack("<QQIIIIQQq", 1, 2, 0o100600, 1, 0, 0, 0, 0, 99).ljust(128, b"\0")
    assert text("fstat", (3, P), 0, at_exit(1, aarch64), abi=Abi.AARCH64) == (
        "fstat(3, {st_mode=S_IFREG|0600, st_size=99, ...}) = 0"
    )


def test_statx_shows_mask_attributes_mode_and_size() -> None:
    data = struct.pack("<IIQIIIHxxQQ", 0x17FF, 4096, 0, 1, 0, 0, 0o100644, 5, 77).ljust(256, b"\0")
    path = at_exit(1, b"/x")
    assert text("statx", (CWD, P, 0, 0xFFF, P), 0, path, at_exit(4, data)) == (
        'statx(AT_FDCWD, "/x", AT_STATX_SYNC_AS_STAT, STATX_ALL, {stx_mask=STATX_BASIC_STATS'
        "|STATX_MNT_ID, stx_attributes=0, stx_mode=S_IFREG|0644, stx_size=77, ...}) = 0"
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b"\x02\x00\x00\x50\x7f\x00\x00\x01" + bytes(8),
            '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}',
        ),
        (
            b"\x0a\x00\x00\x09\x00\x00\x00\x00" + bytes(15) + b"\x01" + bytes(4),
            "{sa_family=AF_INET6, sin6_port=htons(9), sin6_flowinfo=htonl(0),"
            ' inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}',
        ),
        (b"\x01\x00/run/x\0", '{sa_family=AF_UNIX, sun_path="/run/x"}'),
        (b"\x01\x00\0abs\x1b", r'{sa_family=AF_UNIX, sun_path=@"abs\33"}'),
        (b"\x01\x00", "{sa_family=AF_UNIX}"),
        (b"\x10\x00\x00\x00" + bytes(8), "{sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}"),
        (b"\x02\x00\x12\x34", r'{sa_family=AF_INET, sa_data="\0224"}'),
        (b"\x11\x00ab", '{sa_family=AF_PACKET, sa_data="ab"}'),
    ],
)
def test_socket_addresses(data: bytes, expected: str) -> None:
    assert text("connect", (3, P, len(data)), 0, at_exit(1, data)) == (
        f"connect(3, {expected}, {len(data)}) = 0"
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (bytes(16), "::"),
        (bytes(10) + b"\xff\xff\x7f\0\0\1", "::ffff:127.0.0.1"),
        (bytes(12) + b"\1\2\3\4", "::1.2.3.4"),
        (bytes.fromhex("20010db8000000000000000000000042"), "2001:db8::42"),
        (bytes.fromhex("fe800000000000010000000000000001"), "fe80:0:0:1::1"),
    ],
)
def test_ipv6_addresses_are_written_as_inet_ntop_writes_them(address: bytes, expected: str) -> None:
    data = b"\x0a\x00\x00\x09" + bytes(4) + address + bytes(4)
    assert f'"{expected}", &sin6_addr' in text("connect", (3, P, 28), 0, at_exit(1, data))


def test_value_result_lengths_show_both() -> None:
    address = b"\x01\x00"
    room, used = struct.pack("<i", 110), struct.pack("<i", 2)
    assert text(
        "accept", (3, P, P), 4, at_entry(2, room), at_exit(1, address), at_exit(2, used)
    ) == ("accept(3, {sa_family=AF_UNIX}, [110 => 2]) = 4")
    assert text("accept", (3, P, P), -11, at_entry(2, room)) == (
        "accept(3, 0x7ffe1000, [110]) = -1 EAGAIN (Resource temporarily unavailable)"
    )
    assert text("accept", (3, 0, 0), 4) == "accept(3, NULL, NULL) = 4"


def test_vectors_share_what_was_read() -> None:
    vector = struct.pack("<4Q", P, 4, P, 100)
    assert (
        text(
            "readv",
            (3, P, 2),
            6,
            at_exit(1, vector),
            at_exit(1, b"abcd", hop=1),
            at_exit(1, b"ef", hop=2),
        )
        == 'readv(3, [{iov_base="abcd", iov_len=4}, {iov_base="ef", iov_len=100}], 2) = 6'
    )
    assert text("writev", (3, 8, 2), -14, at_exit(1, None, 32)) == (
        "writev(3, 0x8, 2) = -1 EFAULT (Bad address)"
    )


def test_messages_show_name_vector_and_passed_descriptors() -> None:
    header = struct.pack("<QI4xQQQQI4x", 0, 0, P, 1, P, 24, 0x40000000)
    vector = struct.pack("<2Q", P, 9)
    control = struct.pack("<Qiii4x", 20, 1, 1, 16)
    before = struct.pack("<QI4x", 0, 0)
    assert text(
        "recvmsg",
        (3, P, 0),
        2,
        at_entry(1, before),
        at_exit(1, header),
        at_exit(1, vector, hop=2),
        at_exit(1, control, hop=3),
        at_exit(1, b"hi", hop=4),
    ) == (
        'recvmsg(3, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="hi", iov_len=9}],'
        " msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS,"
        " cmsg_data=[16]}], msg_controllen=24, msg_flags=MSG_CMSG_CLOEXEC}, 0) = 2"
    )


def test_execve_shows_arguments_and_counts_the_environment() -> None:
    assert (
        text(
            "execve",
            (P, P, P),
            0,
            at_entry(0, b"/bin/sh"),
            at_entry(1, b"", 2),
            at_entry(1, b"sh", hop=1),
            at_entry(1, b'a"b', hop=2),
            at_entry(2, b"", 1),
        )
        == r'execve("/bin/sh", ["sh", "a\"b"], 0x7ffe1000 /* 1 var */) = 0'
    )


def test_clone_prints_only_what_its_flags_ask_for() -> None:
    assert text("clone", (0x1200011, 0, 0, P, 0), 99) == (
        "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD,"
        " child_tidptr=0x7ffe1000) = 99"
    )
    assert text("clone", (0x11, 0, 0, 0, 0), 99) == "clone(child_stack=NULL, flags=SIGCHLD) = 99"
    assert text("clone", (0x1200011, 0, 0, 0, P), 99, abi=Abi.AARCH64) == (
        "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD,"
        " child_tidptr=0x7ffe1000) = 99"
    )


def test_clone3_prints_what_it_was_given_and_what_it_gave_back() -> None:
    given = struct.pack("<11Q", 0x100 | 0x100000, 0, 0, P, 17, 0, 0, 0, 0, 0, 0)
    assert text("clone3", (P, 88), 99, at_entry(0, given), at_exit(0, given)) == (
        "clone3({flags=CLONE_VM|CLONE_PARENT_SETTID, parent_tid=0x7ffe1000, exit_signal=SIGCHLD,"
        " stack=NULL, stack_size=0} => {parent_tid=[99]}, 88) = 99"
    )


def test_clone3_shows_the_descriptor_it_gave_back() -> None:
    flags = (0x1000 | 0x100000).to_bytes(8, "little")
    data = flags + (P).to_bytes(8, "little") + bytes(8) + (P).to_bytes(8, "little") + bytes(56)
    given = encode_capture(0, 0, data, 88)
    pidfd = encode_capture(0, 2, (7).to_bytes(4, "little"), 4)
    parent = encode_capture(0, 4, bytes(4), 4)
    assert text("clone3", (P, 88), 99, given, pidfd, parent).endswith(
        " => {pidfd=[7], parent_tid=[0]}, 88) = 99"
    )
    assert text("clone3", (P, 88), 99, given).endswith(" => {parent_tid=[99]}, 88) = 99")


def test_signal_actions_and_masks() -> None:
    action = struct.pack("<QQQ8s", P, 0x14000000, 0x1000, struct.pack("<Q", 1 << 1 | 1 << 14))
    assert text("rt_sigaction", (10, P, 0, 8), 0, at_entry(1, action)) == (
        "rt_sigaction(SIGUSR1, {sa_handler=0x7ffe1000, sa_mask=[INT TERM],"
        " sa_flags=SA_RESTORER|SA_RESTART, sa_restorer=0x1000}, NULL, 8) = 0"
    )
    full = struct.pack("<Q", 2**64 - 1)
    assert text("rt_sigprocmask", (0, P, P, 8), 0, at_entry(1, full), at_exit(2, bytes(8))) == (
        "rt_sigprocmask(SIG_BLOCK, ~[], [], 8) = 0"
    )


def test_poll_and_select_tell_what_is_ready() -> None:
    asked = struct.pack("<ihh", 3, 1, 0) + struct.pack("<ihh", 4, 4, 0)
    ready = struct.pack("<ihh", 3, 1, 1) + struct.pack("<ihh", 4, 4, 0)
    assert text("poll", (P, 2, 50), 1, at_entry(0, asked), at_exit(0, ready)) == (
        "poll([{fd=3, events=POLLIN}, {fd=4, events=POLLOUT}], 2, 50)"
        " = 1 ([{fd=3, revents=POLLIN}])"
    )
    assert text("poll", (P, 2, M1), 0, at_entry(0, asked), at_exit(0, asked)) == (
        "poll([{fd=3, events=POLLIN}, {fd=4, events=POLLOUT}], 2, -1) = 0 (Timeout)"
    )
    before, after = b"\x28" + bytes(7), b"\x08" + bytes(7)
    time, left = struct.pack("<qq", 1, 0), struct.pack("<qq", 0, 7)
    assert text(
        "select",
        (6, P, 0, 0, P),
        1,
        at_entry(1, before),
        at_entry(4, time),
        at_exit(1, after),
        at_exit(4, left),
    ) == (
        "select(6, [3 5], NULL, NULL, {tv_sec=1, tv_usec=0})"
        " = 1 (in [3], left {tv_sec=0, tv_usec=7})"
    )


def test_epoll_events_are_packed_on_x86_only() -> None:
    packed = struct.pack("<IQ", 1, 7)
    assert text("epoll_wait", (4, P, 8, M1), 1, at_exit(1, packed)) == (
        "epoll_wait(4, [{events=EPOLLIN, data={u32=7, u64=7}}], 8, -1) = 1"
    )
    padded = struct.pack("<I4xQ", 1, 7)
    assert text("epoll_pwait", (4, P, 8, 0, 0, 8), 1, at_exit(1, padded), abi=Abi.AARCH64) == (
        "epoll_pwait(4, [{events=EPOLLIN, data={u32=7, u64=7}}], 8, 0, NULL, 8) = 1"
    )
    assert text("epoll_wait", (4, P, 8, 0), 0, at_exit(1, b"")) == "epoll_wait(4, [], 8, 0) = 0"


def test_unknown_numbers_are_shown_raw() -> None:
    unknown = Record(0, 0, -38, (1, 2, 3, 4, 5, 6), 1, 1, 487, 0, 0, b"")
    assert call_text(CallRenderer(), unknown) == (
        "syscall_0x1e7(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not implemented)"
    )
    assert split_text(CallRenderer(), unknown)[1] == ")"


def test_a_number_that_a_head_cannot_hold_is_in_a_capture() -> None:
    held = encode_capture(0, 255, (2**64 - 1).to_bytes(8, "little"), 8, at_entry=True)
    record = Record(0, 0, -38, (1, 0, 0, 0, 0, 0), 1, 1, 0xFFFF, 0, 0, held)
    assert call_text(CallRenderer(), record) == (
        "syscall_0xffffffffffffffff(0x1, 0, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)"
    )
    without = split_text(CallRenderer(), record._replace(captures=b""))
    assert without[0].startswith("syscall_0xffff(")


def test_unknown_abis_are_shown_raw() -> None:
    unknown = Record(0, 0, 1, (1, 0, 0, 0, 0, 0), 1, 1, 3, 0, 255, b"")
    assert call_text(CallRenderer(), unknown) == "syscall_0x3(0x1, 0, 0, 0, 0, 0) = 1"


def test_32_bit_calls_have_their_own_table() -> None:
    assert text("read", (3, P, 2), 2, at_exit(1, b"ab"), abi=Abi.I386) == 'read(3, "ab", 2) = 2'
    assert numbers(Abi.I386)["read"] == 3


def test_32_bit_structures_and_halves() -> None:
    def narrow(name: str, args: tuple[int, ...], *parts: bytes, rval: int = 0) -> str:
        return text(name, args, rval, *parts, abi=Abi.I386)

    mapped = struct.pack("<IIIIiI", 0, 4096, 3, 0x22, -1, 0)
    assert narrow("mmap", (P,), at_exit(0, mapped), rval=0x7000000) == (
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7000000"
    )
    assert narrow("ftruncate64", (3, 5, 1)) == "ftruncate64(3, 4294967301) = 0"
    assert narrow("pread64", (3, 0, 5, 2, 1), rval=-9) == (
        "pread64(3, NULL, 5, 4294967298) = -1 EBADF (Bad file descriptor)"
    )
    assert narrow("_llseek", (3, 2**32 - 1, 2**32 - 1, 0, 1), rval=-22) == (
        "_llseek(3, -1, NULL, SEEK_CUR) = -1 EINVAL (Invalid argument)"
    )
    assert narrow("lseek", (3, 2**32 - 5, 2), rval=7) == "lseek(3, -5, SEEK_END) = 7"
    assert narrow("fcntl64", (3, 13, 0)) == "fcntl64(3, F_SETLK64, NULL) = 0"
    assert narrow("signal", (12, 1)) == "signal(SIGUSR2, SIG_IGN) = 0 (SIG_DFL)"
    child = struct.pack("<iiiiIiii", 17, 0, 1, 44, 1000, 3, 2, 0)
    assert narrow("waitid", (0, 0, P, 4, 0), at_exit(2, child.ljust(128, bytes(1)))) == (
        "waitid(P_ALL, 0, {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=44, si_uid=1000,"
        " si_status=3, si_utime=2 /* 0.02 s */, si_stime=0}, WEXITED, NULL) = 0"
    )


def test_arrays_that_end_before_their_memory_say_where() -> None:
    two = struct.pack("<4Q", 0x10, 1, 0x20, 2)
    assert text("writev", (3, P, 5), -14, at_exit(1, two, 80)) == (
        f"writev(3, [{{iov_base=0x10, iov_len=1}}, {{iov_base=0x20, iov_len=2}},"
        f" ... /* {P + 32:#x} */], 5) = -1 EFAULT (Bad address)"
    )
    pointers = struct.pack("<2Q", 0x1000, 0x2000)
    assert text(
        "execve", (0, P, 0), -14, at_entry(1, pointers, 0xFFFFFFFF),
        encode_capture(1, 1, b"ls", 2, at_entry=True),
    ).startswith(f'execve(NULL, ["ls", 0x2000, ... /* {P + 16:#x} */], NULL)')  # fmt: skip
    vectors = (2**64 - 100, P)
    assert text("writev", (3, P, vectors[0]), -22, at_exit(1, two, 80)).startswith(
        f"writev(3, {P:#x}, {vectors[0]})"
    )


def test_ioctl_arguments_are_pointers_or_numbers_by_their_command() -> None:
    assert text("ioctl", (3, 0x5401, 0), -25).startswith("ioctl(3, TCGETS, NULL)")
    assert text("ioctl", (3, 0x89A0, 5), -25).startswith("ioctl(3, SIOCBRADDBR, 0x5)")
    assert text("ioctl", (3, 0xC0045878, 7), -25).startswith("ioctl(3, FITHAW) = -1 ENOTTY")
    assert text("ioctl", (3, 0xDEADBEEF, 0), -25).startswith(
        "ioctl(3, _IOC(_IOC_READ|_IOC_WRITE, 0xbe, 0xef, 0x1ead), 0)"
    )
    name = b"lo".ljust(16, b"\0")
    flags = (0x49).to_bytes(2, "little").ljust(24, b"\0")
    assert text("ioctl", (3, 0x8913, P), 0, at_exit(2, name + flags)) == (
        'ioctl(3, SIOCGIFFLAGS, {ifr_name="lo", ifr_flags=IFF_UP|IFF_LOOPBACK|IFF_RUNNING}) = 0'
    )
    assert text("ioctl", (3, 0x8913, P), -19, at_exit(2, name + flags)).startswith(
        'ioctl(3, SIOCGIFFLAGS, {ifr_name="lo"}) = -1 ENODEV'
    )


def test_errors() -> None:
    assert error_text(-2) == "-1 ENOENT (No such file or directory)"
    assert error_text(-512) == "? ERESTARTSYS (To be restarted if SA_RESTART is set)"
    assert error_text(-999) == "-1 (errno 999)"


@pytest.mark.parametrize(
    ("call", "first", "rest"),
    [
        (record("read", (3, P, 2), 2, at_exit(1, b"ab")), "read(3, ", '"ab", 2)'),
        (record("write", (1, P, 2), 2, at_exit(1, b"ab")), 'write(1, "ab", 2', ")"),
        (record("pause", (), -514), "pause(", ")"),
        (record("uname", (P,)), "uname(", "0x7ffe1000)"),
        (
            record("clone", (0x1200011, 0, 0, P, 0), 9),
            "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD",
            ", child_tidptr=0x7ffe1000)",
        ),
        (record("futex", (P, 0, 1, 0)), "futex(0x7ffe1000, FUTEX_WAIT, 1, NULL", ")"),
        (record("wait4", (M1, 0, 0, 0), 5), "wait4(-1, ", "NULL, 0, NULL)"),
    ],
)
def test_a_call_is_split_where_the_kernel_starts_to_write(
    call: Record, first: str, rest: str
) -> None:
    assert split_text(CallRenderer(), call)[:2] == (first, rest)


def test_the_string_size_cuts_strings_but_not_paths() -> None:
    renderer = CallRenderer(4)
    call = record("write", (1, P, 10), 10, at_exit(1, b"0123456789"))
    assert call_text(renderer, call) == 'write(1, "0123"..., 10) = 10'
    call = record("chdir", (P,), 0, at_exit(0, b"/a/long/path"))
    assert call_text(renderer, call) == 'chdir("/a/long/path") = 0'


def test_a_decoder_that_fails_costs_one_line_only(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = CallRenderer()
    call = record("close", (3,), -9)

    def fails(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(call_module, "compile_form", lambda *_: Form(fails, fails, fails))
    raw, error = "close(0x3, 0, 0, 0, 0, 0", "-1 EBADF (Bad file descriptor)"
    assert call_text(renderer, call) == f"{raw}) = {error}"
    assert renderer.undecoded == 1
    assert split_text(renderer, call) == (raw, ")", error)
    assert renderer.undecoded == 2
