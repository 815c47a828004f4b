"""AgencyService on the real path: a row in, the other provinces' gateways asked, one readable message out."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from certs.identity import Identity
from gateway.errors import WuganError
from gateway.exchange.envelope import verify_proof
from gateway.exchange.keys import VerifyKey
from gateway.status import from_rpc_error
from gateway.store.engine import Store
from tests.unit.rules.rules_world import Row, row
from tests.unit.services.gateways_world import (
    ANHUI,
    ANNA,
    FEDERATION,
    NEW_ANNA,
    A,
    AbortedError,
    B,
    C,
    Call,
    Federation,
    Register,
    answering,
    findings,
    gateway_of,
    proof_in,
    request,
    rpc_error,
    serving,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


def known(*rows: Row, **more: Any) -> Register:
    return Register({ANNA: rows or (row("OUTPATIENT", 5),)}, **more)


async def check(federation: Federation, store: Store, *, peer: Identity | None = None, **changed: Any) -> Any:
    return await federation.agency(store).Check(request(**changed), Call(peer or A.unit(), 5.0).as_context())


async def refusal(federation: Federation, store: Store, **changed: Any) -> tuple[grpc.StatusCode, WuganError]:
    with pytest.raises(AbortedError) as caught:
        await check(federation, store, **changed)
    arrived = from_rpc_error(caught.value.as_client_sees_it())
    assert arrived is not None
    return caught.value.code, arrived


async def test_a_row_in_and_one_readable_answer_out(store: Store) -> None:
    federation = Federation()
    insurance, banks = known(), known(row("TELLER_WITHDRAWAL", 7), department=v.DEPARTMENT_BANKS)
    federation.at(B, serving(gateway_of(federation, B, store, insurance, banks)))
    response = await check(federation, store)
    assert response.status == words.SURVIVAL_STATUS_ALIVE_STRONG
    assert response.proposal == words.CERTIFICATION_STATUS_CERTIFIED
    assert [each.observed_on for each in response.evidence] == ["2026-05-22", "2026-05-20"]
    assert {each.member_id for each in response.evidence} == {B.member_id}
    assert [source.adapter_id for source in response.sources] == ["health-insurance", "banks"]
    assert response.as_of == "2026-05-27"
    assert not response.partial


async def test_an_answer_larger_than_a_message_may_be_is_refused_in_words(store: Store) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, known())))
    size = (await check(federation, store)).ByteSize()
    with pytest.raises(AbortedError) as caught:
        await federation.agency(store, most_bytes=size // 2).Check(request(), Call(A.unit(), 5.0).as_context())
    arrived = from_rpc_error(caught.value.as_client_sees_it())
    assert arrived is not None
    assert (arrived.reason, arrived.retryable) == (words.REFUSAL_REASON_TOO_LARGE, False)
    assert "答复" in arrived.zh


async def test_the_proof_in_the_answer_verifies_with_the_members_key(store: Store) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, known())))
    proof = (await check(federation, store)).answers[0].proof
    key = VerifyKey.from_raw(B.signing.public_raw)
    header = verify_proof(proof_in(proof), key)
    assert header.sender == B.member_id


@pytest.mark.parametrize(
    ("purpose", "last_trace", "observed"),
    [
        (v.PURPOSE_DISPUTE_REVIEW, "2026-05-22", ["2026-05-22"]),
        (v.PURPOSE_CERTIFICATION, "2026-05-22", ["2026-05"]),
        (v.PURPOSE_CHANGE_MONITORING, "2026-05-22", []),
    ],
)
async def test_dates_are_told_as_exactly_as_the_purpose_allows(
    store: Store, purpose: int, last_trace: str, observed: list[str]
) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, known())))
    response = await check(federation, store, purpose=purpose)
    assert response.last_trace_on == last_trace
    assert [each.observed_on for each in response.evidence] == observed


async def test_a_changed_number_is_named_once(store: Store) -> None:
    federation = Federation()
    old = Register({ANNA: [], NEW_ANNA: [row("OUTPATIENT", 5)]}, links={ANNA: NEW_ANNA})
    federation.at(B, serving(gateway_of(federation, B, store, old)))
    federation.at(C, serving(gateway_of(federation, C, store, old)))
    response = await check(federation, store, regions=[])
    assert list(response.linked_id_numbers) == [NEW_ANNA]


async def test_a_death_under_the_new_number_is_found_under_the_old_one_that_another_province_links(
    store: Store,
) -> None:
    federation = Federation()
    people = {ANNA: [], NEW_ANNA: [row("OUTPATIENT", 50)]}
    banks = Register({NEW_ANNA: [row("TELLER_WITHDRAWAL", 60)]}, department=v.DEPARTMENT_BANKS)
    federation.at(B, serving(gateway_of(federation, B, store, Register(people, links={ANNA: NEW_ANNA}), banks)))
    dead = Register({NEW_ANNA: [row("DEATH_CERTIFICATE", 30)]}, department=v.DEPARTMENT_HEALTH)
    federation.at(C, serving(gateway_of(federation, C, store, dead)))
    old, new = [await check(federation, store, regions=[], id_number=number) for number in (ANNA, NEW_ANNA)]
    assert old.status == new.status == words.SURVIVAL_STATUS_DECEASED
    assert old.proposal == new.proposal == words.CERTIFICATION_STATUS_STOP_PROPOSED
    assert not old.partial
    assert not any(answer.linked_unasked for answer in old.answers)


async def test_one_province_down_is_named_and_the_answer_partial(store: Store) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, known())))
    response = await check(federation, store, regions=[])
    assert response.partial
    assert response.status == words.SURVIVAL_STATUS_ALIVE_MEDIUM
    assert [(each.member_id, each.refusal) for each in response.answers] == [
        (B.member_id, 0),
        (C.member_id, words.REFUSAL_REASON_PARTNER_UNAVAILABLE),
    ]
    assert response.answers[1].message_zh
    assert not response.answers[1].HasField("proof")


async def test_a_province_without_departments_says_so(store: Store) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store)))
    code, error = await refusal(federation, store)
    assert (code, error.code) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_SERVED")


@pytest.mark.parametrize(
    "peer",
    [B.unit(), A.identity, Identity(FEDERATION, A.member_id, "department", "banks")],
    ids=["another member's unit", "a gateway", "a department"],
)
async def test_only_units_of_this_member_are_served(store: Store, peer: Identity) -> None:
    code, error = await refusal(Federation(), store, peer=peer)
    assert (code, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "PEER_MISMATCH")


async def test_the_unit_that_asks_is_the_one_of_its_certificate(store: Store) -> None:
    federation = Federation()
    federation.at(B, serving(gateway_of(federation, B, store, known())))
    await check(federation, store, peer=A.unit("yiwu"))
    assert {recorded.event.unit for recorded in await store.audit.events()} == {"yiwu"}


@pytest.mark.parametrize(
    "as_of", ["yesterday", "2026-5-1", "20260501", "2026-13-01", "2026-02-30", "1969-12-31", "2026-W01-1", "2026-121"]
)
async def test_a_day_written_otherwise_is_refused(store: Store, as_of: str) -> None:
    code, error = await refusal(Federation(), store, as_of=as_of)
    assert (code, error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "as_of")


async def test_a_past_day_is_answered_as_it_was_known_then(store: Store) -> None:
    federation = Federation()
    seen = known(row("OUTPATIENT", 5), row("OUTPATIENT", 40, known=39), row("OUTPATIENT", 41, known=2))
    federation.at(B, serving(gateway_of(federation, B, store, seen)))
    response = await check(federation, store, as_of="2026-04-27")
    assert [each.observed_on for each in response.evidence] == ["2026-04-17"]
    assert response.as_of == "2026-04-27"


async def test_a_partner_that_answers_out_of_all_bounds_harms_nobody(store: Store) -> None:
    """Numbers no version knows, days that are none: shown as far as they can be, and the call does not fail."""
    federation = Federation()
    far = 2**31 - 1
    made = findings(words.SURVIVAL_STATUS_DECEASED, flags=[2**32 - 1], decided_on=[far], last_trace_on=[-far])
    made.valid_until_on[0] = far
    for name in ("kind", "department", "strength"):
        getattr(made.evidence, name).append(far)  # type: ignore[attr-defined]
    for name in ("observed_on", "available_on", "from_on", "until_on"):
        getattr(made.evidence, name).append(-far)
    for name in ("region", "detail"):
        getattr(made.evidence, name).append(2**32 - 1)
    made.evidence.subject.append(0)
    made.evidence.source_reference.append("r")
    made.sources.add(adapter_id="x" * 5000, department=far, outcome=far, complete_until_on=far)  # type: ignore[arg-type]
    federation.at(B, answering(federation, B, lambda asked: exchange_pb2.Answer(context=asked.context, findings=made)))
    response = await check(federation, store)
    assert isinstance(response, agency_pb2.CheckResponse)
    assert response.evidence[0].observed_on == ""


async def test_a_refusal_for_a_reason_of_no_version_is_a_faulty_answer(store: Store) -> None:
    federation = Federation()
    refused = exchange_pb2.Refusal(reason=99, message_en="x", message_zh="x")  # type: ignore[arg-type]
    federation.at(
        B, answering(federation, B, lambda asked: exchange_pb2.Answer(context=asked.context, refusal=refused))
    )
    code, error = await refusal(federation, store)
    assert (code, error.code) == (grpc.StatusCode.DATA_LOSS, "PARTNER_FAULTY")


async def test_a_partner_with_very_many_linked_numbers_is_listed_in_time(store: Store) -> None:
    federation = Federation()
    made = findings(words.SURVIVAL_STATUS_ALIVE_STRONG)
    count = 100_000
    made.links.subject.extend([0] * count)
    made.links.since_on.extend([0] * count)
    made.links.id_number.extend(str(each) for each in range(count))
    federation.at(B, answering(federation, B, lambda asked: exchange_pb2.Answer(context=asked.context, findings=made)))
    assert len((await check(federation, store)).linked_id_numbers) == count


async def test_a_status_that_is_not_ours_does_not_reach_the_agency_as_text(store: Store) -> None:
    async def leak(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        raise rpc_error(grpc.StatusCode.UNKNOWN)

    federation = Federation()
    federation.at(B, leak)
    _, error = await refusal(federation, store, regions=[ANHUI])
    assert error.code == "PARTNER_UNAVAILABLE"
    assert "of the library" not in error.en + error.zh
