"""One system call to the text before and behind its ` = `, compiled from its signature.

Here belongs what knows all arguments of a call; not the text of one argument (`args`), nor times,
threads and other calls (`lines`).
"""
