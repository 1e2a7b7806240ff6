"""Pods followed over time: lists, watches from a resource version, and lists again after a 410.

It asks through a Protocol. Not here: requests (`gatherer.kube.api`), and which captures begin or
end with a pod (`gatherer.fleet`).
"""
