"""The second process, which ends a hunter that holds its target, and the memory both share.

`launch` is hunter's side, `watch` the process, `stuck` its judgement (pure). Not here: anything
that loads an engine, as the second process keeps a copy of all that is loaded when it starts.
"""
