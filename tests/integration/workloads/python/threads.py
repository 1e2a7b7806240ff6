"""Threads that take turns."""

import os
import sys
import threading


def work(turn: int, before: threading.Event, after: threading.Event) -> None:
    before.wait()
    os.getppid()
    with open(f"turn-{turn}", "w") as file:
        file.write(str(turn))
    after.set()


print("ready", flush=True)
sys.stdin.readline()
turns = [threading.Event() for _ in range(4)]
threads = [
    threading.Thread(target=work, args=(turn, turns[turn], turns[turn + 1])) for turn in range(3)
]
for thread in threads:
    thread.start()
turns[0].set()
for thread in threads:
    thread.join()
