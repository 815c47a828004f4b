"""HPKE to an X-Wing key in two steps: a fresh key is encapsulated ahead, and used once when there is something to seal.

Owns: RFC 9180's SealBase for KEM 0x647a, HKDF-SHA256, AES-256-GCM, put together from the primitives so that the slow
part, which depends on the recipient alone, can be done while a gateway waits for somebody. What it seals, any HPKE
opens; tests hold it to the library's own. Where no key is ready the library seals, in one call. Refuses: opening (the
library does), other suites, and using an encapsulated key twice: whoever takes one takes it out.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import EnvelopeError
from gateway.exchange.refusals import unsupported

HPKE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
"""The same in the library."""

_SUITE_ID: Final = b"HPKE" + (0x647A).to_bytes(2) + (0x0001).to_bytes(2) + (0x0002).to_bytes(2)
_VERSION: Final = b"HPKE-v1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_HASH: Final = "sha256"
_XWING_LABEL: Final = bytes.fromhex("5c2e2f2f5e5c")
"""Six bytes that draw two wings, draft-connolly-cfrg-xwing-kem, 5.3."""


def _extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """LabeledExtract, RFC 9180, 4."""
    return hmac.digest(salt, b"".join((_VERSION, _SUITE_ID, label, ikm)), _HASH)


_PSK_ID_HASH: Final = _extract(b"", b"psk_id_hash", b"")
_BEFORE_INFO: Final = b"".join((_VERSION, _SUITE_ID, b"info_hash"))
_KEY: Final = b"".join((_KEY_BYTES.to_bytes(2), _VERSION, _SUITE_ID, b"key", b"\x00", _PSK_ID_HASH))
_NONCE: Final = b"".join((_NONCE_BYTES.to_bytes(2), _VERSION, _SUITE_ID, b"base_nonce", b"\x00", _PSK_ID_HASH))
"""What LabeledExpand hashes before the hash of the info: mode base (0), no psk."""


class _Encapsulated(NamedTuple):
    """A key for one message: what its schedule starts from, and what travels for it."""

    secret: bytes
    sent: bytes


def _low_order() -> EnvelopeError:
    return unsupported(
        "header.encryption_key_id", "the recipient's key is of low order", "接收方密钥为低阶点，不可使用"
    )


class XWingSealer:
    """Seals to one public key.

    Args:
        mlkem: the one half of the recipient's key.
        x25519: the other.
    """

    __slots__ = ("_mlkem", "_public", "_ready", "_x25519", "_x25519_raw")

    def __init__(self, mlkem: MLKEM768PublicKey, x25519: X25519PublicKey) -> None:
        self._mlkem = mlkem
        self._x25519 = x25519
        self._x25519_raw = x25519.public_bytes_raw()
        self._public = hpke.MLKEM768X25519PublicKey(mlkem, x25519)
        self._ready: list[_Encapsulated] = []

    def prepare(self) -> None:
        """Have a key encapsulated for the next message, if there is none. Raises as `seal`."""
        if not self._ready:
            self._ready.append(self._encapsulate())

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """The encapsulated key and the ciphertext behind it; `info` is authenticated, but not sent.

        Raises:
            EnvelopeError: ENVELOPE_UNSUPPORTED, the recipient's X25519 key is of low order (RFC 7748, 6.1).
        """
        if not self._ready:
            return self._seal_at_once(plaintext, info)
        try:
            secret, sent = self._ready.pop()  # taken out at once: threads seal too
        except IndexError:
            return self._seal_at_once(plaintext, info)
        info_hash = hmac.digest(b"", _BEFORE_INFO + info, _HASH)
        key = hmac.digest(secret, _KEY + info_hash + b"\x01", _HASH)
        nonce = hmac.digest(secret, _NONCE + info_hash + b"\x01", _HASH)[:_NONCE_BYTES]
        return sent + AESGCM(key).encrypt(nonce, plaintext, None)

    def _seal_at_once(self, plaintext: bytes, info: bytes) -> bytes:
        """By the library: one call costs a tenth less than its steps one by one."""
        try:
            return HPKE.encrypt(plaintext, self._public, info)
        except ValueError:
            raise _low_order() from None

    def _encapsulate(self) -> _Encapsulated:
        """X-Wing's Encapsulate, and as much of the key schedule as does not depend on the message."""
        ephemeral = X25519PrivateKey.generate()
        sent_x25519 = ephemeral.public_key().public_bytes_raw()
        try:
            shared_x25519 = ephemeral.exchange(self._x25519)
        except ValueError:
            raise _low_order() from None
        shared_mlkem, sent_mlkem = self._mlkem.encapsulate()
        shared = hashlib.sha3_256(
            b"".join((shared_mlkem, shared_x25519, sent_x25519, self._x25519_raw, _XWING_LABEL))
        ).digest()
        return _Encapsulated(_extract(shared, b"secret", b""), sent_mlkem + sent_x25519)
