"""The `ebpf` engine: programs assembled in pure Python, run by the kernel at raw tracepoints."""
