"""Node agents beside a capture: found near the target, pulled while it is captured, reported on.

Errors of an agent end here: nothing in this room can end a capture or hold it up. What a capture
knows of agents is a protocol of its own; checks before a capture belong to `preflight`.
"""
