"""The program that `gatherer demo` traces: it leaks, and does a bit of everything else.

Four threads: one keeps what it allocates on the heap, one maps memory and forgets it, one writes
and reads files, one talks to itself over a TCP socket. It prints `ready` when all run, stops
growing at 96 MiB and ends when its stdin does.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
import tempfile
import threading

from hg_shared.mark import clear_mark

CAP_BYTES = 96 << 20
STEP_BYTES = 256 << 10
PAUSE_SECONDS = 0.05


def leak_heap(stop: threading.Event) -> None:
    """Appends small blocks to a list that nobody empties."""
    kept: list[bytearray] = []
    while not stop.wait(PAUSE_SECONDS):
        if len(kept) * STEP_BYTES < CAP_BYTES // 2:
            kept.extend(bytearray(1024) for _ in range(STEP_BYTES // 1024))


def leak_mappings(stop: threading.Event) -> None:
    """Maps anonymous memory, touches it and never unmaps it."""
    kept: list[mmap.mmap] = []
    while not stop.wait(PAUSE_SECONDS):
        if len(kept) * STEP_BYTES < CAP_BYTES // 2:
            mapping = mmap.mmap(-1, STEP_BYTES)
            mapping.write(b"x" * STEP_BYTES)
            kept.append(mapping)


def work_with_files(stop: threading.Event) -> None:
    """Writes, reads and removes a small file, and now and then looks for one that is not there."""
    with tempfile.TemporaryDirectory(prefix="leaky-") as folder:
        while not stop.wait(PAUSE_SECONDS):
            path = os.path.join(folder, "orders.log")
            with open(path, "w", encoding="ascii") as file:
                file.write("one order, two customers\n")
            with open(path, encoding="ascii") as file:
                file.read()
            os.unlink(path)
            os.path.exists(os.path.join(folder, "missing.conf"))


def work_with_sockets(stop: threading.Event) -> None:
    """Sends requests to its own listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        while not stop.wait(PAUSE_SECONDS):
            with socket.create_connection(address) as client:
                peer, _ = server.accept()
                with peer:
                    client.sendall(b"GET /orders HTTP/1.0\r\n\r\n")
                    peer.recv(64)
                    peer.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                    client.recv(64)


def main() -> None:
    """Runs until stdin ends."""
    stop = threading.Event()
    work = (leak_heap, leak_mappings, work_with_files, work_with_sockets)
    threads = [threading.Thread(target=each, args=(stop,), name=each.__name__) for each in work]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.buffer.read()
    stop.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    # gatherer, which starts it, carries the mark of what is never traced.
    clear_mark()
    main()
