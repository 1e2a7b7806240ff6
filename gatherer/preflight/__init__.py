"""What must be right for a capture, looked at before anything is touched.

`questions` asks the API server and the container, `evidence` holds the answers, the checks judge
them, each in a module of its own and without I/O, and `checks` puts their findings in order.
"""
