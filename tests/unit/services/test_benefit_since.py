"""Since when a benefit is paid, all the way: from an agency's request to the answering provinces' rules and back, over
every call, in late answers and in questions that are asked once more; and who need not know it is not told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from certs.identity import Identity
from gateway.clock import FakeClock
from gateway.errors import RefusedError
from gateway.federation.further import Further
from gateway.inquiry.deferred import DeferredQuestions
from gateway.rules.identity import normalise_number
from gateway.status import from_rpc_error
from gateway.store.engine import Store
from tests.unit.post.post_world import until
from tests.unit.rules.rules_world import TODAY, Row, civil, row
from tests.unit.services.gateways_world import (
    ANHUI,
    ANNA,
    FUJIAN,
    NEW_ANNA,
    NOW_MS,
    A,
    AbortedError,
    B,
    C,
    Call,
    Federation,
    Party,
    Register,
    answering,
    findings,
    findings_for,
    gateway_of,
    inquiry,
    question,
    request,
    serving,
    stored,
)
from tests.unit.services.test_given_again import Gateway
from tests.unit.services.test_late_answers import QUESTION, World, world_in
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

DEPENDANT = words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT
PENSION = words.BENEFIT_TYPE_EMPLOYEE_PENSION
STRONG = words.SURVIVAL_STATUS_ALIVE_STRONG
CERTIFIED, LOOKED_AT, STOPPED = (
    words.CERTIFICATION_STATUS_CERTIFIED,
    words.CERTIFICATION_STATUS_SUSPECT,
    words.CERTIFICATION_STATUS_STOP_PROPOSED,
)
FIRST, SECOND, LONG_AGO = row("MARRIAGE", "2018-05-01"), row("MARRIAGE", "2022-05-01"), row("MARRIAGE", "2013-05-01")
HINTS = {"BENEFIT_START_UNKNOWN", "BENEFIT_START_NOT_USED"}


def departments(*marriages: Row, number: str = ANNA) -> tuple[Register, ...]:
    """Who see the person, and who have these marriages."""
    return (
        Register({number: [row("OUTPATIENT", 5)]}),
        Register({number: [row("RAIL_TRAVEL", 3)]}, department=v.DEPARTMENT_TRANSPORT),
        Register({number: marriages}, department=v.DEPARTMENT_CIVIL_AFFAIRS),
    )


def asked(**changed: Any) -> agency_pb2.CheckRequest:
    return request(**{"benefit": DEPENDANT, "purpose": v.PURPOSE_CERTIFICATION, **changed})


async def check(federation: Federation, store: Store, **changed: Any) -> agency_pb2.CheckResponse:
    return await federation.agency(store).Check(asked(**changed), Call(A.unit(), 5.0).as_context())


def hints(response: agency_pb2.CheckResponse) -> set[str]:
    return {reason.name for reason in response.reasons} & HINTS


def older(federation: Federation, party: Party, seen: list[list[int]], *days: str) -> None:
    """A gateway of an earlier version: it does not look at the start, and tells the marriages of the last ten years."""

    def says(question: exchange_pb2.Question) -> exchange_pb2.Answer:
        seen.append(list(question.benefit_since_on))
        flags = 1 << words.ENTITLEMENT_FLAG_REMARRIED if days else 0
        found = findings(STRONG, flags=[flags], last_trace_on=[civil(3)], valid_until_on=[civil(TODAY)])
        for day in days:
            found.reasons.MergeFrom(
                exchange_pb2.ReasonColumns(
                    subject=[0],
                    code=[60],
                    department=[v.DEPARTMENT_CIVIL_AFFAIRS],
                    kind=[v.EVIDENCE_KIND_MARRIAGE],
                    on=[civil(day)],
                    number=[0],
                )
            )
        if days:
            found.reason_texts.add(code=60, name="REMARRIED", zh="{on} 结婚", en="married {on}")
        answer = exchange_pb2.Answer(context=question.context)
        answer.findings.CopyFrom(found)
        return answer

    federation.at(party, answering(federation, party, says))


@pytest.mark.parametrize(
    ("marriages", "since", "proposal", "month", "hinted", "rows"),
    [
        ([FIRST], "2020-01-01", CERTIFIED, "", set(), 0),
        ([FIRST], "", LOOKED_AT, "", {"BENEFIT_START_UNKNOWN"}, 1),
        ([FIRST, SECOND], "2020-01-01", STOPPED, "2022-06", set(), 1),
        ([LONG_AGO], "2010-01-01", STOPPED, "2013-06", set(), 1),
        ([LONG_AGO], "", CERTIFIED, "", set(), 0),
        ([], "2020-01-01", CERTIFIED, "", set(), 0),
    ],
)
async def test_a_marriage_counts_from_the_start_of_the_benefit_on(
    store: Store, marriages: list[Row], since: str, proposal: int, month: str, hinted: set[str], rows: int
) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, *departments(*marriages))))
    response = await check(federation, store, benefit_since=since)
    assert (response.proposal, response.effective_month, response.benefit_since) == (proposal, month, since)
    assert hints(response) == hinted
    assert [each.kind for each in response.evidence].count(v.EVIDENCE_KIND_MARRIAGE) == rows


async def test_a_child_benefit_that_goes_on_at_that_age_is_looked_at(store: Store) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, *departments())))
    start = f"{int(ANNA[6:10]) + 10}-01-01"  # ten years of age
    response = await check(federation, store, benefit_since=start)
    assert response.proposal == LOOKED_AT
    assert words.ENTITLEMENT_FLAG_AGED_OUT in response.flags


async def test_every_province_is_told_and_the_first_marriage_here_hides_no_second_one_there(store: Store) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, *departments(FIRST))))
    federation.at(C, serving(gateway_of(federation, C, store, *departments(SECOND))))
    response = await check(federation, store, regions=[ANHUI, FUJIAN], benefit_since="2020-01-01")
    assert (response.proposal, response.effective_month) == (STOPPED, "2022-06")


@pytest.mark.parametrize(
    ("days", "since", "proposal", "month", "hinted"),
    [
        (["2018-05-01"], "2020-01-01", CERTIFIED, "", {"BENEFIT_START_NOT_USED"}),
        (["2018-05-01", "2022-05-01"], "2020-01-01", STOPPED, "2022-06", {"BENEFIT_START_NOT_USED"}),
        (["2026-03-01"], "2026-01-01", STOPPED, "2026-04", set()),
        ([], "2001-01-01", CERTIFIED, "", {"BENEFIT_START_NOT_USED"}),
        (["2018-05-01"], "", LOOKED_AT, "", {"BENEFIT_START_UNKNOWN"}),
    ],
)
async def test_what_an_older_gateway_tells_of_before_does_not_count_either(
    store: Store, days: list[str], since: str, proposal: int, month: str, hinted: set[str]
) -> None:
    federation = Federation()
    seen: list[list[int]] = []
    older(federation, B, seen, *days)
    response = await check(federation, store, benefit_since=since)
    assert (response.proposal, response.effective_month, hints(response)) == (proposal, month, hinted)
    assert seen == [[civil(since)] if since else []]


async def test_a_benefit_that_no_such_fact_ends_does_not_tell_its_start(store: Store) -> None:
    federation = Federation()
    seen: list[list[int]] = []
    older(federation, B, seen)
    response = await check(federation, store, benefit=PENSION, benefit_since="2001-01-01")
    assert seen == [[]]
    assert (response.benefit_since, hints(response)) == ("2001-01-01", set())


@pytest.mark.parametrize(
    "since",
    [
        "2026-05-28",  # tomorrow
        "1900-01-01",  # what registers have for "not known"
        "2020-02-30",
        "2020-1-1",
        "20200101",
        "2020",
        "yesterday",
        " 2020-01-01",
    ],
)
@pytest.mark.parametrize("benefit", [DEPENDANT, PENSION])
async def test_a_start_that_cannot_be_one_is_refused_in_words(store: Store, since: str, benefit: int) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, *departments())))
    with pytest.raises(AbortedError) as caught:
        await check(federation, store, benefit_since=since, benefit=benefit)
    error = from_rpc_error(caught.value.as_client_sees_it())
    assert error is not None
    assert error.field == "benefit_since"
    assert "待遇开始日期" in error.zh or "日期格式" in error.zh


@pytest.mark.parametrize("benefit", [DEPENDANT, PENSION])
async def test_a_start_before_the_birth_that_the_number_tells_is_refused(store: Store, benefit: int) -> None:
    federation = Federation()
    child = next(each for last in "0123456789X" if fits(each := "11010220000307001" + last))
    register = Register({child: [row("OUTPATIENT", 5)]}, names={child: "安娜"})
    federation.at(B, serving(gateway_of(federation, B, store, register)))
    told = {"id_number": child, "benefit": benefit}
    with pytest.raises(AbortedError) as caught:
        await check(federation, store, **told, benefit_since="2000-03-06")
    error = from_rpc_error(caught.value.as_client_sees_it())
    assert error is not None
    assert error.field == "benefit_since"
    assert "出生日期" in error.zh
    assert (await check(federation, store, **told, benefit_since="2000-03-07")).benefit_since == "2000-03-07"
    passport = {"document_kind": v.DOCUMENT_KIND_PASSPORT, "id_number": "E12345678"}
    with pytest.raises(AbortedError) as caught:  # nobody knows it; its number tells no birth
        await check(federation, store, **{**told, **passport}, regions=[FUJIAN], benefit_since="1960-03-07")
    error = from_rpc_error(caught.value.as_client_sees_it())
    assert error is not None
    assert error.field != "benefit_since"


def fits(number: str) -> bool:
    try:
        return normalise_number(number) == number
    except RefusedError:
        return False


async def test_a_start_after_the_day_asked_about_is_refused(store: Store) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, *departments())))
    with pytest.raises(AbortedError):
        await check(federation, store, benefit_since="2026-02-02", as_of="2026-02-01")
    assert (await check(federation, store, benefit_since="2026-02-01", as_of="2026-02-01")).as_of == "2026-02-01"
    assert (await check(federation, store, benefit_since=TODAY.isoformat())).benefit_since == TODAY.isoformat()


class Listening(Call):
    """A stream as a servicer writes to it."""

    def __init__(self, peer: Identity) -> None:
        super().__init__(peer, 5.0)
        self.written: list[Any] = []

    async def write(self, message: Any) -> None:
        self.written.append(message)


async def test_it_counts_over_the_other_calls_too(store: Store) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, *departments(FIRST))))
    agency, starts = federation.agency(store), ["2020-01-01", "", "2010-01-01"]

    async def questions() -> AsyncIterator[agency_pb2.CheckManyRequest]:
        many = [
            agency_pb2.CheckManyQuestion(number=number, check=asked(benefit_since=since))
            for number, since in enumerate(starts)
        ]
        yield agency_pb2.CheckManyRequest(questions=many)

    call = Listening(A.unit())
    await agency.CheckMany(questions(), call.as_context())
    told = {
        each.number: each.response.proposal
        for body in call.written
        for each in agency_pb2.CheckManyResponse.FromString(body).answers
    }
    assert told == {0: CERTIFIED, 1: LOOKED_AT, 2: STOPPED}
    for since, proposal in zip(starts, told.values(), strict=True):
        call = Listening(A.unit())
        followed = agency_pb2.CheckStreamRequest(check=asked(benefit_since=since))
        await agency.CheckStream(followed, call.as_context())
        assert call.written[-1].known.proposal == proposal


async def test_questions_that_are_answered_together_keep_their_own_start() -> None:
    both = question(ANNA, ANNA, purpose=v.PURPOSE_CERTIFICATION)
    both.benefit[:] = [DEPENDANT, DEPENDANT]
    side = inquiry(*departments(FIRST))
    both.benefit_since_on[:] = [civil("2020-01-01"), civil("2010-01-01")]
    found = await findings_for(side, both)
    assert [flags >> words.ENTITLEMENT_FLAG_REMARRIED & 1 for flags in found.flags] == [0, 1]
    assert found.benefit_since_used


async def test_starts_stay_with_their_people_where_others_are_refused() -> None:
    three = question("1", ANNA, ANNA, purpose=v.PURPOSE_CERTIFICATION)
    three.subjects.name[:] = ["一"] + ["安娜"] * 2
    three.benefit[:] = [DEPENDANT] * 3
    three.benefit_since_on[:] = [civil("2010-01-01"), civil("2020-01-01"), civil("2010-01-01")]
    found = await findings_for(inquiry(*departments(FIRST)), three)
    assert [flags >> words.ENTITLEMENT_FLAG_REMARRIED & 1 for flags in found.flags] == [0, 0, 1]


async def test_the_start_goes_with_a_question_that_is_asked_once_more(store: Store) -> None:
    federation = Federation()
    linked = Register({ANNA: [], NEW_ANNA: [row("OUTPATIENT", 5)]}, links={ANNA: NEW_ANNA})
    federation.at(B, serving(gateway_of(federation, B, store, linked)))
    federation.at(C, serving(gateway_of(federation, C, store, *departments(FIRST, number=NEW_ANNA))))
    places = {"regions": [ANHUI, FUJIAN]}
    assert words.ENTITLEMENT_FLAG_REMARRIED in (await check(federation, store, **places)).flags
    response = await check(federation, store, **places, benefit_since="2020-01-01")
    assert words.ENTITLEMENT_FLAG_REMARRIED not in response.flags
    assert list(response.linked_id_numbers) == [NEW_ANNA]
    plain = question(ANNA)
    plain.benefit_since_on.append(15_000)
    assert list(Further(plain).question([NEW_ANNA]).benefit_since_on) == [15_000]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("benefit", "rows", "since", "proposal", "month"),
    [
        (DEPENDANT, [FIRST], "2020-01-01", CERTIFIED, ""),
        (DEPENDANT, [FIRST], "", LOOKED_AT, ""),
        (DEPENDANT, [LONG_AGO], "2010-01-01", STOPPED, "2013-06"),
        # its question does not tell the start, but what is proposed goes by it
        (PENSION, [row("IMPRISONED", "2024-01-10", since="2024-01-10")], "2025-03-20", STOPPED, "2025-03"),
    ],
)
async def test_a_late_answer_is_judged_by_the_start_of_then(
    world: World, benefit: int, rows: list[Row], since: str, proposal: int, month: str
) -> None:
    courts = Register({ANNA: rows if benefit == PENSION else []}, department=v.DEPARTMENT_JUSTICE)
    family = departments(*(rows if benefit == DEPENDANT else []))
    side, b = inquiry(*family, courts, clock=world.a.clock), world.b
    terms = b.directory.current, b.outbox, b.store.audit, world.a.clock, b.settings
    b.inbox.register(QUESTION, DeferredQuestions(side, *terms, max_subjects=100))
    world.a.wire.door = None
    left = await world.check(benefit=benefit, benefit_since=since)
    async with world.running():
        await until(world.a.store.outbox.troubles)
        world.a.wire.door = world.b.door
        world.a.clock.advance(400)
        await until(lambda: world.told_of(1))
    later = await world.fetch(left.late_ticket)
    assert (later.proposal, later.effective_month, later.benefit_since) == (proposal, month, since)


async def test_what_is_kept_for_one_start_is_not_given_for_another(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with stored(tmp_path, clock) as store:
        gateway = Gateway(store, clock)
        registers = departments(FIRST)
        gateway.federation.at(B, serving(gateway_of(gateway.federation, B, store, *registers)))
        married = words.ENTITLEMENT_FLAG_REMARRIED
        for since, raised, times in [
            ("2010-01-01", True, 1),
            ("2020-01-01", False, 2),
            ("", True, 3),
        ]:
            response = await gateway.times(3, benefit=DEPENDANT, benefit_since=since)
            assert (married in response.flags, len(registers[0].asked), response.benefit_since) == (
                raised,
                times,
                since,
            )


async def test_a_start_that_is_not_told_parts_no_kept_answers(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with stored(tmp_path, clock) as store:
        gateway = Gateway(store, clock)
        for since in ("2010-01-01", "2020-01-01", ""):
            assert (await gateway.times(2, benefit=PENSION, benefit_since=since)).benefit_since == since
        assert gateway.asked == 1


@pytest.mark.parametrize("starts", [[15_000, 15_000], [400_001], [-400_001]])
async def test_a_question_with_starts_that_are_none_is_refused(starts: list[int]) -> None:
    wrong = question(ANNA)
    wrong.benefit_since_on[:] = starts
    with pytest.raises(Exception, match="benefit_since_on"):
        await findings_for(inquiry(*departments()), wrong)
