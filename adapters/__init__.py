"""What a department implements, and the built-in kinds of adapter."""

import certs as _certs  # noqa: F401 - before anything loads gRPC, which it holds to TLS 1.3 (certs.tls13)
