"""What an official must look at: proposed stops with their evidence, overpayments, findings, the unanswered.

Owns: who stands on which list, and in which order (that of the roster). Refuses: deciding; nothing here stops anybody.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from gateway.roster.results import headings
from gateway.roster.results.counting import Counts
from gateway.roster.results.rows import evidence_rows, worded
from gateway.roster.results.sheets import Workbook
from gateway.roster.results.staging import Staging
from gateway.roster.results.tables import batches, write_csv
from gateway.wording import BENEFITS, DEPARTMENTS, KINDS, Language, Word
from wugan.federation.v1 import vocabulary_pb2 as words

_FLAGGED = {
    "IDENTITY_LINKED": words.ENTITLEMENT_FLAG_IDENTITY_LINKED,
    "IDENTITY_CONFLICT": words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT,
    "DUPLICATE_BENEFIT": words.ENTITLEMENT_FLAG_DUPLICATE_BENEFIT,
    "MISUSE_AFTER_DEATH": words.ENTITLEMENT_FLAG_MISUSE_AFTER_DEATH,
}


class Lists:
    """The lists of one run.

    Args:
        results: all result rows, in order.
        evidence: all evidence, in order.
        staging: where the files go.
        language: of headings and words.
        members: names of members.
    """

    def __init__(
        self,
        results: pl.LazyFrame,
        evidence: pl.LazyFrame,
        staging: Staging,
        language: Language,
        members: Mapping[str, Word],
    ) -> None:
        self._results = results
        self._evidence = evidence
        self._staging = staging
        self._language: Language = language
        self._members = members

    def stops(self) -> None:
        """stop-list.csv, stop-evidence.csv, and both as sheets of stop-list.xlsx."""
        rows = self._results.filter(pl.col("certification") == words.CERTIFICATION_STATUS_STOP_PROPOSED)
        people = rows.select("row", "id_number", "name").collect(engine="streaming")
        language, members = self._language, self._members
        evidence = self._evidence.join(people.lazy(), on="row", how="inner", maintain_order="left").map_batches(
            lambda frame: evidence_rows(frame, language, members),
            schema=evidence_rows(_nobody(self._evidence, people), language, members).schema,
            streamable=True,
        )
        write_csv(rows, headings.STOP, self._staging.file("stop-list.csv"), language)
        write_csv(evidence, headings.EVIDENCE, self._staging.file("stop-evidence.csv"), language)
        with Workbook(self._staging.file("stop-list.xlsx"), language) as book:
            stops, rests_on = ("拟停发名单", "证据") if language == "zh" else ("proposed stops", "evidence")
            choices = [named.said(language) for named in headings.DECISION_WORDS.values()]
            book.sheet(stops, headings.STOP, batches(rows, headings.STOP), choices={"decision": choices})
            book.sheet(rests_on, headings.EVIDENCE, batches(evidence, headings.EVIDENCE))

    def overpayments(self, counts: Counts) -> None:
        """overpayments.csv, and overpayments.xlsx with sums by benefit."""
        rows = self._results.filter(pl.col("overpaid_months") > 0)
        columns = headings.OVERPAYMENT
        write_csv(rows, columns, self._staging.file("overpayments.csv"), self._language)
        chinese = self._language == "zh"
        sums = (
            counts.cube.rename({"benefit": "code", "months": "overpaid_months"})
            .filter(pl.col("overpaid") > 0)
            .group_by("code")
            .agg(
                pl.col("overpaid").sum().alias("people"),
                pl.col("overpaid_months").sum(),
                *(pl.col(f"{name}_fen").sum().alias(f"overpaid_{name}_fen") for name in ("gross", "offset", "net")),
            )
            .sort("code")
            .with_columns(benefit=worded("code", BENEFITS, self._language))
        )
        whole = sums.select(pl.lit("合计" if chinese else "total").alias("benefit"), pl.col(pl.Int64).sum())
        total = whole.select(pl.col("benefit").alias("reference"), pl.exclude("benefit", "people"))
        with Workbook(self._staging.file("overpayments.xlsx"), self._language) as book:
            listed, summed = ("多发名单", "汇总") if chinese else ("overpayments", "sums")
            book.sheet(listed, columns, batches(rows, columns), total=total)
            book.sheet(summed, headings.OVERPAYMENT_SUMS, [sums], total=whole)

    def findings(self, repeated: pl.DataFrame) -> dict[str, int]:
        """findings.csv and findings.xlsx; how many of each there are."""
        results = self._results
        parts = []
        for name in headings.FINDINGS:
            if name in _FLAGGED:
                found = results.filter(pl.col("flags") & (1 << _FLAGGED[name]) != 0).with_columns(what="reasons")
            elif name == "CONFLICT":
                found = results.filter(pl.col("status") == words.SURVIVAL_STATUS_CONFLICT).with_columns(what="reasons")
            else:
                these = repeated.filter(pl.col("finding") == name).select("row", "what")
                found = results.join(these.lazy(), on="row", how="inner", maintain_order="left")
            title = headings.FINDINGS[name].said(self._language)
            parts.append(found.with_columns(finding=pl.lit(title), code=pl.lit(name)))
        wanted = ["code", *(column.name for column in headings.FINDING)]
        rows = pl.concat([part.select(wanted) for part in parts])
        write_csv(rows, headings.FINDING, self._staging.file("findings.csv"), self._language)
        with Workbook(self._staging.file("findings.xlsx"), self._language) as book:
            title = "发现" if self._language == "zh" else "findings"
            book.sheet(title, headings.FINDING, batches(rows, headings.FINDING))
        counted = rows.group_by("code").len().collect(engine="streaming")
        found_of = dict(zip(counted["code"].to_list(), counted["len"].to_list(), strict=True))
        return {name: found_of[name] for name in headings.FINDINGS if name in found_of}

    def unanswered(self) -> None:
        """unanswered.csv: whom nobody answered about, and why."""
        rows = self._results.filter(pl.col("status") == 0)
        write_csv(rows, headings.UNANSWERED, self._staging.file("unanswered.csv"), self._language)


def late_rows(late: pl.DataFrame, language: Language) -> pl.DataFrame:
    """How late departments told, in words."""
    return late.with_columns(
        department_name=worded("department", DEPARTMENTS, language, headings.FIRST_OF_ALL),
        kind_name=worded("kind", KINDS, language, Word("", "")),
    )


def _nobody(evidence: pl.LazyFrame, people: pl.DataFrame) -> pl.DataFrame:
    schema = dict(evidence.collect_schema()) | dict(people.schema)
    return pl.DataFrame(schema=schema)
