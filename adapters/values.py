"""Readers: one value of a source, as it comes, into one integer of the contract.

Owns: dates into civil days in Asia/Shanghai, codes by table, regions, details. Readers remember what they have read, so
that a column of a million values costs about as much as its distinct values. Refuses: guessing. A value that does not
read gives `BAD`, and the row's fate is its record set's policy.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from adapters.manifest.fields import EPOCH_MS, EPOCH_S, EXCEL_SERIAL, ISO, DateField, DetailField, RegionField

BAD = -(2**31)
"""No column of the contract holds this number."""

_REMEMBERED = 65_536
_WHOLE = 10**15
"""Below this a float tells whole numbers apart."""
_EPOCH = date(1970, 1, 1).toordinal()
FIRST_DAY, LAST_DAY = date(1900, 1, 1).toordinal() - _EPOCH, date(2200, 12, 31).toordinal() - _EPOCH
"""Days that a living register holds."""
_SHANGHAI = ZoneInfo("Asia/Shanghai")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXCEL_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
"""Day 0 of workbooks of the 1900 date system, after its mistaken 29 February 1900 (ISO/IEC 29500-1, 18.17.4.1)."""
_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?(?:Z|[+-]\d{2}:?\d{2}))?)?", re.ASCII
)
_NUMBER = re.compile(r"-?\d{1,17}(?:\.\d{1,9})?", re.ASCII)
_SHORTENED = re.compile(r"\d(?:[.,]\d*)?[Ee]\+\d{1,3}", re.ASCII)
"""A number as workbooks write it where a cell is not formatted as text."""
_WIDTHS = {"Y": (4, 4), "m": (1, 2), "d": (1, 2), "j": (1, 3), "H": (1, 2), "M": (1, 2), "S": (1, 2), "f": (1, 6)}
"""Digits at least and at most of the directives that are numbers."""


def text_of(value: object) -> str:
    """A value as a code table writes it: trimmed text, whole numbers without a point, truth values in small letters."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if (isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE) or (
        isinstance(value, Decimal) and value.is_finite() and abs(value) < _WHOLE and value == int(value)
    ):
        value = int(value)
    return str(value).strip()


def wrong_number(cell: object) -> str:
    """Why a cell cannot hold an identity number, "" if it can."""
    if isinstance(cell, (float, int)) and not -1e15 < cell < 1e15:
        return "identity number stored as a number has lost digits / 身份号码以数值存储，已丢失精度"
    text = text_of(cell)
    if not text:
        return "no identity number / 缺少身份号码"
    if _SHORTENED.fullmatch(text):
        return "identity number shortened to 3.3E+17 by a workbook / 身份号码已被表格软件缩为 3.3E+17 形式"
    return "identity number too long / 身份号码过长" if len(text) > 64 else ""


def day_of(value: date) -> int:
    """Days from 1970-01-01, or `BAD` for a year that no living register holds."""
    day = value.toordinal() - _EPOCH
    return day if FIRST_DAY <= day <= LAST_DAY else BAD


class Reader(ABC):
    """Reads values one by one or by the column. `default` stands for what is not there."""

    def __init__(self) -> None:
        # By type: True, 1 and 1.0 are one key of a dict, and three texts.
        self._seen: dict[type, dict[object, int]] = {}

    @abstractmethod
    def read(self, value: object) -> int:
        """The integer, or `BAD`."""

    def column(self, values: Sequence[object]) -> list[int]:
        """The integers of a column."""
        kinds = set(map(type, values))
        if len(kinds) > 1:
            kinds.discard(type(None))  # equal to nothing else, and so at home in any dict
            if len(kinds) > 1:
                return [self._add(value) for value in values]
        elif not kinds:
            return []
        seen = self._seen.get(kinds.pop(), {})
        try:
            read = list(map(seen.get, values))
        except TypeError:  # values that cannot be remembered, such as lists: no scalars, but read like any others
            return [self.read(value) for value in values]
        if None not in read:
            return read  # type: ignore[return-value]  # looked at just now
        return [self._add(value) if known is None else known for value, known in zip(values, read, strict=True)]

    def _add(self, value: object) -> int:
        kind = type(value)
        seen = self._seen.setdefault(kind, {})
        try:
            known = seen.get(value)
        except TypeError:  # as above
            return self.read(value)
        if known is not None:
            return known
        if len(seen) >= _REMEMBERED:
            seen = self._seen[kind] = {}
        number = self.read(value)
        seen[value] = number
        return number


class DateReader(Reader):
    """Dates of one column.

    Args:
        field: column, formats, zone and empty values.
        zone: of times without one, unless the field names its own.
    """

    def __init__(self, field: DateField, zone: str) -> None:
        super().__init__()
        self._formats = field.formats
        self._zone = ZoneInfo(field.timezone or zone)
        self._empty = {text.strip() for text in field.empty} | {""}

    @property
    def in_shanghai(self) -> bool:
        """Whether a time without a zone is Shanghai's."""
        return self._zone is _SHANGHAI

    @property
    def has_empty(self) -> bool:
        """Whether other values than empty ones mean that there is no date."""
        return len(self._empty) > 1

    @property
    def empty_days(self) -> list[int]:
        """The days that mean that there is none."""
        found = []
        for text in self._empty:
            with suppress(ValueError):
                day = date.fromisoformat(text)
                if day.isoformat() == text:
                    found.append(day.toordinal() - _EPOCH)
        return found

    def read(self, value: object) -> int:
        """The civil day in Asia/Shanghai, 0 where there is none, `BAD` where it does not read."""
        if isinstance(value, datetime):
            return self._civil(value)
        if isinstance(value, date):
            return 0 if value.isoformat() in self._empty else day_of(value)
        text = text_of(value)
        if text in self._empty:
            return 0
        if len(text) > 64:
            return BAD
        for form in self._formats:
            try:
                moment = _parse(text, form)
            except (ValueError, OverflowError):
                continue
            if moment is not None:
                return day_of(moment) if not isinstance(moment, datetime) else self._civil(moment)
        return BAD

    def _civil(self, moment: datetime) -> int:
        if moment.date().isoformat() in self._empty:
            return 0
        if moment.tzinfo is None:
            if self._zone is _SHANGHAI:
                return day_of(moment.date())
            moment = moment.replace(tzinfo=self._zone)
        try:
            return day_of(moment.astimezone(_SHANGHAI).date())
        except (OverflowError, ValueError):
            return BAD


def _parse(text: str, form: str) -> date | None:
    """A date or a time in one format; None where it is not in it."""
    if form == ISO:
        if not _ISO.fullmatch(text):
            return None
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text.replace(" +", "+"))
    if form in {EPOCH_S, EPOCH_MS, EXCEL_SERIAL}:
        if not _NUMBER.fullmatch(text):
            return None
        number = float(text)
        if form == EXCEL_SERIAL:
            return (_EXCEL_EPOCH + timedelta(days=number)).date()
        # By sum, because fromtimestamp() of a far moment ends in whatever the C library says.
        return _UNIX_EPOCH + timedelta(seconds=number / (1000 if form == EPOCH_MS else 1))
    shape = _shape(form)
    if shape is not None and not shape.fullmatch(text):
        raise ValueError("digits that could be cut in several ways")
    # A time without a zone is meant to come back without one: the caller knows the zone.
    moment = datetime.strptime(text, form)  # noqa: DTZ007
    return moment if any(part in form for part in ("%H", "%z")) else moment.date()


@functools.cache
def _shape(form: str) -> re.Pattern[str] | None:
    """What a text in this format looks like, where its digits could be cut in several ways; else None.

    `strptime` takes "202411" in the format %Y%m%d for the first of January: numbers that touch need all their digits.
    """
    parts = re.findall(r"%.|[^%]+", form)
    touching = [
        at
        for at, part in enumerate(parts)
        if part[1:] in _WIDTHS and part[0] == "%"
        if any(beside[0] == "%" and beside[1:] in _WIDTHS for beside in (*parts[at - 1 : at], *parts[at + 1 : at + 2]))
    ]
    if not touching:
        return None
    pieces = []
    for at, part in enumerate(parts):
        if part[0] != "%":
            pieces.append(r"\s+".join(map(re.escape, re.split(r"\s+", part))))
        elif part[1:] not in _WIDTHS:
            pieces.append("%" if part == "%%" else ".+")
        else:
            least, most = _WIDTHS[part[1:]]
            pieces.append(rf"\d{{{most if at in touching and part != '%f' else least},{most}}}")
    return re.compile("".join(pieces))


class CodeReader(Reader):
    """Codes by table.

    Args:
        codes: code to integer.
        unknown: for a code that is not in it.
        missing: for no code at all; default as `unknown`.
    """

    def __init__(self, codes: Mapping[str, int], unknown: int = BAD, missing: int | None = None) -> None:
        super().__init__()
        self._codes = {code.strip(): number for code, number in codes.items()}
        self._unknown = unknown
        self._missing = unknown if missing is None else missing
        self._seen[str] = dict[object, int](self._codes.items())

    def read(self, value: object) -> int:
        """What the table says."""
        text = text_of(value)
        number = self._codes.get(text)
        if number is not None:
            return number
        return self._unknown if text else self._missing


class RegionReader(Reader):
    """GB/T 2260 codes of 6 digits; of the 9 or 12 of a statistical division code they are the first six."""

    def __init__(self, otherwise: int | None) -> None:
        super().__init__()
        self._otherwise = otherwise

    def read(self, value: object) -> int:
        """The six digits as a number."""
        text = text_of(value)
        if len(text) in {6, 9, 12} and text.isascii() and text.isdigit() and text[0] != "0":
            return int(text[:6])
        if not text:
            return self._otherwise or 0
        return BAD if self._otherwise is None else self._otherwise


class NumberReader(Reader):
    """Whole numbers; a long one is a division code of which six digits count."""

    def read(self, value: object) -> int:
        """The number, 0 where there is none."""
        text = text_of(value)
        if not text:
            return 0
        if not (text.isascii() and text.isdigit()) or len(text) > 12:
            return BAD
        return int(text[:6]) if len(text) in {9, 12} else BAD if len(text) > 9 else int(text)


def region_reader(field: RegionField) -> Reader:
    """The reader of a region column."""
    if field.codes:
        unknown = BAD if field.otherwise is None else field.otherwise
        return CodeReader(field.codes, unknown, field.otherwise or 0)
    return RegionReader(field.otherwise)


def detail_reader(field: DetailField) -> Reader:
    """The reader of a detail column."""
    return CodeReader(field.codes, BAD, 0) if field.codes else NumberReader()
