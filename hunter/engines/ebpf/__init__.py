"""The `ebpf` engine: programs in C, committed as bytecode, run by the kernel at raw tracepoints."""
