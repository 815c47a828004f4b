"""Algorithm suites of the envelope, and the only place that calls their primitives.

Owns: what a suite must offer (`Suite`), suite 1 (`XWingEd25519`), and the table of suites in force (`suite_of`). A
further suite is one more class and one more row of the table; format, header and checks stay as they are.
Refuses: negotiation. The directory pins a suite to every key; an envelope of another suite than its keys is refused.

Keys are handed over as functions already bound to their key, so that a key in a hardware module fits in as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol, TypeAlias

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from certs.keys import anybody_signs
from gateway.errors import ConfigError
from gateway.exchange.encapsulating import HPKE, XWingSealer
from gateway.exchange.refusals import rejected, unsupported
from wugan.federation.v1 import envelope_pb2 as wire

SuiteId: TypeAlias = "wire.Suite.ValueType"

Sign: TypeAlias = Callable[[bytes], bytes]
"""Data to signature."""
Verify: TypeAlias = Callable[[bytes, bytes], None]
"""Signature, data; raises EnvelopeError (ENVELOPE_REJECTED) unless the signature holds."""
Encrypt: TypeAlias = Callable[[bytes, bytes], bytes]
"""Plaintext, info to ciphertext; `info` is authenticated but not sent."""
Decrypt: TypeAlias = Callable[[bytes, bytes], bytes]
"""Ciphertext, info to plaintext; raises EnvelopeError (ENVELOPE_REJECTED) unless both are as sealed."""

Prepare: TypeAlias = Callable[[], None]
"""Does ahead what sealing the next message takes and depends on the key alone."""

DIGEST_BYTES: Final = 32
"""Length of a message digest in every suite (SHA-256, SM3)."""


class Signer(NamedTuple):
    """A private signing key: the operation, and the raw public key that belongs to it."""

    sign: Sign
    public_raw: bytes


class Encrypter(NamedTuple):
    """A public encryption key: the operation, and what can be done ahead of it."""

    encrypt: Encrypt
    prepare: Prepare


class Opener(NamedTuple):
    """A private decryption key: the operation, and the raw public key that belongs to it."""

    decrypt: Decrypt
    public_raw: bytes


class Suite(Protocol):
    """One set of algorithms."""

    @property
    def id(self) -> SuiteId:
        """Number in the header."""
        ...

    @property
    def signature_bytes(self) -> int:
        """Length of a signature."""
        ...

    @property
    def overhead_bytes(self) -> int:
        """How much longer a ciphertext is than its plaintext."""
        ...

    def digest(self, data: bytes) -> bytes:
        """Hash of `data`, DIGEST_BYTES long."""
        ...

    def signer(self, seed: bytes) -> Signer:
        """Private signing key from its raw form. Raises ConfigError if that is no key."""
        ...

    def verifier(self, public_raw: bytes) -> Verify:
        """Public signing key from its raw form. Raises ConfigError if that is no key."""
        ...

    def opener(self, seed: bytes) -> Opener:
        """Private decryption key from its raw form. Raises ConfigError if that is no key."""
        ...

    def encrypter(self, public_raw: bytes) -> Encrypter:
        """Public encryption key from its raw form. Raises ConfigError if that is no key."""
        ...


def _no_key(field: str) -> ConfigError:
    return ConfigError(
        "A key has the wrong length or form for its suite. Export it again.",
        "密钥长度或格式与其算法套件不符，请重新导出。",
        field=field,
    )


class XWingEd25519:
    """Suite 1: HPKE base mode (RFC 9180) over X-Wing (ML-KEM-768 with X25519, KEM 0x647a,
    draft-connolly-cfrg-xwing-kem), HKDF-SHA256, AES-256-GCM; Ed25519 (RFC 8032); SHA-256.

    Raw keys: Ed25519 as in RFC 8032 (32 bytes each). X-Wing private: a 32-byte seed, stretched by SHAKE-256 to 96
    bytes, the first 64 the ML-KEM seed (d, z), the last 32 the X25519 scalar. X-Wing public: ML-KEM-768 key (1,184)
    then X25519 (32).
    """

    id: Final = wire.SUITE_XWING_ED25519
    signature_bytes: Final = 64
    overhead_bytes: Final = 1088 + 32 + 16  # ML-KEM ciphertext, X25519 ephemeral key, GCM tag

    _SEED_BYTES: Final = 32
    _MLKEM_PUBLIC_BYTES: Final = 1184
    _X25519_PUBLIC_BYTES: Final = 32

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()  # copied for each digest: OpenSSL looks the algorithm up at every new one

    def digest(self, data: bytes) -> bytes:
        """SHA-256."""
        sha256 = self._sha256.copy()
        sha256.update(data)
        return sha256.digest()

    def signer(self, seed: bytes) -> Signer:
        """Ed25519 private key from its 32 bytes. Raises ConfigError."""
        if len(seed) != self._SEED_BYTES:
            raise _no_key("signing_key")
        private = Ed25519PrivateKey.from_private_bytes(seed)
        return Signer(private.sign, private.public_key().public_bytes_raw())

    def verifier(self, public_raw: bytes) -> Verify:
        """Ed25519 public key from its 32 bytes. Raises ConfigError, also for one under which anybody can sign."""
        if anybody_signs(public_raw):
            raise _no_key("signing_keys.certificate")
        try:
            holds = Ed25519PublicKey.from_public_bytes(public_raw).verify
        except ValueError:
            raise _no_key("signing_keys.certificate") from None

        def verify(signature: bytes, data: bytes) -> None:
            try:
                holds(signature, data)
            except InvalidSignature:
                raise rejected() from None

        return verify

    def opener(self, seed: bytes) -> Opener:
        """X-Wing private key from its 32-byte seed. Raises ConfigError."""
        if len(seed) != self._SEED_BYTES:
            raise _no_key("encryption_keys")
        stretched = hashlib.shake_256(seed).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(stretched[:64])
        x25519 = X25519PrivateKey.from_private_bytes(stretched[64:])
        private = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        run = HPKE.decrypt

        def decrypt(ciphertext: bytes, info: bytes) -> bytes:
            try:
                return run(ciphertext, private, info)
            except (InvalidTag, ValueError):
                raise rejected() from None

        return Opener(decrypt, mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw())

    def encrypter(self, public_raw: bytes) -> Encrypter:
        """X-Wing public key from its 1,216 bytes. Raises ConfigError."""
        if len(public_raw) != self._MLKEM_PUBLIC_BYTES + self._X25519_PUBLIC_BYTES:
            raise _no_key("encryption_keys.public_key")
        try:
            sealer = XWingSealer(
                MLKEM768PublicKey.from_public_bytes(public_raw[: self._MLKEM_PUBLIC_BYTES]),
                X25519PublicKey.from_public_bytes(public_raw[self._MLKEM_PUBLIC_BYTES :]),
            )
        except ValueError:
            raise _no_key("encryption_keys.public_key") from None
        return Encrypter(sealer.seal, sealer.prepare)


SUITE_1: Final[Suite] = XWingEd25519()

_IN_FORCE: Final[Mapping[int, Suite]] = {SUITE_1.id: SUITE_1}


def suite_of(suite_id: int) -> Suite:
    """The suite of that number. Raises EnvelopeError (ENVELOPE_UNSUPPORTED) if it is unknown or not in force."""
    suite = _IN_FORCE.get(suite_id)
    if suite is None:
        raise unsupported("header.suite", "the suite is unknown or not in force here", "算法套件未知或本网关未启用")
    return suite
