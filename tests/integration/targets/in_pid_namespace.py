"""Runs as PID 1 of a PID namespace: traces a child there with ebpf and says what came.

in_pid_namespace.py HUNTER_PYZ
"""

import subprocess
import sys
from pathlib import Path

from hg_shared.messages import Hello
from hg_shared.records import Kind
from hg_shared.syscalls import lookup
from tests.integration.hunter_session import HunterSession

child = subprocess.Popen(
    [sys.executable, "-c", "import os\nwhile os.read(0, 1): os.write(1, b'x')"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
)
hunter = HunterSession(Path(sys.argv[1]), ["--engine", "ebpf", "--only-pids", "--pid", child.pid])
hunter.wait_attached(child.pid)
print(hunter.of(Hello)[0].engine)
for _ in range(3):
    child.stdin.write(b"a")
    child.stdin.flush()
    child.stdout.read(1)


def writes():
    return [
        record
        for record in hunter.records()
        if record.kind == Kind.SYSCALL and lookup(record.abi, record.nr).name == "write"
    ]


hunter.wait_for(writes, "a write")
print("write")
if {record.tid for record in hunter.records()} == {child.pid}:
    print("traced")
child.stdin.close()
child.wait()
hunter.wait_record(lambda record: record.kind == Kind.EXITED, "its end")
print("exited")
hunter.stop()
child.stdout.close()
