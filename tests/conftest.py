"""Shared by all tests: gRPC is held to TLS 1.3, moves bytes as in a gateway, and is quiet about refused handshakes,
before any test module loads it.
"""

import os

from certs import require_tls13
from gateway.grpc_engine import settle_engine

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
require_tls13()
settle_engine()
