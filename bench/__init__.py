"""Benchmarks: `python -m bench [name]`. Each measures against a real program, on the same cores in the same call."""

import certs  # noqa: F401  before any module of a benchmark loads gRPC: it holds gRPC to TLS 1.3
