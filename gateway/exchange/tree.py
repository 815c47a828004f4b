"""The Merkle tree (RFC 9162 section 2.1) over the parts of a message, under whose head the signature stands.

Several questions of different agencies share an envelope, and so do their answers. The signature is over the head of
the tree, so that each part can be proved alone, years later, without showing the others to whoever checks the proof.

Owns: leaf, head, the path of each leaf, and the head that a path leads to. Refuses: signatures, and knowing what a part
is.

A leaf is the hash of salt || payload. The salt is 16 random bytes: without it, whoever holds the path of one part could
guess what the part beside it says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

HASH_BYTES: Final = 32
SALT_BYTES: Final = 16
_SHA256: Final = hashlib.sha256()  # copied for each hash: OpenSSL looks the algorithm up at every new one


def leaf(salt: bytes, payload: bytes) -> bytes:
    """Hash of a part."""
    sha256 = _SHA256.copy()
    sha256.update(b"".join((b"\x00", salt, payload)))
    return sha256.digest()


def head(leaves: Sequence[bytes]) -> bytes:
    """Head of the tree (MTH) over at least one leaf."""
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return _node(head(leaves[:split]), head(leaves[split:]))


def paths(leaves: Sequence[bytes]) -> list[bytes]:
    """What leads from each leaf to the head (inclusion proofs): hashes one after another, lowest first."""
    return _with_paths(leaves)[1]


def _with_paths(leaves: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    if len(leaves) == 1:
        return leaves[0], [b""]
    split = _split(len(leaves))
    left, left_paths = _with_paths(leaves[:split])
    right, right_paths = _with_paths(leaves[split:])
    return _node(left, right), [*(way + right for way in left_paths), *(way + left for way in right_paths)]


def head_from(leaf_hash: bytes, position: int, count: int, way: bytes) -> bytes | None:
    """The head to which a path leads; None if it is no path of that position in a tree of so many leaves."""
    if not 0 <= position < count or len(way) % HASH_BYTES:
        return None
    hashes = [way[at : at + HASH_BYTES] for at in range(0, len(way), HASH_BYTES)]
    return _climb(leaf_hash, position, count, hashes) if len(hashes) == _depth(position, count) else None


def _climb(leaf_hash: bytes, position: int, count: int, hashes: list[bytes]) -> bytes:
    if count == 1:
        return leaf_hash
    split = _split(count)
    below, beside = hashes[:-1], hashes[-1]
    if position < split:
        return _node(_climb(leaf_hash, position, split, below), beside)
    return _node(beside, _climb(leaf_hash, position - split, count - split, below))


def _depth(position: int, count: int) -> int:
    depth = 0
    while count > 1:
        split = _split(count)
        position, count = (position, split) if position < split else (position - split, count - split)
        depth += 1
    return depth


def _split(count: int) -> int:
    """The largest power of two smaller than `count`."""
    return 1 << (count - 1).bit_length() - 1


def _node(left: bytes, right: bytes) -> bytes:
    return _hash(b"".join((b"\x01", left, right)))


def _hash(data: bytes) -> bytes:
    sha256 = _SHA256.copy()
    sha256.update(data)
    return sha256.digest()
