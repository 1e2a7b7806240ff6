"""A server and its client, one after the other in one thread."""

import socket
import sys

print("ready", flush=True)
sys.stdin.readline()
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 4000))
server.listen(5)
client = socket.socket()
client.bind(("127.0.0.1", 4001))
client.settimeout(5)
client.connect(("127.0.0.1", 4000))
end, address = server.accept()
client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
end.recv(4096)
end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
end.shutdown(socket.SHUT_WR)
client.recv(4096)
client.recv(4096)
for each in (client, end, server):
    each.close()
left, right = socket.socketpair()
left.sendmsg([b"one", b"two"])
right.recvmsg(100)
socket.send_fds(left, [b"take"], [0])
socket.recv_fds(right, 100, 4)
datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
datagrams.bind(("::1", 5000))
datagrams.sendto(b"to myself", ("::1", 5000))
datagrams.recvfrom(100)
