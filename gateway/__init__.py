"""The federation gateway: answers and asks questions about recipients of social-insurance benefits."""

import os

import certs as _certs  # noqa: F401 - before anything loads gRPC, which it holds to TLS 1.3 (certs.tls13)

# Before anything loads numpy. Products of small matrices are all that is reckoned here; threads of the BLAS, woken for
# each, spin while they wait for the next, on processors that others need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
