"""Recipients that stand in the roster more than once: the same benefit twice, several benefits, several names.

Owns: finding them with eight bytes for each recipient in memory: the hash of every number is kept, and only the rows
whose hash occurs twice are looked at. Refuses: other provinces' rosters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from gateway.roster.results.rows import worded
from gateway.rules.names import name_key
from gateway.wording import BENEFITS, DUPLICATES, Language, Word, word

_NAMED_ROWS: Final = 5
"""How many other rows a finding names."""
REPEATED: Final = {"row": pl.Int64(), "finding": pl.String(), "what": pl.String()}


class Numbers:
    """The numbers of a roster, as hashes."""

    def __init__(self) -> None:
        self._hashes: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []

    def add(self, id_numbers: pl.Series) -> None:
        """Keep a chunk's."""
        self._hashes.append(id_numbers.hash(seed=0).to_numpy())

    def repeated(self, people: pl.LazyFrame, language: Language) -> tuple[pl.DataFrame, pl.Series]:
        """What stands in the roster more than once.

        Args:
            people: everybody: row, id_number, name, benefit.
            language: of the explanations.

        Returns:
            Findings (row, finding, what), and the rows that repeat an earlier one of the same person and benefit.
        """
        hashes = np.sort(np.concatenate(self._hashes)) if self._hashes else np.zeros(0, np.uint64)
        twice = pl.Series("hash", np.unique(hashes[1:][hashes[1:] == hashes[:-1]]), pl.UInt64)
        if not len(twice):
            return pl.DataFrame(schema=REPEATED), pl.Series("row", [], pl.Int64)
        suspects = (
            people.select("row", "id_number", "name", "benefit")
            .filter(pl.col("id_number").hash(seed=0).is_in(twice.implode()))
            .collect(engine="streaming")
        )
        folded = suspects["name"].unique().to_list()
        keyed = suspects.with_columns(
            key=pl.col("name").replace_strict(folded, [name_key(name) for name in folded], return_dtype=pl.String),
            benefit_name=worded("benefit", BENEFITS, language),
        )
        same = ["id_number", "benefit"]
        again = keyed.filter(pl.col("row") > pl.col("row").min().over(same))["row"].sort()
        chinese = language == "zh"
        parts = [
            _found(
                keyed.filter(pl.len().over(same) > 1),
                same,
                "REPEATED",
                _rows("row", language),
                *(("同一人、同一险种：第 ", " 行") if chinese else ("the same person and benefit: rows ", "")),
            ),
            _found(
                keyed.filter(pl.col("benefit").n_unique().over("id_number") > 1),
                ["id_number"],
                "SEVERAL_BENEFITS",
                _distinct("benefit_name", language),
                *(("同一号码领取：", "") if chinese else ("the same number draws: ", "")),
            ),
            _found(
                keyed.filter(pl.col("key").n_unique().over("id_number") > 1),
                ["id_number"],
                "SEVERAL_NAMES",
                _rows("row", language),
                *(
                    ("同一号码姓名不同：第 ", " 行")
                    if chinese
                    else ("the same number under different names: rows ", "")
                ),
            ),
        ]
        return pl.concat(parts), again


def twice(refused: pl.DataFrame, language: Language, members: Mapping[str, Word]) -> pl.DataFrame:
    """Findings of people whose certification was refused at the once-only gate, columns as in REPEATED.

    Args:
        refused: rows of the table `duplicates`.
        language: of the explanations.
        members: names of members.
    """
    chinese = language == "zh"
    told = []
    for kind, unit, member, on in refused.select("kind", "unit", "member", "certified_on").iter_rows():
        found = word(DUPLICATES, kind)
        named = members.get(member)
        of = unit if named is None else (named.zh if chinese else named.en)
        day = str(np.datetime64(on, "D")) if on else ""
        other = ("，" if chinese else ", ").join(filter(None, (of or member, day)))
        text = found.zh if chinese else found.en
        told.append(f"{text}（{other}）" if chinese else f"{text} ({other})")
    return pl.DataFrame(
        {"row": refused["row"], "finding": ["CERTIFIED_TWICE"] * refused.height, "what": told}, schema=REPEATED
    )


def _found(rows: pl.DataFrame, group: list[str], finding: str, what: pl.Expr, before: str, after: str) -> pl.DataFrame:
    texts = rows.sort("row").group_by(group, maintain_order=True).agg(what=what)
    return (
        rows.join(texts, on=group, how="left")
        .select("row", finding=pl.lit(finding), what=pl.concat_str(pl.lit(before), "what", pl.lit(after)))
        .sort("row")
    )


def _rows(column: str, language: Language) -> pl.Expr:
    joint = "、" if language == "zh" else ", "
    more = pl.when(pl.len() > _NAMED_ROWS).then(pl.lit("…")).otherwise(pl.lit(""))
    return pl.concat_str(pl.col(column).head(_NAMED_ROWS).cast(pl.String).str.join(joint), more)


def _distinct(column: str, language: Language) -> pl.Expr:
    return pl.col(column).unique(maintain_order=True).str.join("；" if language == "zh" else "; ")
