"""Storage on disk: the capture directory, its files and the spool.

Here belongs how bytes are written, replaced and found again; not what they say: documents are
made in `capture`, lines in `rendering`.
"""
