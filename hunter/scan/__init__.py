"""One scan of the container's processes: which are traced, which are not, and why.

`policy` is pure; `recognition` knows the processes of hunters and gatherers by their mark. Not
here: memory files (`hunter.memory`), what is done about a process that was found (`control`).
"""
