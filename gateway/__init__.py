"""The federation gateway: answers and asks questions about recipients of social-insurance benefits."""

import certs as _certs  # noqa: F401 - before anything loads gRPC, which it holds to TLS 1.3 (certs.tls13)
