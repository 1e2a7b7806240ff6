"""Streams into a pod over websockets: exec and port-forward; the only user of `websockets`.

`channels` and `forward_channels` are the protocols, bytes in and events out; `websocket` opens
connections. Not here: what is run in a container, and why; callers say that.
"""
