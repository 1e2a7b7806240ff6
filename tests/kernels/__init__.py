"""Captures on the kernels that nodes run, booted under qemu: `make test-kernels`.

`debian` gets kernels, `image` makes the machine's only file system, `guest` runs inside it,
`judging` holds what it tells against what is right, `__main__` boots and prints the table.
"""
