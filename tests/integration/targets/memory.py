"""Keeps resident memory: `memory.py BYTES`. The line `grow BYTES` adds more, `end` ends it."""

import sys

kept = [b"\1" * int(sys.argv[1])]
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("grow"):
        kept.append(b"\1" * int(line.split()[1]))
        print("grown", flush=True)
    else:
        break
