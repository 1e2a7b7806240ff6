"""Memory of processes and containers: /proc and cgroup files.

`smaps` and `cgroup` parse text; `procfs` reads the files; `sampler` makes samples of both.
"""
