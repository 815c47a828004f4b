"""Reasons as sentences, one text for each recipient, filled in by column.

Owns: what `gateway.rules.wording.fill` does for one reason, done for a chunk at once; a test holds the two against each
other. Refuses: judging; the texts are the answering side's own.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from gateway.roster.results.frames import civil
from gateway.wording import DEPARTMENTS, KINDS, Language, Word

MAX_TEMPLATE: Final = 500
"""Characters taken over of another member's text."""

_PLACE: Final = re.compile(r"(\{(?:department|kind|on|number)\})")


def sentences(reasons: pl.DataFrame, texts: pl.DataFrame, language: Language) -> pl.DataFrame:
    """The reasons of each row as one text.

    Args:
        reasons: of a chunk, checked.
        texts: its templates.
        language: of the texts.

    Returns:
        `row`, `reasons`: the sentences in their order, each once; rows without a reason are left out.
    """
    told = reasons.join(
        texts.select("member", "code", template=pl.col(language).str.slice(0, MAX_TEMPLATE)),
        on=["member", "code"],
        how="left",
        maintain_order="left",
    )
    between = "" if language == "zh" else " "
    return (
        told.select("row", reasons=_filled(told, language))
        .unique(["row", "reasons"], keep="first", maintain_order=True)
        .group_by("row", maintain_order=True)
        .agg(pl.col("reasons").str.join(between))
    )


def names(table: dict[int, Word], language: Language) -> tuple[list[int], list[str]]:
    """A table of words as two columns, numbers and words."""
    return list(table), [named.said(language) for named in table.values()]


def _filled(told: pl.DataFrame, language: Language) -> pl.Series:
    """The sentence of every reason. One expression for each distinct template: there are some dozens at most."""
    chinese = language == "zh"
    day = civil("on")
    texts = told.with_columns(
        department=_word("department", DEPARTMENTS, language, "某部门" if chinese else "a department"),
        kind=_word("kind", KINDS, language, "记录" if chinese else "record"),
        number=pl.when(pl.col("number") != 0)
        .then(pl.col("number").cast(pl.String))
        .otherwise(pl.lit("未披露" if chinese else "not disclosed")),
        on=pl.when("month")
        .then(day.dt.to_string("%Y-%m"))
        .otherwise(day.dt.to_string("%Y-%m-%d"))
        .fill_null("某日" if chinese else "a day not disclosed"),
    ).with_row_index("_at")
    parts = [
        part.select("_at", text=pl.concat_str([_piece(piece) for piece in _PLACE.split(template)]))
        for (template,), part in texts.group_by("template", maintain_order=True)
        if isinstance(template, str)
    ]
    if not parts:
        return pl.Series("reasons", [], pl.String)
    return pl.concat(parts).sort("_at")["text"].alias("reasons")


def _piece(piece: str) -> pl.Expr:
    return pl.col(piece[1:-1]) if _PLACE.fullmatch(piece) else pl.lit(piece)


def _word(column: str, table: dict[int, Word], language: Language, otherwise: str) -> pl.Expr:
    numbers, words = names(table, language)
    return pl.col(column).cast(pl.Int32).replace_strict(numbers, words, default=otherwise, return_dtype=pl.String)
