"""Rows of a roster made sure of: what each must have, and that nobody stands in it twice for the same benefit.

Owns: sorting rows into those that may be asked about and those that are refused. All problems of a row are told at
once. A row that is refused is never asked about, and never left out of what is told. Refuses: what a cell means
(`meanings`, `numbering`), and whom to ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from gateway.roster import cells as read
from gateway.roster import meanings, numbering
from gateway.roster.fields import ID_NUMBER
from gateway.roster.frames import REJECTED
from gateway.roster.problems import Index, Mask, Problems
from gateway.roster.records import Cells
from gateway.roster.seen import Seen
from gateway.wording import Word

MAX_CELL_BYTES: Final = 2_000
_NO_KIND: Final = Word("证件类型无法识别", "not a kind of document")
_NO_BENEFIT: Final = Word("险种无法识别，请填写约定的险种名称", "not a type of benefit")
BENEFITS: Final = 16
"""Types of benefit there is room for in a key."""

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
        problems = Problems(len(cells.row), self._told)
        problems.add(cells.uneven, "", "该行列数与表头不一致", "the row has more or fewer cells than the header")
        self._bounded(cells.frame, problems)
        text = {field: meanings.tidy(cells.frame[str(at)]) for field, at in self._columns.items()}
        count = len(cells.row)
        empty = pl.repeat("", count, dtype=pl.String, eager=True)

        def of(field: str) -> pl.Series:
            return text.get(field, empty)

        kinds = meanings.word_numbers(
            of("document_kind"), read.document, numbering.RESIDENT, "document_kind", _NO_KIND, problems
        )
        benefits = meanings.word_numbers(of("benefit"), read.benefit, self._benefit, "benefit", _NO_BENEFIT, problems)
        if not self._benefit:
            missing = (of("benefit") == "").to_numpy()
            problems.add_where(missing, "benefit", "缺少险种", "the type of benefit is missing")
        numbers, keys = numbering.numbers(of(ID_NUMBER), kinds, problems)
        frame = pl.DataFrame(
            {
                "row": cells.row,
                "id_number": numbers,
                "name": meanings.names(of("name"), problems),
                "document_kind": kinds,
                "aliases": meanings.aliases(of("old_id_numbers"), problems),
                "benefit": benefits,
                "residence": meanings.regions(of("residence_region"), "residence_region", problems),
                "insured": meanings.regions(of("insured_region"), "insured_region", problems).list.first(),
                "household": meanings.regions(of("household_region"), "household_region", problems).list.first(),
                "past": meanings.regions(of("past_regions"), "past_regions", problems),
                "reference": meanings.texts(of("reference"), "reference", problems),
                "unit": meanings.texts(of("unit"), "unit", problems),
                "grid_unit": meanings.texts(of("grid_unit"), "grid_unit", problems),
                "monthly_fen": self._amount(text, "monthly", "monthly_fen", empty, problems),
                "last_paid_on": meanings.days(of("last_paid_on"), "last_paid_on", problems),
                "account_fen": self._amount(text, "account", "account_fen", empty, problems),
                "entitled_since_on": meanings.starts(of("entitled_since_on"), "entitled_since_on", problems),
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
        self, text: dict[str, pl.Series], yuan: str, fen: str, empty: pl.Series, problems: Problems
    ) -> pl.Series:
        if fen in text:
            return meanings.amounts(text[fen], fen, meanings.FEN, 1, problems)
        return meanings.amounts(text.get(yuan, empty), yuan, meanings.YUAN, 100, problems)

    def _once(self, rows: Index, keys: Index, problems: Problems) -> Mask:
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

    def _bounded(self, frame: pl.DataFrame, problems: Problems) -> None:
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

    def _rejected(self, cells: Cells, problems: Problems) -> pl.DataFrame:
        if not problems.rows.any():
            return self._none
        found = problems.frame()
        at = found["at"]
        own = cells.frame[at].select(
            pl.col(str(place)).str.slice(0, MAX_CELL_BYTES // 4).alias(name) for place, name in enumerate(self._own)
        )
        told = found.select(pl.Series("row", cells.row)[at], "column", "reason_zh", "reason_en")
        return pl.concat([told.cast(dict(REJECTED)), own], how="horizontal")  # type: ignore[arg-type]


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
