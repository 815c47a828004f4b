"""Shared by all tests: gRPC is held to TLS 1.3, and quiet about refused handshakes, before any test module loads it."""

import os

from certs import require_tls13

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
require_tls13()
