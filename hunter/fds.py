"""Open files of a process: what each descriptor refers to."""

from __future__ import annotations

import os
import socket
import struct
from typing import Dict, List, Optional

from hunter.memory import procfs

MAX_FDS = 4096
# A path is at most 4 KiB, and a table of such paths would not fit into a frame.
MAX_TEXT = 1 << 19


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


def parse_unix(text: str) -> Dict[str, str]:
    """Returns socket inode → path of /proc/PID/net/unix.

    Args:
        text: the file's contents.
    """
    sockets = {}
    for line in text.splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) >= 7:
            path = f',"{fields[7]}"' if len(fields) == 8 else ""
            sockets[fields[6]] = f"UNIX:[{fields[6]}{path}]"
    return sockets


class SocketTables:
    """Endpoints by inode of one network namespace, read once when first asked for.

    Args:
        pid: a process in it.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._sockets: Optional[Dict[str, str]] = None

    def name(self, inode: str) -> Optional[str]:
        """Returns what a socket is connected to, None when it is in no table."""
        if self._sockets is None:
            self._sockets = {}
            for name, file in (
                ("TCP", "tcp"),
                ("TCPv6", "tcp6"),
                ("UDP", "udp"),
                ("UDPv6", "udp6"),
            ):
                text = procfs.read_text(f"/proc/{self._pid}/net/{file}")
                self._sockets.update(parse_inet(name, text))
            self._sockets.update(parse_unix(procfs.read_text(f"/proc/{self._pid}/net/unix")))
        return self._sockets.get(inode)


def fd_table(pid: int) -> Dict[str, str]:
    """Returns descriptor → path or socket of a process, at most 4096 of them and 512 Ki characters.

    Args:
        pid: the process; empty when it is gone or may not be looked at.
    """
    try:
        descriptors: List[str] = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return {}
    sockets = SocketTables(pid)
    table: Dict[str, str] = {}
    room = MAX_TEXT
    for descriptor in descriptors[:MAX_FDS]:
        try:
            link = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue
        if link.startswith("socket:["):
            link = sockets.name(link[8:-1]) or link
        text = link.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        room -= len(text)
        if room < 0:
            break
        table[descriptor] = text
    return table
