"""Node agents: found near the target, pulled while it is captured, reduced to what concerns it.

Reading and judging is pure (`discovery`, `selection`, `exposition`, `rates`, `coroot`, `parca`,
`collector`); `endpoints` reaches a server, `parser_process` parses in a process of its own, and
`pulling` runs both beside the capture, which none of it can end or slow down.
"""
