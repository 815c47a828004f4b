"""Asking about one recipient: whom, how it is recorded, and what is left when some or all members do not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from gateway.errors import PartnerError, RefusedError, StoreError, WuganError
from gateway.exchange.envelope import Proof
from gateway.federation.checked import Checked
from gateway.federation.questions import MAX_OFFICIAL, Case, Recipient, is_official, one_spelling
from gateway.federation.routing import MAX_REGIONS, Places
from gateway.sections.resilience import RetrySettings
from gateway.store.audit import Appending, AuditEvent
from gateway.store.engine import Store
from gateway.store.faults import overloaded
from tests.unit.adapters.adapters_world import number
from tests.unit.services.gateways_world import (
    ANHUI,
    ANNA,
    BO,
    FUJIAN,
    ZHEJIANG,
    A,
    B,
    C,
    Call,
    Federation,
    Party,
    answering,
    findings,
    rpc_error,
    stored,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG = words.SURVIVAL_STATUS_ALIVE_STRONG
UNKNOWN = words.SURVIVAL_STATUS_UNKNOWN
Reply = Callable[[exchange_pb2.Question], exchange_pb2.Answer]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with stored(tmp_path) as opened:
        yield opened


class Asked(Federation):
    """A federation whose members remember what they were asked."""

    def __init__(self, *parties: Party) -> None:
        super().__init__(parties=parties or (A, B, C))
        self.questions: dict[str, exchange_pb2.Question] = {}

    def answers(self, party: Party, *status: int, **parts: Any) -> None:
        def reply(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
            self.questions[party.member_id] = asked
            made = parts or {"findings": findings(*status)}
            return exchange_pb2.Answer(context=asked.context, **made)

        self.at(party, answering(self, party, reply))

    def refuses(self, party: Party, reason: words.RefusalReason.ValueType) -> None:
        self.answers(party, refusal=exchange_pb2.Refusal(reason=reason, message_en="no", message_zh="不"))

    def fails(self, party: Party, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        async def fail(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
            raise rpc_error(code)

        self.at(party, fail)


@pytest.fixture
def federation() -> Asked:
    made = Asked()
    made.answers(B, STRONG)
    made.answers(C, UNKNOWN)
    return made


def recipient(*, regions: tuple[int, ...] = (ANHUI,), **changed: Any) -> Recipient:
    plain: dict[str, Any] = {
        "id_number": ANNA,
        "name": "安娜",
        "document_kind": 0,
        "alias_id_numbers": (),
        "benefit": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
        "places": Places(regions),
        **changed,
    }
    return Recipient(**plain)


def case(**changed: Any) -> Case:
    plain: dict[str, Any] = {
        "unit": "jinhua",
        "official": "official 1",
        "purpose": v.PURPOSE_CERTIFICATION,
        "legal_basis": "社会保险法 第七十四条",
        "case_reference": "JH-1",
        **changed,
    }
    return Case(**plain)


async def check(
    federation: Federation, store: Store, about: Recipient, why: Case | None = None, left_s: float = 5.0, **options: Any
) -> Checked:
    checked = await federation.checks(store, **options).check(about, why or case(), left_s)
    await checked.recorded()
    return checked


async def refusal(
    federation: Federation, store: Store, about: Recipient, why: Case | None = None, **more: Any
) -> WuganError:
    with pytest.raises((RefusedError, PartnerError)) as caught:
        await check(federation, store, about, why, **more)
    assert ANNA not in caught.value.en + caught.value.zh
    return caught.value


def asked(checked: Checked) -> list[str]:
    return [result.member_id for result in checked.results]


async def events(store: Store) -> list[AuditEvent]:
    return [recorded.event for recorded in await store.audit.events()]


@pytest.mark.parametrize(
    ("regions", "members"),
    [
        ((ANHUI,), [B]),
        ((FUJIAN + 102,), [C]),
        ((FUJIAN, ANHUI), [C, B]),
        ((ANHUI, ANHUI + 100, ANHUI), [B]),
        ((ZHEJIANG, ANHUI), [B]),
        ((), [B, C]),
    ],
    ids=["its member", "a county of it", "most likely first", "named twice", "beside one's own", "none: all others"],
)
async def test_those_are_asked_who_serve_the_regions(
    federation: Asked, store: Store, regions: tuple[int, ...], members: list[Party]
) -> None:
    checked = await check(federation, store, recipient(regions=regions))
    assert asked(checked) == [member.member_id for member in members]


async def test_where_the_number_was_issued_tells_nothing_about_whom_to_ask(federation: Asked, store: Store) -> None:
    for issued_in in ("340102", "350102", "330702"):
        about = recipient(id_number=number(1).replace("330702", issued_in), regions=(FUJIAN,))
        # the check digit depends on the place: take the one that fits
        about = recipient(id_number=_valid(about.id_number), regions=(FUJIAN,))
        assert asked(await check(federation, store, about)) == [C.member_id]


def _valid(id_number: str) -> str:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(id_number[:17], weights, strict=True))
    return id_number[:17] + "10X98765432"[total % 11]


@pytest.mark.parametrize(
    ("regions", "code", "field"),
    [
        ((999999,), "UNKNOWN_REGION", "regions[0]"),
        ((ANHUI, 340001), "UNKNOWN_REGION", "regions[1]"),
        ((650000,), "UNKNOWN_REGION", "regions[0]"),
        ((ZHEJIANG,), "NOT_SERVED", "regions"),
        ((ANHUI,) * (MAX_REGIONS + 1), "INVALID_ARGUMENT", "regions"),
    ],
    ids=["no code", "a county without prefecture", "nobody serves it", "one's own", "too many"],
)
async def test_a_region_that_cannot_be_asked_about_is_refused(
    federation: Asked, store: Store, regions: tuple[int, ...], code: str, field: str
) -> None:
    error = await refusal(federation, store, recipient(regions=regions))
    assert (error.code, error.field) == (code, field)
    assert not federation.questions
    assert await events(store) == []


async def test_more_members_than_allowed_are_not_asked(federation: Asked, store: Store) -> None:
    error = await refusal(federation, store, recipient(regions=()), max_members=1)
    assert (error.code, error.field) == ("INVALID_ARGUMENT", "regions")


async def test_a_federation_of_one_has_nobody_to_ask(store: Store) -> None:
    assert (await refusal(Asked(A), store, recipient(regions=()))).code == "NOT_SERVED"


@pytest.mark.parametrize(
    ("about", "why", "code", "field"),
    [
        ({"id_number": ANNA[:-1] + ("0" if ANNA[-1] != "0" else "1")}, {}, "INVALID_ID_NUMBER", "id_number"),
        ({"id_number": ""}, {}, "INVALID_ID_NUMBER", "id_number"),
        ({"id_number": "9" * 41}, {}, "INVALID_ARGUMENT", "subjects.id_number"),
        ({"alias_id_numbers": ("123",)}, {}, "INVALID_ID_NUMBER", "id_number"),
        ({"alias_id_numbers": (BO,) * 9}, {}, "INVALID_ARGUMENT", "subjects.alias_subject"),
        ({"name": "  "}, {}, "INVALID_ARGUMENT", "subjects.name"),
        ({"name": "名" * 201}, {}, "INVALID_ARGUMENT", "subjects.name"),
        ({"document_kind": 77}, {}, "INVALID_ARGUMENT", "subjects.document_kind"),
        ({"benefit": 0}, {}, "UNKNOWN_BENEFIT", "benefit"),
        ({}, {"purpose": 9}, "INVALID_ARGUMENT", "context.purpose"),
        ({}, {"legal_basis": " "}, "INVALID_ARGUMENT", "context.legal_basis"),
        ({}, {"case_reference": "a\nb"}, "INVALID_ARGUMENT", "context.case_reference"),
        ({}, {"official": " "}, "INVALID_ARGUMENT", "official"),
        ({}, {"official": "x" * 101}, "INVALID_ARGUMENT", "official"),
        ({}, {"as_of_on": 99_999}, "INVALID_ARGUMENT", "as_of"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
async def test_a_wrong_question_is_refused_with_its_field_before_anybody_is_asked(
    federation: Asked, store: Store, about: dict[str, Any], why: dict[str, Any], code: str, field: str
) -> None:
    error = await refusal(federation, store, recipient(**about), case(**why))
    assert (error.code, error.field) == (code, field)
    assert not federation.questions
    assert await events(store) == []


async def test_the_question_carries_normalised_numbers_and_a_pseudonym_for_the_official(
    federation: Asked, store: Store
) -> None:
    about = recipient(id_number=f"  {ANNA.lower()} ", alias_id_numbers=(BO,), name=" 安娜 ")
    await check(federation, store, about, case(official="Zhang San"))
    sent = federation.questions[B.member_id]
    assert list(sent.subjects.id_number) == [ANNA]
    assert list(sent.subjects.alias_id_number) == [BO]
    assert list(sent.subjects.name) == ["安娜"]
    assert list(sent.region) == [ANHUI]
    assert b"Zhang" not in sent.SerializeToString()


async def pseudonym(federation: Asked, store: Store, unit: str, official: str) -> bytes:
    await check(federation, store, recipient(), case(unit=unit, official=official))
    return federation.questions[B.member_id].context.official_pseudonym


async def test_a_pseudonym_is_stable_for_one_official_and_different_for_any_other(
    federation: Asked, store: Store, tmp_path: Path
) -> None:
    first = await pseudonym(federation, store, "jinhua", "wang")
    for spelled in (" wang ", "Wang", "wa ng", "ｗａｎｇ", "wang\u200b", "WANG\u3000"):  # an official has one quota
        assert await pseudonym(federation, store, "jinhua", spelled) == first, spelled
    others = [
        await pseudonym(federation, store, unit, official)
        for unit, official in (("jinhua", "wan"), ("ningbo", "wang"), ("jinhuaw", "ang"), ("jinhu", "awang"))
    ]
    assert len({first, *others}) == 5
    async with stored(tmp_path / "another") as elsewhere:
        assert await pseudonym(federation, elsewhere, "jinhua", "wang") != first
    with pytest.raises(RefusedError, match="official"):
        await pseudonym(federation, store, "jinhua", "\u200b\u3000")


async def test_the_answer_is_kept_and_found_by_every_number(federation: Asked, store: Store) -> None:
    checked = await check(federation, store, recipient(alias_id_numbers=(BO,)))
    for id_number in (ANNA, BO):
        (kept,) = await store.answers.find(id_number)
        assert kept.member == B.member_id
    produced = await store.answers.produce(B.member_id, kept.message_id, kept.position)
    answer = checked.results[0].answer
    assert produced is not None
    assert answer is not None
    assert Proof(**{name: getattr(produced, name) for name in Proof._fields}) == answer.proof


async def test_an_answered_question_is_recorded_as_going_out(federation: Asked, store: Store) -> None:
    await check(federation, store, recipient())
    (event,) = await events(store)
    assert (event.direction, event.counterpart, event.unit, event.subjects, event.outcome) == (
        "out",
        B.member_id,
        "jinhua",
        1,
        0,
    )
    assert (event.purpose, event.legal_basis, event.case_reference) == (1, case().legal_basis, "JH-1")
    assert event.official == federation.questions[B.member_id].context.official_pseudonym


async def test_every_message_is_recorded_the_one_that_was_lost_as_unanswered(federation: Asked, store: Store) -> None:
    answers = answering(
        federation, B, lambda asked: exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))
    )
    messages: list[bytes] = []

    async def loses_the_first(envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        messages.append(envelope_pb2.Header.FromString(envelope.header).message_id)
        if len(messages) == 1:
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)
        return await answers(envelope, call)

    federation.at(B, loses_the_first)
    checked = await check(federation, store, recipient())
    assert asked(checked) == [B.member_id]
    recorded = await events(store)
    lost, answered = messages
    assert [event.message_id for event in recorded] == [lost, answered, lost]
    assert [event.outcome for event in recorded] == [0, 0, words.REFUSAL_REASON_PARTNER_UNAVAILABLE]
    assert recorded[-1].decision


async def test_one_member_down_leaves_the_others_answer_and_both_are_recorded(federation: Asked, store: Store) -> None:
    federation.fails(C)
    checked = await check(federation, store, recipient(regions=()))
    assert [result.answer is not None for result in checked.results] == [True, False]
    assert checked.results[1].error is not None
    assert checked.results[1].error.code == "PARTNER_UNAVAILABLE"
    recorded = {event.counterpart: event.outcome for event in await events(store)}
    assert recorded == {B.member_id: 0, C.member_id: words.REFUSAL_REASON_PARTNER_UNAVAILABLE}
    assert [kept.member for kept in await store.answers.find(ANNA)] == [B.member_id]


async def test_when_nobody_answers_the_first_error_is_told_and_all_are_recorded(
    federation: Asked, store: Store
) -> None:
    federation.refuses(B, words.REFUSAL_REASON_MEMBER_NOT_PERMITTED)
    federation.fails(C)
    error = await refusal(federation, store, recipient(regions=()))
    assert (error.code, error.en) == ("MEMBER_NOT_PERMITTED", "no")
    recorded = {event.counterpart: event.outcome for event in await events(store)}
    assert recorded == {
        B.member_id: words.REFUSAL_REASON_MEMBER_NOT_PERMITTED,
        C.member_id: words.REFUSAL_REASON_PARTNER_UNAVAILABLE,
    }
    assert await store.answers.find(ANNA) == []


async def test_a_member_that_refuses_the_person_has_not_answered(federation: Asked, store: Store) -> None:
    refused = exchange_pb2.SubjectRefusals(subject=[0], reason=[words.REFUSAL_REASON_INVALID_ID_NUMBER])
    federation.answers(B, findings=findings(0, refused=refused))
    assert (await refusal(federation, store, recipient())).code == "INVALID_ID_NUMBER"
    left, event = await events(store)
    assert (left.message_id, left.outcome) == (event.message_id, 0)
    assert event.outcome == words.REFUSAL_REASON_INVALID_ID_NUMBER


async def test_a_faulty_answer_is_recorded_and_not_kept(federation: Asked, store: Store) -> None:
    federation.answers(B, STRONG, STRONG)
    assert (await refusal(federation, store, recipient())).code == "PARTNER_FAULTY"
    left, event = await events(store)
    assert (left.message_id, left.outcome) == (event.message_id, 0)
    assert event.outcome == words.REFUSAL_REASON_PARTNER_FAULTY
    assert await store.answers.find(ANNA) == []


async def test_a_deadline_that_leaves_no_time_asks_nobody(federation: Asked, store: Store) -> None:
    error = await refusal(federation, store, recipient(), left_s=0.01)
    assert (error.code, error.retryable) == ("DEADLINE_EXCEEDED", True)
    assert not federation.questions


async def test_a_member_that_hangs_costs_no_more_than_the_deadline(federation: Asked, store: Store) -> None:
    async def hang(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        await asyncio.Event().wait()
        raise AssertionError

    federation.at(C, hang)
    checked = await check(federation, store, recipient(regions=()), left_s=0.1)
    error = checked.results[1].error
    assert error is not None
    assert error.code == "DEADLINE_EXCEEDED"


async def test_a_question_given_up_by_the_agency_is_recorded_all_the_same(federation: Asked, store: Store) -> None:
    asked_b = asyncio.Event()

    async def hang(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        asked_b.set()
        await asyncio.Event().wait()
        raise AssertionError

    federation.at(B, hang)
    asking = asyncio.ensure_future(check(federation, store, recipient()))
    await asked_b.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await store.audit.record(_any_event())
    outcomes = [event.outcome for event in await events(store)]
    assert outcomes[:2] == [0, words.REFUSAL_REASON_DEADLINE_EXCEEDED]


@pytest.mark.parametrize("left", [False, True], ids=["before it left", "before it left again"])
async def test_who_gives_up_is_not_recorded_as_answered_when_others_in_the_envelope_are(
    federation: Asked, store: Store, left: bool
) -> None:
    envelopes: list[envelope_pb2.Envelope] = []
    under_way, given_up = asyncio.Event(), asyncio.Event()
    answer = answering(
        federation, B, lambda asked: exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))
    )

    async def together(envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        envelopes.append(envelope)
        if len(envelopes) == 2 and left:
            under_way.set()
            await given_up.wait()
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)
        await asyncio.sleep(0)  # while the first is on its way, the others come together
        return await answer(envelope, call)

    federation.at(B, together)
    checks = federation.checks(store)
    checks._partners = federation.partners(retry=RetrySettings(retry_share=1.0))
    askings = [
        asyncio.ensure_future(checks.check(recipient(), case(case_reference=reference), 5.0))
        for reference in ("alone", "stays", "goes")
    ]
    await (under_way.wait() if left else asyncio.sleep(0))
    askings[2].cancel()
    given_up.set()
    done = await asyncio.gather(*askings, return_exceptions=True)
    assert [isinstance(each, Checked) for each in done] == [True, True, False]
    assert len(envelopes) == (3 if left else 2)
    await store.audit.record(_any_event())
    by_message = {each.message_id: each.outcome for each in await events(store) if each.case_reference == "goes"}
    assert 0 not in by_message.values(), "it is on record as told to somebody who had gone"
    assert len(by_message) == (2 if left else 0)


async def test_the_record_of_a_question_is_on_the_disk_while_the_answer_is_awaited(
    federation: Asked, store: Store
) -> None:
    asked_b, go_on = asyncio.Event(), asyncio.Event()
    answers = answering(
        federation, B, lambda asked: exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))
    )

    async def waits(envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        asked_b.set()
        await go_on.wait()
        return await answers(envelope, call)

    federation.at(B, waits)
    asking = asyncio.ensure_future(check(federation, store, recipient()))
    await asked_b.wait()
    while not await events(store):  # it is written once the question is well on its way
        await asyncio.sleep(0.001)
    assert [event.counterpart for event in await events(store)] == [B.member_id]
    go_on.set()
    await asking


async def test_no_answer_leaves_without_the_record_of_its_question(
    federation: Asked, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation.answers(B, STRONG)

    def fail(*_: Any) -> None:
        raise sa.exc.OperationalError("insert", {}, Exception("disk full"))

    monkeypatch.setattr(Appending, "apply", fail)
    with pytest.raises(StoreError):
        await check(federation, store, recipient())


async def test_a_store_that_takes_no_more_lets_no_answer_out(
    federation: Asked, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation.answers(B, STRONG)

    def full(*_: Any, **__: Any) -> None:
        raise overloaded()

    monkeypatch.setattr(store.audit, "submit", full)
    with pytest.raises(StoreError) as caught:
        await check(federation, store, recipient())
    assert caught.value.code == "OVERLOADED"


async def test_an_answer_does_not_wait_for_its_copy(
    federation: Asked, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation.answers(B, STRONG)
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(store.answers, "submit", lambda *_, **__: never)
    checked = await check(federation, store, recipient())
    assert asked(checked) == [B.member_id]
    never.set_exception(overloaded())
    await asyncio.sleep(0)  # its failure is noted, not raised: the answer was given


def _any_event() -> AuditEvent:
    """One more record: when it is on the disk, so are those before it."""
    return AuditEvent(
        at_ms=1,
        direction="out",
        counterpart=C.member_id,
        unit="",
        official=b"",
        purpose=1,
        legal_basis="",
        case_reference="",
        message_id=b"m" * 16,
        digest=b"",
        subjects=0,
        outcome=0,
    )


def test_a_text_too_long_for_an_official_is_not_spelled_out_and_kept() -> None:
    before = one_spelling.cache_info()
    assert not is_official("张" * (MAX_OFFICIAL + 1))
    assert one_spelling.cache_info() == before
    assert is_official("张" * MAX_OFFICIAL)
