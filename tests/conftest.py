"""Shared by all tests: gRPC is held to TLS 1.3, and quiet about refused handshakes, before any test module loads it.

Bytecode is kept, whatever the environment says: the tests start hundreds of Python processes, and each would compile
the whole gateway anew.
"""

import os
import sys

from certs import require_tls13

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
require_tls13()
