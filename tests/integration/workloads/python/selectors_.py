"""poll, select and epoll on pipes."""

import os
import select
import sys

print("ready", flush=True)
sys.stdin.readline()
inner, outer = os.pipe()
os.set_blocking(inner, False)
try:
    os.read(inner, 10)
except BlockingIOError:
    pass
poll = select.poll()
poll.register(inner, select.POLLIN)
poll.poll(0)
os.write(outer, b"data")
poll.poll(1000)
select.select([inner], [outer], [], 1)
with select.epoll() as epoll:
    epoll.register(inner, select.EPOLLIN | select.EPOLLET)
    epoll.poll(1, 4)
    epoll.modify(inner, select.EPOLLIN)
    epoll.unregister(inner)
    epoll.poll(0)
os.sendfile(outer, os.open(__file__, os.O_RDONLY), 0, 10)
os.read(inner, 100)
os.eventfd_write(os.eventfd(0, os.EFD_CLOEXEC), 3)
