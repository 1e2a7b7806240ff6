"""One system call to the text before and behind its ` = `, compiled from its signature.

Here belongs what knows all arguments of a call. The text of one argument is in `args`; times,
threads and other calls are in `lines`.
"""
