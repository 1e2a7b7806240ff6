"""Engines: ways to get raw records of what a process does, and the choice of one.

Here belongs what all engines share. Not here: which processes are traced (`control`, `scan`), and
what a record is read from (`calls`).
"""
