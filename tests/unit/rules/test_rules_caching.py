"""How long an answer may be used again: the least of what purpose, status, evidence, partiality and validity allow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.rules.book import RuleBook
from gateway.rules.caching import DAY_MS, MINUTE_MS, NOT_AT_ALL, Times
from gateway.rules.kinds import KINDS
from gateway.rules.purposes import PURPOSES
from tests.unit.rules.rules_world import BOOK, TODAY, civil
from tests.unit.rules.test_rules_book import changed
from wugan.federation.v1 import vocabulary_pb2 as words

NOON_MS = civil(TODAY) * DAY_MS + 4 * 3_600_000
"""Noon in Shanghai."""
STRONG, UNKNOWN, DECEASED = (
    words.SURVIVAL_STATUS_ALIVE_STRONG,
    words.SURVIVAL_STATUS_UNKNOWN,
    words.SURVIVAL_STATUS_DECEASED,
)
RELIED_ON = civil(TODAY) + 30


def times(
    *statuses: int,
    purpose: str = "CERTIFICATION",
    kinds: tuple[str, ...] = (),
    until_on: int = RELIED_ON,
    partial: bool = False,
) -> Times:
    numbers = [KINDS[kind] for kind in kinds]
    valid = [until_on] * len(statuses)
    return BOOK.caching.times(PURPOSES[purpose], statuses, numbers, valid, NOON_MS, partial=partial)


def minutes(*statuses: int, **more: Any) -> float:
    until = times(*statuses, **more).cacheable_until_ms
    return (until - NOON_MS) / MINUTE_MS if until else 0


def test_a_well_verified_answer_may_be_used_for_a_day() -> None:
    assert minutes(STRONG) == 1440


def test_a_negative_answer_is_short_and_a_partial_one_shorter() -> None:
    assert minutes(UNKNOWN) == 10
    assert minutes(STRONG, partial=True) == 1


def test_the_worst_person_of_an_answer_decides() -> None:
    assert minutes(STRONG, UNKNOWN, DECEASED) == 10


def test_evidence_that_the_reasons_name_shortens_it() -> None:
    assert minutes(STRONG, kinds=("RAIL_TRAVEL",)) == 1440
    assert minutes(STRONG, kinds=("RAIL_TRAVEL", "DETAINED")) == 60


def test_it_depends_on_the_purpose_and_a_dispute_is_always_asked_anew() -> None:
    assert minutes(STRONG, purpose="OVERPAYMENT_RECOVERY") == 720
    assert times(STRONG, purpose="DISPUTE_REVIEW") == NOT_AT_ALL
    assert BOOK.caching.times(99, [STRONG], [], [RELIED_ON], NOON_MS, partial=False) == NOT_AT_ALL


def test_it_ends_with_the_day_until_which_the_answer_may_be_relied_on() -> None:
    assert minutes(STRONG, until_on=civil(TODAY)) == 12 * 60
    assert times(STRONG, until_on=civil(TODAY) - 1) == NOT_AT_ALL, "asked as of a past day"


def test_it_may_be_shown_as_outdated_where_the_purpose_allows_and_never_a_partial_one() -> None:
    allowed = times(STRONG)
    assert allowed.stale_until_ms - allowed.cacheable_until_ms == 3 * DAY_MS
    assert times(STRONG, purpose="CHANGE_MONITORING").stale_until_ms == 0
    assert times(STRONG, partial=True).stale_until_ms == 0


@given(
    st.lists(st.sampled_from(sorted(words.SurvivalStatus.values())[1:]), min_size=1),
    st.lists(st.sampled_from(sorted(KINDS))),
    st.sampled_from(sorted(PURPOSES)),
    st.booleans(),
    st.integers(-400, 400),
)
def test_more_people_or_evidence_never_lengthen_it(
    statuses: list[int], kinds: list[str], purpose: str, partial: bool, days: int
) -> None:
    def until(statuses: list[int], kinds: list[str]) -> Times:
        return times(*statuses, purpose=purpose, kinds=tuple(kinds), partial=partial, until_on=civil(TODAY) + days)

    whole, part = until(statuses, kinds), until(statuses[:1], kinds[:1])
    assert whole.cacheable_until_ms <= part.cacheable_until_ms
    assert whole.cacheable_until_ms == 0 or NOON_MS < whole.cacheable_until_ms <= NOON_MS + DAY_MS
    assert whole.stale_until_ms == 0 or whole.stale_until_ms > whole.cacheable_until_ms > 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cache", ...),
        ("cache.partial_minutes", -1),
        ("cache.purpose_minutes.AUDIT", ...),
        ("cache.purpose_minutes.AUDIT", 43_201),
        ("cache.status_minutes.ALIVE", 1),
        ("cache.kind_minutes.RESURRECTED", 1),
        ("cache.kind_minutes.DETAINED", "an hour"),
        ("cache.stale_minutes.AUDIT", True),
        ("cache.colour", "red"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_path(path: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        RuleBook.parse(changed(path, value), "rules.yaml")
    assert caught.value.field.startswith("cache")
    assert caught.value.field in caught.value.zh
