"""Scrapes: the servers of agents, the ways to them, one exposition fetched and parsed.

What the samples mean is said in `kinds`, how they move in `series`.
"""
