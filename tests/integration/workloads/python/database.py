"""SQLite: locks, reads and writes at places of their own."""

import sqlite3
import sys

# SQLite seeds its random numbers when it is first used.
sqlite3.connect(":memory:").execute("select randomblob(1)").fetchone()
print("ready", flush=True)
sys.stdin.readline()
with sqlite3.connect("base.db") as base:
    # A journal begins with a random number.
    base.execute("pragma journal_mode = memory")
    base.execute("create table things (name text, number integer)")
    base.executemany("insert into things values (?, ?)", [(f"n{i}", i) for i in range(100)])
    base.commit()
    base.execute("select sum(number) from things").fetchone()
    base.execute("update things set number = number + 1 where number < 10")
base.close()
