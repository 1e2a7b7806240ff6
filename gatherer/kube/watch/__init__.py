"""Pods followed over time: lists, watches from a resource version, and lists again after a 410.

It asks through a Protocol and never sends a request itself; `gatherer.kube.api` does. Which
captures begin or end with a pod belongs to the fleet.
"""
