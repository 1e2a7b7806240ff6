"""Waits for its child and says how it ended: prints ready, the child's pid, and that.

The child exits with 42 at the first line of stdin.
"""

import os

child = os.fork()
if not child:
    os.read(0, 100)
    os._exit(42)
print(f"ready\n{child}", flush=True)
_, status = os.waitpid(child, 0)
print(f"child ended with {os.waitstatus_to_exitcode(status)}", flush=True)
