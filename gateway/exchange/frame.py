"""What is inside the ciphertext: signature, question digest, parts, padding; and the bytes that are signed.

    frame   = signature || question digest (32) || parts || zeros up to the bucket
    parts   = number of parts (u32, big-endian) || for each: salt (16) || payload length (u32) || payload
    signed  = "wugan-signature-v1" 0x00 || header length (u32) || header || question digest || number of parts (u32)
              || head of the tree over the parts (32, `gateway.exchange.tree`)

Owns: this layout and the padding buckets. Refuses: keys, and any opinion on header or payloads. `suite` fixes the
length of the signature (64 bytes in suite 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.exchange import tree
from gateway.exchange.randomness import RANDOMNESS
from gateway.exchange.refusals import rejected
from gateway.exchange.suites import DIGEST_BYTES

TAG: Final = b"wugan-signature-v1\x00"
"""Domain separation: a message signature is never a signature over anything else."""

NO_QUESTION: Final = bytes(DIGEST_BYTES)
"""Question digest of a message that answers nothing."""

MAX_PARTS: Final = 256
"""Payloads in one message at most."""

_LENGTH_BYTES: Final = 4
HEAD_BYTES: Final = DIGEST_BYTES + _LENGTH_BYTES
"""What stands between signature and parts."""
PART_HEAD_BYTES: Final = tree.SALT_BYTES + _LENGTH_BYTES
"""What stands before each payload."""

_ONE_PART: Final = (1).to_bytes(_LENGTH_BYTES, "big")
_SMALLEST_BUCKET: Final = 1 << 10
_LARGE_BUCKET: Final = 1 << 16


class Parts(NamedTuple):
    """The payloads of a message, with what their tree is made of.

    Attributes:
        payloads: one for each question or answer, at least one.
        salts: of each.
        leaves: of each.
    """

    payloads: tuple[bytes, ...]
    salts: tuple[bytes, ...]
    leaves: tuple[bytes, ...]


def bucket(size: int) -> int:
    """Length to which a frame of `size` bytes is padded: powers of 2 from 1 KiB to 64 KiB, then multiples of 64 KiB."""
    if size <= _SMALLEST_BUCKET:
        return _SMALLEST_BUCKET
    if size <= _LARGE_BUCKET:
        return 1 << (size - 1).bit_length()
    return -(-size // _LARGE_BUCKET) * _LARGE_BUCKET


def frame_bytes(signature_bytes: int, parts: int, payload_bytes: int) -> int:
    """Length of a frame, padded, with so many parts whose payloads are so long together."""
    return bucket(signature_bytes + HEAD_BYTES + parts * PART_HEAD_BYTES + payload_bytes)


def salted(payloads: Sequence[bytes]) -> Parts:
    """Payloads with fresh salts."""
    size = tree.SALT_BYTES
    random = RANDOMNESS.take(size * len(payloads))
    if len(payloads) == 1:  # most often, and then the whole cost of it
        return parts_of(payloads, (random,))
    return parts_of(payloads, [random[at : at + size] for at in range(0, len(random), size)])


def parts_of(payloads: Sequence[bytes], salts: Sequence[bytes]) -> Parts:
    """Payloads with the salts that they have."""
    if len(payloads) == 1:  # most often
        (payload,), (salt,) = payloads, salts
        return Parts((payload,), (salt,), (tree.leaf(salt, payload),))
    leaves = [tree.leaf(salt, payload) for salt, payload in zip(salts, payloads, strict=True)]
    return Parts(tuple(payloads), tuple(salts), tuple(leaves))


def signed_bytes(header: bytes, question_digest: bytes, count: int, head: bytes) -> bytes:
    """What the signature and the message digest are over."""
    length, number = len(header).to_bytes(_LENGTH_BYTES, "big"), count.to_bytes(_LENGTH_BYTES, "big")
    return b"".join((TAG, length, header, question_digest, number, head))


def pack(signature: bytes, question_digest: bytes, parts: Parts) -> bytes:
    """The frame, padded to its bucket."""
    if len(parts.payloads) == 1:  # most often
        (salt,), (payload,) = parts.salts, parts.payloads
        length = len(payload).to_bytes(_LENGTH_BYTES, "big")
        packed = b"".join((signature, question_digest, _ONE_PART, salt, length, payload))
    else:
        pieces = [signature, question_digest, len(parts.payloads).to_bytes(_LENGTH_BYTES, "big")]
        for salt, payload in zip(parts.salts, parts.payloads, strict=True):
            pieces += (salt, len(payload).to_bytes(_LENGTH_BYTES, "big"), payload)
        packed = b"".join(pieces)
    return packed.ljust(bucket(len(packed)), b"\x00")


class Unpacked(NamedTuple):
    """A frame taken apart. Nothing of it is to be believed until the signature has been verified over its tree."""

    signature: bytes
    question_digest: bytes
    parts: Parts


def unpack(frame: bytes, signature_bytes: int) -> Unpacked:
    """Take a frame apart. Raises EnvelopeError (ENVELOPE_REJECTED) unless it is exactly as `pack` makes it."""
    at = signature_bytes + HEAD_BYTES
    if len(frame) < at:
        raise rejected()
    count = int.from_bytes(frame[at - _LENGTH_BYTES : at], "big")
    if not 0 < count <= MAX_PARTS:
        raise rejected()
    payloads: list[bytes] = []
    salts: list[bytes] = []
    for _ in range(count):
        start = at + PART_HEAD_BYTES
        end = start + int.from_bytes(frame[start - _LENGTH_BYTES : start], "big")
        if end > len(frame):  # also when the part's own head lies beyond the frame
            raise rejected()
        salts.append(frame[at : at + tree.SALT_BYTES])
        payloads.append(frame[start:end])
        at = end
    if bucket(at) != len(frame) or frame[at:] != bytes(len(frame) - at):
        raise rejected()
    return Unpacked(
        frame[:signature_bytes], frame[signature_bytes : signature_bytes + DIGEST_BYTES], parts_of(payloads, salts)
    )
