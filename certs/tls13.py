"""TLS 1.3 only, for the gRPC of this process.

gRPC's C core negotiates TLS 1.2 or 1.3, and its Python binding has no setting for the least version. But the cipher
suites that it offers and takes for TLS 1.2 come from the environment variable GRPC_SSL_CIPHER_SUITES, read once when
the core is loaded; those of TLS 1.3 do not. With nothing in that list but a suite of TLS 1.2 that needs a pre-shared
key (RFC 5489), which neither side has, no TLS 1.2 handshake can succeed, and TLS 1.3 works as ever.

Owns: setting that variable when this module is first imported, and telling whether that was early enough. Whatever
imports gRPC must import this package before it. Refuses: trusting the trick alone; `grpc_credentials.peer_identity`
looks at the version of every connection.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from certs.errors import CertsError

_VARIABLE: Final = "GRPC_SSL_CIPHER_SUITES"
_NEVER_NEGOTIATED: Final = "ECDHE-PSK-CHACHA20-POLY1305"

_in_time = "grpc" not in sys.modules or os.environ.get(_VARIABLE) == _NEVER_NEGOTIATED
os.environ[_VARIABLE] = _NEVER_NEGOTIATED


def require_tls13() -> None:
    """Return when gRPC in this process cannot negotiate less than TLS 1.3.

    Raises:
        CertsError: gRPC was imported before this module, so its core may have read other cipher suites.
    """
    if not _in_time:
        raise CertsError(
            f"gRPC was loaded before certs; import certs first, or set {_VARIABLE}={_NEVER_NEGOTIATED} for the process",
            f"gRPC 先于 certs 被加载；请先导入 certs，或为进程设置环境变量 {_VARIABLE}={_NEVER_NEGOTIATED}",
        )
