"""Identity numbers of a roster in their one form, and a key for each by which a person is known again.

Owns: that no two people share a key, and that numbers which are in order as they stand are recognised together.
Refuses: what else a row must have (`validating`).
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.errors import RefusedError
from gateway.exchange.question import MAX_NUMBER
from gateway.roster.fields import ID_NUMBER
from gateway.roster.problems import Index, Problems
from gateway.rules.identity import normalise_number, well_formed_block
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words

RESIDENT: Final = adapter_words.DOCUMENT_KIND_RESIDENT_IDENTITY
_FLOAT: Final = r"^[0-9]+(?:\.[0-9]+)?[Ee]\+?[0-9]+$"
_TEN_TO_17: Final = 10 ** np.arange(16, -1, -1, dtype=np.int64)


def numbers(column: pl.Series, kinds: pl.Series, problems: Problems) -> tuple[pl.Series, Index]:
    """Numbers in their one form, "" where refused, and a key for each that no two people share.

    Those that are in order as they stand are recognised together; others are looked at one by one.
    """
    count = len(column)
    keys = np.zeros(count, np.int64)
    usual = ((column.str.len_bytes() == 18) & (column.str.len_chars() == 18) & (kinds == RESIDENT)).to_numpy()
    at = np.flatnonzero(usual)
    if len(at):
        text = column.filter(pl.Series(usual)).str.join("").item().encode("ascii")
        characters = np.frombuffer(text, np.uint8).reshape(-1, 18)
        fine, _ = well_formed_block(characters)
        usual[at[~fine]] = False
        keys[at[fine]] = _keys_of(characters[fine])
    others = np.flatnonzero(~usual).tolist()
    if not others:
        return column, keys
    normal: list[str] = []
    floats = column.str.contains(_FLOAT)
    for place in others:
        number, kind = column[place], kinds[place]
        try:
            if not number:
                raise RefusedError("the identity number is missing", "缺少证件号码")
            if floats[place]:
                raise RefusedError(
                    "the identity number was stored as a figure and lost its last digits; store the column as text",
                    "证件号码被表格软件按数值保存，末位已失真，请将该列设为文本后重新导出",
                )
            found = normalise_number(number, kind)
            if len(found) > MAX_NUMBER:
                raise RefusedError("the identity number is too long", "证件号码过长")
        except RefusedError as error:
            problems.add_each(np.array([place]), ID_NUMBER, [(error.zh, error.en)])
            found = ""
        keys[place] = key_of(found, resident=bool(found) and kind == RESIDENT)
        normal.append(found)
    return column.clone().scatter(others, normal), keys


def key_of(number: str, *, resident: bool) -> int:
    """What stands for a number in its one form."""
    if resident:
        return int(_keys_of(np.frombuffer(number.encode(), np.uint8).reshape(1, 18))[0])
    return -1 - int.from_bytes(hashlib.blake2b(number.encode(), digest_size=7).digest())


def _keys_of(characters: NDArray[np.uint8]) -> Index:
    """The first 17 digits as a number: the last follows from them."""
    keys: Index = (characters[:, :17].astype(np.int64) - 48) @ _TEN_TO_17
    return keys
