"""The stream to gatherer: frames, their sequence numbers, the connection and its loss.

`backlog` is pure. Not here: the wire format (`hg_shared`), what messages say (`hunter.control`).
"""
