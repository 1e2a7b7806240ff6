"""Names of descriptors, over recorded socket tables."""

from __future__ import annotations

from typing import Dict

import pytest

from hunter import fds
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
UNIX = (
    "Num       RefCount Protocol Flags    Type St Inode Path\n"
    "0000000000000000: 00000002 00000000 00010000 0001 01 21 /run/a b.sock\n"
    "0000000000000000: 00000003 00000000 00000000 0001 03 22\n"
    "0000000000000000: 00000002 00000000 00010000 0001 01 23 @abstract\n"
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
    assert fds.parse_unix(UNIX) == {
        "21": 'UNIX:[21,"/run/a b.sock"]',
        "22": "UNIX:[22]",
        "23": 'UNIX:[23,"@abstract"]',
    }


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Dict[str, str]:
    found: Dict[str, str] = {}

    def readlink(path: str) -> str:
        if path not in found:
            raise FileNotFoundError(path)
        return found[path]

    monkeypatch.setattr("os.listdir", lambda _: [path.rpartition("/")[2] for path in found])
    monkeypatch.setattr("os.readlink", readlink)
    texts = {"/proc/9/net/tcp": TCP, "/proc/9/net/unix": UNIX}
    monkeypatch.setattr(procfs, "read_text", lambda path: texts.get(path, ""))
    return found


def test_the_table_of_a_process(links: Dict[str, str]) -> None:
    links["/proc/9/fd/0"] = "/dev/null"
    links["/proc/9/fd/3"] = "socket:[12]"
    links["/proc/9/fd/4"] = "socket:[99]"
    links["/proc/9/fd/5"] = "socket:[21]"
    links["/proc/9/fd/6"] = "/tmp/\udcff (deleted)"
    assert fds.fd_table(9) == {
        "0": "/dev/null",
        "3": "TCP:[127.0.0.1:8080->127.0.0.2:54321]",
        "4": "socket:[99]",
        "5": 'UNIX:[21,"/run/a b.sock"]',
        "6": "/tmp/\\xff (deleted)",
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
