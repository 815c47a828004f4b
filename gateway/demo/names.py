"""Names of the demo's people: visibly invented, from two small tables, and the awkward ones that registers stumble
over.

Owns: ordinary names, names in rare characters, names that two registers write differently, minority names with a middle
dot. Every ordinary given name begins with a character that says "trial", "sample", "example", "imitation"; nobody real
is meant. Refuses: normalising; comparing names is the rules' work.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢"
FIRST = "试样例拟仿虚演模"
SECOND = "春夏秋冬山水云月梅兰竹菊松石溪泉林川"

RARE = ("王𬭎例", "李㛃样", "张𬱖试", "刘𠅤拟", "陈𫍯仿", "杨𣲘例", "赵𬀩样")
"""Characters outside the basic plane or its first block (生僻字): four bytes in GB 18030."""

VARIANTS = (
    ("吴例峰", "吴例峯"),
    ("刘试群", "劉试群"),
    ("陈样松", "陳样松"),
    ("张拟岩", "張拟岩"),
    ("王 例泉", "王例泉"),
    ("李仿\u3000溪", "李仿溪"),
)
"""The same name as the paying agency and as the departments write it: variant and traditional forms, blanks inside."""

MINORITY = (
    ("阿依拟·例江", "阿依拟•例江"),
    ("买样提·试都", "买样提．试都"),
    ("扎例·拟珠", "扎例・拟珠"),
    ("古丽样·仿木", "古丽样·仿木"),
    ("次试·例央", "次试‧例央"),
)
"""Minority names: the middle dot of GB/T 13000 (U+00B7), and what keyboards make of it."""


def ordinary(rng: np.random.Generator, count: int) -> list[str]:
    """Names of ordinary people; repeats are as likely as in life."""
    surname = rng.integers(0, len(SURNAMES), count).tolist()
    first = rng.integers(0, len(FIRST), count).tolist()
    second = rng.integers(0, len(SECOND), count).tolist()
    return [SURNAMES[s] + FIRST[f] + SECOND[g] for s, f, g in zip(surname, first, second, strict=True)]


def pick(rng: np.random.Generator, table: tuple[tuple[str, str], ...], count: int) -> list[tuple[str, str]]:
    """`count` pairs (name in the roster, name at the departments) of a table."""
    chosen: NDArray[np.int64] = rng.integers(0, len(table), count)
    return [table[i] for i in chosen.tolist()]
