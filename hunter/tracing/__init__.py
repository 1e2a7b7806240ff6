"""ptrace(2): the calls, the meaning of stops, and the state of each thread.

`kernel` is the only module that calls ptrace or waitpid; `stops` and `syscall_info` are pure.
"""
