"""Memory of processes and containers: /proc and cgroup files.

`smaps`, `cgroup` and `holds` are pure; `procfs` reads the files; `sampler` makes samples of both.
Not here: which process is traced because of it (`hunter.scan`).
"""
