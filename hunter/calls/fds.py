"""Open files of a process: what each descriptor refers to, as strace's -yy prints it.

A text is the path as readlink(2) gives it; for a device NUL and its numbers stand behind it. Text
that is no path begins with another character than `/`.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from typing import Dict, List, Optional

from hunter.calls import sock_diag
from hunter.memory import procfs

MAX_FDS = 4096
# A path is at most 4 KiB, and a table of such paths would not fit into a frame.
MAX_TEXT = 1 << 19
CWD = "cwd"
"""The key of the current directory in a table."""
_INET = (("TCP", "tcp"), ("TCPv6", "tcp6"), ("UDP", "udp"), ("UDPv6", "udp6"))
# linux/netlink.h, as strace names them.
_NETLINK = {
    0: "ROUTE", 2: "USERSOCK", 3: "FIREWALL", 4: "SOCK_DIAG", 5: "NFLOG", 6: "XFRM", 7: "SELINUX",
    8: "ISCSI", 9: "AUDIT", 10: "FIB_LOOKUP", 11: "CONNECTOR", 12: "NETFILTER", 13: "IP6_FW",
    15: "KOBJECT_UEVENT", 16: "GENERIC", 18: "SCSITRANSPORT", 19: "ECRYPTFS", 20: "RDMA",
    21: "CRYPTO", 22: "SMC",
}  # fmt: skip


def parse_address(text: str) -> str:
    """Returns `address:port` of a /proc/net/tcp column, such as `0100007F:1F90`.

    Args:
        text: the column; IPv4 has 8 hexadecimal digits, IPv6 32, in host words.
    """
    address, _, port = text.partition(":")
    if len(address) == 8:
        packed = struct.pack("<I", int(address, 16))
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"
    words = [int(address[at : at + 8], 16) for at in range(0, 32, 8)]
    packed = struct.pack("<4I", *words)
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"


def parse_inet(name: str, text: str) -> Dict[str, str]:
    """Returns socket inode → endpoints, as strace's -yy prints them.

    Args:
        name: TCP, TCPv6, UDP or UDPv6.
        text: contents of /proc/PID/net/tcp and its kin.
    """
    sockets = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10:
            continue
        try:
            local, remote = parse_address(fields[1]), parse_address(fields[2])
        except (ValueError, struct.error):
            continue
        unconnected = fields[2].endswith(":0000")
        sockets[fields[9]] = f"{name}:[{local}]" if unconnected else f"{name}:[{local}->{remote}]"
    return sockets


def parse_netlink(text: str) -> Dict[str, str]:
    """Returns socket inode → protocol and port of /proc/PID/net/netlink, of those that have one.

    Args:
        text: the file's contents.
    """
    sockets = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 10 and fields[1].isdecimal() and fields[2] != "0":
            protocol = _NETLINK.get(int(fields[1]), fields[1])
            sockets[fields[9]] = f"NETLINK:[{protocol}:{fields[2]}]"
    return sockets


def unix_text(protocol: str, inode: str, described: Optional[sock_diag.Described]) -> str:
    """Returns what strace prints of a unix socket. Pure.

    Args:
        protocol: UNIX or UNIX-STREAM.
        inode: of the socket.
        described: name and peer, None when nobody knows.
    """
    name, peer = described or (b"", 0)
    text = f"{inode}->{peer}" if peer else inode
    if name:
        path = name.decode("utf-8", "surrogateescape")
        text += f',@"{path[1:]}"' if path[0] == "\0" else f',"{path}"'
    return f"{protocol}:[{text}]"


class Sockets:
    """The sockets of one network namespace, looked up when first asked for.

    Args:
        pid: a process in it.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._tables: Dict[str, Dict[str, str]] = {}

    def text(self, place: str, inode: str) -> str:
        """Returns what a descriptor that is a socket refers to.

        Args:
            place: path of the descriptor in /proc.
            inode: of the socket.
        """
        try:
            protocol = os.getxattr(place, "system.sockprotoname").rstrip(b"\0").decode("ascii")
        except (OSError, UnicodeDecodeError):
            return f"socket:[{inode}]"
        if protocol.startswith("UNIX"):
            return unix_text(protocol, inode, sock_diag.describe(int(inode)))
        return self._endpoints(protocol).get(inode) or f"{protocol}:[{inode}]"

    def _endpoints(self, protocol: str) -> Dict[str, str]:
        table = self._tables.get(protocol)
        if table is None:
            table = {}
            for name, file in _INET:
                if name == protocol:
                    table = parse_inet(name, procfs.read_text(f"/proc/{self._pid}/net/{file}"))
            if protocol == "NETLINK":
                table = parse_netlink(procfs.read_text(f"/proc/{self._pid}/net/netlink"))
            self._tables[protocol] = table
        return table


stat_of = os.stat


def fd_text(pid: int, descriptor: str, sockets: Sockets) -> Optional[str]:
    """Returns what one descriptor refers to, None when it is not open or may not be looked at.

    Args:
        pid: a process, or a thread.
        descriptor: its number, or `cwd`.
        sockets: of its network namespace.
    """
    place = f"/proc/{pid}/{CWD}" if descriptor == CWD else f"/proc/{pid}/fd/{descriptor}"
    try:
        link = os.readlink(place)
        if link.startswith("socket:["):
            return sockets.text(place, link[8:-1])
        if link == "anon_inode:[pidfd]":
            for line in procfs.read_text(f"/proc/{pid}/fdinfo/{descriptor}").splitlines():
                if line.startswith("Pid:"):
                    return f"pid:{line[4:].strip()}"
        if link.startswith("/dev/"):
            status = stat_of(place)
            numbers = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
            if stat.S_ISCHR(status.st_mode):
                return f"{link}\0char {numbers}"
            if stat.S_ISBLK(status.st_mode):
                return f"{link}\0block {numbers}"
    except OSError:
        return None
    return link


def fd_table(pid: int) -> Dict[str, str]:
    """Returns descriptor → text of a process, at most 4096 of them and 512 Ki characters.

    The current directory is in it as `cwd`.

    Args:
        pid: the process; empty when it is gone or may not be looked at.
    """
    pid = procfs.living_thread(pid) or pid
    try:
        descriptors: List[str] = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return {}
    sockets = Sockets(pid)
    table: Dict[str, str] = {}
    room = MAX_TEXT
    for descriptor in [CWD, *descriptors[:MAX_FDS]]:
        text = fd_text(pid, descriptor, sockets)
        if text is None:
            continue
        room -= len(text)
        if room < 0:
            break
        table[descriptor] = text
    return table
