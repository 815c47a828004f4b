"""Key objects: made from raw keys, named by their digest, silent about their secrets."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.errors import ConfigError, EnvelopeError
from gateway.exchange.keys import DecryptionKey, EncryptionKey, SigningKey, VerifyKey, key_id
from gateway.exchange.suites import SUITE_1, suite_of

SEED = bytes(range(32))


def test_a_key_id_is_the_first_half_of_the_sha_256_of_the_raw_public_key() -> None:
    assert key_id(b"raw") == hashlib.sha256(b"raw").hexdigest()[:32]


def test_private_and_public_halves_have_the_same_id() -> None:
    signing, decryption = SigningKey.from_seed(SEED), DecryptionKey.from_seed(SEED)
    assert VerifyKey.from_raw(signing.public_raw).key_id == signing.key_id
    assert EncryptionKey.from_raw(decryption.public_raw).key_id == decryption.key_id
    assert len(signing.public_raw) == 32
    assert len(decryption.public_raw) == 1216


def test_the_signature_is_plain_ed25519() -> None:
    signature = SigningKey.from_seed(SEED).sign(b"data")
    Ed25519PrivateKey.from_private_bytes(SEED).public_key().verify(signature, b"data")


def test_the_x_wing_key_is_that_of_the_draft() -> None:
    """First test vector of draft-connolly-cfrg-xwing-kem (its seed, and how its public key begins)."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    public_raw = DecryptionKey.from_seed(seed).public_raw
    assert public_raw[:16].hex() == "e2236b35a8c24b39b10aa1323a96a919"


def test_what_is_encrypted_opens_only_with_its_info() -> None:
    own = DecryptionKey.from_seed(SEED)
    sealed = EncryptionKey.from_raw(own.public_raw).encrypt(b"plain", b"info")
    assert len(sealed) == len(b"plain") + SUITE_1.overhead_bytes
    assert own.decrypt(sealed, b"info") == b"plain"
    with pytest.raises(EnvelopeError):
        own.decrypt(sealed, b"inf0")


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_no_key(size: int) -> None:
    with pytest.raises(ConfigError):
        SigningKey.from_seed(bytes(size))
    with pytest.raises(ConfigError):
        DecryptionKey.from_seed(bytes(size))


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33)])
def test_other_bytes_are_no_verification_key(raw: bytes) -> None:
    with pytest.raises(ConfigError):
        VerifyKey.from_raw(raw)


BY_NOBODY = b"\x01" + bytes(63)
"""A signature that no private key made: the neutral point, and zero."""
SMALL = [
    bytes.fromhex(text)
    for text in (
        "01" + "00" * 31,
        "00" * 32,
        "00" * 31 + "80",
        "ec" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "ff",
    )
]
"""Points of small order: 1, 4, 4, 2, 8, 8; and two that are not written as RFC 8032 has it."""


@pytest.mark.parametrize("raw", SMALL)
def test_a_key_under_which_anybody_can_sign_is_none(raw: bytes) -> None:
    library = Ed25519PublicKey.from_public_bytes(raw)
    forged = 0
    for at in range(200):
        with contextlib.suppress(InvalidSignature):
            library.verify(BY_NOBODY, b"%d" % at)
            forged += 1
    assert forged > 10  # so it is to be refused here
    with pytest.raises(ConfigError):
        VerifyKey.from_raw(raw)


@pytest.mark.parametrize("raw", [b"", bytes(1215), bytes(1217), b"\xff" * 1216])
def test_other_bytes_are_no_encryption_key(raw: bytes) -> None:
    with pytest.raises(ConfigError):
        EncryptionKey.from_raw(raw)


def test_a_key_prints_its_id_and_nothing_secret() -> None:
    for key in (SigningKey.from_seed(SEED), DecryptionKey.from_seed(SEED)):
        text = repr(key)
        assert key.key_id in text
        assert SEED.hex() not in text
        assert repr(SEED) not in text


def test_only_suite_1_is_in_force() -> None:
    assert suite_of(1) is SUITE_1
    for other in (0, 2, 3, -1):
        with pytest.raises(EnvelopeError):
            suite_of(other)
