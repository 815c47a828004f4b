"""Who may ask what: default deny, windows to the second, people counted, and every decision explained."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.access.terms import Quotas, Scope
from gateway.clock import FakeClock
from gateway.errors import AccessError
from gateway.inquiry import access
from gateway.inquiry.access import Access, Decision
from gateway.store.engine import Store
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import (
    ANNA,
    BO,
    CHEN,
    NOW_MS,
    UNIT,
    A,
    B,
    Register,
    access_of,
    findings_for,
    inquiry,
    policy,
    question,
    stored,
    terms,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

CERTIFICATION = frozenset({v.PURPOSE_CERTIFICATION})
PENSION = words.BENEFIT_TYPE_EMPLOYEE_PENSION
NIGHT_MS = NOW_MS + 12 * 3_600_000  # NOW_MS is noon in Shanghai


def asked(*benefits: int, **changed: Any) -> exchange_pb2.Question:
    made = question(*[ANNA] * max(1, len(benefits)), purpose=v.PURPOSE_CERTIFICATION, **changed)
    made.benefit[:] = benefits or [PENSION]  # type: ignore[assignment]
    return made


def code(access: Access, made: exchange_pb2.Question | None = None, member: str = A.member_id) -> str:
    refused = access.authorise(member, made or asked()).refused
    return "" if refused is None else refused.code


def test_an_empty_policy_denies_every_member() -> None:
    assert code(access_of()) == "MEMBER_NOT_PERMITTED"


def test_without_a_policy_nothing_is_allowed() -> None:
    access = access_of(terms())
    assert code(access) == ""
    access.use(None)
    assert code(access) == "MEMBER_NOT_PERMITTED"


def test_a_grant_is_for_its_member_purpose_unit_and_benefits_alone() -> None:
    access = access_of(
        terms(member=A.member_id, purposes=CERTIFICATION, benefits=frozenset({PENSION}), units=frozenset({UNIT}))
    )
    assert code(access) == ""
    assert code(access, member=B.member_id) == "MEMBER_NOT_PERMITTED"
    assert code(access, question()) == "PURPOSE_NOT_PERMITTED"
    assert code(access, asked(PENSION, words.BENEFIT_TYPE_WORK_INJURY)) == "BENEFIT_NOT_PERMITTED"
    refused = access.authorise(A.member_id, asked(unit="hangzhou")).refused
    assert refused is not None
    assert (refused.code, refused.field) == ("MEMBER_NOT_PERMITTED", "context.unit")


def test_a_grant_begins_and_ends_to_the_millisecond() -> None:
    clock = FakeClock(NOW_MS)
    access = access_of(terms(from_ms=NOW_MS + 1, until_ms=NOW_MS + 1000), clock=clock)
    assert code(access) == "PURPOSE_NOT_PERMITTED"
    clock.advance(0.001)
    assert code(access) == ""
    clock.advance(0.998)
    assert code(access) == ""
    clock.advance(0.001)
    assert code(access) == "PURPOSE_NOT_PERMITTED"


def test_one_grant_must_allow_the_whole_question_and_the_widest_decides() -> None:
    death = frozenset({v.EVIDENCE_KIND_DEATH_CERTIFICATE})
    narrow, wide = terms(scope=Scope(death)), terms(scope=Scope(None, (340000,)))
    assert access_of(narrow, wide).authorise(A.member_id, asked()).grant == "g2"
    injury = words.BENEFIT_TYPE_WORK_INJURY
    access = access_of(terms(benefits=frozenset({PENSION})), terms(benefits=frozenset({injury}), scope=Scope(death)))
    assert access.authorise(A.member_id, asked(PENSION)).grant == "g1"
    assert access.authorise(A.member_id, asked(injury)).scope.kinds == death
    assert code(access, asked(PENSION, injury)) == "BENEFIT_NOT_PERMITTED"


def test_a_star_never_grants_the_unspecified() -> None:
    assert code(access_of(terms()), asked(0)) == "BENEFIT_NOT_PERMITTED"
    assert code(access_of(terms()), question(purpose=0)) == "PURPOSE_NOT_PERMITTED"


def test_a_changed_policy_counts_at_once() -> None:
    access = access_of(terms())
    assert code(access) == ""
    access.use(policy(version=9))
    decision = access.authorise(A.member_id, asked())
    assert decision.refused is not None
    assert decision.explanation == "no grant; policy 9"


# quotas


def people(access: Access, count: int, member: str = A.member_id, **changed: Any) -> Decision:
    return access.authorise(member, asked(*[PENSION] * count, **changed))


def test_people_are_counted_not_questions_and_each_member_for_itself() -> None:
    access = access_of(terms(quotas=Quotas(day=10)))
    assert people(access, 7).explanation == "g1: 7 people, 3 left of day; policy 0"
    refused = people(access, 4)
    assert refused.refused is not None
    assert (refused.refused.code, refused.refused.retryable) == ("QUOTA_EXCEEDED", True)
    assert refused.refused.retry_after_ms == 12 * 3_600_000
    assert refused.explanation == "g1: quota day has no room for 4 people, 3 left of day; policy 0"
    assert people(access, 3).refused is None
    assert people(access, 10, B.member_id).refused is None
    both = access_of(terms(quotas=Quotas(day=10, official_day=8)))
    # Of each that is counted by the day.
    assert people(both, 7).explanation == "g1: 7 people, 3 left of day, 1 left of official_day; policy 0"


def test_more_people_at_once_than_a_quota_has_are_refused_for_good() -> None:
    refused = people(access_of(terms(quotas=Quotas(day=10))), 11).refused
    assert refused is not None
    assert (refused.code, refused.retryable) == ("QUOTA_EXCEEDED", False)


def test_a_new_civil_day_begins_at_midnight_in_shanghai() -> None:
    clock = FakeClock(NIGHT_MS - 1)
    access = access_of(terms(quotas=Quotas(day=1)), clock=clock)
    assert people(access, 1).refused is None
    refused = people(access, 1).refused
    assert refused is not None
    assert refused.retry_after_ms == 1
    clock.advance(0.001)
    assert people(access, 1).refused is None


def test_an_official_has_a_quota_too() -> None:
    access = access_of(terms(quotas=Quotas(day=10, official_day=2)))
    assert people(access, 2).refused is None
    assert people(access, 1).refused is not None
    assert people(access, 2, official_pseudonym=b"q" * 32).refused is None


@pytest.mark.parametrize(("quota", "span_s"), [("second", 1.0), ("minute", 60.0)])
def test_bursts_are_bounded_in_every_span_of_that_length(quota: str, span_s: float) -> None:
    clock = FakeClock(NOW_MS)
    access = access_of(terms(quotas=Quotas(**{quota: 5})), clock=clock)
    assert people(access, 3).refused is None
    clock.advance(span_s * 0.9)
    assert people(access, 2).refused is None
    refused = people(access, 1).refused
    assert refused is not None
    clock.advance(refused.retry_after_ms / 1000)
    assert people(access, 3).refused is None
    assert people(access, 1).refused is not None


def test_a_refused_question_uses_nothing_up() -> None:
    access = access_of(terms(quotas=Quotas(day=10, minute=5)))
    assert people(access, 6).refused is not None
    assert people(access, 5).explanation.startswith("g1: 5 people, 5 left of day")


def test_when_one_grant_is_used_up_the_next_one_takes_the_people() -> None:
    access = access_of(terms(quotas=Quotas(day=2)), terms(quotas=Quotas(day=5)))
    assert [people(access, 2).grant for _ in range(3)] == ["g1", "g2", "g2"]
    assert people(access, 2).refused is not None


def under(*further: str) -> exchange_pb2.Question:
    """A question about one person who is said to have further numbers."""
    made = asked()
    made.subjects.alias_subject.extend([0] * len(further))
    made.subjects.alias_id_number.extend(further)
    return made


async def test_a_further_number_is_counted_like_a_person_and_the_same_one_again_is_not() -> None:
    access = access_of(terms(quotas=Quotas(day=4)))
    side = inquiry(Register({ANNA: [row("OUTPATIENT", 5)]}), access=access)
    await findings_for(side, under(ANNA, "no number"), sender=A.member_id)
    await findings_for(side, under(BO, CHEN, BO), sender=A.member_id)
    with pytest.raises(AccessError) as caught:
        await findings_for(side, under(), sender=A.member_id)
    assert caught.value.code == "QUOTA_EXCEEDED"


async def test_further_numbers_that_this_side_adds_itself_are_not_counted() -> None:
    access = access_of(terms(quotas=Quotas(day=1)))
    side = inquiry(Register({ANNA: [row("OUTPATIENT", 5)]}), access=access.unwatched())
    await findings_for(side, under(BO, CHEN), sender=A.member_id)


# on the disk


async def test_quotas_hold_across_a_restart(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    granted = terms(quotas=Quotas(day=4, official_day=4, minute=4))
    for taken, expected in ((3, ""), (2, "QUOTA_EXCEEDED"), (1, ""), (1, "QUOTA_EXCEEDED")):
        async with stored(tmp_path, clock) as store:
            assert await through(access_of(granted, clock=clock, store=store), taken) == expected
    clock.advance(86_400)
    async with stored(tmp_path, clock) as store:
        assert await through(access_of(granted, clock=clock, store=store), 4) == ""


async def through(access: Access, count: int) -> str:
    """What becomes of a question about so many people, the disk asked too."""
    side = inquiry(Register({ANNA: [row("OUTPATIENT", 5)]}), access=access)
    try:
        await findings_for(side, asked(*[PENSION] * count), sender=A.member_id)
    except AccessError as error:
        return error.code
    return ""


async def test_gateways_that_share_a_database_share_the_quota_exactly(tmp_path: Path) -> None:
    granted = terms(quotas=Quotas(day=10))
    async with stored(tmp_path) as one, stored(tmp_path) as other:
        sides = [access_of(granted, store=store) for store in (one, other)]
        outcomes = await asyncio.gather(*(through(sides[at % 2], 1) for at in range(30)))
        assert outcomes.count("") == 10
        assert set(outcomes) == {"", "QUOTA_EXCEEDED"}


async def test_what_the_disk_refuses_is_explained_and_not_answered(tmp_path: Path) -> None:
    granted = terms(quotas=Quotas(day=1))
    async with stored(tmp_path) as store:
        assert await through(access_of(granted, store=store), 1) == ""
        access = access_of(granted, store=store)  # remembers nothing
        decision = people(access, 1)
        assert decision.refused is None
        with pytest.raises(AccessError):
            await access.settle(decision)
        assert decision.explanation == "g1: quota day was used up elsewhere"


async def test_no_counter_on_the_disk_tells_whose_it_is(tmp_path: Path) -> None:
    async with stored(tmp_path) as store:
        await through(access_of(terms(quotas=Quotas(day=4, official_day=4)), store=store), 1)
        tags = await _tags(store)
        assert len(tags) == 2
        assert all(len(tag) == 16 and A.member_id.encode() not in tag for tag in tags)


async def _tags(store: Store) -> list[bytes]:
    with store._engine.connect() as connection:
        return [bytes(tag) for (tag,) in connection.exec_driver_sql("SELECT tag FROM access_use")]


async def test_every_person_of_a_question_is_counted_wrong_numbers_too() -> None:
    access = access_of(terms(quotas=Quotas(day=3)))
    side = inquiry(Register({ANNA: []}), access=access)
    await findings_for(side, question("x", BO, CHEN), sender=A.member_id)
    assert people(access, 1).refused is not None


@pytest.mark.parametrize("times", [1, 100])
def test_only_people_who_are_said_to_live_somewhere_are_counted_as_unknown(times: int) -> None:
    regions = [330700, 0, 330702, 330700, 0] * times
    unknown, alive = words.SURVIVAL_STATUS_UNKNOWN, words.SURVIVAL_STATUS_ALIVE_STRONG
    statuses = [unknown, unknown, alive, unknown, alive] * times
    assert access._placed(regions, statuses) == (3 * times, 2 * times)
