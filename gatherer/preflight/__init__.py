"""Preflight: what must be right for a capture, looked at before anything is touched.

`collect` asks the API server and the container, `target_facts` holds the answers, the modules of
`checks`
judge them without I/O, and `evaluation` puts their findings in order; `before` does so for a
capture.

Not here: the probe that runs in the container (`probe`), and how hunter would get in (`inject`).
"""
