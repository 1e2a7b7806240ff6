"""Runtimes: where hunter runs, in a container behind the Kubernetes API or on this machine.

Each finds the target, has hunter brought to it and started, and tells how the target ended.

Not here: their interface and its values (`target`), how hunter gets in (`inject`), and what is
said over the channel (`stream`).
"""
