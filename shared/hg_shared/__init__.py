"""Code of hunter and gatherer alike: records, framing, wire format, syscall tables.

Standard library only, CPython 3.8 and newer: it is packed into hunter.pyz, which runs on whatever
Python a container happens to have. Not here: I/O, and what only one of the two needs.
"""
