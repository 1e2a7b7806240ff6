"""Gatherer: brings hunter to a container, keeps what it sends, and writes it as strace would.

Directly here are the modules that every room may use; what belongs to a room does not.
"""
