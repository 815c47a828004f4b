"""What the values of a column look like, whatever the column is called.

Owns: shares of values that are resident numbers, names, dates in a format, codes, regions. Refuses: meaning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from adapters.asked import normal
from adapters.manifest.fields import EPOCH_MS, EPOCH_S, EXCEL_SERIAL, ISO, DateField
from adapters.values import BAD, DateReader, text_of

PROVINCES: Final = frozenset(
    f"{code}"
    for code in (
        *range(11, 16),
        *range(21, 24),
        *range(31, 38),
        *range(41, 47),
        *range(50, 55),
        *range(61, 66),
        71,
        81,
        82,
    )
)
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK: Final = "10X98765432"
_NUMBER: Final = re.compile(r"[1-8]\d{5}(?:\d{9}|\d{11}[\dXx])", re.ASCII)
_SURNAMES: Final = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔"
    "钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤欧阳买努阿"
)
_PERSON: Final = re.compile(
    r"[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0003ffff]{2,4}|[\u4e00-\u9fff]+(?:[·•．][\u4e00-\u9fff]+)+"
)
_PHONE: Final = re.compile(r"1[3-9]\d{9}", re.ASCII)
_FORMATS: Final[tuple[tuple[str, str], ...]] = (
    (ISO, r"\d{4}-\d\d-\d\d.*"),
    ("%Y%m%d", r"\d{8}"),
    ("%Y/%m/%d", r"\d{4}/\d{1,2}/\d{1,2}"),
    ("%Y年%m月%d日", r"\d{4}年\d{1,2}月\d{1,2}日"),
    ("%Y.%m.%d", r"\d{4}\.\d{1,2}\.\d{1,2}"),
    ("%Y-%m-%d", r"\d{4}-\d{1,2}-\d{1,2}"),
    ("%Y%m%d%H%M%S", r"\d{14}"),
    ("%Y/%m/%d %H:%M:%S", r"\d{4}/\d{1,2}/\d{1,2} \d{1,2}:\d\d:\d\d"),
    ("%Y/%m/%d %H:%M", r"\d{4}/\d{1,2}/\d{1,2} \d{1,2}:\d\d"),
    ("%Y-%m-%d %H:%M", r"\d{4}-\d{1,2}-\d{1,2} \d{1,2}:\d\d"),
    ("%Y年%m月%d日 %H:%M:%S", r"\d{4}年\d{1,2}月\d{1,2}日 \d{1,2}:\d\d:\d\d"),
    ("%Y年%m月%d日%H时%M分", r"\d{4}年\d{1,2}月\d{1,2}日\d{1,2}时\d{1,2}分"),
    (EPOCH_S, r"\d{9,10}(?:\.\d+)?"),
    (EPOCH_MS, r"\d{12,13}"),
    ("%d/%m/%Y", r"\d\d/\d\d/\d{4}"),
    ("%m/%d/%Y", r"\d\d/\d\d/\d{4}"),
    (EXCEL_SERIAL, r"[2-6]\d{4}(?:\.\d+)?"),
)
"""Formats of a manifest with what a value must look like: reading alone takes 2026111 for a day."""
_READERS: Final = {
    form: (re.compile(pattern, re.ASCII), DateReader(DateField(column="x", formats=(form,)), "Asia/Shanghai"))
    for form, pattern in _FORMATS
}
AMBIGUOUS: Final = frozenset({"%d/%m/%Y", "%m/%d/%Y", EXCEL_SERIAL, EPOCH_S, EPOCH_MS})
"""Formats that other numbers may be in by accident, or that may be read in two ways."""
NO_DATE: Final = (
    "0000-00-00",
    "00000000",
    "0000/00/00",
    "99991231",
    "9999-12-31",
    "9999/12/31",
    "—",
    "–",
    "-",
    "--",
    "/",
    "无",
    "空",
    "终身",
    "长期",
    "不详",
    "未知",
    "NULL",
    "null",
    "None",
    "N/A",
    "n/a",
    "\\N",
    "0",
)
"""What departments write where there is no date; no value of a person."""
_EARLIEST_DAY: Final = 1_000
"""1972: before it nothing of a benefit happened, and small numbers are days by accident."""
_LATEST_DAY: Final = 40_000
MAX_CODES: Final = 30
_LONGEST_CODE: Final = 12


@dataclass(frozen=True, slots=True)
class Shape:
    """What a column looks like.

    Args:
        filled: values that are not empty.
        share_filled: of all rows.
        identity: share of resident numbers with a right check digit.
        damaged: share of what looks like one and has a wrong check digit.
        forms: spellings that occur, as in a manifest.
        person: share of what may be a Chinese name.
        formats: date formats that together read nearly all values, () where it is no date.
        native: the source itself returns dates.
        undated: share of values that no format reads and that do not stand in `empty`.
        empty: words for "no date" that occur.
        days: the day of each value as the formats read it, 0: none.
        codes: distinct values from the most frequent, where these are few and short; () otherwise.
        region: share of GB/T 2260 codes.
        distinct: share of distinct values.
    """

    filled: int
    share_filled: float
    identity: float
    damaged: float
    forms: tuple[str, ...]
    person: float
    formats: tuple[str, ...]
    native: bool
    undated: float
    empty: tuple[str, ...]
    days: tuple[int, ...]
    codes: tuple[str, ...]
    region: float
    distinct: float


def is_resident_number(text: str) -> bool:
    """Whether it is a resident identity number of 18 or 15 characters (GB 11643-1999)."""
    if not _NUMBER.fullmatch(text) or text[:2] not in PROVINCES:
        return False
    number = normal(text)
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return (
        _CHECK[sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True)) % 11] == number[17]
    )


def looks_personal(text: str) -> bool:
    """Whether a text that should be a name of a column may be something of a person, or a value."""
    bare = text.strip()
    return bool(
        _NUMBER.fullmatch(bare)
        or _PHONE.fullmatch(bare)
        or re.search(r"\d{6}", bare)
        or re.fullmatch(r"[\d.,/:\s-]+", bare)
    )


def looks_named(text: str) -> bool:
    """Whether a text may be a person's name."""
    return bool(_PERSON.fullmatch(text)) and text[0] in _SURNAMES


def shape_of(values: Sequence[object]) -> Shape:
    """What a column looks like."""
    texts = [text_of(value) for value in values]
    filled = [text for text in texts if text]
    count = len(filled)
    if not count:
        return Shape(0, 0.0, 0.0, 0.0, (), 0.0, (), False, 0.0, (), (0,) * len(texts), (), 0.0, 0.0)
    tally = Counter(filled)
    numbers = sum(times for text, times in tally.items() if is_resident_number(text))
    like = sum(
        times for text, times in tally.items() if _NUMBER.fullmatch(text) and text[:2] in PROVINCES and len(text) == 18
    )
    native = sum(isinstance(value, date) for value in values) > count // 2
    formats, empty, days, undated = _dates(values, texts, tally, native=native)
    persons = sum(times for text, times in tally.items() if looks_named(text))
    regions = sum(times for text, times in tally.items() if _is_region(text))
    return Shape(
        filled=count,
        share_filled=count / len(texts),
        identity=numbers / count,
        damaged=max(0, like - numbers) / count,
        forms=tuple(
            form
            for form, there in (
                ("legacy_15", any(len(text) == 15 and is_resident_number(text) for text in tally)),
                ("lower_x", any(text.endswith("x") and is_resident_number(text) for text in tally)),
            )
            if there
        ),
        person=persons / count,
        formats=formats,
        native=native,
        undated=undated,
        empty=empty,
        days=days,
        codes=_codes(tally, count),
        region=regions / count,
        distinct=len(tally) / count,
    )


def _is_region(text: str) -> bool:
    return len(text) in {6, 9, 12} and text.isascii() and text.isdigit() and text[:2] in PROVINCES


def _codes(tally: Counter[str], count: int) -> tuple[str, ...]:
    """Distinct values that are short, few, and repeat; never what may be a number, a name or a phone of somebody."""
    if len(tally) > MAX_CODES or (len(tally) > 2 and len(tally) * 2 > count):
        return ()
    listed = tuple(text for text, _ in tally.most_common())
    if any(len(text) > _LONGEST_CODE or not text.isprintable() or _PHONE.fullmatch(text) for text in listed):
        return ()
    return listed


def _dates(
    values: Sequence[object], texts: Sequence[str], tally: Counter[str], *, native: bool
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...], float]:
    """Formats, words for none, the day of each value, and the share that is neither."""
    distinct = list(tally)
    empty = tuple(text for text in distinct if text in NO_DATE)
    wanted = sum(times for text, times in tally.items() if text not in NO_DATE)
    chosen: list[str] = []
    read: dict[str, int] = {}
    if native:
        days = tuple(_native_day(value) for value in values)
        return (), empty, days, 0.0
    for form, (pattern, reader) in _READERS.items():
        found = {}
        for text in distinct:
            if text in read or text in NO_DATE or not pattern.fullmatch(text):
                continue
            day = reader.read(text)
            if day != BAD and _EARLIEST_DAY <= day <= _LATEST_DAY:
                found[text] = day
        times = sum(tally[text] for text in found)
        # A format that reads a handful of a column reads them by accident.
        if times and (times >= 0.02 * wanted or times >= 3) and not (chosen and form in AMBIGUOUS):
            chosen.append(form)
            read |= found
    covered = sum(tally[text] for text in read)
    if not wanted or covered < 0.6 * wanted:
        return (), (), (0,) * len(texts), 0.0
    return tuple(chosen[:8]), empty, tuple(read.get(text, 0) for text in texts), 1 - covered / wanted


def _native_day(value: object) -> int:
    if isinstance(value, datetime):
        value = value.date()
    return value.toordinal() - date(1970, 1, 1).toordinal() if isinstance(value, date) else 0
