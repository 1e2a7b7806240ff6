"""Injection: how hunter gets into a container, and what it brings along.

`plan` says which way is the best one that is left, and why (pure); `injector` takes it.

Not here: what runs in the container (`guest`), what is asked of it before (`probe`), and where the
container is (`runtimes`).
"""
