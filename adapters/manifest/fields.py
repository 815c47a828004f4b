"""How one column of a source becomes one column of evidence: the settings of a record set's fields.

Owns: the models of dates, code tables, regions, strengths, details and row filters, with their short forms.
Refuses: converting values; `adapters.mapping` does that from these settings.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, field_validator, model_validator

from adapters.faces import PLATFORM
from adapters.manifest.vocabulary import DetailValue, KindOrIgnore, KindOrNone, Settings, StrengthName, problem

MAX_CODES = 2_000
Column: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
"""Name of a column, or path of a field in a JSON row; "^name" is a field of the object around the row's list."""

ISO = "iso"
EPOCH_S = "epoch_s"
EPOCH_MS = "epoch_ms"
EXCEL_SERIAL = "excel_serial"
_BUILT_IN = {ISO, EPOCH_S, EPOCH_MS, EXCEL_SERIAL}
_DIRECTIVES = set("YmdHMSfjz%")


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise problem("not a known time zone, like Asia/Shanghai", "不是已知的时区，应如 Asia/Shanghai") from error
    return value


Zone: TypeAlias = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]


def _format(value: str) -> str:
    if value in _BUILT_IN:
        return value
    used = re.findall(r"%(.)?", value)
    if not used or any(directive not in _DIRECTIVES for directive in used):
        raise problem(
            "a date format is iso, epoch_s, epoch_ms, excel_serial, or made of %Y %m %d %j %H %M %S %f %z",
            "日期格式应为 iso、epoch_s、epoch_ms、excel_serial，或由 %Y %m %d %j %H %M %S %f %z 组成",
        )
    if not ({"Y", "m", "d"} <= set(used) or {"Y", "j"} <= set(used)):
        raise problem(
            "a date format names the whole day: %Y with %m and %d, or %Y with %j",
            "日期格式须能确定到日：%Y 与 %m、%d，或 %Y 与 %j",
        )
    return value


DateFormat: TypeAlias = Annotated[str, StringConstraints(min_length=2, max_length=40), AfterValidator(_format)]


def _as_column(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


def _as_fixed(value: object) -> object:
    return {"fixed": value} if isinstance(value, str | int) else value


def _one_of(settings: Settings, *names: str) -> None:
    given = [name for name in names if getattr(settings, name) is not None]
    if len(given) != 1:
        listed = ", ".join(names)
        raise problem(f"give exactly one of: {listed}", f"以下设置项须且只能写一个：{listed}")


class DateField(Settings):
    """A date. Short form: the column's name.

    Args:
        column: where it stands.
        formats: tried in order; dates and times that the source returns as such need none.
        timezone: of times without one; default: the manifest's. All become civil days in Asia/Shanghai.
        empty: values that mean "no date", besides empty ones.
    """

    column: Column
    formats: tuple[DateFormat, ...] = Field((ISO,), min_length=1, max_length=8)
    timezone: Zone | None = None
    empty: tuple[str, ...] = Field((), max_length=20)


class EvidenceField(Settings):
    """Which evidence a row is. Short form: the kind itself, or `none` for a register that only knows the person.

    Args:
        fixed: the kind, 0 for none.
        column: of the department's code.
        codes: code to kind; `ignore` for codes that are no evidence.
        unknown: a code that is not listed: `fault` makes it a bad row, `ignore` takes it as no evidence and counts it.
    """

    fixed: KindOrNone | None = None
    column: Column | None = None
    codes: dict[str, KindOrIgnore] = Field({}, max_length=MAX_CODES)
    unknown: Literal["fault", "ignore"] = "fault"

    @model_validator(mode="after")
    def _complete(self) -> EvidenceField:
        _one_of(self, "fixed", "column")
        if self.column is not None and not any(self.codes.values()):
            raise problem("a code column needs `codes` that name some evidence", "代码列须有 codes，且至少含一种证据")
        if self.fixed is not None and self.codes:
            raise problem("`codes` belongs to a `column`, not to a fixed kind", "codes 只能与 column 同用")
        return self

    def kinds(self) -> tuple[int, ...]:
        """Every kind that can come of it, in order of number."""
        named = self.codes.values() if self.fixed is None else (self.fixed,)
        return tuple(sorted({kind for kind in named if kind}))


class StrengthField(Settings):
    """How well the department knew the person. Short form: one strength for all rows.

    Args:
        fixed: the strength.
        column: of the department's code; `codes` says what each means.
        otherwise: the strength of codes not listed; without it they make a bad row.
    """

    fixed: StrengthName | None = None
    column: Column | None = None
    codes: dict[str, StrengthName] = Field({}, max_length=MAX_CODES)
    otherwise: StrengthName | None = None

    @model_validator(mode="after")
    def _complete(self) -> StrengthField:
        _one_of(self, "fixed", "column")
        if (self.column is not None) != bool(self.codes):
            raise problem("`column` and `codes` go together", "column 与 codes 须同时给出")
        return self

    def usual(self) -> int:
        """The strength told in the description: the fixed one, else the lowest possible."""
        if self.fixed is not None:
            return self.fixed
        return min([*self.codes.values(), *([self.otherwise] if self.otherwise else [])])


class RegionField(Settings):
    """Where it happened. Short form: a six-digit GB/T 2260 code for all rows.

    Args:
        fixed: the code.
        column: of a code of 6, 9 or 12 digits (its first six count), or of the department's own, translated by `codes`.
        otherwise: the region of rows without one, or with a code not listed.
    """

    fixed: int | None = Field(None, ge=100000, le=999999)
    column: Column | None = None
    codes: dict[str, Annotated[int, Field(ge=100000, le=999999)]] = Field({}, max_length=MAX_CODES)
    otherwise: int | None = Field(None, ge=100000, le=999999)

    @model_validator(mode="after")
    def _complete(self) -> RegionField:
        _one_of(self, "fixed", "column")
        return self


class DetailField(Settings):
    """The detail of kinds that have one. Short form: one number or penalty kind for all rows.

    Args:
        fixed: the detail.
        column: of a region code or number, or of the department's code, translated by `codes`.
        codes: code to number or penalty kind.
    """

    fixed: DetailValue | None = Field(None, ge=0, le=2**31 - 1)
    column: Column | None = None
    codes: dict[str, Annotated[DetailValue, Field(ge=0, le=2**31 - 1)]] = Field({}, max_length=MAX_CODES)

    @model_validator(mode="after")
    def _complete(self) -> DetailField:
        _one_of(self, "fixed", "column")
        return self


class FaceField(Settings):
    """The face under which a check was passed; it leaves the department as a token only (`adapters.faces`).

    Args:
        platform: the face platform, as all members that use it have agreed to call it.
        column: of its template id.
    """

    platform: Annotated[str, StringConstraints(pattern=rf"^{PLATFORM}$")]
    column: Column


class Only(Settings):
    """Which rows count at all: those whose code is, or is not, among the values.

    Args:
        column: the code's column.
        values: rows with one of these count ...
        except_values: ... or those with none of these.
    """

    column: Column
    values: tuple[str, ...] | None = Field(None, min_length=1, max_length=MAX_CODES)
    except_values: tuple[str, ...] | None = Field(None, min_length=1, max_length=MAX_CODES)

    @model_validator(mode="after")
    def _complete(self) -> Only:
        _one_of(self, "values", "except_values")
        return self


WIDEST_NUMBER = 64
"""Characters of the widest column of numbers that is asked with blanks."""
_PADDED = re.compile(r"padded_([1-9][0-9]?)")


def padded_to(form: str) -> int:
    """Up to how many characters numbers are asked with blanks behind them in this form; 0: it is another form."""
    found = _PADDED.fullmatch(form)
    return int(found[1]) if found is not None and int(found[1]) <= WIDEST_NUMBER else 0


def _form(value: str) -> str:
    if value not in {"legacy_15", "lower_x", "integer"} and not padded_to(value):
        raise problem(
            f"not a known form; one of: legacy_15, lower_x, integer, padded_N with N up to {WIDEST_NUMBER}",
            f"不是已知的写法，应为：legacy_15、lower_x、integer、padded_N（N 不超过 {WIDEST_NUMBER}）",
        )
    return value


Form: TypeAlias = Annotated[str, AfterValidator(_form)]


class Identity(Settings):
    """Under which identity the source holds a row.

    Args:
        column: of the identity number.
        name: of the person's name, where there is one.
        forms: spellings of a resident number, beside the 18 characters with an upper-case X, that the source may hold
            and that are asked as well: `legacy_15` (15 digits, before 1999), `lower_x`, and `padded_N` for any number
            with blanks behind it up to N characters, as CHAR columns have them. `integer`: a table's column holds
            whole numbers, and is asked with such instead of texts.
    """

    column: Column
    name: Column | None = None
    forms: tuple[Form, ...] = ()

    @field_validator("forms")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise problem("a form is written twice", "同一写法重复")
        return value


Date: TypeAlias = Annotated[DateField, BeforeValidator(_as_column)]
Evidence: TypeAlias = Annotated[EvidenceField, BeforeValidator(_as_fixed)]
Strength: TypeAlias = Annotated[StrengthField, BeforeValidator(_as_fixed)]
Region: TypeAlias = Annotated[RegionField, BeforeValidator(_as_fixed)]
Detail: TypeAlias = Annotated[DetailField, BeforeValidator(_as_fixed)]
