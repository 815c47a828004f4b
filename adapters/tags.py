"""Under what a person is found in a segment of the index: sixteen bytes that only who has the key can make.

Owns: the tags of few numbers and of whole columns, which are the same. Refuses: judging numbers.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

RESIDENT = r"^[0-9]{17}[0-9X]$"
Words = NDArray[np.uint64]


class Tags:
    """Makes tags.

    A resident number is one block of AES, so that a column of them is one call; everything else is hashed (HMAC).

    Args:
        secret: of the index.
    """

    def __init__(self, secret: bytes) -> None:
        self._block = Cipher(algorithms.AES(hmac.digest(secret, b"wugan-index-tags", "sha256")), modes.ECB())  # noqa: S305
        self._other = hmac.digest(secret, b"wugan-index-other-tags", "sha256")

    def of(self, numbers: Sequence[str]) -> Words:
        """Tags of a few numbers: rows of two words."""
        plain = np.zeros((len(numbers), 2), np.uint64)
        others: list[int] = []
        for at, number in enumerate(numbers):
            if len(number) == 18 and number.isascii() and number[:17].isdigit() and (number[17:] in "0123456789X"):
                plain[at] = int(number[:17]), 1 + "0123456789X".index(number[17])
            else:
                others.append(at)
        return self._sealed(plain, others, [numbers[at] for at in others])

    def of_column(self, numbers: pl.Series) -> Words:
        """Tags of a column."""
        resident = numbers.str.contains(RESIDENT).to_numpy()
        plain = np.zeros((len(numbers), 2), np.uint64)
        rows = np.flatnonzero(resident)
        good = numbers if len(rows) == len(numbers) else numbers.gather(rows)
        plain[rows, 0] = good.str.slice(0, 17).cast(_uint64()).to_numpy()
        plain[rows, 1] = good.str.slice(17).replace("X", "10").cast(_uint64()).to_numpy() + np.uint64(1)
        others = np.flatnonzero(~resident)
        return self._sealed(plain, others.tolist(), numbers.gather(others).to_list())

    def _sealed(self, plain: Words, others: Sequence[int], numbers: Sequence[str]) -> Words:
        encryptor = self._block.encryptor()
        # Big-endian, so that the order of the words is that of the bytes on every machine.
        tags = np.frombuffer(encryptor.update(plain.astype(">u8").tobytes()), ">u8").reshape(-1, 2).astype(np.uint64)
        for at, number in zip(others, numbers, strict=True):
            tags[at] = np.frombuffer(hmac.digest(self._other, number.encode(), "sha256")[:16], ">u8")
        return tags


def _uint64() -> Any:
    """The type of whole numbers without a sign; polars comes only with what is large."""
    import polars as pl

    return pl.UInt64
