"""The main job on real parts: an agency asks, the other province answers; and what each kind of wrong asking gets."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import grpc
import pytest
from federation_world import Member, SmallWorld, channel, credentials, ours, question_about

from certs import keys
from certs.authority import Authority
from certs.files import PUBLIC, write_file
from gateway.clock import SystemClock
from gateway.demo.asking import request_for
from gateway.demo.truth import Recipient
from gateway.errors import EnvelopeError, WuganError
from gateway.exchange.envelope import Sealed, open_answer, seal, verify_proof
from gateway.exchange.keys import DecryptionKey, OwnKeys, SigningKey
from tests.unit.services.gateways_world import proof_in
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import envelope_pb2, exchange_pb2, exchange_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

QUESTION = envelope_pb2.MESSAGE_KIND_QUESTION


async def check(
    world: SmallWorld, recipient: Recipient, *, timeout: float = 10.0, **changed: object
) -> agency_pb2.CheckResponse:
    """Ask as the agency that pays."""
    payer = world.member(recipient.paying_province)
    request = request_for(recipient, evidence_limit=20)
    for name, value in changed.items():
        if isinstance(value, list):
            getattr(request, name)[:] = value
        else:
            setattr(request, name, value)
    async with channel(payer.agency, payer.tls_name, payer.credentials(recipient.unit)) as opened:
        return await agency_pb2_grpc.AgencyServiceStub(opened).Check(request, timeout=timeout)


async def refusal(world: SmallWorld, recipient: Recipient, **changed: object) -> tuple[grpc.StatusCode, WuganError]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(world, recipient, **changed)
    return caught.value.code(), ours(caught.value)


def asker_and_answerer(world: SmallWorld) -> tuple[Member, Member]:
    return world.members[0], world.members[1]


def seal_question(world: SmallWorld, payload: bytes, **changed: object) -> Sealed:
    """A sealed question of the first member to the second, as its gateway would send it."""
    asker, answerer = asker_and_answerer(world)
    now_ms = SystemClock().now_ms()
    options: dict[str, object] = {
        "own": asker.own,
        "recipient_id": answerer.member_id,
        "recipient_key": world.directory.encryption_key(answerer.member_id, now_ms),
        "kind": QUESTION,
        "purpose": adapter_words.PURPOSE_CERTIFICATION,
        "payloads": [payload],
        "now_ms": now_ms,
        "lifetime_ms": 60_000,
        **changed,
    }
    return seal(**options)  # type: ignore[arg-type]


async def send(world: SmallWorld, envelope: envelope_pb2.Envelope, *, as_member: int = 0) -> envelope_pb2.Envelope:
    """Send an envelope to the second member over the TLS connection of one of the two."""
    _, answerer = asker_and_answerer(world)
    async with channel(answerer.federation, answerer.tls_name, world.members[as_member].credentials()) as opened:
        return await exchange_pb2_grpc.FederationServiceStub(opened).Exchange(envelope, timeout=60)


async def exchange_refusal(world: SmallWorld, envelope: envelope_pb2.Envelope, *, as_member: int = 0) -> WuganError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(world, envelope, as_member=as_member)
    return ours(caught.value)


def living_in_second(world: SmallWorld, case: str = "active") -> Recipient:
    region = world.members[1].region
    return next(each for each in world.recipients if each.case == case and each.lives_in == region)


async def answer_to(world: SmallWorld, question: exchange_pb2.Question) -> exchange_pb2.Answer:
    sealed = seal_question(world, question.SerializeToString(), purpose=question.context.purpose)
    envelope = await send(world, sealed.envelope)
    opened = open_answer(
        envelope, world.members[0].own, world.directory, question=sealed, now_ms=SystemClock().now_ms()
    )
    return exchange_pb2.Answer.FromString(opened.payloads[0])


async def test_an_official_gets_a_graded_answer_with_reasons_in_both_languages(world: SmallWorld) -> None:
    recipient = world.recipient("active")
    response = await check(world, recipient)
    assert response.status == words.SURVIVAL_STATUS_ALIVE_STRONG
    assert response.proposal == words.CERTIFICATION_STATUS_CERTIFIED
    assert response.evidence
    assert all(reason.zh and reason.en and "{" not in reason.zh + reason.en for reason in response.reasons)
    assert not response.partial
    assert {source.outcome for source in response.sources} == {words.SOURCE_OUTCOME_ANSWERED}
    assert len(response.sources) == 10


async def test_the_answer_can_be_proved_later_and_not_if_a_bit_is_changed(world: SmallWorld) -> None:
    response = await check(world, world.recipient("active"))
    proof = response.answers[0].proof
    header = envelope_pb2.Header.FromString(proof.header)
    key = world.directory.verify_key(header.sender, header.signing_key_id, header.issued_at_ms)
    verify_proof(proof_in(proof), key)
    changed = bytearray(proof.payload)
    changed[-1] ^= 1
    with pytest.raises(EnvelopeError):
        verify_proof(proof_in(proof)._replace(payload=bytes(changed)), key)


async def test_a_question_without_region_asks_every_other_province(world: SmallWorld) -> None:
    recipient = world.recipient("active")
    response = await check(world, recipient, regions=[])
    assert [answer.member_id for answer in response.answers] == [
        member.member_id for member in world.members if member.region != recipient.paying_province
    ]


@pytest.mark.parametrize("case", ["wrong_check_digit", "malformed_number"])
async def test_a_wrongly_written_number_is_refused_and_not_repeated(world: SmallWorld, case: str) -> None:
    wrong = next((each for each in world.recipients if each.case == case), None) or world.recipient("active")
    number = wrong.id_number if wrong.case == case else wrong.present_number[:-1] + "ABC"
    code, error = await refusal(world, wrong, id_number=number)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.code == "INVALID_ID_NUMBER"
    assert number not in error.en + error.zh
    assert not error.retryable


@pytest.mark.parametrize(
    ("changed", "code", "reason", "field"),
    [
        ({"benefit": 0}, grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_BENEFIT", "benefit"),
        ({"benefit": 99}, grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_BENEFIT", "benefit"),
        ({"purpose": 0}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "context.purpose"),
        ({"purpose": 5}, grpc.StatusCode.PERMISSION_DENIED, "PURPOSE_NOT_PERMITTED", "context.purpose"),
        ({"regions": [999999]}, grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_REGION", "regions[0]"),
        ({"regions": [650000]}, grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_REGION", "regions[0]"),
        ({"name": ""}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "subjects.name"),
        ({"legal_basis": ""}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "context.legal_basis"),
        ({"case_reference": "x" * 500}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "context.case_reference"),
        ({"official": ""}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "official"),
        ({"as_of": "2999-01-01"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "as_of"),
        ({"as_of": "yesterday"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "as_of"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
async def test_a_wrong_question_is_refused_with_its_field(
    world: SmallWorld, changed: dict[str, object], code: grpc.StatusCode, reason: str, field: str
) -> None:
    got, error = await refusal(world, world.recipient("active"), **changed)
    assert (got, error.code, error.field) == (code, reason, field)
    assert error.zh
    assert error.en


async def test_ones_own_region_is_not_a_question_for_the_federation(world: SmallWorld) -> None:
    recipient = world.recipient("active")
    _, error = await refusal(world, recipient, regions=[recipient.paying_province])
    assert error.code == "NOT_SERVED"


async def test_a_changed_number_is_answered_once_and_the_link_named(world: SmallWorld) -> None:
    recipient = world.recipient("number_changed")
    response = await check(world, recipient)
    assert words.ENTITLEMENT_FLAG_IDENTITY_LINKED in response.flags
    assert list(response.linked_id_numbers) == [recipient.present_number]


async def test_two_people_under_one_number_are_a_conflict_without_evidence(world: SmallWorld) -> None:
    response = await check(world, world.recipient("number_shared"))
    assert response.status == words.SURVIVAL_STATUS_CONFLICT
    assert list(response.flags) == [words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT]
    assert not response.evidence
    assert not response.last_trace_on


async def test_another_name_under_the_right_number_discloses_nothing(world: SmallWorld) -> None:
    response = await check(world, world.recipient("active"), name="完全不同")
    assert list(response.flags) == [words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT]
    assert not response.evidence


async def test_a_batch_is_answered_in_its_order_with_the_wrong_numbers_refused(world: SmallWorld) -> None:
    known = living_in_second(world)
    question = question_about(known)
    question.subjects.id_number[:] = ["110101190001010000", known.present_number, "110101500101001"]
    question.subjects.name[:] = ["无名", known.name, "无名"]
    question.benefit[:] = [words.BENEFIT_TYPE_EMPLOYEE_PENSION] * 3
    answer = await answer_to(world, question)
    assert list(answer.findings.refused.subject) == [0]
    assert list(answer.findings.refused.reason) == [words.REFUSAL_REASON_INVALID_ID_NUMBER]
    assert answer.findings.status[0] == 0
    assert answer.findings.status[1] == words.SURVIVAL_STATUS_ALIVE_STRONG
    assert answer.findings.status[2] == words.SURVIVAL_STATUS_UNKNOWN
    assert set(answer.findings.evidence.subject) == {1}


async def test_a_refusal_by_the_answering_side_is_a_signed_answer_with_the_context(world: SmallWorld) -> None:
    question = question_about(living_in_second(world))
    question.context.purpose = adapter_words.PURPOSE_AUDIT
    answer = await answer_to(world, question)
    assert answer.refusal.reason == words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED
    assert answer.context == question.context


async def test_a_question_without_context_is_refused(world: SmallWorld) -> None:
    question = question_about(living_in_second(world))
    question.context.ClearField("unit")
    answer = await answer_to(world, question)
    assert (answer.refusal.reason, answer.refusal.field) == (words.REFUSAL_REASON_INVALID_ARGUMENT, "context.unit")


async def test_a_purpose_other_than_the_envelopes_is_refused(world: SmallWorld) -> None:
    question = question_about(living_in_second(world))
    sealed = seal_question(world, question.SerializeToString(), purpose=adapter_words.PURPOSE_DISPUTE_REVIEW)
    envelope = await send(world, sealed.envelope)
    opened = open_answer(
        envelope, world.members[0].own, world.directory, question=sealed, now_ms=SystemClock().now_ms()
    )
    assert exchange_pb2.Answer.FromString(opened.payloads[0]).refusal.field == "context.purpose"


async def test_a_payload_that_is_no_question_is_refused(world: SmallWorld) -> None:
    sealed = seal_question(world, b"\xff\xff\xff\xff")
    envelope = await send(world, sealed.envelope)
    opened = open_answer(
        envelope, world.members[0].own, world.directory, question=sealed, now_ms=SystemClock().now_ms()
    )
    answer = exchange_pb2.Answer.FromString(opened.payloads[0])
    assert answer.refusal.reason == words.REFUSAL_REASON_INVALID_ARGUMENT


async def test_the_same_envelope_is_accepted_once(world: SmallWorld) -> None:
    sealed = seal_question(world, question_about(living_in_second(world)).SerializeToString())
    await send(world, sealed.envelope)
    assert (await exchange_refusal(world, sealed.envelope)).code == "ENVELOPE_REPLAYED"


async def test_an_expired_envelope_is_refused(world: SmallWorld) -> None:
    payload = question_about(living_in_second(world)).SerializeToString()
    now_ms = SystemClock().now_ms()
    for shift_ms in (-600_000, 600_000):
        sealed = seal_question(world, payload, now_ms=now_ms + shift_ms)
        assert (await exchange_refusal(world, sealed.envelope)).code == "ENVELOPE_EXPIRED"


async def test_a_tampered_envelope_is_refused_without_saying_where(world: SmallWorld) -> None:
    sealed = seal_question(world, question_about(living_in_second(world)).SerializeToString())
    changed = bytearray(sealed.envelope.ciphertext)
    changed[len(changed) // 2] ^= 1
    error = await exchange_refusal(
        world, envelope_pb2.Envelope(header=sealed.envelope.header, ciphertext=bytes(changed))
    )
    assert (error.code, error.field) == ("ENVELOPE_REJECTED", "")


async def test_an_envelope_for_somebody_else_is_refused(world: SmallWorld) -> None:
    asker, answerer = asker_and_answerer(world)
    now_ms = SystemClock().now_ms()
    sealed = seal_question(
        world,
        b"",
        own=answerer.own,
        recipient_id=asker.member_id,
        recipient_key=world.directory.encryption_key(asker.member_id, now_ms),
    )
    error = await exchange_refusal(world, sealed.envelope, as_member=1)
    assert error.code == "WRONG_RECIPIENT"


async def test_an_envelope_over_another_members_connection_is_refused(world: SmallWorld) -> None:
    sealed = seal_question(world, question_about(living_in_second(world)).SerializeToString())
    error = await exchange_refusal(world, sealed.envelope, as_member=1)
    assert error.code == "PEER_MISMATCH"


async def test_keys_that_the_directory_does_not_have_are_a_strangers(world: SmallWorld) -> None:
    asker, _ = asker_and_answerer(world)
    forged = OwnKeys.of(asker.member_id, SigningKey.from_seed(b"s" * 32), DecryptionKey.from_seed(b"d" * 32))
    sealed = seal_question(world, question_about(living_in_second(world)).SerializeToString(), own=forged)
    assert (await exchange_refusal(world, sealed.envelope)).code == "STRANGER"


async def test_an_agencys_certificate_does_not_open_the_federation(world: SmallWorld) -> None:
    asker, answerer = asker_and_answerer(world)
    sealed = seal_question(world, question_about(living_in_second(world)).SerializeToString())
    agency = asker.credentials(asker.units[0])
    async with channel(answerer.federation, answerer.tls_name, agency) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await exchange_pb2_grpc.FederationServiceStub(opened).Exchange(sealed.envelope, timeout=60)
    assert ours(caught.value).code == "PEER_MISMATCH"


async def test_another_members_agency_and_a_gateway_are_no_agency_of_this_member(world: SmallWorld) -> None:
    asker, answerer = asker_and_answerer(world)
    request = request_for(world.recipient("active"))
    for foreign in (asker.credentials(asker.units[0]), answerer.credentials()):
        async with channel(answerer.agency, answerer.tls_name, foreign) as opened:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await agency_pb2_grpc.AgencyServiceStub(opened).Check(request, timeout=60)
        assert ours(caught.value).code == "PEER_MISMATCH"


async def test_a_strangers_certificate_gets_no_connection(world: SmallWorld, tmp_path: Path) -> None:
    asker, answerer = asker_and_answerer(world)
    now = dt.datetime.now(dt.UTC)
    stranger = Authority.create(tmp_path / "authority", "demo.wugan.internal", now=now, loopback=True)
    key = keys.generate_tls_key()
    issued = stranger.issue_gateway_tls(asker.member_id, key.public_key(), now=now)
    keys.store_private_key(tmp_path / "key.pem", key)
    write_file(tmp_path / "certificate.pem", issued.pem, mode=PUBLIC, replace=False)
    write_file(tmp_path / "roots.pem", (answerer.folder / "roots.pem").read_bytes(), mode=PUBLIC, replace=False)
    sealed = seal_question(world, b"")
    async with channel(answerer.federation, answerer.tls_name, credentials(tmp_path)) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await exchange_pb2_grpc.FederationServiceStub(opened).Exchange(sealed.envelope, timeout=60)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_an_oversized_message_is_refused(world: SmallWorld) -> None:
    envelope = envelope_pb2.Envelope(header=b"h", ciphertext=b"\0" * (17 << 20))
    _, answerer = asker_and_answerer(world)
    async with channel(answerer.federation, answerer.tls_name, world.members[0].credentials()) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await exchange_pb2_grpc.FederationServiceStub(opened).Exchange(envelope, timeout=60)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_answer_as_of_a_past_day_knows_nothing_later(world: SmallWorld) -> None:
    recipient = world.recipient("died_recorded_at_once")
    before = dt.date.fromisoformat(recipient.died_on) - dt.timedelta(days=1)
    response = await check(world, recipient, as_of=before.isoformat())
    assert response.status not in (words.SURVIVAL_STATUS_DECEASED, words.SURVIVAL_STATUS_DECEASED_SUSPECTED)
    assert all(row.observed_on <= before.isoformat() for row in response.evidence)


async def test_no_log_holds_an_identity_number_or_a_name(world: SmallWorld) -> None:
    people = world.recipients[:150]
    await check(world, world.recipient("active"))
    needles = {each.present_number for each in people} | {each.name for each in people if len(each.name) > 2}
    pattern = re.compile("|".join(re.escape(needle) for needle in sorted(needles)))
    for log in world.logs():
        found = pattern.search(log.read_text("utf-8", "replace"))
        assert found is None, f"{log.name} holds personal data at character {found.start() if found else 0}"
