"""Several named byte strings as one part.

Owns: the form. Refuses: what is in them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Final

from gateway.errors import StoreError

_LENGTH: Final = struct.Struct(">I")


def pack(blobs: Mapping[str, bytes | memoryview]) -> bytes:
    """Several named byte strings as one; views are of bytes."""
    index = json.dumps({name: len(blob) for name, blob in blobs.items()}).encode()
    return b"".join((_LENGTH.pack(len(index)), index, *blobs.values()))


def unpack(data: bytes) -> dict[str, bytes]:
    """The byte strings of `pack`.

    Raises:
        StoreError: it is none.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
        at = _LENGTH.size + length
        blobs: dict[str, bytes] = {}
        for name, size in json.loads(data[_LENGTH.size : at]).items():
            blobs[name] = data[at : at + size]
            at += size
    except (struct.error, ValueError, TypeError, AttributeError) as error:
        raise StoreError(
            "a kept part of a roster is of another version; submit the roster anew",
            "已保存的名册数据版本不符，请重新提交名册",
            retryable=False,
        ) from error
    return blobs
