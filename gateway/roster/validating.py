"""Rows of a roster made sure of: numbers in their one form, words in the contract's numbers, days, amounts in fen.

Owns: what a row must have, and the reasons, in both languages, for which one is refused. All problems of a row are told
at once. A row that is refused is never asked about, and never left out of what is told. Refuses: whom to ask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.errors import RefusedError
from gateway.exchange.question import MAX_ALIASES, MAX_NUMBER
from gateway.roster import cells as read
from gateway.roster.fields import ID_NUMBER
from gateway.roster.frames import REJECTED
from gateway.roster.records import Cells
from gateway.roster.seen import Seen
from gateway.rules.identity import normalise_number, well_formed_block
from gateway.rules.overpayment import MAX_FEN
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words

MAX_CELL_BYTES: Final = 2_000
MAX_NAME_BYTES: Final = 256
MAX_TEXT_CHARS: Final = 100
_BLANKS: Final = " \t\r\n\v\f\u00a0\u3000\u200b\u200c\u200d\u2060\ufeff"
_RESIDENT: Final = adapter_words.DOCUMENT_KIND_RESIDENT_IDENTITY
_FLOAT: Final = r"^[0-9]+(?:\.[0-9]+)?[Ee]\+?[0-9]+$"
_AMOUNT: Final = r"^[0-9]{1,10}(?:\.[0-9]{1,2}0*)?$"
_FEN: Final = r"^[0-9]{1,13}(?:\.0*)?$"
BENEFITS: Final = 16
"""Types of benefit there is room for in a key."""
_TEN_TO_17: Final = 10 ** np.arange(16, -1, -1, dtype=np.int64)

ROWS: Final[dict[str, pl.DataType]] = {
    "row": pl.Int64(),
    "id_number": pl.String(),
    "name": pl.String(),
    "document_kind": pl.Int32(),
    "aliases": pl.List(pl.String),
    "benefit": pl.Int32(),
    "residence": pl.List(pl.Int32),
    "insured": pl.Int32(),
    "household": pl.Int32(),
    "past": pl.List(pl.Int32),
    "reference": pl.String(),
    "unit": pl.String(),
    "grid_unit": pl.String(),
    "monthly_fen": pl.Int64(),
    "last_paid_on": pl.Int32(),
    "account_fen": pl.Int64(),
    "entitled_since_on": pl.Int32(),
}
"""A row that may be asked about."""

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Sure(NamedTuple):
    """Some rows of a roster, sorted.

    Args:
        rows: those that may be asked about; columns as in `ROWS`.
        rejected: those that may not, one row for each problem, with the cells of the file behind it.
        refused: how many rows that is.
        fine: for each row whether it may be asked about.
        again: for each row whether it may not because it stands in the roster already, and for no other reason.
        keys: of the person and benefit of each that is fine or again.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    refused: int
    fine: Mask
    again: Mask
    keys: Index


class Validator:
    """Makes sure of the rows of one roster, in their order.

    Args:
        header: names of the file's columns.
        columns: field → position in the file (`fields.match`).
        benefit: BenefitType of rows that name none; 0: each must.
        seen: who stands in it already.
    """

    def __init__(self, header: Sequence[str], columns: dict[str, int], benefit: int, seen: Seen | None = None) -> None:
        self._header = list(header)
        self._columns = columns
        self._benefit = benefit
        self._seen = Seen() if seen is None else seen
        self._own = own_names(header)
        self._none = pl.DataFrame(schema=dict(REJECTED) | {name: pl.String() for name in self._own})

    def check(self, cells: Cells) -> Sure:
        """Sort some rows, which follow those of the last call."""
        problems = _Problems(len(cells.row), self._told)
        problems.add(cells.uneven, "", "该行列数与表头不一致", "the row has more or fewer cells than the header")
        self._bounded(cells.frame, problems)
        text = {field: _tidy(cells.frame[str(at)]) for field, at in self._columns.items()}
        count = len(cells.row)
        empty = pl.repeat("", count, dtype=pl.String, eager=True)

        def of(field: str) -> pl.Series:
            return text.get(field, empty)

        kinds = _words(of("document_kind"), read.document, _RESIDENT, "document_kind", "证件类型无法识别",
                       "not a kind of document", problems)  # fmt: skip
        benefits = _words(of("benefit"), read.benefit, self._benefit, "benefit", "险种无法识别，请填写约定的险种名称",
                          "not a type of benefit", problems)  # fmt: skip
        if not self._benefit:
            problems.add_where(
                (of("benefit") == "").to_numpy(), "benefit", "缺少险种", "the type of benefit is missing"
            )
        numbers, keys = _numbers(of(ID_NUMBER), kinds, problems)
        frame = pl.DataFrame(
            {
                "row": cells.row,
                "id_number": numbers,
                "name": _names(of("name"), problems),
                "document_kind": kinds,
                "aliases": _aliases(of("old_id_numbers"), problems),
                "benefit": benefits,
                "residence": _regions(of("residence_region"), "residence_region", problems),
                "insured": _regions(of("insured_region"), "insured_region", problems).list.first(),
                "household": _regions(of("household_region"), "household_region", problems).list.first(),
                "past": _regions(of("past_regions"), "past_regions", problems),
                "reference": _texts(of("reference"), "reference", problems),
                "unit": _texts(of("unit"), "unit", problems),
                "grid_unit": _texts(of("grid_unit"), "grid_unit", problems),
                "monthly_fen": self._amount(text, "monthly", "monthly_fen", empty, problems),
                "last_paid_on": _days(of("last_paid_on"), "last_paid_on", problems),
                "account_fen": self._amount(text, "account", "account_fen", empty, problems),
                "entitled_since_on": _days(of("entitled_since_on"), "entitled_since_on", problems),
            },
            schema=ROWS,
            strict=False,
        ).with_columns(pl.col("insured", "household").fill_null(0))
        whose = keys * BENEFITS + benefits.to_numpy()
        again = self._once(cells.row, whose, problems)
        fine = ~problems.rows
        told = self._rejected(cells, problems)
        return Sure(frame.filter(pl.Series(fine)), told, int((~fine).sum()), fine, again, whose)

    def _amount(
        self, text: dict[str, pl.Series], yuan: str, fen: str, empty: pl.Series, problems: _Problems
    ) -> pl.Series:
        if fen in text:
            return _amounts(text[fen], fen, _FEN, 1, problems)
        return _amounts(text.get(yuan, empty), yuan, _AMOUNT, 100, problems)

    def _once(self, rows: Index, keys: Index, problems: _Problems) -> Mask:
        """Refuse who stands in the roster already, for the same benefit; these."""
        sound = np.flatnonzero(~problems.rows)
        before = self._seen.first(keys[sound], rows[sound])
        again = np.flatnonzero(before)
        problems.add_each(
            sound[again],
            ID_NUMBER,
            [
                (
                    f"同一证件号码、同一险种已在第 {row} 行出现，仅按该行查询",
                    f"the same person and benefit stand in row {row} already, which is the one asked about",
                )
                for row in before[again].tolist()
            ],
        )
        marks = np.zeros(len(rows), np.bool_)
        marks[sound[again]] = True
        return marks

    def _bounded(self, frame: pl.DataFrame, problems: _Problems) -> None:
        """Refuse cells that are too long, or that were not text in any encoding known here."""
        found = frame.select(
            long=pl.max_horizontal(pl.all().str.len_bytes()) > MAX_CELL_BYTES,
            garbled=pl.any_horizontal(pl.all().str.contains("\ufffd", literal=True)),
        )
        problems.add_where(
            found["long"].to_numpy(), "", "单元格内容过长", f"a cell has more than {MAX_CELL_BYTES} bytes"
        )
        problems.add_where(
            found["garbled"].to_numpy(),
            "",
            "文字编码有误，请以 UTF-8 或 GB 18030 保存",
            "not text in UTF-8 or GB 18030",
        )

    def _told(self, field: str) -> str:
        """The name of a field's column in the file; its own where the file has none."""
        at = self._columns.get(field)
        if at is None and field in ("monthly", "account"):
            at = self._columns.get(f"{field}_fen")
        return field if at is None else self._header[at]

    def _rejected(self, cells: Cells, problems: _Problems) -> pl.DataFrame:
        if not problems.rows.any():
            return self._none
        found = problems.frame()
        at = found["at"]
        own = cells.frame[at].select(
            pl.col(str(place)).str.slice(0, MAX_CELL_BYTES // 4).alias(name) for place, name in enumerate(self._own)
        )
        told = found.select(pl.Series("row", cells.row)[at], "column", "reason_zh", "reason_en")
        return pl.concat([told.cast(dict(REJECTED)), own], how="horizontal")  # type: ignore[arg-type]


class _Problems:
    """What is wrong, by position in the batch."""

    def __init__(self, count: int, told: Callable[[str], str]) -> None:
        self.rows: Mask = np.zeros(count, np.bool_)
        self._told = told
        self._found: list[tuple[Any, str, Any, Any]] = []

    def add(self, at: Index, field: str, zh: str, en: str) -> None:
        """The same about several rows."""
        if len(at):
            self.add_each(at, field, [(zh, en)] * len(at))

    def add_where(self, wrong: Mask, field: str, zh: str, en: str) -> None:
        """The same, of rows that are marked."""
        if wrong.any():
            self.add(np.flatnonzero(wrong), field, zh, en)

    def add_each(self, at: Index, field: str, texts: Sequence[tuple[str, str]]) -> None:
        """About several rows, each with its own text."""
        if len(at):
            self.rows[at] = True
            name = self._told(field) if field else ""
            self._found += [(place, name, zh, en) for place, (zh, en) in zip(at.tolist(), texts, strict=True)]

    def frame(self) -> pl.DataFrame:
        """All of it, in order of the rows."""
        schema = {"at": pl.Int64, "column": pl.String, "reason_zh": pl.String, "reason_en": pl.String}
        return pl.DataFrame(self._found, schema=schema, orient="row").sort("at", maintain_order=True)


def own_names(header: Sequence[str]) -> list[str]:
    """Names of the file's columns that differ from each other and from our own."""
    taken = set(REJECTED)
    names: list[str] = []
    for at, name in enumerate(header):
        unique = name or f"column_{at + 1}"
        while unique in taken:
            unique += "_"
        taken.add(unique)
        names.append(unique)
    return names


def _tidy(column: pl.Series) -> pl.Series:
    """Cells without blanks around them, nor the marks by which spreadsheets are made to take digits for text."""
    tidy = column.str.strip_chars(_BLANKS)
    if tidy.str.starts_with("=").any():
        tidy = tidy.str.replace(r'^="(.*)"$', "$1").str.strip_chars(_BLANKS)
    if tidy.str.starts_with("'").any():
        tidy = tidy.str.strip_prefix("'").str.strip_chars(_BLANKS)
    return tidy


def _mapped(column: pl.Series, parse: Callable[[str], Any], dtype: pl.DataType) -> tuple[pl.Series, Mask]:
    """What each text means, null for an empty one; and which texts mean nothing. Each different text is parsed once."""
    count = len(column)
    if _blank(column):
        return pl.Series([None], dtype=dtype).new_from_index(0, count), np.zeros(count, np.bool_)
    if (column == column[0]).all():
        meaning = parse(column[0])
        found = pl.Series([meaning], dtype=dtype).new_from_index(0, count)
        return found, np.full(count, meaning is None)
    unique = column.unique().to_list()
    meanings = [None if text == "" else parse(text) for text in unique]
    wrong = [text != "" and meaning is None for text, meaning in zip(unique, meanings, strict=True)]
    table = pl.DataFrame(
        [pl.Series("text", unique, pl.String), pl.Series("meaning", meanings, dtype), pl.Series("wrong", wrong)]
    )
    both = column.alias("text").to_frame().join(table, on="text", how="left", maintain_order="left")
    return both["meaning"], both["wrong"].to_numpy()


def _blank(column: pl.Series) -> bool:
    """Whether there is nothing in it; most columns of a roster are all empty or all filled."""
    return not len(column) or (not column[0] and bool((column == "").all()))


def _words(
    column: pl.Series,
    parse: Callable[[str], int | None],
    default: int,
    field: str,
    zh: str,
    en: str,
    problems: _Problems,
) -> pl.Series:
    numbers, wrong = _mapped(column, parse, pl.Int32())
    problems.add_where(wrong, field, zh, en)
    return numbers.fill_null(default)


def _regions(column: pl.Series, field: str, problems: _Problems) -> pl.Series:
    found, wrong = _mapped(column, read.regions, pl.List(pl.Int32))
    problems.add_where(
        wrong,
        field,
        "行政区划有误，请填写六位代码（GB/T 2260），例如 330700",
        "not a GB/T 2260 code of six digits, for example 330700",
    )
    return found.fill_null([]) if found.null_count() else found


def _days(column: pl.Series, field: str, problems: _Problems) -> pl.Series:
    found, wrong = _mapped(column, read.day, pl.Int32())
    problems.add_where(
        wrong, field, "日期有误，请写作 2026-03-01 或 2026-03", "not a date; write 2026-03-01, or 2026-03 for a month"
    )
    return found.fill_null(0)


def _amounts(column: pl.Series, field: str, form: str, factor: int, problems: _Problems) -> pl.Series:
    """Amounts in fen, of yuan or of fen."""
    if _blank(column):
        return pl.Series([0], dtype=pl.Int64).new_from_index(0, len(column))
    plain = column
    if column.str.contains(r"[^0-9.]").any():
        plain = column.str.replace_all(r"[,，¥￥元\s]", "")
    empty = plain == ""
    fits = plain.str.contains(form)
    number = plain.replace("", "0").cast(pl.Float64, strict=False)  # exact to the fen below 2^53
    fen = (number * factor).round().cast(pl.Int64, strict=False).fill_null(0)
    wrong = (~(fits | empty) | (fen > MAX_FEN)).to_numpy()
    problems.add_where(
        wrong,
        field,
        "金额有误，应为不小于零的数字，至多两位小数" if factor > 1 else "金额有误，应为不小于零的整数（分）",
        "not an amount: digits, at most two decimals" if factor > 1 else "not an amount in fen: digits only",
    )
    return fen


def _names(column: pl.Series, problems: _Problems) -> pl.Series:
    problems.add_where((column == "").to_numpy(), "name", "缺少姓名", "the name is missing")
    problems.add_where((column.str.len_bytes() > MAX_NAME_BYTES).to_numpy(), "name", "姓名过长", "the name is too long")
    _printable(column, "name", problems)
    return column


def _texts(column: pl.Series, field: str, problems: _Problems) -> pl.Series:
    if _blank(column):
        return column
    problems.add_where(
        (column.str.len_chars() > MAX_TEXT_CHARS).to_numpy(),
        field,
        f"内容过长（至多 {MAX_TEXT_CHARS} 个字符）",
        f"more than {MAX_TEXT_CHARS} characters",
    )
    _printable(column, field, problems)
    return column


def _printable(column: pl.Series, field: str, problems: _Problems) -> None:
    problems.add_where(
        column.str.contains(r"\p{Cc}").to_numpy(), field, "含有不可见的控制字符", "holds characters that cannot be seen"
    )


def _aliases(column: pl.Series, problems: _Problems) -> pl.Series:
    """Old numbers: few people have any."""
    empty = pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, len(column))
    if _blank(column):
        return empty
    found: list[list[str]] = empty.to_list()
    for at in np.flatnonzero((column != "").to_numpy()).tolist():
        try:
            numbers = [normalise_number(part) for part in column[at].replace("；", ";").replace("、", ";").split(";")]
        except RefusedError as error:
            problems.add_each(np.array([at]), "old_id_numbers", [(error.zh, error.en)])
            continue
        if len(numbers) > MAX_ALIASES:
            problems.add(np.array([at]), "old_id_numbers", "曾用号码过多", "too many old numbers")
        found[at] = numbers
    return pl.Series(found, dtype=pl.List(pl.String))


def _numbers(column: pl.Series, kinds: pl.Series, problems: _Problems) -> tuple[pl.Series, Index]:
    """Numbers in their one form, "" where refused, and a key for each that no two people share.

    Those that are in order as they stand are recognised together; others are looked at one by one.
    """
    count = len(column)
    keys = np.zeros(count, np.int64)
    usual = ((column.str.len_bytes() == 18) & (column.str.len_chars() == 18) & (kinds == _RESIDENT)).to_numpy()
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
        keys[place] = key_of(found, resident=bool(found) and kind == _RESIDENT)
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
