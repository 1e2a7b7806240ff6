"""The program that joins a running hunter; it runs inside the target.

gatherer.inject.exec_start passes its text to `PYTHON -I -S -c TEXT NAME`, without comments,
docstrings and annotations.

It carries bytes between its standard streams and hunter's abstract socket and understands none of
them: who may join is settled between gatherer and hunter. It ends with either side. A stdout that
nobody reads must not keep it: when hunter has closed the socket it ends after a while all the same.
"""

from __future__ import annotations

import os
import select
import socket
import sys

NOBODY = 96
"""Exit code when nobody listens on the socket."""
CHUNK = 65536
LAST_MS = 3000


def connect(name: str) -> socket.socket:
    """Returns a connection to hunter."""
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect("\0" + name)
    except ConnectionRefusedError:
        raise SystemExit(NOBODY) from None
    return link


def carry(link: int) -> None:
    """Carries bytes both ways until one side ends."""
    for fd in (0, 1, link):
        os.set_blocking(fd, False)
    up = down = b""
    hung = False
    while True:
        poll = select.poll()
        if not up and not hung:
            poll.register(0, select.POLLIN)
        if not (down and hung):
            poll.register(link, (0 if down else select.POLLIN) | (select.POLLOUT if up else 0))
        poll.register(1, select.POLLOUT if down else 0)
        events = dict(poll.poll(LAST_MS if hung else None))
        if not events:
            return
        hung = hung or bool(events.get(link, 0) & select.POLLHUP)
        try:
            if 0 in events:
                up = os.read(0, CHUNK)
                if not up:
                    return
            if up and not hung and events.get(link, 0) & select.POLLOUT:
                up = up[os.write(link, up) :]
            if not down and events.get(link, 0) & (select.POLLIN | select.POLLHUP):
                down = os.read(link, CHUNK)
                if not down:
                    return
            elif 1 in events:
                if not down:
                    return
                down = down[os.write(1, down) :]
        except BlockingIOError:
            continue
        except OSError:
            return


if __name__ == "__main__":
    carry(connect(sys.argv[1]).detach())
