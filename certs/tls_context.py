"""TLS contexts of Python's `ssl` for HTTPS with certificates of the federation.

Owns: a server context that asks for a client certificate without requiring one, a client context with or without a
certificate, and putting a key into either without a file on a disk. Refuses: TLS below 1.3, system roots, servers that
are not who they should be, and sessions: each connection proves anew who is at its ends.

The server does not ask whether a client's certificate has expired: it would end the connection without a word, and of
all that is wrong with certificates this happens to everybody once. Whoever decides what a client may do has to ask.
"""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import serialization

from certs import sealed_key
from certs.errors import KeyFileError
from certs.keys import PrivateKey

_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name."""


HandshakeFailed = Callable[[str, str], None]
"""Is told why a handshake came to nothing: OpenSSL's name of the reason, and what was wrong with a certificate, if it
was that. Both are words of OpenSSL, none of the other side's."""


def server_context(
    key: PrivateKey, chain_pem: bytes, roots_pem: bytes, failed: HandshakeFailed | None = None
) -> ssl.SSLContext:
    """For an HTTPS server; `load_identity` on it later changes what new connections see.

    A client's chain is verified but for its time: see the module.

    Args:
        key: the private key of the first certificate of `chain_pem`.
        chain_pem: the server's certificate, then the issuing CA's.
        roots_pem: whose clients are believed.
        failed: is told of handshakes that fail, by the event loop; asyncio itself tells nobody.

    Raises:
        KeyFileError: key and certificates do not belong together, or are none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if failed is not None:
        context.sslobject_class = _telling(failed)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= _NO_CHECK_TIME
    # Nobody of ours takes a session up again; the two tickets that a server hands out unasked are a sixth of what a
    # handshake costs it, because the client's certificates go into each.
    context.num_tickets = 0
    _load_roots(context, roots_pem)
    load_identity(context, key, chain_pem)
    return context


def client_context(roots_pem: bytes, key: PrivateKey | None = None, chain_pem: bytes = b"") -> ssl.SSLContext:
    """For an HTTPS client.

    Args:
        roots_pem: whose servers are believed; system roots are not.
        key: the client's private key, if it has one.
        chain_pem: its certificate, then the issuing CA's.

    Raises:
        KeyFileError: as `server_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load_roots(context, roots_pem)
    if key is not None:
        load_identity(context, key, chain_pem)
    return context


def load_identity(context: ssl.SSLContext, key: PrivateKey, chain_pem: bytes) -> None:
    """Let a context prove another certificate from its next connection on.

    Raises:
        KeyFileError: key and certificates do not belong together, or are none.
    """
    # ssl reads keys from files only. This one exists in memory, under no name that another process could open, and
    # encrypted, in case the memory is swapped out. Nobody guesses 256 random bits: stretching them more than once would
    # make nothing safer, and cost a millisecond each time that a key is renewed.
    passphrase = secrets.token_hex(32)
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = sealed_key.seal(plain, passphrase.encode(), rounds=1)
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem + chain_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=passphrase)
    except (OSError, ssl.SSLError) as error:
        raise KeyFileError(
            "key and certificate do not belong together, or are not in PEM", "密钥与证书不匹配，或不是 PEM 格式"
        ) from error
    finally:
        os.close(descriptor)


def _telling(failed: HandshakeFailed) -> type[ssl.SSLObject]:
    class Telling(ssl.SSLObject):
        """A connection whose handshake is told of if it fails."""

        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                about = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
                failed(error.reason or type(error).__name__, about)
                raise

    return Telling


def _load_roots(context: ssl.SSLContext, roots_pem: bytes) -> None:
    try:
        context.load_verify_locations(cadata=roots_pem.decode("ascii"))
    except (ValueError, ssl.SSLError) as error:
        raise KeyFileError("the roots are not certificates in PEM", "根证书不是 PEM 格式") from error
