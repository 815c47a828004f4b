"""Private keys: making, keeping and naming them.

Owns: which kinds of key there are (ECDSA P-384 for authorities, ECDSA P-256 for TLS, Ed25519 for messages and the
directory, X-Wing seeds for decryption), their files, and key ids. Refuses: any other kind, and any key file that
someone besides its owner can read.

Keys are PEM, PKCS#8 (RFC 5958), encrypted when a passphrase is given. An X-Wing private key is a 32-byte seed
(draft-connolly-cfrg-xwing-kem); PKCS#8 has no settled form for it, so it has an armour of our own, labelled
"WUGAN X-WING SEED".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from certs.errors import KeyFileError
from certs.files import PRIVATE, read_secret, write_file

PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey

SEED_BYTES = 32
MAX_PASSPHRASE_BYTES = 1023
"""Longest passphrase that OpenSSL takes for PKCS#8."""

_SEED_BEGIN = "-----BEGIN WUGAN X-WING SEED-----"
_SEED_END = "-----END WUGAN X-WING SEED-----"


def generate_authority_key() -> ec.EllipticCurvePrivateKey:
    """A new key for a certificate authority: ECDSA P-384."""
    return ec.generate_private_key(ec.SECP384R1())


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


def raw_public_key(key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of an Ed25519 public key."""
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def store_private_key(path: Path, key: PrivateKey, *, passphrase: bytes | None = None, replace: bool = False) -> None:
    """Write a private key, mode 0600, whole or not at all.

    Args:
        path: where; its folder must exist.
        key: the key.
        passphrase: encrypts the file (PBES2, AES-256) when given; 1 to 1,023 bytes.
        replace: whether a file that is already there may be replaced.

    Raises:
        KeyFileError: it cannot be written, is there already, or the passphrase is empty or too long.
    """
    if passphrase is not None and not 0 < len(passphrase) <= MAX_PASSPHRASE_BYTES:
        raise KeyFileError(
            f"a passphrase has 1 to {MAX_PASSPHRASE_BYTES} bytes",
            f"口令长度应为 1 至 {MAX_PASSPHRASE_BYTES} 字节",
        )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase),
    )
    write_file(path, pem, mode=PRIVATE, replace=replace)


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


def store_xwing_seed(path: Path, seed: bytes, *, replace: bool = False) -> None:
    """Write an X-Wing seed, mode 0600, whole or not at all.

    Raises:
        KeyFileError: it has not 32 bytes, cannot be written, or is there already and `replace` is false.
    """
    if len(seed) != SEED_BYTES:
        raise KeyFileError(f"an X-Wing seed has {SEED_BYTES} bytes", f"X-Wing 种子应为 {SEED_BYTES} 字节")
    write_file(path, _armour(seed), mode=PRIVATE, replace=replace)


def load_xwing_seed(path: Path) -> bytes:
    """Read an X-Wing seed, 32 bytes.

    Raises:
        KeyFileError: the file cannot be read, is open to others, or is not exactly what `store_xwing_seed` writes.
    """
    data = read_secret(path)
    try:
        seed = base64.b64decode(data.split(b"\n")[1], validate=True)
    except (IndexError, binascii.Error):
        # Not chained: the cause may quote the file.
        raise _bad_seed(path) from None
    if len(seed) != SEED_BYTES or data != _armour(seed):
        raise _bad_seed(path)
    return seed


def _armour(seed: bytes) -> bytes:
    return f"{_SEED_BEGIN}\n{base64.b64encode(seed).decode()}\n{_SEED_END}\n".encode()


def _bad_seed(path: Path) -> KeyFileError:
    return KeyFileError(
        f"{path}: not an X-Wing seed file ({_SEED_BEGIN}, one line of Base64, end line)",
        f"{path}：不是 X-Wing 种子文件（首行 {_SEED_BEGIN}，一行 Base64，末行结束标记）",
    )
