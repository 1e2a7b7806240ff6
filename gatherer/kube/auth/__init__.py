"""Credentials: kubeconfig files merged as kubectl merges them, tokens, certificates, exec plugins.

The result is a `ClusterAccess`. Connections that use it are made elsewhere (`gatherer.kube.exec`,
`gatherer.kube.transport`); proxies are in `gatherer.kube.proxies`.
"""
