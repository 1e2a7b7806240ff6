"""Scrapes: the servers of agents, how they are reached, one exposition fetched and parsed.

Not here: what the samples mean (`kinds`), how they move over time (`series`), when one is fetched
(`pulling`).
"""
