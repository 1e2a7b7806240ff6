"""The hot loop in C: its source, its bytes for each machine, and the memory it shares with Python.

`hot_loop.c` is compiled by `make native` into `code_<machine>.py`; nobody needs a compiler to run
it. `library` loads it from a memfd, `layout` knows its structures, `queue` and `threads` are their
two sides in Python.
"""
