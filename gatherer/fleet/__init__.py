"""The captures of all targets: found, started, joined and ended as their pods are; their document.

Not here: what happens in one of them (`capture`), and which pods a name stands for (`kube`).
"""
