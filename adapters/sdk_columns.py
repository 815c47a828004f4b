"""What a department's own program tells, as the columns of the contract.

Owns: reading lists, numpy arrays and polars series; words, days and defaults. Refuses: a row of somebody who was not
asked about, a kind that was not offered, evidence without a day, and columns that differ in length. Errors name the
column, never what stands in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from adapters.asked import Asked
from adapters.contract import MAX_CELL_BYTES, Description, Evidence, Faces, Found, Holders, Int32, Lookup
from adapters.errors import SourceFaultError
from adapters.faces import FACE_KIND, FACE_STRENGTH, FACE_TOKEN_BYTES
from adapters.manifest.vocabulary import KINDS, STRENGTHS
from adapters.texts import taken
from adapters.values import FIRST_DAY, LAST_DAY
from adapters.wanted import wanted

FIELDS: Final = (
    "number",
    "name",
    "kind",
    "observed_on",
    "available_on",
    "strength",
    "region",
    "reference",
    "detail",
    "from_on",
    "until_on",
    "face",
)
_SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LAST_REGION: Final = 999_999


def found_in_rows(rows: Sequence[Any], question: Lookup, about: Description, complete_until: date | None) -> Found:
    """An answer from rows with the fields as attributes. Raises as `found_in_columns`."""
    columns = {field: [getattr(row, field) for row in rows] for field in FIELDS}
    return found_in_columns(columns, question, about, complete_until)


def found_in_columns(
    columns: Mapping[str, Any], question: Lookup, about: Description, complete_until: date | None
) -> Found:
    """An answer from columns.

    Args:
        columns: fields of a row by name, each a column or one value for all rows.
        question: what was asked.
        about: what the adapter offers.
        complete_until: day up to which the data is complete; None: not known.

    Raises:
        SourceFaultError: see the module.
    """
    read = _Reader(columns, about.adapter_id)
    asked = Asked.of(question.subjects)
    position = np.array(asked.find(read.numbers, about.adapter_id), np.int32)
    names = read.texts("name")
    held = dict.fromkeys(zip(position.tolist(), (name.strip() for name in names), strict=True))
    kind = read.words("kind", KINDS)
    if not about.kinds.issuperset(np.unique(kind[kind != 0]).tolist()):
        raise read.fault("kind", "holds a kind that is not among the items", "含未声明的证据种类")
    rows = np.flatnonzero(kind)
    observed_on = read.days("observed_on")
    if not observed_on[rows].all():
        raise read.fault("observed_on", "is missing where there is evidence", "有证据的行缺少日期")
    only_region = about.regions[0] if len(about.regions) == 1 else 0
    asked_for = wanted(question, kind[rows], observed_on[rows])
    rows = rows if asked_for is None else rows[asked_for]
    told = {
        "kind": kind,
        "observed_on": observed_on,
        "available_on": read.days("available_on"),
        "region": _or_else(read.integers("region"), only_region),
        "strength": _or_else(read.words("strength", STRENGTHS), _usual(kind, about)),
        "detail": read.integers("detail"),
        "from_on": read.days("from_on"),
        "until_on": read.days("until_on"),
    }
    faces = _faces(read, told, position, rows, asked) if question.faces else Faces()
    subject, source = asked.spread(position[rows])
    rows = rows if source is None else rows[source]
    evidence = Evidence(
        subject=subject,
        department=np.full(len(subject), about.department, np.int32),
        source_reference=taken(read.texts("reference"), rows),
        **{name: column[rows] for name, column in told.items()},
    )
    until = 0 if complete_until is None else complete_until.toordinal() - _EPOCH
    return Found(holders=_holders(list(held), asked), evidence=evidence, complete_until_on=until, faces=faces)


def _faces(read: _Reader, told: Mapping[str, Int32], position: Int32, rows: Any, asked: Asked) -> Faces:
    """The faces of checks at which the person was there."""
    tokens = read.tokens("face")
    found = Faces.newest(
        (int(position[row]), tokens[row], int(told["observed_on"][row]), int(told["region"][row]))
        for row in rows.tolist()
        if tokens[row] and told["kind"][row] == FACE_KIND and told["strength"][row] == FACE_STRENGTH
    )
    subject, source = asked.spread(found.subject)
    return found if source is None else replace(found.take(source), subject=subject)


def _holders(held: Sequence[tuple[int, str]], asked: Asked) -> Holders:
    subject, source = asked.spread(np.array([position for position, _ in held], np.int32))
    numbers: Sequence[str] = [asked.numbers[position] for position, _ in held]
    names: Sequence[str] = [name for _, name in held]
    if source is not None:
        numbers, names = taken(numbers, source), taken(names, source)
    return Holders(subject, numbers, names)


def _usual(kind: Int32, about: Description) -> Int32:
    """The strength that the item of each row's kind says."""
    table = np.zeros(1 + max(about.kinds, default=0), np.int32)
    for item in about.items:
        table[item.kind] = item.strength
    return table[kind]


def _or_else(column: Int32, otherwise: Int32 | int) -> Int32:
    return np.where(column == 0, otherwise, column).astype(np.int32, copy=False)


class _Reader:
    """The columns of one answer, read one by one."""

    def __init__(self, columns: Mapping[str, Any], name: str) -> None:
        self._name = name
        unknown = set(columns) - set(FIELDS)
        if unknown or "number" not in columns:
            listed = ", ".join(sorted(unknown)) or "number"
            raise self.fault(listed, "is no field of a row, or is missing", "不是字段名，或缺失")
        self._columns = columns
        self.numbers = [str(each) for each in _listed(columns["number"])]
        """Whose each row is."""

    def fault(self, column: str, en: str, zh: str) -> SourceFaultError:
        """What is wrong with a column."""
        return SourceFaultError(f"{self._name}: {column} {en}", f"{self._name}：{column} {zh}")

    def texts(self, name: str) -> list[str]:
        """A column of texts, "" where there is none."""
        texts = ["" if each is None else str(each) for each in self._column(name, "")]
        if any(len(each) * 4 > MAX_CELL_BYTES and len(each.encode()) > MAX_CELL_BYTES for each in texts):
            raise self.fault(name, f"holds more than {MAX_CELL_BYTES} bytes", f"超过 {MAX_CELL_BYTES} 字节")
        return texts

    def tokens(self, name: str) -> list[bytes]:
        """A column of tokens of faces, b"" where there is none."""
        tokens = [b"" if each is None else each for each in self._column(name, b"")]
        if not all(isinstance(each, bytes) and len(each) in (0, FACE_TOKEN_BYTES) for each in tokens):
            raise self.fault(name, "holds what is no token of a face", "含非人脸标记的取值")
        return tokens

    def words(self, name: str, known: Mapping[str, int]) -> Int32:
        """A column of words or their numbers; 0 where there is none."""
        table: dict[object, int] = {None: 0, "": 0, 0: 0}
        for word, number in known.items():
            table[word] = table[number] = number
        try:
            return np.array([table[each] for each in self._column(name, 0)], np.int32)
        except (KeyError, TypeError):
            raise self.fault(name, "holds a word that is none of the contract", "含接口约定以外的取值") from None

    def integers(self, name: str) -> Int32:
        """A column of numbers; 0 where there is none."""
        values = [0 if each is None else each for each in self._column(name, 0)]
        if not all(isinstance(each, int) and 0 <= each <= _LAST_REGION for each in values):
            raise self.fault(name, "holds what is no number, or one out of range", "含非数字或超出范围的取值")
        return np.array(values, np.int32)

    def days(self, name: str) -> Int32:
        """A column of days; 0 where there is none."""
        column = self._columns.get(name)
        if isinstance(column, np.ndarray) and column.dtype.kind == "M":
            self._require_length(name, len(column))
            days = np.where(np.isnat(column), 0, column.astype("datetime64[D]").astype(np.int64))
        else:
            days = np.array([self._day(each, name) for each in self._column(name, None)], np.int64)
        if len(days) and not FIRST_DAY <= int(days.min()) <= int(days.max()) <= LAST_DAY:
            raise self.fault(name, "holds a day that no register has", "含不可能的日期")
        return days.astype(np.int32)

    def _day(self, value: object, name: str) -> int:
        if value is None:
            return 0
        if isinstance(value, datetime):
            value = (value if value.tzinfo is None else value.astimezone(_SHANGHAI)).date()
        if isinstance(value, date):
            return value.toordinal() - _EPOCH
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self.fault(name, "holds what is no day", "含非日期取值")

    def _column(self, name: str, otherwise: object) -> Sequence[Any]:
        given = self._columns.get(name, otherwise)
        if given is None or isinstance(given, str | int | date | bytes):
            return [given] * len(self.numbers)
        column = _listed(given)
        self._require_length(name, len(column))
        return column

    def _require_length(self, name: str, length: int) -> None:
        if length != len(self.numbers):
            raise self.fault(name, "differs in length from number", "与 number 列长度不一致")


def _listed(column: Any) -> Sequence[Any]:
    """A column as Python values: of a numpy array, a polars series, or anything that can be gone through."""
    if isinstance(column, list):
        return column
    if isinstance(column, np.ndarray):
        values: list[Any] = column.tolist()
        return values
    listed = column.to_list() if hasattr(column, "to_list") else list(column)
    return list(listed)
