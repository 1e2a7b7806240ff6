"""The `ebpf` engine: programs in C, committed as bytecode, run by the kernel at raw tracepoints.

Here belong the programs, their maps and rings, and what is made of their records; `loader` is the
only caller of bpf(2). Not here: what is read of a call (`hunter.calls`, which the programs' plans
are made from), and when another engine takes its place (`factory`, `fallback`).
"""
