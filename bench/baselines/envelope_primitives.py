"""The bare cryptography of an envelope of suite 1: what sealing and opening cannot do without.

Sealing is one Ed25519 signature and one HPKE encryption, opening one HPKE decryption and one Ed25519 verification, on
bytes of the same lengths as the envelope's. No header, no frame, no padding, no checks, no message objects. A call
takes the next of a number of different messages: a signature over the same bytes again and again finds everything in
the cache, as none in service does.
"""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


class Message(NamedTuple):
    """What the primitives work on."""

    signed: bytes
    frame: bytes
    info: bytes


class Primitives:
    """Keys, and `messages` different messages of random bytes of the lengths given."""

    def __init__(self, *, messages: int, signed_bytes: int, frame_bytes: int, info_bytes: int) -> None:
        self._hpke = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        self._signing = Ed25519PrivateKey.generate()
        self._verification = self._signing.public_key()
        self._decryption = hpke.MLKEM768X25519PrivateKey(MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())
        self._encryption = self._decryption.public_key()
        plain = [
            Message(os.urandom(signed_bytes), os.urandom(frame_bytes), os.urandom(info_bytes)) for _ in range(messages)
        ]
        self._plain = itertools.cycle(plain)
        self._sealed = itertools.cycle([(one, *self._seal(one)) for one in plain])

    def seal(self) -> tuple[bytes, bytes]:
        """Signature and ciphertext of the next message."""
        return self._seal(next(self._plain))

    def open(self) -> bytes:
        """Frame of the next message, its signature verified."""
        message, signature, ciphertext = next(self._sealed)
        frame = self._hpke.decrypt(ciphertext, self._decryption, message.info)
        self._verification.verify(signature, message.signed)
        return frame

    def _seal(self, message: Message) -> tuple[bytes, bytes]:
        signature = self._signing.sign(message.signed)
        return signature, self._hpke.encrypt(message.frame, self._encryption, message.info)
