"""Private keys: making, keeping and naming them.

Owns: which kinds of key there are (ECDSA P-384 for roots, ECDSA P-256 for issuing CAs and TLS, Ed25519 for messages and
the directory, X-Wing seeds for decryption), their files, and key ids. Refuses: any other kind, and any key file that
someone besides its owner can read.

Keys are PEM, PKCS#8 (RFC 5958), encrypted when a passphrase is given; one that a person knows by heart is stretched
(`sealed_key`). An X-Wing private key is a 32-byte seed
(draft-connolly-cfrg-xwing-kem); PKCS#8 has no settled form for it, so it has an armour of our own (`seed_armour`).
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from certs import sealed_key, seed_armour
from certs.errors import KeyFileError
from certs.files import PRIVATE, read_secret, write_file
from certs.seed_armour import SEED_BYTES

PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
"""Of the curve, RFC 8032 section 5.1."""

MAX_PASSPHRASE_BYTES = 1023
"""Longest passphrase that OpenSSL takes for PKCS#8."""


def generate_authority_key() -> ec.EllipticCurvePrivateKey:
    """A new key for a federation root: ECDSA P-384."""
    return ec.generate_private_key(ec.SECP384R1())


def generate_issuing_key() -> ec.EllipticCurvePrivateKey:
    """A new key for an issuing CA: ECDSA P-256, as the keys that it certifies."""
    return ec.generate_private_key(ec.SECP256R1())


def generate_tls_key() -> ec.EllipticCurvePrivateKey:
    """A new key for a TLS certificate: ECDSA P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def generate_signing_key() -> Ed25519PrivateKey:
    """A new key for signing messages or directories: Ed25519 (RFC 8032)."""
    return Ed25519PrivateKey.generate()


def generate_xwing_seed() -> bytes:
    """A new X-Wing private key, as its 32-byte seed."""
    return secrets.token_bytes(SEED_BYTES)


def key_id(public_key: bytes) -> str:
    """Name of a public key: SHA-256 of its raw bytes, the first 16, hexadecimal."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def anybody_signs(public_key: bytes) -> bool:
    """Whether a raw Ed25519 public key is a point of small order or not in its one form, so that it is nobody's.

    Libraries take such keys, and under one of small order signatures verify that anybody can make, over whatever. Who
    had such a key certified could say later that somebody else signed.
    """
    y = int.from_bytes(public_key, "little") & ((1 << 255) - 1)
    if y >= _P or y in (0, 1, _P - 1):  # of order 4, 1 and 2
        return True
    return (_D * pow(y, 4, _P) + 2 * y * y - 1) % _P == 0  # of order 8: its double has y = 0, so x² = -y²


def raw_public_key(key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of an Ed25519 public key."""
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def store_private_key(
    path: Path, key: PrivateKey, *, passphrase: bytes | None = None, by_heart: bool = False, replace: bool = False
) -> None:
    """Write a private key, mode 0600, whole or not at all.

    Args:
        path: where; its folder must exist.
        key: the key.
        passphrase: encrypts the file (PBES2, AES-256) when given; 1 to 1,023 bytes.
        by_heart: whether a person knows it, so that it can be guessed by whoever has the file; opening it then takes a
            quarter of a second.
        replace: whether a file that is already there may be replaced.

    Raises:
        KeyFileError: it cannot be written, is there already, or the passphrase is empty or too long.
    """
    write_file(path, private_key_file(key, passphrase=passphrase, by_heart=by_heart), mode=PRIVATE, replace=replace)


def private_key_file(key: PrivateKey, *, passphrase: bytes | None = None, by_heart: bool = False) -> bytes:
    """What `store_private_key` writes.

    Raises:
        KeyFileError: the passphrase is empty or too long.
    """
    _check_passphrase(passphrase)
    if passphrase is None:
        return _pkcs8(key, serialization.Encoding.PEM, serialization.NoEncryption())
    if by_heart:
        return sealed_key.seal(_pkcs8(key, serialization.Encoding.DER, serialization.NoEncryption()), passphrase)
    return _pkcs8(key, serialization.Encoding.PEM, serialization.BestAvailableEncryption(passphrase))


def _pkcs8(
    key: PrivateKey, encoding: serialization.Encoding, encryption: serialization.KeySerializationEncryption
) -> bytes:
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption)


def load_private_key(path: Path, *, passphrase: bytes | None = None) -> PrivateKey:
    """Read a private key.

    Raises:
        KeyFileError: the file cannot be read or is open to others, is no PKCS#8 PEM, needs another passphrase, or holds
            a kind of key that is not used here.
    """
    data = read_secret(path)
    try:
        key = serialization.load_pem_private_key(data, passphrase)
    except TypeError as error:
        # What cryptography raises when a passphrase is missing, or given for a key that has none.
        en, zh = (
            ("is encrypted; give its passphrase", "已加密，请提供口令")
            if passphrase is None
            else ("is not encrypted, though a passphrase was given", "未加密，但提供了口令")
        )
        raise KeyFileError(f"{path}: {en}", f"{path}：{zh}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"{path}: not a private key in PEM (PKCS#8), or a wrong passphrase",
            f"{path}：不是 PEM（PKCS#8）私钥，或口令错误",
        ) from error
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    raise KeyFileError(
        f"{path}: unsuitable kind of key; ECDSA P-256, ECDSA P-384 and Ed25519 are used",
        f"{path}：密钥类型不适用；应为 ECDSA P-256、ECDSA P-384 或 Ed25519",
    )


def load_signing_key(path: Path, *, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read an Ed25519 private key.

    Raises:
        KeyFileError: as `load_private_key`, or the key is of another kind.
    """
    key = load_private_key(path, passphrase=passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: not an Ed25519 key, which signing needs", f"{path}：不是签名所需的 Ed25519 密钥")
    return key


def load_signing_seed(path: Path, *, passphrase: bytes | None = None) -> bytes:
    """The 32 bytes of an Ed25519 private key (RFC 8032), as the envelope's suite takes it.

    Raises:
        KeyFileError: as `load_signing_key`.
    """
    return load_signing_key(path, passphrase=passphrase).private_bytes_raw()


def xwing_public_key(seed: bytes) -> bytes:
    """The 1,216 bytes of the public key of a seed: ML-KEM-768, then X25519 (draft-connolly-cfrg-xwing-kem)."""
    stretched = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(stretched[:64]).public_key()
    x25519 = X25519PrivateKey.from_private_bytes(stretched[64:]).public_key()
    return mlkem.public_bytes_raw() + x25519.public_bytes_raw()


def store_xwing_seed(path: Path, seed: bytes, *, passphrase: bytes | None = None, replace: bool = False) -> None:
    """Write an X-Wing seed, mode 0600, whole or not at all; encrypted when a passphrase is given.

    Raises:
        KeyFileError: it has not 32 bytes, cannot be written, is there already and `replace` is false, or the passphrase
            is empty or too long.
    """
    write_file(path, xwing_seed_file(seed, passphrase=passphrase), mode=PRIVATE, replace=replace)


def xwing_seed_file(seed: bytes, *, passphrase: bytes | None = None) -> bytes:
    """What `store_xwing_seed` writes.

    Raises:
        KeyFileError: it has not 32 bytes, or the passphrase is empty or too long.
    """
    _check_passphrase(passphrase)
    return seed_armour.encode(seed, passphrase)


def load_xwing_seed(path: Path, *, passphrase: bytes | None = None) -> bytes:
    """Read an X-Wing seed, 32 bytes.

    Raises:
        KeyFileError: the file cannot be read, is open to others, needs another passphrase or none, or is not exactly
            what `store_xwing_seed` writes.
    """
    data = read_secret(path)
    if seed_armour.is_encrypted(data) and passphrase is None:
        raise KeyFileError(f"{path}: is encrypted; give its passphrase", f"{path}：已加密，请提供口令")
    seed = seed_armour.decode(data, passphrase)
    if seed is None:
        # Not chained: a cause may quote the file.
        raise KeyFileError(
            f"{path}: not an X-Wing seed file as this program writes it, or a wrong passphrase",
            f"{path}：不是本程序写出的 X-Wing 种子文件，或口令错误",
        )
    return seed


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file, without a line end after it.

    Raises:
        KeyFileError: the file cannot be read, is open to others, or holds no usable passphrase.
    """
    passphrase = read_secret(path).removesuffix(b"\n").removesuffix(b"\r")
    if not 0 < len(passphrase) <= MAX_PASSPHRASE_BYTES:
        raise KeyFileError(
            f"{path}: holds no secret of 1 to {MAX_PASSPHRASE_BYTES} bytes; write it there, in one line",
            f"{path}：内容应为 1 至 {MAX_PASSPHRASE_BYTES} 字节，请写入一行",
        )
    return passphrase


def _check_passphrase(passphrase: bytes | None) -> None:
    if passphrase is not None and not 0 < len(passphrase) <= MAX_PASSPHRASE_BYTES:
        raise KeyFileError(
            f"a passphrase has 1 to {MAX_PASSPHRASE_BYTES} bytes",
            f"口令长度应为 1 至 {MAX_PASSPHRASE_BYTES} 字节",
        )
