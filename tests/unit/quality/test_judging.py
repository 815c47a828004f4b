"""Thresholds, findings, and the page that a department is sent."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.quality import QUALITY_FILE
from gateway.quality.counters import C, Counts, Key, empty
from gateway.quality.judging import (
    ADVICE,
    FINDINGS,
    Finding,
    Grade,
    Thresholds,
    by_item,
    findings_of,
    month_before,
    months_until,
    quality_of,
)
from gateway.quality.report import Month, as_data, narrowed
from gateway.quality.report_page import page
from gateway.store.quality import Shown
from tests.unit.quality.quality_world import CREMATION, MONTH, OUTPATIENT
from wugan.adapter.v1 import vocabulary_pb2 as words

BOUNDS = Thresholds.parse(QUALITY_FILE.read_bytes(), "quality.yaml")
CIVIL = words.DEPARTMENT_CIVIL_AFFAIRS
SOURCE = Key(MONTH, "civil-affairs", CIVIL, 0, 0)
ITEM = Key(MONTH, "civil-affairs", CIVIL, CREMATION, 330700)


def counts(**given: int) -> Counts:
    made = empty()
    for name, value in given.items():
        made[C[name]] = value
    return made


def told(now: dict[Key, Counts], before: dict[Key, Counts] | None = None) -> list[tuple[Finding, Grade]]:
    return [(one.finding, one.grade) for one in findings_of(now, before or {}, BOUNDS)]


def test_every_finding_has_a_threshold_a_word_and_an_advice() -> None:
    assert set(BOUNDS.bounds) == set(Finding) == set(FINDINGS) == set(ADVICE)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ROWS": 1000, "INVALID": 5}, []),
        ({"ROWS": 1000, "INVALID": 6}, [(Finding.INVALID, Grade.NOTABLE)]),
        ({"ROWS": 1000, "INVALID": 51}, [(Finding.INVALID, Grade.SEVERE)]),
        ({"ROWS": 29, "INVALID": 29}, []),
        ({"ROWS": 29, "CONTRADICTED": 1}, [(Finding.CONTRADICTED, Grade.SEVERE)]),
        ({"ROWS": 100, "AGREED": 100, "LATE": 11}, [(Finding.LATE, Grade.NOTABLE)]),
        ({"ROWS": 100, "REFERENCES": 10, "NO_REFERENCE": 10}, []),
        ({"ROWS": 100, "REFERENCES": 50, "NO_REFERENCE": 50}, [(Finding.NO_REFERENCE, Grade.SEVERE)]),
    ],
    ids=str,
)
def test_an_item_crosses_a_threshold_or_not(given: dict[str, int], expected: list[tuple[Finding, Grade]]) -> None:
    assert told({ITEM: counts(**given)}) == expected


def test_a_source_that_does_not_answer_or_knows_fewer_people_than_before() -> None:
    assert told({SOURCE: counts(LOOKUPS=100, ANSWERED=90)}) == [(Finding.UNANSWERED, Grade.NOTABLE)]
    assert told({SOURCE: counts(LOOKUPS=9)}) == []
    now = {SOURCE: counts(LOOKUPS=100, ANSWERED=100, ASKED=1000, KNOWN=300)}
    before = {SOURCE._replace(month=202610): counts(ASKED=2000, KNOWN=1600)}
    assert told(now, before) == [(Finding.KNOWN_FELL, Grade.SEVERE)]
    assert told(now) == []
    assert told({SOURCE: counts(NUMBERS=100, ILL_FORMED=2)}) == [(Finding.ILL_FORMED, Grade.NOTABLE)]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("INVALID: {above: 5, severe: 50}", "INVALID: {above: 5, severe: 4}", "findings.INVALID.severe"),
        ("  LATE: {above: 100, severe: 300}\n", "", "findings.LATE"),
        ("least_rows: 30", "least_rows: many", "least_rows"),
        ("findings:", "finding:", "findings"),
    ],
)
def test_wrong_thresholds_are_refused_by_their_path(old: str, new: str, field: str) -> None:
    text = QUALITY_FILE.read_text("utf-8")
    assert old in text
    with pytest.raises(ConfigError) as caught:
        Thresholds.parse(text.replace(old, new, 1).encode(), "quality.yaml")
    assert caught.value.field == field


def test_shares_are_of_what_could_be_there() -> None:
    whole = quality_of(ITEM, counts(ROWS=100, REFERENCES=50, NO_REFERENCE=25, NO_REGION=10, AGREED=0, CONTRADICTED=1))
    assert (whole.complete, whole.valid, whole.timely, whole.consistent) == (900, 1000, -1, 990)
    nothing = quality_of(ITEM, empty())
    assert {nothing.complete, nothing.valid, nothing.timely, nothing.median_days} == {-1}


def test_months_go_back_over_the_turn_of_the_year() -> None:
    assert month_before(202601) == 202512
    assert month_before(202611, 24) == 202411
    assert months_until(202602, 3) == [202512, 202601, 202602]


def test_places_add_up_to_items() -> None:
    rows = {ITEM: counts(ROWS=3), ITEM._replace(region=330100): counts(ROWS=4)}
    assert {key: int(held[C.ROWS]) for key, held in by_item(rows).items()} == {ITEM._replace(region=0): 7}


@pytest.fixture
def month() -> Month:
    other = Key(MONTH, "insurance", words.DEPARTMENT_HEALTH_INSURANCE, OUTPATIENT, 330700)
    item = counts(ROWS=200, INVALID=20, AGREED=200, LATE=30, TIMED=200, REFERENCES=200)
    item[C.DELAY : C.DELAY + 3] = [100, 90, 10]
    now = {
        SOURCE: counts(LOOKUPS=100, ANSWERED=98, ASKED=1000, KNOWN=900),
        ITEM: item,
        ITEM._replace(region=330100): counts(ROWS=50),
        other: counts(ROWS=10),
    }
    earlier = {ITEM._replace(month=202609): counts(ROWS=77)}
    shown = [
        Shown(MONTH, "civil-affairs", CREMATION, 330700, int(C.BEFORE_EVENT), "33***************2 · <b>2026-01-01</b>"),
        Shown(MONTH, "insurance", OUTPATIENT, 330700, int(C.FUTURE), "33***************7 · other"),
    ]
    return Month(MONTH, now, earlier, shown)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_report_is_one_page_that_fetches_nothing_and_says_what_to_do(month: Month, language: Any) -> None:
    html = page(narrowed(month, CIVIL), BOUNDS, "民政", "11330000002482285J", language)
    assert "default-src 'none'" in html
    assert not re.search(r"(?:src|href)\s*=|<script|@import|url\(", html)
    assert "33***************2 · &lt;b&gt;2026-01-01" in html
    assert "33***************7" not in html, "another department's example"
    assert ("火化" if language == "zh" else "cremation") in html
    assert (ADVICE[Finding.INVALID].zh if language == "zh" else ADVICE[Finding.INVALID].en) in html
    assert "2026-09" in html
    assert "77" in html
    assert html.count("330100") == 1


def test_of_a_department_with_several_adapters_the_report_tells_whose_an_item_is(month: Month) -> None:
    mine = narrowed(month, CIVIL)
    own = {key.adapter for key in mine.counts}
    second = {key._replace(adapter="county-files"): counts for key, counts in mine.counts.items()}
    several = page(mine._replace(counts={**mine.counts, **second}), BOUNDS, "民政", "x", "zh")
    assert all(f"火化 · {adapter}" in several for adapter in (*own, "county-files"))
    assert not any(f"火化 · {adapter}" in page(mine, BOUNDS, "民政", "x", "zh") for adapter in own)


def test_the_report_of_a_month_without_anything_is_a_page_too() -> None:
    html = page(Month(202601, {}, {}, []), BOUNDS, "民政", "x", "zh")
    assert "本月未发现超过阈值的问题" in html


def test_the_report_for_programs(month: Month) -> None:
    data = json.loads(json.dumps(as_data(narrowed(month, 0, "civil-affairs"), BOUNDS)))
    assert data["month"] == "2026-11"
    assert [one["adapter"] for one in data["sources"]] == ["civil-affairs"]
    assert {one["region"] for one in data["items"]} == {330100, 330700}
    assert {one["finding"] for one in data["findings"]} == {"INVALID", "LATE"}
