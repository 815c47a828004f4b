"""What is inside the ciphertext: signature, question digest, payload, padding; and the bytes that are signed.

    frame   = signature || body || zeros up to the bucket
    body    = question digest (32) || payload length (u32, big-endian) || payload
    signed  = "wugan-signature-v1" 0x00 || header length (u32, big-endian) || header || body

Owns: this layout and the padding buckets. Refuses: keys, and any opinion on header or payload. `suite` fixes the
length of the signature (64 bytes in suite 1).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.exchange.refusals import rejected
from gateway.exchange.suites import DIGEST_BYTES

TAG: Final = b"wugan-signature-v1\x00"
"""Domain separation: a message signature is never a signature over anything else."""

NO_QUESTION: Final = bytes(DIGEST_BYTES)
"""Question digest of a message that answers nothing."""

_LENGTH_BYTES: Final = 4
BODY_HEAD_BYTES: Final = DIGEST_BYTES + _LENGTH_BYTES

_SMALLEST_BUCKET: Final = 1 << 10
_LARGE_BUCKET: Final = 1 << 16


def bucket(size: int) -> int:
    """Length to which a frame of `size` bytes is padded: powers of 2 from 1 KiB to 64 KiB, then multiples of 64 KiB."""
    if size <= _SMALLEST_BUCKET:
        return _SMALLEST_BUCKET
    if size <= _LARGE_BUCKET:
        return 1 << (size - 1).bit_length()
    return -(-size // _LARGE_BUCKET) * _LARGE_BUCKET


def body(question_digest: bytes, payload: bytes) -> bytes:
    """The signed part of the frame."""
    return b"".join((question_digest, len(payload).to_bytes(_LENGTH_BYTES, "big"), payload))


def signed_bytes(header: bytes, body: bytes) -> bytes:
    """What the signature and the message digest are over."""
    return b"".join((TAG, len(header).to_bytes(_LENGTH_BYTES, "big"), header, body))


def pack(signature: bytes, body: bytes) -> bytes:
    """The frame, padded to its bucket."""
    size = len(signature) + len(body)
    return b"".join((signature, body, bytes(bucket(size) - size)))


class Unpacked(NamedTuple):
    """A frame taken apart. Nothing of it is to be believed until the signature has been verified over `body`."""

    signature: bytes
    question_digest: bytes
    payload: bytes
    body: bytes


def unpack(frame: bytes, signature_bytes: int) -> Unpacked:
    """Take a frame apart. Raises EnvelopeError (ENVELOPE_REJECTED) unless it is exactly as `pack` makes it."""
    head = signature_bytes + BODY_HEAD_BYTES
    if len(frame) < head:
        raise rejected()
    end = head + int.from_bytes(frame[head - _LENGTH_BYTES : head], "big")
    if end > len(frame) or bucket(end) != len(frame) or frame[end:] != bytes(len(frame) - end):
        raise rejected()
    return Unpacked(
        frame[:signature_bytes],
        frame[signature_bytes : signature_bytes + DIGEST_BYTES],
        frame[head:end],
        frame[signature_bytes:end],
    )
