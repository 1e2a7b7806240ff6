"""Kubernetes objects read from decoded JSON, and what their fields say of a container. Pure.

A field that is missing or of a wrong type is read as empty, never an error. Requests for objects
belong to `gatherer.kube.api`, following their changes to `gatherer.kube.watch`.
"""
