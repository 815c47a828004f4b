"""Benchmarks: `python -m bench [name]`. Each measures against a real program, on the same cores in the same call."""
