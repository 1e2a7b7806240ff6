"""Kinds of agents: what the metrics, logs and profiles of each mean. Pure.

Nothing is fetched, waited for or written here.
"""
