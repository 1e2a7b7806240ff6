"""Credentials: kubeconfig files merged as kubectl merges them, tokens, certificates, exec plugins.

The result is a `ClusterAccess`. Not here: connections that use it (`gatherer.kube.exec`,
`gatherer.kube.transport`), and proxies (`gatherer.kube.proxies`).
"""
