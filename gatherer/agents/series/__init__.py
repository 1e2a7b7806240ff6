"""Series of samples over a capture: rates, measures, staleness. Pure.

Names of metrics belong to `kinds`.
"""
