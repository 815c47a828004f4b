"""A private key under a passphrase, stretched as often as is asked for.

By default as for one that a person knows by heart: such a file lies on a medium that can be stolen.

Owns: writing it as PKCS#8 (RFC 5958) by PBES2 (RFC 8018): PBKDF2 with HMAC-SHA-256, then AES-256-CBC. pyca/cryptography
writes the same with 2,048 rounds and takes no other number, which holds up nobody who guesses with graphics cards; it
reads any number of rounds, and so does OpenSSL. Refuses: reading, and files.
"""

from __future__ import annotations

import base64
import secrets
import textwrap
from typing import Final

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.x509 import ObjectIdentifier

ROUNDS: Final = 600_000
"""Some fifth of a second: what the OWASP Password Storage Cheat Sheet asks for."""

_SALT_BYTES, _KEY_BYTES, _BLOCK_BYTES = 16, 32, 16


@asn1.sequence
class _Prf:
    algorithm: ObjectIdentifier
    parameters: asn1.Null


@asn1.sequence
class _Stretching:
    salt: bytes
    rounds: int
    prf: _Prf


@asn1.sequence
class _StretchedBy:
    algorithm: ObjectIdentifier
    parameters: _Stretching


@asn1.sequence
class _Cipher:
    algorithm: ObjectIdentifier
    vector: bytes


@asn1.sequence
class _Both:
    stretched_by: _StretchedBy
    cipher: _Cipher


@asn1.sequence
class _How:
    algorithm: ObjectIdentifier
    parameters: _Both


@asn1.sequence
class _Sealed:
    how: _How
    data: bytes


def seal(plain: bytes, passphrase: bytes, *, rounds: int | None = None) -> bytes:
    """The PEM file of a key.

    Args:
        plain: the key, PKCS#8 in DER.
        passphrase: what a person knows.
        rounds: how often it is stretched, at least once; `ROUNDS` unless told. Fewer only for what nobody can guess.
    """
    times = ROUNDS if rounds is None else rounds
    salt, vector = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_BLOCK_BYTES)
    key = PBKDF2HMAC(hashes.SHA256(), _KEY_BYTES, salt, times).derive(passphrase)
    padder = padding.PKCS7(8 * _BLOCK_BYTES).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    data = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    hmac_sha256 = _Prf(algorithm=ObjectIdentifier("1.2.840.113549.2.9"), parameters=asn1.Null())
    pbkdf2 = _StretchedBy(
        algorithm=ObjectIdentifier("1.2.840.113549.1.5.12"),
        parameters=_Stretching(salt=salt, rounds=times, prf=hmac_sha256),
    )
    aes_256_cbc = _Cipher(algorithm=ObjectIdentifier("2.16.840.1.101.3.4.1.42"), vector=vector)
    pbes2 = _How(
        algorithm=ObjectIdentifier("1.2.840.113549.1.5.13"),
        parameters=_Both(stretched_by=pbkdf2, cipher=aes_256_cbc),
    )
    text = textwrap.fill(base64.b64encode(asn1.encode_der(_Sealed(how=pbes2, data=data))).decode(), 64)
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{text}\n-----END ENCRYPTED PRIVATE KEY-----\n".encode()
