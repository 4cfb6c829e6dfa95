"""Benchmarks: each prints a ratio against a baseline of the same run, because machines differ and are noisy."""
