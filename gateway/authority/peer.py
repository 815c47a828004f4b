"""Who is at the other end of a request to the authority.

Owns: reading the identity in the client's certificate. Refuses: deciding what a client may do, and whether its
certificate still counts.
"""

from __future__ import annotations

import functools

from aiohttp import web

from certs.chain import parse_identity
from certs.errors import CertsError
from certs.identity import ROLE_GATEWAY, Identity
from certs.web import tls_peer
from gateway.errors import RefusedError
from wugan.federation.v1 import vocabulary_pb2 as words


def client(request: web.Request, federation: str) -> tuple[Identity, bytes]:
    """The gateway at the other end, and its certificate, DER; TLS has verified its chain.

    Raises:
        RefusedError: STRANGER; it showed no certificate, or not that of a gateway of this federation.
    """
    certificate = tls_peer(request)
    try:
        identity = _identity(certificate or b"")
    except CertsError as error:
        raise _stranger() from error
    if certificate is None or identity.federation != federation or identity.role != ROLE_GATEWAY:
        raise _stranger()
    return identity, certificate


def member_of(certificate: bytes | None) -> str:
    """Whose certificate (DER) it is, for the log; "" where that cannot be read."""
    try:
        return _identity(certificate or b"").member_id
    except CertsError:
        return ""


@functools.lru_cache(maxsize=1024)
def _identity(certificate: bytes) -> Identity:
    """As `parse_identity`: what a certificate says is read once, not with each request of its connection."""
    return parse_identity(certificate)


def _stranger() -> RefusedError:
    return RefusedError(
        "only a member's gateway may do this; connect with its TLS certificate",
        "仅成员网关可执行此操作，请使用其 TLS 证书连接",
        reason=words.REFUSAL_REASON_STRANGER,
    )
