"""Private set intersection by Diffie-Hellman on Curve25519: the reckoning of it.

    point(x)   the first u = SHA-512("wugan-matching-point-v1" 0x00 || i || x) mod p, i = 0, 1, 2 …, that is the
               coordinate of a point of the curve (u³ + 486662 u² + u is a square); x: class of benefits, 0x00, number,
               or for a face: "face", 0x00 0x00, class of benefits, 0x00, token (`adapters.faces`)
    blinded    X25519(a, point(x)): what leaves; a is the member's secret for this session
    token      SHA-256("wugan-matching-token-v1" 0x00 || session || X25519(b, blinded)), its first 16 bytes: what comes
               back, the same whichever of the two secrets was put to it first

Owns: this layout, secrets, and rows that stand for nobody (padding). Refuses: I/O, and a blinded row whose result is
zero: it lies in a small subgroup and would be told apart from others.

Why so. X25519 takes any 255-bit number for a point, half of which lie on the twist, and a secret changes neither: plain
hashes would leave one bit of every person to be seen by whoever guesses. So only points of the curve are taken, and
X25519's secrets, multiples of eight, leave of them the subgroup of prime order. How many tries a number takes is seen
by nobody: it is done at home. Rows of nobody are public keys of fresh secrets, which look the same. A token is a hash,
so that who sends a row gets no multiple of the other's secret back that it could reckon on with.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from gateway.errors import RefusedError

POINT_BYTES: Final = 32
TOKEN_BYTES: Final = 16
SECRET_BYTES: Final = 32
SESSION_BYTES: Final = 16
_P: Final = 2**255 - 19
_A: Final = 486662
_POINT: Final = b"wugan-matching-point-v1\x00"
_TOKEN: Final = b"wugan-matching-token-v1\x00"


def fresh_secret() -> bytes:
    """A secret for one session."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(secret: bytes) -> bytes:
    """What tells one secret from another, without being of use to anybody."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def point(text: bytes) -> bytes:
    """The point of a text, as its u coordinate."""
    for tries in range(256):
        digest = hashlib.sha512(_POINT + bytes((tries,)) + text).digest()
        u = int.from_bytes(digest) % _P
        if u and _is_square(u * (u * (u + _A) + 1) % _P):
            return u.to_bytes(POINT_BYTES, "little")
    raise AssertionError("256 tries: that happens once in 2^256")


def points_of(texts: Iterable[bytes]) -> bytes:
    """The points of texts, one after another."""
    return b"".join([point(text) for text in texts])


def blind(secret: bytes, points: bytes, padding: int = 0) -> bytes:
    """Points blinded, in their order; so many rows of nobody behind them."""
    key = X25519PrivateKey.from_private_bytes(secret)
    read, exchange = X25519PublicKey.from_public_bytes, key.exchange
    rows = [exchange(read(points[at : at + POINT_BYTES])) for at in range(0, len(points), POINT_BYTES)]
    rows += [X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(padding)]
    return b"".join(rows)


def tokens(session: bytes, secret: bytes, blinded: bytes) -> bytes:
    """What comes of the other member's blinded rows, in their order.

    Raises:
        RefusedError: a row is no point that anybody honest would send.
    """
    key = X25519PrivateKey.from_private_bytes(secret)
    read, exchange, sha256 = X25519PublicKey.from_public_bytes, key.exchange, hashlib.sha256
    prefix = _TOKEN + session
    try:
        return b"".join(
            [
                sha256(prefix + exchange(read(blinded[at : at + POINT_BYTES]))).digest()[:TOKEN_BYTES]
                for at in range(0, len(blinded), POINT_BYTES)
            ]
        )
    except ValueError as error:  # the library refuses a result of zero
        raise RefusedError(
            "column: a row is no point of the curve; report this to the other member's administrator",
            "column：含有无效的曲线点，请联系对方管理员",
            field="column",
        ) from error


def text_of(exclusion: str, id_number: str) -> bytes:
    """What is compared of a person: the class of benefits and the normalised number."""
    return exclusion.encode() + b"\x00" + id_number.encode()


def text_of_face(exclusion: str, token: bytes) -> bytes:
    """What is compared of a face: the class of benefits and the token, which has the platform's id in it. No class has
    a zero byte, so that no face is ever equal to a person.
    """
    return b"face\x00\x00" + exclusion.encode() + b"\x00" + token


def random_session() -> bytes:
    """What a session is called."""
    return os.urandom(SESSION_BYTES)


def terms_digest(classes: Iterable[tuple[str, Iterable[int]]]) -> bytes:
    """What both sides must agree on: which benefits make up which class."""
    digest = hashlib.sha256(b"wugan-matching-terms-v1\x00")
    for name, benefits in sorted((name, sorted(benefits)) for name, benefits in classes):
        digest.update(struct.pack(">H", len(name.encode())) + name.encode())
        digest.update(struct.pack(f">H{len(benefits)}H", len(benefits), *benefits))
    return digest.digest()


def _is_square(a: int) -> bool:
    """Whether a number is a square modulo p: the Jacobi symbol, by reciprocity; a third of the time of a power."""
    n, sign = _P, 1
    while a:
        zeros = (a & -a).bit_length() - 1
        a >>= zeros
        if zeros & 1 and n & 7 in (3, 5):
            sign = -sign
        if a & n & 3 == 3:
            sign = -sign
        a, n = n % a, a
    return sign == 1
