"""Names of descriptors, over recorded socket tables."""

from __future__ import annotations

import os
import stat
from struct import pack
from types import SimpleNamespace
from typing import Dict, Tuple

import pytest

from hunter.calls import fds, sock_diag
from hunter.memory import procfs

TCP = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
    "11 1 0000000000000000 100 0 0 10 0\n"
    "   1: 0100007F:1F90 0200007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 "
    "12 1 0000000000000000 20 4 30 10 -1\n"
)
TCP6 = (
    "  sl  local_address                         remote_address                        st\n"
    "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A "
    "00000000:00000000 00:00000000 00000000     0        0 13 1 0\n"
)
NETLINK = (
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
    "0000000045e46fe0 0   0          00000000 0        0        0     2        0        4\n"
    "0000000045e46fe1 0   2187       00000000 0        0        0     2        0        31\n"
    "0000000045e46fe2 99  7          00000000 0        0        0     2        0        32\n"
)


def test_addresses() -> None:
    assert fds.parse_address("0100007F:1F90") == "127.0.0.1:8080"
    assert fds.parse_address("00000000000000000000000001000000:0050") == "[::1]:80"
    assert fds.parse_address("0000000000000000FFFF00000100000A:01BB") == "[::ffff:10.0.0.1]:443"


def test_inet_sockets() -> None:
    assert fds.parse_inet("TCP", TCP) == {
        "11": "TCP:[127.0.0.1:8080]",
        "12": "TCP:[127.0.0.1:8080->127.0.0.2:54321]",
    }
    assert fds.parse_inet("TCPv6", TCP6) == {"13": "TCPv6:[[::1]:80]"}


@pytest.mark.parametrize(
    "line", ["", "garbage", "0: zz:1 zz:2 " + "x " * 9, "0: 01:1 02:2 " + "x " * 9]
)
def test_broken_lines_are_passed_over(line: str) -> None:
    assert fds.parse_inet("TCP", f"header\n{line}\n") == {}


def test_unix_sockets() -> None:
    assert fds.unix_text("UNIX-STREAM", "21", (b"/run/a b.sock", 0)) == (
        'UNIX-STREAM:[21,"/run/a b.sock"]'
    )
    assert fds.unix_text("UNIX", "22", (b"\0abstract", 23)) == 'UNIX:[22->23,@"abstract"]'
    assert fds.unix_text("UNIX", "22", None) == fds.unix_text("UNIX", "22", (b"", 0)) == "UNIX:[22]"


def test_netlink_sockets() -> None:
    assert fds.parse_netlink(NETLINK) == {"31": "NETLINK:[ROUTE:2187]", "32": "NETLINK:[99:7]"}


def answer(*attributes: Tuple[int, bytes]) -> bytes:
    """A netlink message as the kernel sends it."""
    body = bytes(16)
    for kind, value in attributes:
        body += pack("<HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return pack("<IHHII", 16 + len(body), 20, 0, 1, 0) + body


def test_what_the_kernel_says_of_a_unix_socket() -> None:
    assert len(sock_diag.request(7)) == 40
    parse = sock_diag.parse_answer
    assert parse(answer((0, b"/run/x\0"), (2, pack("<I", 9)))) == (b"/run/x", 9)
    assert parse(answer((0, b"\0abstract"))) == (b"\0abstract", 0)
    assert parse(answer()) == (b"", 0)
    assert parse(pack("<IHHIIi", 20, 2, 0, 1, 0, -2)) is None
    whole = answer((0, b"/run/x\0"), (2, pack("<I", 9)))
    for end in range(len(whole)):
        parse(whole[:end])
    assert parse(answer()[:-4] + pack("<HH", 2, 0)) is not None


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Dict[str, str]:
    found: Dict[str, str] = {}

    def readlink(path: str) -> str:
        if path not in found:
            raise FileNotFoundError(path)
        return found[path]

    def protocol(path: str, name: str) -> bytes:
        if found[path].endswith("[99]"):
            raise OSError(95, "Operation not supported")
        return b"UNIX\0" if found[path].endswith("[21]") else b"TCP\0"

    monkeypatch.setattr(procfs, "living_thread", lambda pid: pid)
    monkeypatch.setattr("os.listdir", lambda _: [path.rpartition("/")[2] for path in found])
    monkeypatch.setattr("os.readlink", readlink)
    monkeypatch.setattr("os.getxattr", protocol, raising=False)
    monkeypatch.setattr(sock_diag, "describe", lambda inode: (b"/run/x", 22))
    device = SimpleNamespace(st_mode=stat.S_IFCHR | 0o666, st_rdev=os.makedev(1, 3))
    monkeypatch.setattr(fds, "stat_of", lambda path: device)
    texts = {"/proc/9/net/tcp": TCP, "/proc/9/fdinfo/7": "pos:\t0\nPid:\t4711\n"}
    monkeypatch.setattr(procfs, "read_text", lambda path: texts.get(path, ""))
    return found


def test_the_table_of_a_process(links: Dict[str, str]) -> None:
    links["/proc/9/cwd"] = "/home"
    links["/proc/9/fd/0"] = "/dev/null"
    links["/proc/9/fd/3"] = "socket:[12]"
    links["/proc/9/fd/4"] = "socket:[99]"
    links["/proc/9/fd/5"] = "socket:[21]"
    links["/proc/9/fd/6"] = "/tmp/\udcff (deleted)"
    links["/proc/9/fd/7"] = "anon_inode:[pidfd]"
    links["/proc/9/fd/8"] = "socket:[77]"
    assert fds.fd_table(9) == {
        "cwd": "/home",
        "0": "/dev/null\0char 1:3",
        "3": "TCP:[127.0.0.1:8080->127.0.0.2:54321]",
        "4": "socket:[99]",
        "5": 'UNIX:[21->22,"/run/x"]',
        "6": "/tmp/\udcff (deleted)",
        "7": "pid:4711",
        "8": "TCP:[77]",
    }


def test_a_table_fits_into_a_frame(links: Dict[str, str]) -> None:
    for number in range(4000):
        links[f"/proc/9/fd/{number}"] = "/" + "p" * 4000
    table = fds.fd_table(9)
    assert 100 < len(table) < 4000
    assert sum(map(len, table.values())) <= fds.MAX_TEXT


def test_a_process_that_is_gone_has_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr("os.listdir", gone)
    assert fds.fd_table(9) == {}
