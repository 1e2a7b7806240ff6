"""The way from a spool to log files.

Here belongs what reads stored records and makes lines of them, in whatever process it runs.
Receiving records, writing a capture directory's documents and showing progress do not.
"""
