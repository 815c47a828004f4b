"""What is counted while result rows pass by: everything the page for the head of office says, and no person.

Owns: sums by benefit, province, certification and survival status; refusals; who was silent. Refuses: words, layout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from gateway.roster.results.rows import PROVINCE_UNIT, not_answered
from wugan.federation.v1 import vocabulary_pb2 as words

_KEYS: Final = ("benefit", "province", "certification", "status")
_SUMS: Final = ("people", "partial", "overpaid", "months", "gross_fen", "offset_fen", "net_fen")


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What a run came to.

    Args:
        cube: one row for each (benefit, province, certification, status) that occurs, by number, in order; with
            people, partial (answers that lack a source), overpaid (people), months, gross_fen, offset_fen, net_fen.
        refusals: people without an answer, by `rows.WHY_NOT_ANSWERED`.
        silent: people for whom it did not answer, by member or "member/Department number".
        findings: people, by name of the finding.
        rejected: rows of the input that could not be used.
        chunks: chunks that were asked.
    """

    cube: pl.DataFrame
    refusals: Mapping[int, int]
    silent: Mapping[str, int]
    findings: Mapping[str, int]
    rejected: int
    chunks: int

    @property
    def people(self) -> int:
        """Recipients (底数)."""
        return int(self.cube["people"].sum())

    @property
    def certified(self) -> int:
        """Of them, certified by data comparison."""
        return self.by("certification").get(words.CERTIFICATION_STATUS_CERTIFIED, 0)

    def by(self, key: str, value: str = "people") -> dict[int, int]:
        """A sum by benefit, province, certification or status."""
        grouped = self.cube.group_by(key).agg(pl.col(value).sum()).sort(key)
        return dict(zip(grouped[key].to_list(), grouped[value].to_list(), strict=True))

    def total(self, value: str) -> int:
        """A sum over everybody."""
        return int(self.cube[value].sum())


class Counting:
    """Counts chunk by chunk."""

    def __init__(self) -> None:
        self._cube = pl.DataFrame(
            schema={name: pl.Int32 for name in _KEYS} | {name: pl.Int64 for name in _SUMS}  # noqa: C420
        )
        self._refusals: Counter[int] = Counter()
        self._silent: Counter[str] = Counter()
        self._chunks = 0

    def add(self, people: pl.DataFrame) -> None:
        """Count the people of a chunk."""
        self._chunks += 1
        keyed = people.with_columns(
            pl.col("benefit", "certification", "status").cast(pl.Int32),
            province=(pl.col("region") // PROVINCE_UNIT * PROVINCE_UNIT).cast(pl.Int32),
        )
        sums = keyed.group_by(_KEYS).agg(
            people=pl.len().cast(pl.Int64),
            partial=pl.col("partial").sum().cast(pl.Int64),
            overpaid=(pl.col("overpaid_months") > 0).sum().cast(pl.Int64),
            months=pl.col("overpaid_months").cast(pl.Int64).sum(),
            gross_fen=pl.col("overpaid_gross_fen").sum(),
            offset_fen=pl.col("overpaid_offset_fen").sum(),
            net_fen=pl.col("overpaid_net_fen").sum(),
        )
        self._cube = pl.concat([self._cube, sums]).group_by(_KEYS).agg(pl.col(_SUMS).sum())
        why = people.select(refusal=not_answered())["refusal"]
        for reason, count in why.filter(why != 0).value_counts().iter_rows():
            self._refusals[reason] += count
        for parties, count in people.filter(pl.col("silent") != "")["silent"].value_counts().iter_rows():
            for party in dict.fromkeys(part for part in parties.split(";") if part):
                self._silent[party] += count

    def counts(self, findings: Mapping[str, int], rejected: int) -> Counts:
        """What it came to."""
        return Counts(
            self._cube.sort(_KEYS),
            dict(sorted(self._refusals.items())),
            dict(sorted(self._silent.items())),
            findings,
            rejected,
            self._chunks,
        )
