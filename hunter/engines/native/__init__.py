"""The hot loop in C: its source, its bytes for each machine, and the memory it shares with Python.

`make native` compiles `hot_loop.c` into `code_<machine>.py`; nobody needs a compiler to run it.
`structures` are the layouts, `ring_queue` and `threads` their two sides in Python. Not here: when a
process is attached or let go, and what is done at other stops (`ptrace`).
"""
