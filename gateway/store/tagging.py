"""Keyed tags of texts, a million as cheaply as one: what stands for numbers, names, faces and references at rest.

    48 bytes a text:  its length, its UTF-8, zeros           of one longer than 47 bytes: 255, its SHA-256, zeros
    tag:              CBC-MAC over these three blocks under AES-256, all 16 bytes of it

CBC-MAC over messages of one length is a pseudorandom function as long as AES is one (Bellare, Kilian, Rogaway, 2000),
so without the key a tag says nothing of the text, and texts cannot be tried. HMAC-SHA256 would do the same at a
microsecond a text and a Python object for each; here three calls do all texts.

Owns: this function, and texts as one byte string with their lengths. Refuses: the key's origin (`gateway.store.keys`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

TAG_BYTES: Final = 16
_BLOCKS: Final = 3
_WIDTH: Final = _BLOCKS * TAG_BYTES
_MOST: Final = _WIDTH - 1
_HASHED: Final = 255
_AT_ONCE: Final = 1 << 16
"""Texts made into blocks at once: 3 MB, and as much again while they are filled in."""

Tags = NDArray[np.void]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of a column.

    Args:
        data: their UTF-8, one after another.
        length: of each, in bytes.
    """

    data: bytes
    length: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Those of a list."""
        joined = "".join(texts)
        if joined.isascii():
            return cls(joined.encode("ascii"), np.fromiter(map(len, texts), np.int64, len(texts)))
        encoded = [text.encode() for text in texts]
        return cls(b"".join(encoded), np.fromiter(map(len, encoded), np.int64, len(encoded)))

    def __len__(self) -> int:
        return len(self.length)

    def __repr__(self) -> str:
        """Nothing of them, whoever logs it."""
        return f"<{len(self)} texts>"


def tags(key: bytes, texts: Texts) -> Tags:
    """What stands for each text under a key of 32 bytes: an array of `V16`."""
    found = np.empty((len(texts.length), TAG_BYTES), np.uint8)
    ends = np.cumsum(texts.length)
    for first in range(0, len(found), _AT_ONCE):
        length = texts.length[first : first + _AT_ONCE]
        start = int(ends[first] - length[0])
        data = texts.data[start : int(ends[first + len(length) - 1])]
        found[first : first + len(length)] = _chained(key, _blocks(data, length))
    return found.view(f"V{TAG_BYTES}").reshape(-1)


def again(key: bytes, made: Tags) -> Tags:
    """Tags of tags: one block each, under a key of its own for every use."""
    data = np.ascontiguousarray(made).tobytes()
    return np.frombuffer(_cipher(key).update(data), f"V{TAG_BYTES}")


def _blocks(data: bytes, length: NDArray[np.int64]) -> Bytes:
    """The 48 bytes of each text."""
    blocks = np.zeros((len(length), _WIDTH), np.uint8)
    source = np.frombuffer(data, np.uint8)
    long = np.flatnonzero(length > _MOST)
    if len(long):
        ends = np.cumsum(length)
        digests = [hashlib.sha256(data[int(ends[at] - length[at]) : int(ends[at])]).digest() for at in long.tolist()]
        source = source[np.repeat(length <= _MOST, length)]
        length = np.where(length > _MOST, 0, length)
    blocks[:, 0] = length
    blocks[:, 1:][np.arange(_MOST) < length[:, None]] = source
    if len(long):
        blocks[long, 0] = _HASHED
        blocks[long, 1:33] = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
    return blocks


def _chained(key: bytes, blocks: Bytes) -> Bytes:
    cipher = _cipher(key)
    state = np.zeros((len(blocks), TAG_BYTES), np.uint8)
    for place in range(0, _WIDTH, TAG_BYTES):
        mixed = state ^ blocks[:, place : place + TAG_BYTES]
        state = np.frombuffer(cipher.update(mixed.tobytes()), np.uint8).reshape(-1, TAG_BYTES)
    return state


def _cipher(key: bytes) -> CipherContext:
    """The bare block cipher, of which the chaining above makes a MAC of each row."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  a building block, not a mode of encryption
