"""Guests: the programs that run in somebody else's process. One file each, sent as text.

The standard library alone, from CPython 3.8 on; `receive_python` and `list_modules` meet gatherer's
own Python. None imports another: it is alone where it runs.

Not here: who sends them (`inject`), and hunter.
"""
