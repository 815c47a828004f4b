"""Keys for envelopes: own ones, and those of other members as the directory gives them.

Owns: key objects made once and used many times, key ids, and the two interfaces `envelope` needs (`OwnKeys`,
`Keyring`). Refuses: files, passphrases, certificates and rotation, which are the work of `certs`; deciding who is a
member, which is the work of `gateway.federation.directory`. No key object keeps, prints or returns a private key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.errors import ConfigError
from gateway.exchange.header import is_member_id
from gateway.exchange.suites import SUITE_1, Decrypt, Encrypt, Prepare, Sign, Suite, Verify

FOREVER_MS: Final = (1 << 63) - 1
"""Validity end of a key that has none of its own."""

_ID_BYTES: Final = 16


def key_id(public_raw: bytes) -> str:
    """Id of a key in header and directory: SHA-256 of the raw public key, first 16 bytes, lower-case hexadecimal."""
    return hashlib.sha256(public_raw).digest()[:_ID_BYTES].hex()


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """An own private key that signs messages. `sign` may reach into a hardware module."""

    suite: Suite = field(repr=False)
    sign: Sign = field(repr=False)
    public_raw: bytes = field(repr=False)
    key_id: str

    @classmethod
    def from_seed(cls, seed: bytes, suite: Suite = SUITE_1) -> SigningKey:
        """From the raw private key; suite 1: the 32 bytes of Ed25519 (RFC 8032). Raises ConfigError."""
        sign, public_raw = suite.signer(seed)
        return cls(suite, sign, public_raw, key_id(public_raw))


@dataclass(frozen=True, slots=True, eq=False)
class VerifyKey:
    """Another member's public key for its signatures. `verify(signature, data)` raises EnvelopeError."""

    suite: Suite = field(repr=False)
    verify: Verify = field(repr=False)
    public_raw: bytes = field(repr=False)
    key_id: str

    @classmethod
    def from_raw(cls, public_raw: bytes, suite: Suite = SUITE_1) -> VerifyKey:
        """From the raw public key; suite 1: 32 bytes. Raises ConfigError."""
        return cls(suite, suite.verifier(public_raw), public_raw, key_id(public_raw))


@dataclass(frozen=True, slots=True, eq=False)
class DecryptionKey:
    """An own private key to which others seal. Opens what was issued from `not_before_ms` to `not_after_ms`."""

    suite: Suite = field(repr=False)
    decrypt: Decrypt = field(repr=False)
    public_raw: bytes = field(repr=False)
    key_id: str
    not_before_ms: int
    not_after_ms: int

    @classmethod
    def from_seed(
        cls, seed: bytes, *, not_before_ms: int = 0, not_after_ms: int = FOREVER_MS, suite: Suite = SUITE_1
    ) -> DecryptionKey:
        """From the raw private key; suite 1: the 32-byte seed of X-Wing. Raises ConfigError."""
        decrypt, public_raw = suite.opener(seed)
        return cls(suite, decrypt, public_raw, key_id(public_raw), not_before_ms, not_after_ms)


@dataclass(frozen=True, slots=True, eq=False)
class EncryptionKey:
    """Another member's public key, to which messages for it are sealed."""

    suite: Suite = field(repr=False)
    encrypt: Encrypt = field(repr=False)
    public_raw: bytes = field(repr=False)
    key_id: str
    prepare: Prepare = field(repr=False)

    @classmethod
    def from_raw(cls, public_raw: bytes, suite: Suite = SUITE_1) -> EncryptionKey:
        """From the raw public key; suite 1: the 1,216 bytes of X-Wing. Raises ConfigError."""
        encrypt, prepare = suite.encrypter(public_raw)
        return cls(suite, encrypt, public_raw, key_id(public_raw), prepare)


@dataclass(frozen=True, slots=True, eq=False)
class OwnKeys:
    """What a gateway holds of its own: who it is, the key it signs with, and every key it can still open, by key id."""

    member_id: str
    signing: SigningKey
    decryption: Mapping[str, DecryptionKey]

    @classmethod
    def of(cls, member_id: str, signing: SigningKey, *decryption: DecryptionKey) -> OwnKeys:
        """From keys in any order. Raises ConfigError if there is none to open with, or the member id is malformed."""
        if not is_member_id(member_id):
            raise ConfigError(
                "The member id must be a unified social credit code of 18 characters (GB 32100).",
                "成员编号须为 18 位统一社会信用代码（GB 32100）。",
                field="member_id",
            )
        if not decryption:
            raise ConfigError(
                "At least one decryption key is needed.", "至少需要一个解密密钥。", field="encryption_keys"
            )
        return cls(member_id, signing, {key.key_id: key for key in decryption})


class Keyring(Protocol):
    """Other members' keys, as the directory gives them."""

    def verify_key(self, member_id: str, key_id: str, at_ms: int) -> VerifyKey:
        """The member's signing key of that id, valid at `at_ms` (Unix ms).

        Raises:
            EnvelopeError: STRANGER, if there is no such member or key, or the key is not valid at that time.
            DirectoryError: the directory has expired.
        """
        ...

    def encryption_key(self, member_id: str, at_ms: int) -> EncryptionKey:
        """The key to which messages for that member are sealed at `at_ms` (Unix ms).

        Raises:
            EnvelopeError: STRANGER, if there is no such member or none of its keys is valid at that time.
            DirectoryError: the directory has expired.
        """
        ...
