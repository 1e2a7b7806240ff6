"""Counts its own system calls: asked for N, it makes N calls that carry a counter."""

import os
import sys

if len(sys.argv) > 1:
    # A name as a hostile program would choose it.
    with open("/proc/self/comm", "w") as comm:
        comm.write(sys.argv[1])
print("ready", flush=True)
count = 0
for line in sys.stdin:
    for _ in range(int(line)):
        try:
            os.stat(f"/step-{count}")
        except FileNotFoundError:
            pass
        count += 1
    print(f"done {count}", flush=True)
