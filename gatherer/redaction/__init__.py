"""Redaction: secrets left out of what is written down. Pure.

Not here: whoever writes, and text made harmless for terminals (`text`).
"""
