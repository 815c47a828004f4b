"""One chunk of answers as result rows: numbers as words, days as dates, reasons as sentences.

Owns: what stands in every column of a result row. Refuses: what needs more than one chunk (repeated.py), and layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from gateway.federation.regions import PROVINCES
from gateway.roster.frames import ChunkFrames
from gateway.roster.results import headings
from gateway.roster.results.frames import civil
from gateway.roster.results.reasons import names, sentences
from gateway.wording import (
    BENEFITS,
    DEPARTMENTS,
    FLAGS,
    KINDS,
    PENALTIES,
    PROPOSALS,
    REFUSALS,
    STATUSES,
    STRENGTHS,
    Language,
    Word,
)
from wugan.federation.v1 import vocabulary_pb2 as words

PROVINCE_UNIT: Final = 10_000
"""A region code divided by this is its province."""
NOBODY_ASKED: Final = -1
"""Beside the contract's RefusalReason: nobody serves where the person lives, or the asking member does itself."""
WHY_NOT_ANSWERED: Final = {NOBODY_ASKED: headings.NOBODY_ASKED, **REFUSALS}
_JOINT: Final[dict[Language, str]] = {"zh": "、", "en": ", "}


def result_rows(chunk: ChunkFrames, language: Language, as_of_on: int, members: Mapping[str, Word]) -> pl.DataFrame:
    """The result rows of a chunk, in order: its people's columns as they are, then what is told of them in words.

    Args:
        chunk: checked frames.
        language: of the words.
        as_of_on: the day of the run, which is when data comparison certified.
        members: names of members by id; one that is not there is shown by its id.
    """
    certified = pl.col("certification") == words.CERTIFICATION_STATUS_CERTIFIED
    rows = chunk.people.with_columns(not_answered=not_answered()).with_columns(
        benefit_name=worded("benefit", BENEFITS, language),
        residence=region_name("region", language),
        registered=pl.lit(headings.REGISTERED.said(language)),
        certification_status=worded("certification", PROPOSALS, language, headings.NO_ANSWER),
        mark=worded("status", headings.MARKS, language),
        source=pl.when(certified).then(pl.lit(headings.DATA_COMPARISON.said(language))).otherwise(pl.lit("")),
        certified_on=pl.when(certified).then(pl.lit(as_of_on, pl.Int32)).cast(pl.Date),
        grade=worded("status", STATUSES, language, headings.NO_ANSWER),
        entitlement=_flags(chunk.people["flags"], language),
        last_trace=civil("last_trace_on"),
        decided=civil("decided_on"),
        valid_until=civil("valid_until_on"),
        verify_by=civil("verify_by_on"),
        effective_month=civil("effective_on"),
        last_paid_month=civil("last_paid_on"),
        incomplete=pl.when("partial").then(pl.lit(headings.YES.said(language))).otherwise(pl.lit("")),
        not_answered_why=worded("not_answered", WHY_NOT_ANSWERED, language, Word("", "")),
        asked=_parties(chunk.people["members"], language, members),
        silent_sources=_parties(chunk.people["silent"], language, members),
    )
    rows = rows.drop("not_answered")
    told = sentences(chunk.reasons, chunk.reason_texts, language)
    return (
        rows.join(told, on="row", how="left", maintain_order="left")
        .join(_evidence(chunk, language), on="row", how="left", maintain_order="left")
        .with_columns(
            pl.col("reasons", "evidence_departments").fill_null(""),
            pl.col("evidence_rows").fill_null(0),
            evidence_newest_on=pl.max_horizontal("evidence_newest_on", "last_trace"),
        )
    )


def evidence_rows(evidence: pl.DataFrame, language: Language, members: Mapping[str, Word]) -> pl.DataFrame:
    """Evidence in words, beside its numbers."""
    return evidence.with_columns(
        member_name=_parties(evidence["member"], language, members),
        department_name=worded("department", DEPARTMENTS, language),
        kind_name=worded("kind", KINDS, language),
        strength_name=worded("strength", STRENGTHS, language, Word("", "")),
        place=region_name("region", language),
        detail_name=worded("detail", PENALTIES, language, Word("", "")),
        observed=civil("observed_on"),
        available=civil("available_on"),
        **{"from": civil("from_on"), "until": civil("until_on")},
    )


def not_answered() -> pl.Expr:
    """Why there is no answer, by the keys of `WHY_NOT_ANSWERED`; 0 where there is one."""
    nobody = (pl.col("refusal") == words.REFUSAL_REASON_NOT_SERVED) & (pl.col("members") == "")
    return pl.when(nobody).then(pl.lit(NOBODY_ASKED, pl.Int16)).otherwise("refusal")


def worded(column: str, table: dict[int, Word], language: Language, nought: Word | None = None) -> pl.Expr:
    """A column of numbers in words; a number of a later version of the contract is shown as itself."""
    numbers, texts = names(table if nought is None else {0: nought, **table}, language)
    left, right = ("（", "）") if language == "zh" else ("(", ")")
    number = pl.col(column).cast(pl.Int32)
    known = number.replace_strict(numbers, texts, default=None, return_dtype=pl.String)
    return known.fill_null(pl.concat_str(pl.lit(left), number.cast(pl.String), pl.lit(right)))


def region_name(column: str, language: Language) -> pl.Expr:
    """A region as province and code, "" for 0: the names of counties change several times a year."""
    code = pl.col(column).cast(pl.Int64)
    provinces = {province.code // PROVINCE_UNIT: Word(province.zh, province.en) for province in PROVINCES.values()}
    numbers, texts = names(provinces, language)
    name = (code // PROVINCE_UNIT).replace_strict(numbers, texts, default="", return_dtype=pl.String)
    whole = code % PROVINCE_UNIT == 0
    return (
        pl.when(code == 0)
        .then(pl.lit(""))
        .when(whole & (name != ""))
        .then(name)
        .otherwise(pl.concat_str(name, pl.lit(" "), code.cast(pl.String)).str.strip_chars_start())
    )


def party(text: str, language: Language, members: Mapping[str, Word]) -> str:
    """A member, or a department of one ("member/number"), by name."""
    member, _, department = text.partition("/")
    named = members.get(member)
    name = named.said(language) if named else member
    if not department:
        return name
    found = DEPARTMENTS.get(int(department)) if department.isascii() and department.isdigit() else None
    return name + ("·" if language == "zh" else ": ") + (found.said(language) if found else department)


def _parties(column: pl.Series, language: Language, members: Mapping[str, Word]) -> pl.Series:
    """Members joined by ";" by name. Few combinations differ."""
    distinct = column.unique().to_list()
    joint = _JOINT[language]
    told = [joint.join(party(part, language, members) for part in text.split(";") if part) for text in distinct]
    return _replaced(column, distinct, told)


def _flags(column: pl.Series, language: Language) -> pl.Series:
    """The facts that are set, by name. Few combinations differ."""
    distinct = column.unique().to_list()
    joint = _JOINT[language]
    told = [joint.join(named.said(language) for flag, named in FLAGS.items() if bits >> flag & 1) for bits in distinct]
    return _replaced(column, distinct, told)


def _replaced(column: pl.Series, old: list[Any], new: list[str]) -> pl.Series:
    """Values as texts; of an empty column the type alone (polars keeps the old one there)."""
    return column.replace_strict(old, new, return_dtype=pl.String) if old else pl.Series(column.name, [], pl.String)


def _evidence(chunk: ChunkFrames, language: Language) -> pl.DataFrame:
    """For each row: the departments that reasons and evidence name, the newest day of evidence, how much there is."""
    numbers, texts = names(DEPARTMENTS, language)
    # A reason without a kind tells of a department that did not answer.
    told = chunk.reasons.filter(pl.col("kind") != 0)
    named = pl.concat([told.select("row", "department"), chunk.evidence.select("row", "department")])
    departments = (
        named.unique()
        .with_columns(pl.col("department").cast(pl.Int32))
        .filter(pl.col("department").is_in(numbers))
        .sort("row", "department")
        .group_by("row", maintain_order=True)
        .agg(pl.col("department").replace_strict(numbers, texts, return_dtype=pl.String).str.join(_JOINT[language]))
        .rename({"department": "evidence_departments"})
    )
    rows = chunk.evidence.group_by("row").agg(evidence_rows=pl.len(), evidence_newest_on=civil("observed_on").max())
    return departments.join(rows, on="row", how="full", coalesce=True)
