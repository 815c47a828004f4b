"""gRPC over mutual TLS 1.3, and who is at the other end.

Owns: channel credentials with a certificate of our own (a server's: `server_certificate`), pinning a channel to one
member, and reading the peer's identity and certificate from a call. Refuses: TLS below 1.3 (`certs.tls13`), a peer that
names no member or two, and deciding what a peer may do.

The name to be proven by a server is given with the channel, not taken from its address: an address says where a gateway
is, its TLS name who it is (`Identity.tls_name`).
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterable, Mapping

import grpc
from cryptography.hazmat.primitives import serialization

from certs.errors import PeerError
from certs.identity import Identity
from certs.keys import PrivateKey
from certs.tls13 import require_tls13

_TLS13 = b"TLSv1.3"

# The same few peers call again and again; an identity is immutable.
_identity = functools.lru_cache(maxsize=4096)(Identity.parse)


def channel_credentials(key: PrivateKey, chain_pem: bytes, roots_pem: bytes) -> grpc.ChannelCredentials:
    """Credentials for a client; use them with `channel_options`.

    Args:
        key: the private key of the first certificate of `chain_pem`.
        chain_pem: the client's certificate, then the issuing CA's.
        roots_pem: the federation root; system roots are not trusted.

    Raises:
        CertsError: gRPC was loaded too early to be held to TLS 1.3.
    """
    require_tls13()
    return grpc.ssl_channel_credentials(roots_pem, _pem(key), chain_pem)


def channel_options(tls_name: str) -> list[tuple[str, str]]:
    """Channel options that pin the server to one member.

    Args:
        tls_name: `Identity.tls_name` of the server that must answer, wherever the address leads.
    """
    return [("grpc.ssl_target_name_override", tls_name), ("grpc.default_authority", tls_name)]


def peer_identity(auth_context: Mapping[str, Iterable[bytes]]) -> Identity:
    """Whom the TLS handshake of a call proved.

    Args:
        auth_context: `ServicerContext.auth_context()` of grpc 1.85, whose values are sequences of bytes.

    Raises:
        PeerError: no TLS 1.3, no certificate, or not exactly one URI name in it.
        IdentityError: that name is not a member identity.
    """
    if list(auth_context.get("ssl_tls_version", ())) != [_TLS13]:
        raise PeerError(
            "the connection is not TLS 1.3; only TLS 1.3 is spoken here", "连接不是 TLS 1.3，本网关仅支持 TLS 1.3"
        )
    names = list(auth_context.get("peer_uri", ()))
    if len(names) != 1:
        raise PeerError(
            "the certificate must hold exactly one URI name, the member identity",
            "证书须恰好包含一个 URI 名称，即成员身份",
        )
    try:
        uri = names[0].decode("ascii")
    except UnicodeDecodeError as error:
        raise PeerError(
            "the member identity in the certificate is not ASCII", "证书中的成员身份不是 ASCII 文本"
        ) from error
    return _identity(uri)


def peer_certificate(auth_context: Mapping[str, Iterable[bytes]]) -> bytes:
    """The certificate, DER, with which the peer of a call proved itself.

    Raises:
        PeerError: it showed none.
    """
    shown = list(auth_context.get("x509_pem_cert", ()))
    if len(shown) != 1:
        raise PeerError("the peer showed no certificate; connect with one", "对端未出示证书，请使用证书连接")
    return _der(shown[0])


@functools.lru_cache(maxsize=4096)
def _der(pem: bytes) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(pem.decode("ascii").strip())
    except ValueError as error:
        raise PeerError("the peer's certificate cannot be read", "对端证书无法解析") from error


def _pem(key: PrivateKey) -> bytes:
    """The form in which gRPC takes a private key; it stays in memory."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
