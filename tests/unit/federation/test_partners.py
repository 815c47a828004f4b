"""What another member's gateway may answer, and what becomes of it: used whole, passed on, or not used at all."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.faces import FACE_TOKEN_BYTES
from gateway.errors import PartnerError, RefusedError, WuganError
from gateway.exchange.envelope import verify_proof
from gateway.exchange.keys import VerifyKey
from gateway.exchange.question import MAX_FACES
from gateway.federation.answers import columns_of
from gateway.federation.directory import Directory
from gateway.federation.partners import Asking, PartnerAnswer, Partners, check_findings
from gateway.status import to_status
from tests.unit.services.gateways_world import (
    ANNA,
    BO,
    A,
    B,
    C,
    Call,
    Federation,
    Handler,
    Listed,
    answering,
    findings,
    opened_at,
    question,
    rpc_error,
    sealed_answer,
    status_of,
)
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG = words.SURVIVAL_STATUS_ALIVE_STRONG
Change = Callable[[Any], object]


def to_ask(asked: exchange_pb2.Question) -> Asking:
    """A question whose leaving nobody records."""
    return Asking(asked, lambda _: None)


def proper() -> exchange_pb2.Findings:
    """Findings about three people, the last refused, with something in every column."""
    return findings(
        STRONG,
        STRONG,
        0,
        reasons=exchange_pb2.ReasonColumns(
            subject=[0, 1], code=[1, 9], department=[5, 1], kind=[8, 0], on=[20000, 0], number=[2, 330700]
        ),
        reason_texts=[exchange_pb2.ReasonText(code=code, name="N", zh="因", en="why") for code in (1, 9)],
        evidence=columns_pb2.EvidenceColumns(
            subject=[1],
            kind=[8],
            department=[5],
            region=[330700],
            observed_on=[20000],
            available_on=[20001],
            strength=[4],
            source_reference=["r"],
            detail=[0],
            from_on=[0],
            until_on=[0],
        ),
        links=columns_pb2.LinkColumns(subject=[1], id_number=["X"], since_on=[0]),
        refused=exchange_pb2.SubjectRefusals(subject=[2], reason=[words.REFUSAL_REASON_INVALID_ID_NUMBER]),
        faces=exchange_pb2.FaceTokens(subject=[1], token=[bytes(FACE_TOKEN_BYTES)]),
    )


GROUPS = ("reasons", "evidence", "links", "refused", "faces")
"""Columns of as many rows each as there is something to say."""


def unfit(changed: exchange_pb2.Findings, subjects: int = 3) -> None:
    with pytest.raises(PartnerError) as caught:
        check_findings(changed, subjects)
    assert caught.value.code == "PARTNER_FAULTY"
    assert not caught.value.retryable


def fits(changed: exchange_pb2.Findings, subjects: int) -> bool:
    try:
        check_findings(changed, subjects)
    except PartnerError:
        return False
    return True


def test_proper_findings_fit() -> None:
    check_findings(proper(), 3)


@pytest.mark.parametrize("subjects", [0, 2, 4])
def test_findings_about_more_or_fewer_people_do_not_fit(subjects: int) -> None:
    unfit(proper(), subjects)


@pytest.mark.parametrize("column", ["status", "flags", "decided_on", "last_trace_on", "valid_until_on"])
@pytest.mark.parametrize("longer", [True, False])
def test_a_column_of_another_length_does_not_fit(column: str, longer: bool) -> None:
    changed = proper()
    values = getattr(changed, column)
    if longer:
        values.append(values[0])
    else:
        del values[-1]
    unfit(changed)


@pytest.mark.parametrize(
    ("group", "column"),
    [(group, field.name) for group in GROUPS for field in getattr(proper(), group).DESCRIPTOR.fields],
)
@pytest.mark.parametrize("longer", [True, False])
def test_a_sparse_column_of_another_length_does_not_fit(group: str, column: str, longer: bool) -> None:
    changed = proper()
    values = getattr(getattr(changed, group), column)
    if longer:
        values.append(values[0])
    else:
        del values[-1]
    unfit(changed)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("row", [3, 2**32 - 1])
def test_a_row_that_was_not_asked_about_does_not_fit(group: str, row: int) -> None:
    changed = proper()
    getattr(changed, group).subject[0] = row
    unfit(changed)


@pytest.mark.parametrize("group", GROUPS)
def test_columns_that_are_not_there_are_empty_ones(group: str) -> None:
    left_out: Any = proper()
    empty: Any = proper()
    for changed in (left_out, empty):
        changed.ClearField(group)
        if group == "refused":
            changed.status[2] = STRONG
        elif group == "reasons":
            changed.ClearField("reason_texts")
    getattr(empty, group).SetInParent()
    assert empty.HasField(group)
    assert not left_out.HasField(group)
    check_findings(left_out, 3)
    check_findings(empty, 3)


@pytest.mark.parametrize(
    ("group", "column"),
    [(group, field.name) for group in GROUPS for field in getattr(proper(), group).DESCRIPTOR.fields],
)
def test_a_column_alone_in_its_group_does_not_fit(group: str, column: str) -> None:
    changed: Any = proper()
    values = list(getattr(getattr(changed, group), column))
    changed.ClearField(group)
    getattr(getattr(changed, group), column).extend(values)
    unfit(changed)


NONSENSE: dict[str, Change] = {
    "a reason without its text": lambda f: f.reason_texts.__delitem__(0),
    "no texts at all": lambda f: f.ClearField("reason_texts"),
    "a status this version does not know": lambda f: f.status.__setitem__(0, 9),
    "a negative status": lambda f: f.status.__setitem__(0, -1),
    "a person without status": lambda f: f.status.__setitem__(0, 0),
    "a person with neither, another with both": lambda f: f.status.__setitem__(slice(0, 3), [0, STRONG, STRONG]),
    "a status beside the refusal": lambda f: f.status.__setitem__(2, STRONG),
    "no refusals": lambda f: f.ClearField("refused"),
    "a refusal for a person who was answered": lambda f: f.refused.subject.__setitem__(0, 1),
    "a refusal for no reason": lambda f: f.refused.reason.__setitem__(0, 0),
    "a refusal for a reason this version does not know": lambda f: f.refused.reason.__setitem__(0, 99),
    "a code out of range": lambda f: (
        f.reasons.code.__setitem__(0, 2**31),
        f.reason_texts.append(exchange_pb2.ReasonText(code=2**31)),
    ),
    "a face that is none": lambda f: f.faces.token.__setitem__(0, b"short"),
    "too many faces": lambda f: f.faces.CopyFrom(
        exchange_pb2.FaceTokens(
            subject=[1] * (3 * MAX_FACES + 1), token=[bytes(FACE_TOKEN_BYTES)] * (3 * MAX_FACES + 1)
        )
    ),
    "a number out of range": lambda f: f.reasons.number.__setitem__(0, 2**32 - 1),
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_does_not_fit(change: Change) -> None:
    changed = proper()
    change(changed)
    unfit(changed)


@given(st.binary(max_size=300), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_but_a_partner_error(data: bytes, subjects: int) -> None:
    try:
        parsed = exchange_pb2.Findings.FromString(data)
    except DecodeError:
        return
    fits(parsed, subjects)


numbers = st.lists(st.sampled_from([0, 1, 2, 3, 9, 20, 2**31 - 1]), max_size=3)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_message_raises_anything_but_a_partner_error(data: st.DataObject) -> None:
    made = proper()
    for message in (made, *(getattr(made, group) for group in GROUPS)):
        for field in message.DESCRIPTOR.fields:
            if not field.is_repeated or field.message_type is not None or not data.draw(st.booleans()):
                continue
            values = data.draw(numbers)
            column = getattr(message, field.name)
            if field.type == field.TYPE_STRING:
                column[:] = [str(each) for each in values]
            elif field.type == field.TYPE_BYTES:
                column[:] = [bytes(each % 20) for each in values]
            else:
                column[:] = values
    if fits(made, 3):
        assert all((status == 0) == (row in made.refused.subject) for row, status in enumerate(made.status))


async def ask(federation: Federation, *numbers: str, timeout_s: float = 5.0, **more: Any) -> PartnerAnswer:
    """Ask B about these people."""
    partners = federation.partners()
    asked = question(*numbers, **more)
    try:
        return await partners.ask(B.member_id, to_ask(asked), timeout_s)
    finally:
        await partners.close()


async def failure(handler: Handler | None, federation: Federation | None = None, **more: Any) -> WuganError:
    federation = federation or Federation()
    if handler is not None:
        federation.at(B, handler)
    with pytest.raises((PartnerError, RefusedError)) as caught:
        await ask(federation, **more)
    assert caught.value.en
    assert caught.value.zh
    return caught.value


def replying(**parts: Any) -> Callable[[exchange_pb2.Question], exchange_pb2.Answer]:
    return lambda asked: exchange_pb2.Answer(context=asked.context, **parts)


async def test_a_proper_answer_comes_back_with_what_proves_it() -> None:
    federation = Federation()
    federation.at(B, answering(federation, B, replying(findings=findings(STRONG))))
    answer = await ask(federation)
    header = verify_proof(answer.proof, VerifyKey.from_raw(B.signing.public_raw))
    assert answer.member_id == header.sender == B.member_id
    assert answer.message_id == header.message_id
    assert list(answer.findings.status) == [STRONG]
    assert exchange_pb2.Answer.FromString(answer.proof.payload).findings == answer.findings


async def test_a_member_that_answers_or_asks_is_heard_of_and_one_that_does_not_is_not() -> None:
    federation = Federation()
    partners = federation.partners()
    heard: list[str] = []
    partners.heard = heard.append
    federation.at(B, answering(federation, B, replying(findings=findings(STRONG))))
    with pytest.raises(PartnerError):
        await partners.ask(C.member_id, to_ask(question()), 0.2)
    assert not heard
    await partners.ask(B.member_id, to_ask(question()), 5.0)
    assert heard == [B.member_id]
    await partners.close()
    partners = federation.partners()
    partners.heard = heard.append
    partners.heard_from(C.identity)
    assert heard == [B.member_id, C.member_id]


class NoticedAsking(Asking):
    """One whose end can be noticed."""

    __slots__ = ("__weakref__",)


async def test_a_question_that_failed_is_forgotten_with_its_error_and_not_when_the_collector_comes() -> None:
    async def refuse(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        raise status_of(RefusedError("no", "否", reason=words.REFUSAL_REASON_NOT_SERVED))

    federation = Federation()
    federation.at(B, refuse)
    partners = federation.partners()
    asking = NoticedAsking(question(), lambda _: None)
    noticed = weakref.ref(asking)
    gc.disable()
    try:
        with contextlib.suppress(RefusedError):
            await partners.ask(B.member_id, asking, 5.0)
        del asking
        await asyncio.sleep(0)
        assert noticed() is None
    finally:
        gc.enable()
        await partners.close()


async def test_one_channel_serves_many_questions_and_is_closed_at_the_end() -> None:
    federation = Federation()
    federation.at(B, answering(federation, B, replying(findings=findings(STRONG))))
    partners = federation.partners()
    for _ in range(3):
        asked = question()
        await partners.ask(B.member_id, to_ask(asked), 5.0)
    assert len(federation.lines) == 1
    await partners.close()
    assert federation.lines[0].closed


async def test_questions_that_come_together_share_an_envelope_and_each_has_its_own_answer_and_proof() -> None:
    federation = Federation()
    envelopes = []
    handle = answering(federation, B, numbered)

    async def counted(envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        envelopes.append(envelope)
        await asyncio.sleep(0)  # as long as it is on its way, others may come
        return await handle(envelope, call)

    federation.at(B, counted)
    partners = federation.partners()
    asked = [question(ANNA if at % 2 else BO, case_reference=f"case-{at}") for at in range(6)]
    answers = await asyncio.gather(*(partners.ask(B.member_id, to_ask(each), 5.0) for each in asked))
    await partners.close()
    assert len(envelopes) == 2  # the first left alone, before anything else had come
    key = VerifyKey.from_raw(B.signing.public_raw)
    for each, answer in zip(asked, answers, strict=True):
        verify_proof(answer.proof, key)
        proved = exchange_pb2.Answer.FromString(answer.proof.payload)
        assert proved.context == each.context
        assert proved.findings == answer.findings
    assert [answer.proof.total for answer in answers] == [1, 5, 5, 5, 5, 5]


def numbered(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
    """An answer that tells one question from another by its case."""
    return exchange_pb2.Answer(
        context=asked.context, findings=findings(STRONG, decided_on=[len(asked.context.case_reference)])
    )


async def test_questions_for_different_purposes_or_members_do_not_share_an_envelope() -> None:
    federation = Federation()
    for party in (B, C):
        federation.at(party, answering(federation, party, replying(findings=findings(STRONG))))
    partners = federation.partners()
    answers = await asyncio.gather(
        partners.ask(B.member_id, to_ask(question()), 5.0),
        partners.ask(B.member_id, to_ask(question(purpose=v.PURPOSE_CHANGE_MONITORING)), 5.0),
        partners.ask(C.member_id, to_ask(question()), 5.0),
        partners.ask(B.member_id, to_ask(question()), 1.0),
    )
    await partners.close()
    assert [answer.proof.total for answer in answers] == [1, 1, 1, 1]


async def test_one_question_refused_leaves_the_others_in_its_envelope_answered() -> None:
    federation = Federation()
    refusal = exchange_pb2.Refusal(reason=words.REFUSAL_REASON_BENEFIT_NOT_PERMITTED, message_en="no", message_zh="不")

    def reply(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        if asked.context.case_reference == "refused":
            return exchange_pb2.Answer(context=asked.context, refusal=refusal)
        return exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))

    federation.at(B, answering(federation, B, reply))
    partners = federation.partners()
    cases = ["first", "second", "refused", "fourth"]
    outcomes = await asyncio.gather(
        *(partners.ask(B.member_id, to_ask(question(case_reference=case)), 5.0) for case in cases),
        return_exceptions=True,
    )
    await partners.close()
    assert [type(outcome) for outcome in outcomes] == [PartnerAnswer, PartnerAnswer, RefusedError, PartnerAnswer]


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"findings": exchange_pb2.Findings()},
        {"findings": findings(STRONG, STRONG)},
        {"findings": findings(0)},
        {"refusal": exchange_pb2.Refusal()},
        {"refusal": exchange_pb2.Refusal(reason=99)},  # type: ignore[arg-type]
        {"findings": proper()},
    ],
    ids=["neither", "empty", "two people", "no status", "no reason", "an unknown reason", "three people"],
)
async def test_an_answer_that_does_not_fit_is_faulty(parts: dict[str, Any]) -> None:
    federation = Federation()
    error = await failure(answering(federation, B, replying(**parts)), federation)
    assert error.code == "PARTNER_FAULTY"


async def test_an_answer_for_another_context_is_faulty() -> None:
    federation = Federation()

    def reply(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        answer = exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))
        answer.context.case_reference += "x"
        return answer

    assert (await failure(answering(federation, B, reply), federation)).code == "PARTNER_FAULTY"


async def test_an_answer_as_of_another_day_is_faulty() -> None:
    federation = Federation()
    handler = answering(federation, B, replying(findings=findings(STRONG)))
    assert (await failure(handler, federation, as_of_on=20_000)).code == "PARTNER_FAULTY"


async def test_an_answer_with_more_evidence_than_was_asked_for_is_faulty() -> None:
    federation = Federation()
    made = findings(STRONG)
    for _ in range(3):
        made.evidence.MergeFrom(proper().evidence)
    made.evidence.subject[:] = [0, 0, 0]
    federation.at(B, answering(federation, B, replying(findings=made)))
    assert len((await ask(federation, evidence_limit=3)).findings.evidence.kind) == 3
    for limit in (2, 0):
        assert (await failure(None, federation, evidence_limit=limit)).code == "PARTNER_FAULTY"


async def test_an_answer_to_another_question_is_faulty() -> None:
    federation = Federation()
    kept: list[envelope_pb2.Envelope] = []
    answer = answering(federation, B, replying(findings=findings(STRONG)))

    async def always_the_first(envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        kept.append(await answer(envelope, call))
        return kept[0]

    federation.at(B, always_the_first)
    await ask(federation, ANNA)
    assert (await failure(None, federation)).code == "PARTNER_FAULTY"


async def test_ones_own_question_sent_back_is_faulty() -> None:
    async def mirror(envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        return envelope

    assert (await failure(mirror)).code == "PARTNER_FAULTY"


async def test_another_members_answer_is_faulty() -> None:
    federation = Federation()

    async def by_c(envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        opened = opened_at(federation, B, envelope)
        answer = exchange_pb2.Answer(context=question().context, findings=findings(STRONG))
        return sealed_answer(federation, C, opened, answer.SerializeToString())

    assert (await failure(by_c, federation)).code == "PARTNER_FAULTY"


@pytest.mark.parametrize(
    "envelope",
    [
        envelope_pb2.Envelope(),
        envelope_pb2.Envelope(header=b"\xff" * 40, ciphertext=b"\0" * 4000),
        envelope_pb2.Envelope(ciphertext=b"\0" * 4000),
    ],
    ids=["empty", "noise", "no header"],
)
async def test_an_envelope_that_is_none_is_faulty(envelope: envelope_pb2.Envelope) -> None:
    async def handler(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        return envelope

    assert (await failure(handler)).code == "PARTNER_FAULTY"


async def test_a_sealed_answer_of_garbage_is_faulty() -> None:
    federation = Federation()

    async def garbage(envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        return sealed_answer(federation, B, opened_at(federation, B, envelope), b"\xff\xff\xff\xff")

    assert (await failure(garbage, federation)).code == "PARTNER_FAULTY"


async def test_a_late_answer_of_yesterday_is_faulty() -> None:
    federation = Federation()
    handler = answering(
        federation, B, replying(findings=findings(STRONG)), now_ms=federation.clock.now_ms() - 86_400_000
    )
    assert (await failure(handler, federation)).code == "PARTNER_FAULTY"


async def test_a_refusal_is_passed_on_as_the_members_with_bounded_texts() -> None:
    federation = Federation()
    refusal = exchange_pb2.Refusal(
        reason=words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED,
        field="f" * 1000,
        message_en="e" * 10_000,
        message_zh="字" * 10_000,
        retryable=True,
        retry_after_ms=700,
    )
    error = await failure(answering(federation, B, replying(refusal=refusal)), federation)
    assert isinstance(error, RefusedError)
    assert (error.code, error.retryable, error.retry_after_ms) == ("PURPOSE_NOT_PERMITTED", True, 700)
    assert (len(error.field), len(error.en), len(error.zh)) == (200, 500, 500)


async def test_the_longest_time_to_wait_can_be_passed_on_to_the_agency() -> None:
    federation = Federation()
    refusal = exchange_pb2.Refusal(reason=words.REFUSAL_REASON_OVERLOADED, retryable=True, retry_after_ms=2**32 - 1)
    assert to_status(await failure(answering(federation, B, replying(refusal=refusal)), federation)).details


async def test_a_status_with_our_details_is_a_refusal_of_that_reason() -> None:
    async def refuse(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        raise status_of(
            RefusedError("busy", "繁忙", reason=words.REFUSAL_REASON_OVERLOADED, retryable=True, retry_after_ms=200)
        )

    error = await failure(refuse)
    assert isinstance(error, RefusedError)
    assert (error.code, error.en, error.retryable, error.retry_after_ms) == ("OVERLOADED", "busy", True, 200)


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED)]
)
async def test_any_other_status_means_not_reached_and_its_text_is_not_shown(code: grpc.StatusCode) -> None:
    async def fail(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        raise rpc_error(code, [("grpc-status-details-bin", b"\xff\xff")])

    error = await failure(fail)
    assert isinstance(error, PartnerError)
    assert (error.code, error.retryable) == ("PARTNER_UNAVAILABLE", True)
    assert "of the library" not in error.en


async def test_a_gateway_that_never_answers_is_late_and_the_call_is_given_up() -> None:
    given_up = asyncio.Event()

    async def hang(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        raise AssertionError

    error = await failure(hang, timeout_s=0.01)
    assert (error.code, error.retryable) == ("DEADLINE_EXCEEDED", True)
    assert given_up.is_set()


async def test_a_person_who_is_refused_keeps_the_others_answer() -> None:
    federation = Federation()
    made = findings(
        STRONG, 0, refused=exchange_pb2.SubjectRefusals(subject=[1], reason=[words.REFUSAL_REASON_INVALID_ID_NUMBER])
    )
    federation.at(B, answering(federation, B, replying(findings=made)))
    answer = await ask(federation, ANNA, BO)
    assert list(answer.findings.status) == [STRONG, 0]


async def test_a_member_that_is_not_in_the_directory_cannot_be_asked() -> None:
    federation = Federation(parties=(A, C))
    with pytest.raises(WuganError) as caught:
        await federation.partners().ask(B.member_id, to_ask(question()), 5.0)
    assert caught.value.code == "STRANGER"


async def test_nothing_is_sealed_once_the_directory_has_expired() -> None:
    federation = Federation()
    partners = federation.partners()
    federation.clock.advance(31 * 86_400)
    with pytest.raises(WuganError) as caught:
        await partners.ask(B.member_id, to_ask(question()), 5.0)
    assert caught.value.code == "DIRECTORY_EXPIRED"


async def test_a_member_taken_out_of_the_directory_while_it_answers_is_not_believed() -> None:
    federation = Federation()
    whole = federation.directory.current()

    class Shrinking(Listed):
        def current(self) -> Directory:
            return whole if not answered else Listed(A, C, clock=federation.clock).current()

    answered: list[bool] = []

    def reply(asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        answered.append(True)
        return exchange_pb2.Answer(context=asked.context, findings=findings(STRONG))

    federation.at(B, answering(federation, B, reply))
    source = Shrinking(A, B, C, clock=federation.clock)
    partners = Partners(lambda: A.own, source, federation.channel, federation.clock, lifetime_ms=60_000)
    with pytest.raises(PartnerError) as caught:
        await partners.ask(B.member_id, to_ask(question()), 5.0)
    assert caught.value.code == "PARTNER_FAULTY"


async def test_columns_that_were_checked_come_with_the_answer_and_are_those_of_its_findings() -> None:
    federation = Federation()
    federation.at(B, answering(federation, B, replying(findings=findings(STRONG))))
    answer = await ask(federation)
    assert answer.read is not None
    assert answer.columns is answer.read
    assert answer.read == answer._replace(read=None).columns == columns_of(answer.findings)
