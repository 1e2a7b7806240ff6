"""The version of hunter and gatherer, which are always released together."""

__version__ = "0.1.0"
