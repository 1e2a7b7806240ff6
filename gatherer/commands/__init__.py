"""Commands: one module for each, command line in, exit code out; the only place that knows click.

Not here: anything a second command or a library would need. What a command does is put together
here from the rooms below.
"""
