"""Kubernetes as a client sees it: requests to the API server, their answers and errors.

The rooms below hold credentials (`auth`), streams into a pod (`exec`), objects (`objects`) and what
follows their changes (`watch`). Not here: what a capture makes of a pod (`gatherer.runtimes`), and
node agents (`gatherer.agents`).
"""
