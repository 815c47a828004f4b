"""Work lists: one file for each grid unit (网格), of people to visit and of people to pass a face check.

Owns: file names made of unit names, what a visitor is told, and keeping in memory some units at a time. Refuses: the
reasons. Who goes to see somebody learns what to establish, not where the person was seen; and the middle of the
identity number is left out unless the agency says otherwise.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from gateway.roster.results import headings
from gateway.roster.results.rows import worded
from gateway.roster.results.sheets import Workbook
from gateway.roster.results.staging import Staging
from gateway.roster.results.tables import batches, write_csv
from gateway.wording import Language, Word
from wugan.federation.v1 import vocabulary_pb2 as words

FOLDER: Final = "worklists"
Format = Literal["xlsx", "csv"]

_ROWS_AT_A_TIME: Final = 50_000
_LONGEST_BYTES: Final = 120
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\u200b-\u200f\u2028-\u202e\u2066-\u2069]')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LISTS: Final = {
    "visit": Word("上门核查", "visits"),
    "face": Word("人脸认证", "face checks"),
}
_VISITED: Final = (words.CERTIFICATION_STATUS_NEEDS_VISIT, words.CERTIFICATION_STATUS_SUSPECT)
_SHOWN: Final = 18


@dataclass(frozen=True, slots=True)
class WorkListOptions:
    """How work lists are written.

    Args:
        formats: "xlsx", "csv" or both; none: no work lists.
        full_numbers: identity numbers whole.
    """

    formats: tuple[Format, ...] = ("xlsx",)
    full_numbers: bool = False


def write_work_lists(results: pl.LazyFrame, staging: Staging, language: Language, options: WorkListOptions) -> int:
    """Write worklists/visit/…, worklists/face/… and worklists/index.csv; how many units there are in all."""
    rows = _work(results, language, full_numbers=options.full_numbers)
    index: list[dict[str, object]] = []
    for name, statuses in (("visit", _VISITED), ("face", (words.CERTIFICATION_STATUS_NEEDS_FACE,))):
        listed = rows.filter(pl.col("certification").is_in(statuses))
        counted = listed.group_by("grid_unit").len().collect(engine="streaming").sort("grid_unit")
        units = counted["grid_unit"].to_list()
        sizes = counted["len"].to_list()
        files = file_names(units)
        for unit, frame in _by_unit(listed, units, sizes):
            for form in options.formats:
                path = staging.file(FOLDER, name, f"{files[unit]}.{form}")
                if form == "csv":
                    write_csv(frame, headings.WORK, path, language)
                else:
                    _write_sheet(path_book=Workbook(path, language), frame=frame, name=name, language=language)
        title = _LISTS[name].said(language)
        index += [
            {"list": title, "grid_unit": unit, "people": size, "file": f"{name}/{files[unit]}.{options.formats[0]}"}
            for unit, size in zip(units, sizes, strict=True)
        ]
    schema = {"list": pl.String, "grid_unit": pl.String, "people": pl.Int64, "file": pl.String}
    write_csv(
        pl.DataFrame(index, schema=schema).lazy(), headings.WORK_INDEX, staging.file(FOLDER, "index.csv"), language
    )
    return len(index)


def file_names(units: Iterable[str]) -> dict[str, str]:
    """A file name for each unit: readable, and safe on every system; two units never share one.

    A name that had to be changed, or that differs from another only in ways that some systems do not tell apart
    (letter case, composed characters), ends with a few digits of the digest of the unit's own.
    """
    safe = {unit: _safe(unit) for unit in units}
    folded: dict[str, int] = {}
    for name in safe.values():
        folded[_folded(name)] = folded.get(_folded(name), 0) + 1
    return {
        unit: name if name == unit and folded[_folded(name)] == 1 else f"{name}-{_digest(unit)}"
        for unit, name in safe.items()
    }


def masked(column: str) -> pl.Expr:
    """An identity number without its middle: region and last four digits; of other documents the first and last two."""
    number = pl.col(column)
    return (
        pl.when(number.str.len_chars() == _SHOWN)
        .then(pl.concat_str(number.str.slice(0, 6), pl.lit("********"), number.str.slice(-4)))
        .otherwise(pl.concat_str(number.str.slice(0, 2), pl.lit("****"), number.str.slice(-2)))
    )


def _work(results: pl.LazyFrame, language: Language, *, full_numbers: bool) -> pl.LazyFrame:
    code = pl.col("certification")
    said = {
        name: pl.lit(word.said(language))
        for name, word in (("see", headings.SEE), ("face", headings.FACE), ("entitlement", headings.ENTITLEMENT))
    }
    doubtful = pl.col("status").is_in(list(headings.TASKS))
    return results.with_columns(
        grid_unit=pl.when(pl.col("grid_unit").str.strip_chars() == "")
        .then(pl.lit(headings.UNASSIGNED.said(language)))
        .otherwise("grid_unit"),
        id_shown=pl.col("id_number") if full_numbers else masked("id_number"),
        task=pl.when(code == words.CERTIFICATION_STATUS_NEEDS_FACE)
        .then(said["face"])
        .when(code == words.CERTIFICATION_STATUS_NEEDS_VISIT)
        .then(said["see"])
        .when(doubtful)
        .then(worded("status", headings.TASKS, language))
        .otherwise(said["entitlement"]),
    )


def _by_unit(rows: pl.LazyFrame, units: list[str], sizes: list[int]) -> Iterator[tuple[str, pl.LazyFrame]]:
    """Every unit with its rows; so many units are read at a time as do not have too many rows together."""
    wanted = ["certification", *(column.name for column in headings.WORK if not column.name.startswith("outcome"))]
    start = 0
    while start < len(units):
        end, held = start, 0
        while end < len(units) and (end == start or held + sizes[end] <= _ROWS_AT_A_TIME):
            held += sizes[end]
            end += 1
        these = units[start:end]
        part = rows.filter(pl.col("grid_unit").is_in(these)).select(wanted)
        if len(these) == 1:
            yield these[0], part
        else:
            parts = part.collect(engine="streaming").partition_by("grid_unit", as_dict=True)
            for unit in these:
                yield unit, parts[unit,].lazy()
        start = end


def _write_sheet(path_book: Workbook, frame: pl.LazyFrame, name: str, language: Language) -> None:
    choices = [word.said(language) for word in headings.OUTCOME_WORDS.values()]
    with path_book as book:
        title = _LISTS[name].said(language)
        book.sheet(title, headings.WORK, batches(frame, headings.WORK), choices={"outcome": choices})


def _safe(unit: str) -> str:
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", unit)).strip(" .")
    name = re.sub(r"^[-~=+@]", "_", name) or "_"
    if _RESERVED.match(name):
        name = f"_{name}"
    while len(name.encode()) > _LONGEST_BYTES:
        name = name[:-1]
    return name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _digest(unit: str) -> str:
    return hashlib.sha256(unit.encode("utf-8", "surrogatepass")).hexdigest()[:8]
