"""hunter: the guest in the container. Scans process memory, traces some, streams records.

Runs from a zipapp on whatever CPython 3.8+ the container has: standard library and the bundled
part of python-ptrace only. Stdout carries frames and nothing else.
"""
