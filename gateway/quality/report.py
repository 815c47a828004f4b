"""What a department is told each month of its data: what the report is made of, and the report for programs.

Owns: what belongs to a report. Refuses: counting and judging (`judging.py`), and the page (`report_page.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.quality.counters import C, Counts, Key
from gateway.quality.judging import (
    Found,
    Quality,
    Thresholds,
    answered,
    by_item,
    findings_of,
    known,
    month_before,
    quality_of,
)
from gateway.store.quality import Shown
from gateway.wording import DEPARTMENTS, KINDS, Language, word

_AGAINST: Final = re.compile(r"@(\d{1,3}):(\d{1,3}):([\d-]*)")
TREND: Final = 6
"""Months of the trend, the month of the report included."""


class Month(NamedTuple):
    """Everything a report is made of.

    Args:
        month: 202611.
        counts: of that month, by key.
        earlier: of the months before, for findings and trend.
        examples: of that month.
    """

    month: int
    counts: Mapping[Key, Counts]
    earlier: Mapping[Key, Counts]
    examples: Sequence[Shown]


def narrowed(month: Month, department: int, adapter: str = "") -> Month:
    """What concerns one department, or one of its adapters."""

    def mine(key: Key) -> bool:
        return (not department or key.department == department) and (not adapter or key.adapter == adapter)

    adapters = {key.adapter for key in month.counts if mine(key)}
    return Month(
        month.month,
        {key: counts for key, counts in month.counts.items() if mine(key)},
        {key: counts for key, counts in month.earlier.items() if mine(key)},
        [one for one in month.examples if one.adapter in adapters],
    )


def findings(month: Month, thresholds: Thresholds) -> list[Found]:
    """What crosses a threshold in a month: sources, and items over all places, then places that stand out alone."""
    before = month_before(month.month)
    earlier = {key: counts for key, counts in month.earlier.items() if key.month == before}
    return findings_of(by_item(month.counts), by_item(earlier), thresholds)


def as_data(month: Month, thresholds: Thresholds) -> dict[str, Any]:
    """The report for programs."""
    return {
        "month": month_text(month.month),
        "thresholds": thresholds.version,
        "sources": [
            {
                "adapter": key.adapter,
                "department": word(DEPARTMENTS, key.department).en,
                "lookups": int(counts[C.LOOKUPS]),
                "answered_per_mille": answered(counts),
                "asked": int(counts[C.ASKED]),
                "known_per_mille": known(counts),
            }
            for key, counts in by_item(month.counts).items()
            if key.kind == 0
        ],
        "items": [_item_data(quality_of(key, counts)) for key, counts in sorted(month.counts.items()) if key.kind],
        "findings": [
            {
                "adapter": one.key.adapter,
                "kind": word(KINDS, one.key.kind).en if one.key.kind else "",
                "finding": one.finding.name,
                "grade": one.grade.name,
                "count": one.some,
                "of": one.whole,
            }
            for one in findings(month, thresholds)
        ],
        "examples": [
            {
                "kind": word(KINDS, one.kind).en,
                "region": one.region,
                "defect": C(one.defect).name,
                "row": readable(one.text, "en"),
            }
            for one in month.examples
        ],
    }


def _item_data(found: Quality) -> dict[str, Any]:
    return {
        "adapter": found.key.adapter,
        "kind": word(KINDS, found.key.kind).en,
        "region": found.key.region,
        "rows": found.rows,
        "complete_per_mille": found.complete,
        "valid_per_mille": found.valid,
        "timely_per_mille": found.timely,
        "consistent_per_mille": found.consistent,
        "median_days": found.median_days,
        "p95_days": found.p95_days,
        "age_median_days": found.age_median_days,
    }


def readable(text: str, language: Language) -> str:
    """An example with the record that contradicts it in words."""

    def said(found: re.Match[str]) -> str:
        named = word(DEPARTMENTS, int(found[1])), word(KINDS, int(found[2]))
        return " ".join([*(one.said(language) for one in named), found[3]])

    return _AGAINST.sub(said, text)


def month_text(month: int) -> str:
    """A month (202611) as it is written."""
    return f"{month // 100}-{month % 100:02d}"


def share_text(per_mille: int) -> str:
    """A share of a thousand as a percentage."""
    return "–" if per_mille < 0 else f"{per_mille // 10}.{per_mille % 10}%"
