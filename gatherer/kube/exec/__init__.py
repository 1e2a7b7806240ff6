"""Streams into a pod over websockets: exec and port-forward; the only user of `websockets`.

`channels` and `forward_channels` are the protocols, bytes in and events out; `websocket` opens
connections. What is run in a container, and why, belongs to the callers.
"""
