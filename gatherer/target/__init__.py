"""The target as all rooms name it: values, and the interface of the runtime that reaches it.

Not here: anything that asks a cluster or starts a process (`runtimes`), and configuration.
"""
