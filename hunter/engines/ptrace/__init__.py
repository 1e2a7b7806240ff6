"""The ptrace engines: requests, stops and their answers, several tracers, CPU placement.

`kernel` is the only caller of ptrace(2) and waitpid(2); `stops` and `syscall_info` are pure. Not
here: the loop in C and its memory (`native`), what is read of a call (`hunter.calls`).
"""
