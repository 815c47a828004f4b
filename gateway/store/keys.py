"""The store's key: one secret of 32 bytes, from which everything keyed at rest is derived.

Owns: the key file, the sub keys (HKDF-SHA256, RFC 5869, one label for each use), encryption of bodies, blind indexes,
tags of digests and of counters, order keys, keys of answers that may be given again, the MACs of the audit trail, of
administrative acts and of decisions about recipients. Refuses: a key file that others may read, and handing out a sub
key, but for the one of the officials' pseudonyms, which belongs to the asking side.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from certs.private_files import objection, open_to_others, opened
from certs.system_words import cause
from gateway.errors import StoreError
from gateway.store.post_tables import ORDER_KEY_BYTES
from gateway.store.tables import BLIND_INDEX_BYTES, USE_TAG_BYTES
from gateway.store.tagging import Tags, Texts, again, tags

KEY_BYTES = 32
_BODY_VERSION = b"\x01"
_SALT_BYTES = 16
_NONCE_BYTES = 12


class StoreKeys:
    """What the store does with its key. Two stores with the same key produce the same indexes and MACs."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 secret bytes.

        Raises:
            StoreError: the key has another length.
        """
        if len(key) != KEY_BYTES:
            raise StoreError(
                f"the store key has {len(key)} bytes instead of {KEY_BYTES}; restore the key file from its backup",
                f"存储密钥长度为 {len(key)} 字节，应为 {KEY_BYTES} 字节，请从备份恢复密钥文件",
                retryable=False,
            )
        self._body = HMAC(_derive(key, b"body"), SHA256())
        self._blind = HMAC(_derive(key, b"blind-index"), SHA256())
        self._digest = HMAC(_derive(key, b"question-digest"), SHA256())
        self._protected = HMAC(_derive(key, b"protected-person"), SHA256())
        self._use = HMAC(_derive(key, b"access-use"), SHA256())
        self._acts = HMAC(_derive(key, b"access-act-mac"), SHA256())
        self._order = HMAC(_derive(key, b"order-key"), SHA256())
        self._decisions = HMAC(_derive(key, b"decision-mac"), SHA256())
        self._once = HMAC(_derive(key, b"certification"), SHA256())
        self._cache = HMAC(_derive(key, b"answer-cache"), SHA256())
        self._audit = HMAC(_derive(key, b"audit-mac"), SHA256())
        self.pseudonym_key = _derive(key, b"pseudonym")
        """For the asking side, under which officials become pseudonyms."""
        self.check_value = _derive(key, b"check")
        """Tells whether a key is this store's, without being of use to anyone who reads it."""

    def encrypt(self, plaintext: bytes, bound_to: bytes) -> bytes:
        """AES-256-GCM under a key of its own; opens only with the same `bound_to`.

        The key of a body is HMAC-SHA256 of a random salt, so that no number of bodies comes near the limit of 2^32
        messages under random nonces of NIST SP 800-38D, section 8.3.
        """
        return b"".join(self.encrypt_apart(plaintext, bound_to))

    def encrypt_apart(self, plaintext: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
        """The same in two pieces, for large ones: together they would be there twice."""
        fresh = os.urandom(_SALT_BYTES + _NONCE_BYTES)
        salt, nonce = fresh[:_SALT_BYTES], fresh[_SALT_BYTES:]
        cipher = AESGCM(_mac(self._body, salt))
        return _BODY_VERSION + fresh, cipher.encrypt(nonce, plaintext, bound_to)

    def decrypt(self, body: bytes, bound_to: bytes) -> bytes:
        """The plaintext of `encrypt`.

        Raises:
            StoreError: the body was changed, belongs elsewhere, or was written under another key.
        """
        start = len(_BODY_VERSION)
        salt = body[start : start + _SALT_BYTES]
        nonce = body[start + _SALT_BYTES : start + _SALT_BYTES + _NONCE_BYTES]
        if not body.startswith(_BODY_VERSION) or len(nonce) != _NONCE_BYTES:
            raise _unreadable()
        cipher = AESGCM(_mac(self._body, salt))
        try:
            return cipher.decrypt(nonce, memoryview(body)[start + _SALT_BYTES + _NONCE_BYTES :], bound_to)
        except InvalidTag as error:
            raise _unreadable() from error

    def blind_index(self, id_number: str) -> bytes:
        """By what a person's rows are found: HMAC-SHA256 of the normalised number, its first 16 bytes."""
        return _mac(self._blind, id_number.encode())[:BLIND_INDEX_BYTES]

    def digest_tag(self, digest: bytes) -> bytes:
        """What stands for the digest of a question: HMAC-SHA256 of it, 32 bytes, the same for the same digest.

        Identity numbers can be guessed, so whoever has the digest of a question can find out whom it is about. The tag
        is of no use for that without the key, and with it a message can still be matched to its record.
        """
        return _mac(self._digest, digest)

    def protected_digest(self, id_number: str) -> bytes:
        """What stands for a protected person: HMAC-SHA256 of the normalised number, its first 16 bytes.

        Another key than that of the blind indexes: the list cannot be matched with whom kept answers are about.
        """
        return _mac(self._protected, id_number.encode())[:BLIND_INDEX_BYTES]

    def use_tag(self, of: bytes) -> bytes:
        """What stands for the grant, member and official of a counter: HMAC-SHA256, its first 16 bytes."""
        return _mac(self._use, of)[:USE_TAG_BYTES]

    def order_key(self, partner: str, id_number: str) -> bytes:
        """Under which deliveries about a person are kept in order: a keyed token, another one for each partner."""
        return _mac(self._order, partner.encode() + b"\x00" + id_number.encode())[:ORDER_KEY_BYTES]

    def cache_key(self, terms: bytes) -> bytes:
        """What an answer that may be used again is found by: HMAC-SHA256 of all that it was asked under, 32 bytes."""
        return _mac(self._cache, terms)

    def once_tags(self, label: str, texts: Texts) -> Tags:
        """What stands for numbers, names, faces and references in the once-only gate; see `gateway.store.tagging`.

        Args:
            label: what the texts are; under another label the same text has another tag.
            texts: the texts.
        """
        return tags(_mac(self._once, label.encode()), texts)

    def once_again(self, label: str, made: Tags) -> Tags:
        """Tags of such tags, under a label of their own."""
        return again(_mac(self._once, b"again\x00" + label.encode()), made)

    def act_mac(self, data: bytes) -> bytes:
        """HMAC-SHA256 for one link of the administrative acts."""
        return _mac(self._acts, data)

    def decision_mac(self, data: bytes) -> bytes:
        """HMAC-SHA256 for one link of the record of decisions about recipients."""
        return _mac(self._decisions, data)

    def audit_mac(self, data: bytes) -> bytes:
        """HMAC-SHA256 for one link of the audit trail."""
        return _mac(self._audit, data)


def load_or_create_key(path: Path, *, may_create: bool) -> bytes:
    """The bytes of the key file; a new key where there is none and `may_create`.

    The file appears complete or not at all, with mode 0600, and is on the disk when this returns.

    Raises:
        StoreError: the file is missing and must not be, belongs to another user, others may read it, or it
            cannot be read or written.
    """
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            if not may_create:
                raise
        _create(path)
        return _read(path)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path}: the key of this store is missing; restore it from its backup, nothing can be read without it",
            f"{path}：存储密钥文件缺失，请从备份恢复；没有它，已存数据无法读取",
            retryable=False,
        ) from error
    except OSError as error:
        raise StoreError(
            f"{path}: the key file cannot be used ({cause(error).en}); check the path and its permissions",
            f"{path}：密钥文件无法使用（{cause(error).zh}），请检查路径与权限",
            retryable=False,
        ) from error


def _read(path: Path) -> bytes:
    descriptor = opened(path)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - what is checked is what is read
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and open_to_others(status):
            mode = stat.S_IMODE(status.st_mode)
            raise StoreError(
                f"{path}: others may read the key file (mode {mode:04o}); run chmod 600 on it and consider it exposed",
                f"{path}：密钥文件权限为 {mode:04o}，他人可读；请执行 chmod 600，并视该密钥为已泄露",
                retryable=False,
            )
        if (found := objection(status)) is not None:
            mend = f"{found.command} {path}" if found.command else ""
            raise StoreError(
                f"{path}: {found.en}" + (f"; run: {mend}" if mend else "; restore the key file from its backup"),
                f"{path}：{found.zh}" + (f"，请执行：{mend}" if mend else "，请从备份恢复密钥文件"),
                retryable=False,
            )
        return file.read(KEY_BYTES + 1)


def _create(path: Path) -> None:
    """Write under another name, then link: a crash leaves no half key, and a key that is there is never replaced."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _mac(keyed: HMAC, data: bytes) -> bytes:
    """HMAC-SHA256 under a key that was set up once, which takes half the time of setting it up for each."""
    mac = keyed.copy()
    mac.update(data)
    return mac.finalize()


def _derive(key: bytes, use: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"wugan-store-v1\x00" + use).derive(key)


def _unreadable() -> StoreError:
    return StoreError(
        "a stored record does not decrypt: it was changed, or the store key is not the one it was written under",
        "已存记录无法解密：记录被改动，或存储密钥与写入时不一致",
        retryable=False,
    )
