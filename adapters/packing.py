"""Columns written straight into protobuf's wire form, packed varints and strings, a whole column at once.

Owns: writing. Reading is left to the library, which gives numpy its packed columns as they are. The library writes a
column number by number, each made a Python object first; that costs several times what is done here. Refuses: being
another reading of the contract: field numbers and types are taken from its descriptors.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from numpy.typing import NDArray

from adapters.contract import Int32
from adapters.texts import Texts

if TYPE_CHECKING:
    import polars as pl

_DELIMITED: Final = 2
_SEVEN: Final = np.arange(0, 35, 7, dtype=np.uint32)
_SHORT: Final = 127
_FEW: Final = 16


def varint(number: int) -> bytes:
    """A number as a varint."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


@functools.cache
def _field(message: Descriptor, name: str) -> tuple[bytes, bool]:
    """The tag of a length-delimited field, and whether its numbers are zigzag."""
    field = message.fields_by_name[name]
    return varint(field.number << 3 | _DELIMITED), field.type == FieldDescriptor.TYPE_SINT32


def nested(message: Descriptor, name: str, data: bytes) -> bytes:
    """A message within a message."""
    return b"".join((_field(message, name)[0], varint(len(data)), data))


def integers(message: Descriptor, name: str, values: Int32) -> bytes:
    """A packed column of integers, signed ones as `sint32`."""
    if not len(values):
        return b""
    tag, zigzag = _field(message, name)
    data = _varints(((values << 1) ^ (values >> 31)).view(np.uint32) if zigzag else values.view(np.uint32))
    return b"".join((tag, varint(len(data)), data))


def _varints(values: NDArray[np.uint32]) -> bytes:
    if len(values) < _FEW:
        return b"".join(map(varint, values.tolist()))
    most = int(values.max())
    if most < 0x80:
        return values.astype(np.uint8).tobytes()
    width = (most.bit_length() + 6) // 7
    groups = values[:, None] >> _SEVEN[:width]
    follows = groups > 0x7F
    written = (groups & 0x7F).astype(np.uint8) | (follows.astype(np.uint8) << 7)
    if width == 1 or bool(follows[:, width - 2].all()):
        return written.tobytes()
    used = np.ones_like(follows)
    used[:, 1:] = follows[:, :-1]
    return written[used].tobytes()


def texts(message: Descriptor, name: str, column: Sequence[str]) -> bytes:
    """A column of texts."""
    tag, _ = _field(message, name)
    if isinstance(column, Texts) and len(column) and (whole := _short_texts(tag, column.series)) is not None:
        return whole
    pieces: list[bytes] = []
    for text in column:
        data = text.encode()
        pieces += (tag, varint(len(data)), data)
    return b"".join(pieces)


def _short_texts(tag: bytes, series: pl.Series) -> bytes | None:
    """Texts of at most 127 bytes: tag and length are then one ASCII character each, and all of it is one text."""
    import polars as pl

    lengths = series.str.len_bytes()
    if len(tag) > 1 or tag[0] > _SHORT or int(lengths.max() or 0) > _SHORT:  # type: ignore[arg-type]
        return None
    before = pl.Series([chr(tag[0]) + chr(length) for length in range(_SHORT + 1)]).gather(lengths)
    joined: str = (before + series).str.join("").item()
    return joined.encode()
