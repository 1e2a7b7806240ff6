"""The way from a spool to log files, by a process of its own that works behind the stream.

Here belongs what reads stored records and makes lines of them, in whatever process it runs.
Receiving records, writing a capture directory's documents and showing progress do not.
"""
