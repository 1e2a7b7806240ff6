"""Kubernetes objects read from decoded JSON, and what their fields say of a container. Pure.

A field that is missing or of a wrong type is read as empty, never an error. Not here: requests for
objects (`gatherer.kube.api`), and following their changes (`gatherer.kube.watch`).
"""
