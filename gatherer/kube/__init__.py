"""What gatherer knows of Kubernetes: kubeconfig and credentials, pods, and the exec channel.

`models`, `quantity`, `targets`, `answers` and `channels` are pure; `credentials` reads the
kubeconfig, `api` asks the API server, `exec_session` opens websockets.
"""
