"""One argument or return value to its text, a module for each group of kinds.

Here belongs what needs one call and nothing else: numbers, flags, strings, structures, descriptors.
The order of arguments, whole calls and lines do not. `memory` holds what the kinds print.
"""
