"""Keys, X.509 profiles, the authority and gRPC credentials. Imports nothing of ours.

Importing this package makes the gRPC of the process speak TLS 1.3 only (`certs.tls13`), and write no log of its own
(`certs.core_log`), so it comes before gRPC.
"""

from certs import core_log
from certs.tls13 import require_tls13

__all__ = ["core_log", "require_tls13"]
