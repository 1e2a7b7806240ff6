"""A stand-in Kubernetes API server with real containers, for tests.

It answers as a single-node v1.36 cluster does, as far as kubectl and a client of pods and exec
ask, and runs every pod with runc. It imports nothing of the program it tests.
"""
