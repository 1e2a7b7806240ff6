"""Checks: facts in, findings out. One module for each, pure.

Not here: anything that asks; what is not among the facts is not known.
"""
