"""Sealing in two steps is HPKE as the library knows it, and no key is used twice."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import EnvelopeError
from gateway.exchange.encapsulating import XWingSealer

SENT_BYTES = 1088 + 32
LIBRARY = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
MLKEM = MLKEM768PrivateKey.from_seed_bytes(hashlib.sha512(b"recipient").digest())
X25519 = X25519PrivateKey.from_private_bytes(hashlib.sha256(b"recipient").digest())
PRIVATE = hpke.MLKEM768X25519PrivateKey(MLKEM, X25519)


def sealer() -> XWingSealer:
    return XWingSealer(MLKEM.public_key(), X25519.public_key())


@given(st.binary(max_size=3000), st.binary(max_size=300), st.booleans())
def test_the_library_opens_what_was_sealed_prepared_or_not(plaintext: bytes, info: bytes, prepared: bool) -> None:
    made = sealer()
    if prepared:
        made.prepare()
    sealed = made.seal(plaintext, info)
    assert len(sealed) == SENT_BYTES + len(plaintext) + 16
    assert LIBRARY.decrypt(sealed, PRIVATE, info) == plaintext


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("info", [b"", b"header", b"header of another message"])
def test_the_info_is_authenticated(info: bytes, prepared: bool) -> None:
    made = sealer()
    if prepared:
        made.prepare()
    sealed = made.seal(b"text", b"header of this message")
    with pytest.raises(InvalidTag):
        LIBRARY.decrypt(sealed, PRIVATE, info)


def test_what_was_prepared_is_used_once_and_needs_no_second_preparation() -> None:
    made = sealer()
    made.prepare()
    made.prepare()
    sent = [made.seal(b"text", b"info")[:SENT_BYTES] for _ in range(3)]
    assert len(set(sent)) == 3


def test_threads_that_seal_at_once_never_share_a_key() -> None:
    made = sealer()

    def many(_: int) -> list[bytes]:
        sent = []
        for _ in range(50):
            made.prepare()
            sent.append(made.seal(b"text", b"info")[:SENT_BYTES])
        return sent

    with ThreadPoolExecutor(8) as threads:
        sent = [each for batch in threads.map(many, range(8)) for each in batch]
    assert len(set(sent)) == len(sent) == 400


def test_a_key_of_low_order_is_refused_prepared_or_not() -> None:
    made = XWingSealer(MLKEM.public_key(), X25519PublicKey.from_public_bytes(bytes(32)))
    for attempt in (made.prepare, lambda: made.seal(b"text", b"info")):
        with pytest.raises(EnvelopeError) as caught:
            attempt()
        assert caught.value.code == "ENVELOPE_UNSUPPORTED"
