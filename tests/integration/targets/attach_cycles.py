"""Attaches an engine to a process and detaches it again: `attach_cycles.py ENGINE PID TIMES`.

Prints one line per cycle: the number of records, and the states and tracers of all threads after
the detach.
"""

import os
import sys
import threading
import time
import traceback

from hunter.engines.base import Engine
from hunter.engines.ptrace.ptrace_engine import PtraceEngine
from hunter.engines.ptrace.syscall_reader import TraceOptions


def fields(tid: str, *names: str) -> list[str]:
    try:
        with open(f"/proc/{tid}/status", encoding="utf-8") as file:
            values = dict(line.split(":", 1) for line in file)
    except OSError:
        return []  # it has ended meanwhile
    return [values[name].split()[0] for name in names]


def wait_event(engine: Engine, kind: str, ordinal: int) -> None:
    deadline = time.monotonic() + 10
    others = []
    while time.monotonic() < deadline:
        engine.poke()
        for event in engine.events():
            if (event.kind, event.ordinal) == (kind, ordinal):
                return
            others.append(event)
        time.sleep(0.001)
    print(f"no {kind} in cycle {ordinal} but {others}", flush=True)
    os._exit(1)


def cycles(engine: Engine, pid: int, count: int) -> None:
    try:
        attach_and_detach(engine, pid, count)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def attach_and_detach(engine: Engine, pid: int, count: int) -> None:
    for ordinal in range(1, count + 1):
        engine.attach(ordinal, pid)
        wait_event(engine, "attached", ordinal)
        time.sleep(ordinal % 7 / 1000)
        engine.detach(ordinal)
        wait_event(engine, "ended", ordinal)
        records = sum(batch.count for batch in engine.drain(time.monotonic_ns()))
        after = [fields(tid, "State", "TracerPid") for tid in os.listdir(f"/proc/{pid}/task")]
        print(records, *(state + tracer for state, tracer in filter(None, after)), flush=True)
    engine.stop()


made = PtraceEngine(sys.argv[1], TraceOptions(os.uname().machine, 32, 1 << 20))
arguments = (made, int(sys.argv[2]), int(sys.argv[3]))
threading.Thread(target=cycles, args=arguments, daemon=True).start()
made.run()
