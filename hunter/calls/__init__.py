"""Contents of system calls: the memory that is read at each stop, and what descriptors refer to.

Reading goes through a callable, so that any engine can use it. Not here: stops and threads
(`hunter.engines`), what a call is named (`hg_shared.syscalls`).
"""
