"""SQLite: locks, journals, random reads and writes."""

import sqlite3
import sys

print("ready", flush=True)
sys.stdin.readline()
with sqlite3.connect("base.db") as base:
    base.execute("create table things (name text, number integer)")
    base.executemany("insert into things values (?, ?)", [(f"n{i}", i) for i in range(100)])
    base.commit()
    base.execute("select sum(number) from things").fetchone()
    base.execute("update things set number = number + 1 where number < 10")
base.close()
