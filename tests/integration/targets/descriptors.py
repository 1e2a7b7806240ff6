"""Makes, copies, connects and closes descriptors of every common kind, in the directory given."""

import fcntl
import os
import select
import socket
import sys

os.chdir(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    os.close(1000)
except OSError:
    pass
held = []


def keep(*made):
    held.extend(made)
    return made[0] if len(made) == 1 else made


file = keep(os.open("file", os.O_RDWR | os.O_CREAT))
os.write(file, b"text")
copy = os.dup(file)
os.dup2(file, 50)
os.close(copy)
os.close(50)
held.append(fcntl.fcntl(file, fcntl.F_DUPFD, 70))
os.mkdir("sub")
directory = keep(os.open("sub", os.O_RDONLY))
keep(os.open("inner", os.O_RDWR | os.O_CREAT, dir_fd=directory))
os.chdir("sub")
keep(os.open("../file", os.O_RDONLY))
os.fchdir(directory)
os.symlink("inner", "link")
link = keep(os.open("link", os.O_RDONLY))
os.read(link, 1)
gone = keep(os.open("gone", os.O_RDWR | os.O_CREAT))
os.unlink("gone")
os.write(gone, b"1")
os.rename("inner", "renamed")
os.read(link, 1)
odd = keep(os.open("we ird\n\x01>7<", os.O_CREAT | os.O_RDWR))
os.write(odd, b"k")
null = keep(os.open("/dev/null", os.O_WRONLY))
os.write(null, b"q")
reading, writing = keep(*os.pipe())
os.write(writing, b"z")
os.read(reading, 1)
listening = keep(socket.socket())
listening.bind(("127.0.0.1", 0))
listening.listen(3)
client = keep(socket.socket())
client.connect(listening.getsockname())
server = keep(listening.accept()[0])
server.send(b"x")
client.recv(1)
datagrams = keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
datagrams.bind(("127.0.0.1", 0))
datagrams.sendto(b"x", datagrams.getsockname())
six = keep(socket.socket(socket.AF_INET6))
six.bind(("::1", 0))
six.listen(1)
one, two = keep(*socket.socketpair())
one.send(b"1")
two.recv(1)
socket.send_fds(one, [b"m"], [file, reading])
keep(*socket.recv_fds(two, 1, 2)[1])
os.read(held[-1], 0)
local = keep(socket.socket(socket.AF_UNIX))
local.bind("socket")
local.listen(1)
caller = keep(socket.socket(socket.AF_UNIX))
caller.connect("socket")
called = keep(local.accept()[0])
called.send(b"q")
caller.recv(1)
abstract = keep(socket.socket(socket.AF_UNIX))
abstract.bind(b"\0hunter-%07d" % os.getpid())
abstract.listen(1)
events = keep(select.epoll())
events.register(reading, 1)
events.poll(0)
memory = keep(os.memfd_create("memory"))
os.pwrite(memory, b"a", 0)
asked = select.poll()
asked.register(reading, 1)
asked.register(memory, 1)
asked.poll(0)
select.select([reading, listening], [writing], [], 0)
os.set_blocking(client.fileno(), False)
os.closerange(980, 990)
try:
    os.close(1001)
except OSError:
    pass
print("done", flush=True)
sys.stdin.readline()
