"""Busy with system calls in one thread; the line `fork` makes a child that prints its CPU mask."""

import os
import sys
import threading

print("ready", flush=True)
ended = threading.Event()


def work():
    while not ended.is_set():
        for _ in range(100):
            os.getppid()


thread = threading.Thread(target=work)
thread.start()
for line in sys.stdin:
    if line == "end\n":
        break
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, ",".join(map(str, sorted(os.sched_getaffinity(0)))).encode())
        os._exit(0)
    os.close(writing)
    print(os.read(reading, 100).decode(), flush=True)
    os.close(reading)
    os.wait()
ended.set()
thread.join()
print("ok", flush=True)
