"""The demonstration program of ``pyapp:dev``: it leaks, and works on files and sockets meanwhile.

Environment: CAP_MIB (how far it grows, MiB, default 160), GROW_MIB_PER_SECOND (default 40).
"""

import os
import signal
import socket
import sys
import threading
import time

CAP_MIB = int(os.environ.get("CAP_MIB", "160"))
GROW_MIB_PER_SECOND = float(os.environ.get("GROW_MIB_PER_SECOND", "40"))
ADDRESS = ("127.0.0.1", 8080)
MIB = 1 << 20


def grow() -> None:
    """Keeps one more MiB after the other; at the cap it maps and unmaps one again and again."""
    kept: list[bytearray] = []
    while True:
        block = bytearray(b"\x5a") * MIB
        if len(kept) < CAP_MIB:
            kept.append(block)
            time.sleep(1 / GROW_MIB_PER_SECOND)
        else:
            del block
            time.sleep(0.05)


def work_on_files() -> None:
    """Writes a file, reads it again and removes it."""
    directory = next((path for path in ("/tmp", "/dev/shm") if os.access(path, os.W_OK)), None)
    while directory is not None:
        path = os.path.join(directory, "leak.txt")
        with open(path, "w") as file:
            file.write("leaking\n" * 16)
        with open(path) as file:
            file.read()
        os.stat(path)
        os.unlink(path)
        time.sleep(0.02)


def serve(listener: socket.socket) -> None:
    """Answers every connection with one line of HTTP."""
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


def ask() -> None:
    """Asks the server again and again."""
    while True:
        with socket.create_connection(ADDRESS, timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while connection.recv(4096):
                pass
        time.sleep(0.05)


def main() -> None:
    # As PID 1 of a container this process gets no default action for SIGTERM.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    threads = [threading.Thread(target=work, daemon=True) for work in (grow, work_on_files)]
    try:
        listener = socket.create_server(ADDRESS)
    except OSError as error:
        print(f"no server on port {ADDRESS[1]}: {error}", flush=True)
    else:
        threads.append(threading.Thread(target=serve, args=(listener,), daemon=True))
        threads.append(threading.Thread(target=ask, daemon=True))
    for thread in threads:
        thread.start()
    print(f"ready: grows to {CAP_MIB} MiB", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
