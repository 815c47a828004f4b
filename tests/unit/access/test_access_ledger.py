"""The rule of administrative acts: separated roles, two persons above the thresholds, nothing unsigned."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import people
from gateway.access.acts import SignedAct, Statement, canonical, read_act, sign_act
from gateway.access.ledger import Ledger
from gateway.access.people import Applicant
from gateway.access.policy import Policy
from gateway.access.terms import KIND_NAMES, Scope, is_part, read_terms
from gateway.clock import FakeClock
from gateway.errors import PolicyError
from gateway.inquiry.administering import Administration
from gateway.rules.identity import PROVINCES
from gateway.store.engine import Store
from tests.unit.access.access_world import (
    ASKER,
    KEYS,
    MEMBER,
    NOW_MS,
    ROLES,
    THRESHOLDS,
    Office,
    application,
    body,
    office,
)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as opened:
        yield opened


async def refused(desk: Office, by: str, act: str, what: dict[str, Any], *, key: str = "") -> str:
    """Why it was refused; asserts that nothing was changed."""
    before = desk.administration.ledger.number
    with pytest.raises(PolicyError) as caught:
        await desk.act(by, act, what, key=key)
    await desk.administration.refresh()
    assert desk.administration.ledger.number == before
    assert caught.value.zh
    return caught.value.en


# people


async def test_the_beginning_has_the_three_separated_roles(desk: Office) -> None:
    listed = desk.administration.ledger.people
    assert {name: (person.role, person.state) for name, person in listed.items()} == {
        name: (role, people.ACTIVE) for name, role in ROLES.items()
    }


@pytest.mark.parametrize("missing", people.SEPARATED)
def test_a_beginning_that_lacks_a_separated_role_is_refused(missing: str) -> None:
    listed = [application(name, role) for name, role in ROLES.items() if role != missing]
    statement = Statement(people.FOUND_PEOPLE, NOW_MS, {"people": listed}, "wang", MEMBER, 1)
    with pytest.raises(PolicyError):
        Ledger(MEMBER, THRESHOLDS).apply(sign_act(statement, KEYS["wang"]))


def test_nobody_begins_with_two_roles_nor_two_with_one_key() -> None:
    for extra in (application("wang", people.AUDIT), application("wang2", people.AUDIT, "wang")):
        listed = [*(application(name, role) for name, role in ROLES.items()), extra]
        statement = Statement(people.FOUND_PEOPLE, NOW_MS, {"people": listed}, "wang", MEMBER, 1)
        with pytest.raises(PolicyError, match="enrolled before"):
            Ledger(MEMBER, THRESHOLDS).apply(sign_act(statement, KEYS["wang"]))


async def test_there_is_one_beginning(desk: Office) -> None:
    listed = [
        application("new", people.SYSTEM),
        application("qian", people.AUDIT),
        application("zhou", people.SECURITY),
    ]
    assert "`wugan access people add`" in await refused(desk, "wang", people.FOUND_PEOPLE, {"people": listed})
    assert "that is for: " in await refused(desk, "li", people.FOUND_PEOPLE, {"people": listed})
    assert "not enrolled" in await refused(desk, "new", people.FOUND_PEOPLE, {"people": listed})


async def test_a_new_person_counts_once_another_role_approved(desk: Office) -> None:
    await desk.act("wang", people.ADD_PERSON, application("new", people.SECURITY))
    assert "not approved yet" in await refused(desk, "new", people.PROPOSE_GRANT, body())
    assert "another role" in await refused(desk, "li", people.APPROVE_PERSON, {"name": "new"})
    assert "that is for: " in await refused(desk, "wang", people.APPROVE_PERSON, {"name": "new"})
    await desk.act("sun", people.APPROVE_PERSON, {"name": "new"})
    assert await desk.grant("new") == desk.administration.ledger.number


@pytest.mark.parametrize("role", people.ROLES)
async def test_no_name_and_no_key_is_used_twice_not_even_of_somebody_removed(desk: Office, role: str) -> None:
    assert "enrolled before" in await refused(desk, "wang", people.ADD_PERSON, application("li", role, "new"))
    assert "enrolled before" in await refused(desk, "wang", people.ADD_PERSON, application("li2", role, "li"))
    await desk.act("sun", people.REMOVE_PERSON, {"name": "li"})
    assert "enrolled before" in await refused(desk, "wang", people.ADD_PERSON, application("li2", role, "li"))


async def test_a_removed_person_may_do_nothing_and_the_last_of_a_role_stays(desk: Office) -> None:
    await desk.act("sun", people.REMOVE_PERSON, {"name": "li"})
    assert "removed" in await refused(desk, "li", people.PROPOSE_GRANT, body())
    for last in ("zhao", "wang", "sun"):
        assert "the last" in await refused(desk, "sun", people.REMOVE_PERSON, {"name": last})


def test_an_application_proves_that_the_key_is_held() -> None:
    theirs = Applicant.of("new", KEYS["li"])
    for forged in (theirs._replace(name="qian"), theirs._replace(public_key=Applicant.of("x", KEYS["new"]).public_key)):
        with pytest.raises(PolicyError):
            Applicant.parse(forged.text())
    assert Applicant.parse(theirs.text()) == theirs


def test_a_key_under_which_anybody_can_sign_is_nobodys() -> None:
    neutral, by_nobody = b"\x01" + bytes(31), b"\x01" + bytes(63)
    with pytest.raises(PolicyError):
        Applicant.parse(Applicant("new", neutral, by_nobody).text())


MAY_NOT = [
    (by, act)
    for act, roles in people.MAY.items()
    for by, role in {**ROLES, "qian": people.OWNER, "zhou": people.OPERATOR}.items()
    if role not in roles
]


@pytest.mark.parametrize(("by", "act"), MAY_NOT)
async def test_every_role_does_its_own_and_nothing_else(desk: Office, by: str, act: str) -> None:
    if by in ("qian", "zhou"):
        await desk.add(by, people.OWNER if by == "qian" else people.OPERATOR, "li")
    assert "that is for: " in await refused(desk, by, act, {})


# grants


async def test_a_small_grant_counts_at_once_and_can_be_withdrawn_by_one(desk: Office) -> None:
    number = await desk.grant()
    ledger = desk.administration.ledger
    assert ledger.counts(ledger.grants[number])
    await desk.act("sun", people.WITHDRAW_GRANT, {"grant": number, "why": "agreement ended"})
    ledger = desk.administration.ledger
    assert not ledger.counts(ledger.grants[number])
    assert "withdrawn" in await refused(desk, "zhao", people.APPROVE_GRANT, {"grant": number})


LARGE: list[tuple[dict[str, Any], str]] = [
    ({"member": "*"}, "member"),
    ({"quotas": {"day": 1001, "official_day": 0, "minute": 0, "second": 0}}, "quotas.day"),
    ({"quotas": {"day": 0, "official_day": 0, "minute": 0, "second": 0}}, "quotas.day"),
    ({"purposes": ["CERTIFICATION", "AUDIT"]}, "purposes"),
    ({"purposes": ["*"]}, "purposes"),
    ({"evidence": ["*"]}, "evidence"),
    ({"evidence": ["PHARMACY", "IMPRISONED"]}, "evidence"),
]


@pytest.mark.parametrize(("changed", "why"), LARGE)
async def test_a_large_grant_counts_once_somebody_else_approved(
    desk: Office, changed: dict[str, Any], why: str
) -> None:
    number = await desk.grant(**changed)
    ledger = desk.administration.ledger
    assert ledger.needs_approval(ledger.grants[number]) == [why]
    assert not ledger.counts(ledger.grants[number])
    assert "another person" in await refused(desk, "li", people.APPROVE_GRANT, {"grant": number})
    await desk.act("zhao", people.APPROVE_GRANT, {"grant": number})
    ledger = desk.administration.ledger
    assert ledger.counts(ledger.grants[number])
    assert Policy.of(ledger).version == ledger.number


async def test_a_department_owner_may_approve_but_not_grant(desk: Office) -> None:
    await desk.add("qian", people.OWNER, "li")
    number = await desk.grant(member="*")
    assert "that is for: " in await refused(desk, "qian", people.PROPOSE_GRANT, body())
    await desk.act("qian", people.APPROVE_GRANT, {"grant": number})
    assert desk.administration.ledger.counts(desk.administration.ledger.grants[number])


async def test_history_holds_under_other_thresholds_which_decide_anew_what_counts(desk: Office, tmp_path: Path) -> None:
    small, large = await desk.grant(), await desk.grant(quotas={**body()["quotas"], "day": 5000})
    await desk.act("zhao", people.APPROVE_GRANT, {"grant": large})
    async with Store.open(tmp_path / "gateway.db", key=tmp_path / "store.key", clock=FakeClock(NOW_MS)) as store:
        for most, counting in ((10_000, {small, large}), (10, {large})):
            thresholds = THRESHOLDS._replace(people_a_day=most)
            opened = Administration(store, MEMBER, thresholds, FakeClock(NOW_MS))
            await opened.refresh()
            assert {grant.number for grant in opened.ledger.grants.values() if opened.ledger.counts(grant)} == counting


async def test_a_grant_is_approved_once(desk: Office) -> None:
    number = await desk.grant(member="*")
    await desk.act("zhao", people.APPROVE_GRANT, {"grant": number})
    assert "already" in await refused(desk, "zhao", people.APPROVE_GRANT, {"grant": number})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"member": "somebody"}, "member"),
    ({"units": []}, "units"),
    ({"purposes": ["CURIOSITY"]}, "purposes"),
    ({"benefits": ["PENSION"]}, "benefits"),
    ({"evidence": ["RUMOUR"]}, "evidence"),
    ({"evidence": ["*", "PHARMACY"]}, "evidence"),
    ({"regions": [990000]}, "regions"),
    ({"regions": ["330000"]}, "regions"),
    ({"regions": [True]}, "regions"),
    ({"quotas": {"day": 1}}, "quotas"),
    ({"quotas": {"day": -1, "official_day": 0, "minute": 0, "second": 0}}, "day"),
    ({"roster": 1.5}, "roster"),
    ({"until_ms": NOW_MS}, "until"),
    ({"until_ms": NOW_MS + 3 * 366 * 86_400_000 + 1}, "until"),
    ({"why": " "}, "why"),
    ({"surplus": 1}, "surplus"),
]


@pytest.mark.parametrize(("changed", "field"), WRONG)
def test_terms_that_are_wrong_are_refused_and_named(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read_terms(body(**changed))
    assert caught.value.field == field


def test_every_term_is_read_as_written() -> None:
    terms = read_terms(body(regions=[340100, 330000], units=["jinhua"]))
    assert terms.scope == Scope(
        frozenset(KIND_NAMES[name] for name in ("DEATH_CERTIFICATE", "CREMATION", "PHARMACY")), (330000, 340100)
    )
    assert (terms.member, terms.units, terms.quotas.day) == (ASKER, frozenset({"jinhua"}), 1000)


@given(st.sampled_from(sorted(PROVINCES)), st.integers(0, 99), st.integers(0, 99))
def test_a_region_holds_its_parts_and_no_other(province: int, prefecture: int, county: int) -> None:
    code = province * 10_000 + prefecture * 100 + county
    assert is_part(code, province * 10_000)
    assert is_part(code, code)
    assert is_part(code, code // 100 * 100)
    assert not is_part(code, (province + 1) * 10_000)
    assert not is_part(province * 10_000, province * 10_000 + 100)


# signatures


async def test_an_act_signed_with_another_persons_key_is_refused(desk: Office) -> None:
    assert "not signed with the key" in await refused(desk, "li", people.PROPOSE_GRANT, body(), key="zhao")


async def test_a_signed_act_counts_once_and_for_its_gateway_alone(desk: Office) -> None:
    ledger = desk.administration.ledger
    for number, gateway, why in ((ledger.number, MEMBER, "meanwhile"), (ledger.number + 1, ASKER, "another gateway")):
        statement = Statement(people.PROPOSE_GRANT, NOW_MS, body(), "li", gateway, number)
        with pytest.raises(PolicyError, match=why):
            ledger.apply(sign_act(statement, KEYS["li"]))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(canonical))
def test_whatever_is_no_statement_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(PolicyError):
        Ledger(MEMBER, THRESHOLDS).apply(SignedAct(1, data, b"s" * 64))


def test_a_statement_has_one_encoding() -> None:
    act = sign_act(Statement("grant.propose", NOW_MS, body(), "li", MEMBER, 1), KEYS["li"])
    assert read_act(act).by == "li"
    for other in (act.statement + b" ", json.dumps(json.loads(act.statement)).encode()):
        with pytest.raises(PolicyError):
            read_act(act._replace(statement=other))


@pytest.mark.parametrize("text", ['{"at_ms":NaN}', '{"by":"\\ud800"}', "[" * 5000 + "]" * 5000, '{"at_ms":1e999}'])
def test_what_json_allows_and_the_encoding_does_not_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        read_act(SignedAct(1, text.encode(), b"s" * 64))


def test_words_that_have_no_encoding_are_not_signed() -> None:
    with pytest.raises(PolicyError):
        sign_act(Statement("grant.propose", NOW_MS, {"why": "\ud800"}, "li", MEMBER, 1), KEYS["li"])


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_no_bit_of_a_signed_act_can_be_flipped(place: int, bit: int) -> None:
    ledger = Ledger(MEMBER, THRESHOLDS)
    listed = [application(name, role) for name, role in ROLES.items()]
    act = sign_act(Statement(people.FOUND_PEOPLE, NOW_MS, {"people": listed}, "wang", MEMBER, 1), KEYS["wang"])
    both = bytearray(act.statement + act.signature)
    both[place % len(both)] ^= 1 << bit
    changed = SignedAct(1, bytes(both[: len(act.statement)]), bytes(both[len(act.statement) :]))
    with pytest.raises(PolicyError):
        ledger.apply(changed)
    assert not ledger.people
