"""Measuring and comparing many runs: suites of rows by seeds, and the benchmark."""
