"""Benchmarks: ratios of things measured side by side, interleaved, in one run."""
