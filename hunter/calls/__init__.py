"""What is read of a system call: which memory, at which stop, and what descriptors refer to.

Reading goes through a callable, so that any engine can use it. Not here: stops and threads
(`hunter.engines`), what a call is named (`hg_shared.syscalls`).
"""
