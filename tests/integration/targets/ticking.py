"""Counts in shared memory, a thousand times a second: `ticking.py FILE`. Ends when stdin does."""

import mmap
import os
import sys
import threading
import time

with open(sys.argv[1], "r+b") as file:
    memory = mmap.mmap(file.fileno(), 8)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("ready", flush=True)
count = 0
while True:
    count += 1
    os.access("/ticking", 0)
    memory[:] = count.to_bytes(8, "little")
    time.sleep(0.001)
