"""The text form of an X-Wing seed, plain or under a passphrase. PKCS#8 has no settled form for one (certs.keys).

    -----BEGIN WUGAN X-WING SEED-----              Base64 of the 32 bytes
    -----BEGIN WUGAN ENCRYPTED X-WING SEED-----    Base64 of the 80 bytes below

    offset  bytes
    0       1      version, 1
    1       3      scrypt (RFC 7914): log2 of N, r, p
    4       16     salt of scrypt
    20      12     nonce of AES-256-GCM
    32      48     the seed, encrypted, and the tag; associated data: the begin line, then bytes 0 to 19

Owns: both forms, each one line of Base64 between begin and end line. Refuses: any other spelling of the same seed, and
parameters of scrypt that would cost more than a start may take or protect less than ours.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from certs.errors import KeyFileError

SEED_BYTES: Final = 32

_PLAIN: Final = "WUGAN X-WING SEED"
_ENCRYPTED: Final = "WUGAN ENCRYPTED X-WING SEED"
_VERSION: Final = 1
_LOG_N, _R, _P = 15, 8, 3
"""32 MiB, about a fifth of a second: what the OWASP Password Storage Cheat Sheet asks for with this little memory."""
_LARGEST_LOG_N: Final = 20
_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 12, 16
_HEAD_BYTES: Final = 4 + _SALT_BYTES


def is_encrypted(data: bytes) -> bool:
    """Whether a seed file says that it needs a passphrase."""
    return data.startswith(f"-----BEGIN {_ENCRYPTED}-----\n".encode())


def encode(seed: bytes, passphrase: bytes | None = None) -> bytes:
    """The file of a seed.

    Raises:
        KeyFileError: it has not 32 bytes.
    """
    if len(seed) != SEED_BYTES:
        raise KeyFileError(f"an X-Wing seed has {SEED_BYTES} bytes", f"X-Wing 种子应为 {SEED_BYTES} 字节")
    if passphrase is None:
        return _armour(_PLAIN, seed)
    head = bytes([_VERSION, _LOG_N, _R, _P]) + secrets.token_bytes(_SALT_BYTES)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(_stretched(head, passphrase)).encrypt(nonce, seed, _associated(head))
    return _armour(_ENCRYPTED, head + nonce + sealed)


def decode(data: bytes, passphrase: bytes | None = None) -> bytes | None:
    """The seed of a file; None where it is not exactly what `encode` writes, or the passphrase is not the one."""
    label = _PLAIN if passphrase is None else _ENCRYPTED
    try:
        body = base64.b64decode(data.split(b"\n")[1], validate=True)
    except (IndexError, binascii.Error):
        return None
    if not hmac.compare_digest(data, _armour(label, body)):
        return None
    if passphrase is not None:
        return _opened(body, passphrase)
    return body if len(body) == SEED_BYTES else None


def _opened(body: bytes, passphrase: bytes) -> bytes | None:
    head, nonce, sealed = body[:_HEAD_BYTES], body[_HEAD_BYTES:][:_NONCE_BYTES], body[_HEAD_BYTES + _NONCE_BYTES :]
    if len(sealed) != SEED_BYTES + _TAG_BYTES:
        return None
    version, log_n, r, p = head[:4]
    if version != _VERSION or not _LOG_N <= log_n <= _LARGEST_LOG_N or (r, p) != (_R, _P):
        return None
    try:
        return AESGCM(_stretched(head, passphrase)).decrypt(nonce, sealed, _associated(head))
    except InvalidTag:
        return None


def _stretched(head: bytes, passphrase: bytes) -> bytes:
    return Scrypt(salt=head[4:], length=32, n=1 << head[1], r=head[2], p=head[3]).derive(passphrase)


def _associated(head: bytes) -> bytes:
    return f"-----BEGIN {_ENCRYPTED}-----".encode() + head


def _armour(label: str, body: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.b64encode(body).decode()}\n-----END {label}-----\n".encode()
