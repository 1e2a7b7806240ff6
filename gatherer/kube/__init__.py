"""Kubernetes as a client sees it: requests to the API server, their answers and errors.

The rooms below hold credentials (`auth`), streams into a pod (`exec`), objects (`objects`) and what
follows their changes (`watch`). What a capture makes of a pod belongs to `gatherer.runtimes`, and
node agents to `gatherer.agents`.
"""
