"""One capture of one target: its course, what is recorded of it, how it ended, its session.json.

Not here: many targets (`fleet`), frames (`stream`), log lines (`rendering`), files (`storage`), and
node agents, of which a capture knows `node_agents` alone.
"""
