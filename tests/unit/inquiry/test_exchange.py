"""The answering side's door: the order in which a sealed question is dealt with, and what leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Found, Lookup
from certs.identity import Identity
from gateway.errors import DirectoryError, EnvelopeError, StoreError, WuganError
from gateway.exchange.envelope import Opened, Sealed, open_answer, seal
from gateway.exchange.header import Limits
from gateway.exchange.replay import MemoryReplayGuard, admit
from gateway.inquiry.access import Access
from gateway.inquiry.exchange import Exchange
from gateway.store.audit import AuditEvent
from gateway.store.engine import Store
from gateway.store.rows import Transaction
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import (
    ANNA,
    FEDERATION,
    A,
    B,
    C,
    Federation,
    Listed,
    Party,
    Register,
    access_of,
    exchange_of,
    question,
    stored,
    terms,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with stored(tmp_path) as opened:
        yield opened


@pytest.fixture
def federation() -> Federation:
    return Federation()


@pytest.fixture
def department() -> Register:
    return Register({ANNA: [row("OUTPATIENT", 5)]})


@pytest.fixture
def exchange(federation: Federation, store: Store, department: Register) -> Exchange:
    return exchange_of(federation, B, store, department)


def sealed_by(party: Party, federation: Federation, payload: bytes | None = None, **changed: Any) -> Sealed:
    """A question of a member to B."""
    options: dict[str, Any] = {
        "kind": envelope_pb2.MESSAGE_KIND_QUESTION,
        "purpose": v.PURPOSE_DISPUTE_REVIEW,
        "payloads": [question().SerializeToString() if payload is None else payload],
        "now_ms": federation.clock.now_ms(),
        "lifetime_ms": 60_000,
        **changed,
    }
    return seal(party.own, B.member_id, B.encryption, **options)


async def answer_to(
    exchange: Exchange, federation: Federation, sealed: Sealed, left_s: float | None = 5.0
) -> tuple[exchange_pb2.Answer, Opened]:
    """The answer, opened as the asker opens it: whatever comes back is sealed to it and signed by B."""
    envelope = await exchange.answer(sealed.envelope, A.identity, left_s)
    directory = federation.directory.current()
    opened = open_answer(envelope, A.own, directory, question=sealed, now_ms=federation.clock.now_ms())
    assert opened.header.sender == B.member_id
    return exchange_pb2.Answer.FromString(opened.payloads[0]), opened


async def refusal(exchange: Exchange, sealed: Sealed, peer: Identity = A.identity) -> WuganError:
    with pytest.raises((EnvelopeError, StoreError, DirectoryError)) as caught:
        await exchange.answer(sealed.envelope, peer, 5.0)
    return caught.value


async def events(store: Store) -> list[AuditEvent]:
    return [recorded.event for recorded in await store.audit.events()]


async def test_a_question_is_answered_sealed_and_recorded(
    exchange: Exchange, federation: Federation, store: Store
) -> None:
    sealed = sealed_by(A, federation)
    answer, _ = await answer_to(exchange, federation, sealed)
    assert answer.context == question().context
    assert list(answer.findings.status) == [words.SURVIVAL_STATUS_ALIVE_MEDIUM]
    (recorded,) = await store.audit.events()
    assert store.audit.matches(recorded, sealed.digest)
    event = recorded.event
    assert (event.direction, event.counterpart, event.outcome, event.subjects) == ("in", A.member_id, 0, 1)
    assert event.message_id == sealed.message_id
    assert (event.unit, event.official) == ("jinhua", b"p" * 32)
    assert event.decision == "g1: 1 people; policy 0"


async def test_the_records_of_one_envelope_follow_each_other_into_one_commit(
    exchange: Exchange, federation: Federation, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, said = store.audit.submit, []

    def submitted(event: AuditEvent, *, more: bool = False, meanwhile: bool = False) -> Any:
        said.append((more, meanwhile))
        return submit(event, more=more, meanwhile=meanwhile)

    monkeypatch.setattr(store.audit, "submit", submitted)
    await answer_to(exchange, federation, sealed_by(A, federation, payloads=[question().SerializeToString()] * 3))
    assert said == [(True, True), (True, True), (False, True)]


async def test_who_looks_for_harvesting_is_told_whether_a_question_came_over_a_stream(
    exchange: Exchange, federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, streamed = Access.watch, []

    def watched(of: Access, *said: Any, **more: Any) -> None:
        streamed.append(more["streamed"])
        watch(of, *said, **more)

    monkeypatch.setattr(Access, "watch", watched)
    await exchange.answer(sealed_by(A, federation).envelope, A.identity, 5.0)
    await exchange.answer_batch(sealed_by(A, federation).envelope, A.identity)
    assert streamed == [False, True]


@pytest.mark.parametrize(
    "peer",
    [C.identity, A.unit(), B.unit(), Identity(FEDERATION, A.member_id, "department", "banks")],
    ids=["another member", "a unit", "a unit of one's own", "a department"],
)
async def test_only_the_senders_own_gateway_may_bring_its_question(
    exchange: Exchange, federation: Federation, store: Store, department: Register, peer: Identity
) -> None:
    sealed = sealed_by(A, federation)
    assert (await refusal(exchange, sealed, peer)).code == "PEER_MISMATCH"
    assert not department.asked
    assert await events(store) == []
    await answer_to(exchange, federation, sealed)  # the refused attempt used nothing up


async def test_a_replay_is_refused_before_anybody_is_asked(
    federation: Federation, store: Store, department: Register
) -> None:
    exchange = exchange_of(federation, B, store, department, guard=MemoryReplayGuard())
    sealed = sealed_by(A, federation)
    await answer_to(exchange, federation, sealed)
    assert (await refusal(exchange, sealed)).code == "ENVELOPE_REPLAYED"
    assert len(department.asked) == 1
    assert len(await events(store)) == 1


async def test_a_replay_is_refused_by_the_durable_guard_too(
    exchange: Exchange, federation: Federation, store: Store
) -> None:
    sealed = sealed_by(A, federation)
    await answer_to(exchange, federation, sealed)
    assert (await refusal(exchange, sealed)).code == "ENVELOPE_REPLAYED"
    assert len(await events(store)) == 1


class FailingGuard:
    """A guard that holds a message, and then cannot write it down or finds it there."""

    def __init__(self, error: WuganError) -> None:
        self._error = error

    def claim(self, sender: str, message_id: bytes, expires_at_ms: int, now_ms: int) -> FailingGuard:
        return self

    def submit(self) -> None:
        pass

    async def accepted(self) -> None:
        raise self._error


REPLAYED = EnvelopeError("seen", "已受理", reason=words.REFUSAL_REASON_ENVELOPE_REPLAYED)


class Forgetful(FailingGuard):
    """The defence against replay, switched off."""

    def __init__(self) -> None:
        super().__init__(REPLAYED)

    async def accepted(self) -> None:
        pass


async def test_without_the_guard_a_replay_would_be_answered_again(
    federation: Federation, store: Store, department: Register
) -> None:
    exchange = exchange_of(federation, B, store, department, guard=Forgetful())
    sealed = sealed_by(A, federation)
    for _ in range(2):
        await answer_to(exchange, federation, sealed)
    assert len(department.asked) == 2


async def test_of_two_at_once_with_the_same_message_one_is_answered(exchange: Exchange, federation: Federation) -> None:
    sealed = sealed_by(A, federation)
    results = await asyncio.gather(
        *(exchange.answer(sealed.envelope, A.identity, 5.0) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(each, envelope_pb2.Envelope) for each in results) == 1
    assert {each.code for each in results if isinstance(each, WuganError)} == {"ENVELOPE_REPLAYED"}


async def test_an_expired_question_is_refused(exchange: Exchange, federation: Federation, department: Register) -> None:
    sealed = sealed_by(A, federation)
    federation.clock.advance(600)
    assert (await refusal(exchange, sealed)).code == "ENVELOPE_EXPIRED"
    assert not department.asked
    assert (exchange.messages, exchange.questions) == (0, 0)


async def test_with_an_expired_directory_nothing_is_opened(exchange: Exchange, federation: Federation) -> None:
    sealed = sealed_by(A, federation)
    federation.clock.advance(31 * 86_400)
    assert (await refusal(exchange, sealed)).code == "DIRECTORY_EXPIRED"


async def test_a_refusal_is_sealed_signed_and_recorded(
    federation: Federation, store: Store, department: Register
) -> None:
    access = access_of(terms(member=A.member_id, purposes=frozenset({v.PURPOSE_CERTIFICATION})))
    exchange = exchange_of(federation, B, store, department, access=access)
    answer, _ = await answer_to(exchange, federation, sealed_by(A, federation))
    assert answer.refusal.reason == words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED
    assert answer.refusal.field == "context.purpose"
    assert answer.refusal.message_zh
    assert answer.refusal.message_en
    assert answer.context == question().context
    (event,) = await events(store)
    assert event.outcome == words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED
    assert event.decision == f"{answer.refusal.message_en} [no grant; policy 0]"
    assert not department.asked


@pytest.mark.parametrize("payload", [b"\xff\xff\xff\xff", b"\x0a\x05ab", b""], ids=["noise", "cut off", "empty"])
async def test_a_payload_that_is_no_question_is_refused_sealed_and_recorded(
    exchange: Exchange, federation: Federation, store: Store, department: Register, payload: bytes
) -> None:
    answer, _ = await answer_to(exchange, federation, sealed_by(A, federation, payload))
    assert answer.refusal.reason == words.REFUSAL_REASON_INVALID_ARGUMENT
    (event,) = await events(store)
    assert (event.outcome, event.subjects) == (words.REFUSAL_REASON_INVALID_ARGUMENT, 0)
    assert not department.asked


async def test_a_question_for_another_purpose_than_its_envelopes_is_refused(
    exchange: Exchange, federation: Federation
) -> None:
    sealed = sealed_by(A, federation, purpose=v.PURPOSE_CERTIFICATION)
    answer, _ = await answer_to(exchange, federation, sealed)
    assert (answer.refusal.reason, answer.refusal.field) == (words.REFUSAL_REASON_INVALID_ARGUMENT, "context.purpose")


async def test_an_asker_out_of_time_gets_what_is_there(
    exchange: Exchange, federation: Federation, department: Register
) -> None:
    answer, _ = await answer_to(exchange, federation, sealed_by(A, federation), left_s=0.01)
    assert answer.findings.partial
    assert [source.outcome for source in answer.findings.sources] == [words.SOURCE_OUTCOME_SILENT]


class Waiting(Register):
    """A department that is under way until somebody gives up."""

    def __init__(self) -> None:
        super().__init__({})
        self.begun = asyncio.Event()
        self.given_up = asyncio.Event()

    async def lookup(self, question: Lookup) -> Found:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()
        raise AssertionError


@pytest.mark.parametrize(
    ("error", "outcomes"),
    [(StoreError("the disk is full", "磁盘已满"), [0]), (REPLAYED, [0, words.REFUSAL_REASON_ENVELOPE_REPLAYED])],
)
async def test_nothing_is_answered_when_the_guard_does_not_accept(
    federation: Federation, store: Store, department: Register, error: WuganError, outcomes: list[int]
) -> None:
    exchange = exchange_of(federation, B, store, department, guard=FailingGuard(error))
    with pytest.raises(type(error)):
        await exchange.answer(sealed_by(A, federation).envelope, A.identity, 5.0)
    await store.audit.record((await events(store))[0])  # what was written before is on the disk
    assert [event.outcome for event in await events(store)][:-1] == outcomes


@pytest.mark.parametrize("alone", [False, True], ids=["among others", "alone"])
async def test_a_message_and_the_records_of_its_answers_are_written_in_one_commit(
    federation: Federation, department: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, alone: bool
) -> None:
    commits = []
    commit = Transaction.commit

    def counted(self: Transaction) -> None:
        commits.append(self)
        commit(self)

    payloads = [question(case_reference=f"case {number}").SerializeToString() for number in range(3)]
    async with stored(tmp_path, alone=lambda: alone) as store:
        exchange = exchange_of(federation, B, store, department)
        monkeypatch.setattr(Transaction, "commit", counted)
        await answer_to(exchange, federation, sealed_by(A, federation, payloads=payloads))
        assert len(commits) == 1
        assert [event.outcome for event in await events(store)] == [0, 0, 0]


async def test_lookups_are_given_up_when_the_asker_gives_up(federation: Federation, store: Store) -> None:
    department = Waiting()
    exchange = exchange_of(federation, B, store, department)
    asking = asyncio.ensure_future(exchange.answer(sealed_by(A, federation).envelope, A.identity, 5.0))
    await department.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(department.given_up.wait(), 1)


async def test_nothing_leaves_when_it_cannot_be_recorded(
    exchange: Exchange, federation: Federation, store: Store
) -> None:
    sealed = sealed_by(A, federation)
    await store.close()
    assert isinstance(await refusal(exchange, sealed), StoreError)


async def test_a_question_given_up_while_departments_are_asked_is_accounted_for(
    federation: Federation, store: Store
) -> None:
    department = Waiting()
    exchange = exchange_of(federation, B, store, department)
    asking = asyncio.ensure_future(exchange.answer(sealed_by(A, federation).envelope, A.identity, 5.0))
    await department.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    now_ms = federation.clock.now_ms()
    await admit(store.replay, A.member_id, bytes(16), now_ms + 1000, now_ms)  # what was written before is on the disk
    decided, event = await events(store)
    assert (decided.outcome, decided.decision) == (0, "g1: 1 people; policy 0")
    assert event.outcome == words.REFUSAL_REASON_DEADLINE_EXCEEDED
    assert event.decision == "given up by the asker [g1: 1 people; policy 0]"
    assert event.subjects == 1


async def test_what_was_decided_is_on_the_disk_while_departments_are_still_asked(
    federation: Federation, store: Store
) -> None:
    department = Waiting()
    exchange = exchange_of(federation, B, store, department)
    asking = asyncio.ensure_future(exchange.answer(sealed_by(A, federation).envelope, A.identity, 5.0))
    await department.begun.wait()
    now_ms = federation.clock.now_ms()
    await admit(store.replay, A.member_id, bytes(16), now_ms + 1000, now_ms)  # what was written before is on the disk
    (event,) = await events(store)
    assert (event.outcome, event.subjects) == (0, 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_an_answer_too_large_for_an_envelope_is_a_sealed_refusal(
    exchange: Exchange, federation: Federation, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.inquiry.exchange.LIMITS", Limits(max_payload_bytes=200))
    answer, _ = await answer_to(exchange, federation, sealed_by(A, federation))
    assert answer.refusal.reason == words.REFUSAL_REASON_TOO_LARGE
    assert [event.outcome for event in await events(store)] == [0, words.REFUSAL_REASON_TOO_LARGE]


async def test_several_questions_of_an_envelope_are_answered_and_recorded_each_for_itself(
    exchange: Exchange, federation: Federation, store: Store, department: Register
) -> None:
    asked = [question(), question(case_reference="second"), question(purpose=v.PURPOSE_CERTIFICATION)]
    payloads = [*(each.SerializeToString() for each in asked), b"\xff"]
    sealed = sealed_by(A, federation, payloads=payloads)
    envelope = await exchange.answer(sealed.envelope, A.identity, 5.0)
    directory = federation.directory.current()
    opened = open_answer(envelope, A.own, directory, question=sealed, now_ms=federation.clock.now_ms())
    answers = [exchange_pb2.Answer.FromString(payload) for payload in opened.payloads]
    assert [answer.WhichOneof("result") for answer in answers] == ["findings", "findings", "refusal", "refusal"]
    assert [answer.context for answer in answers[:3]] == [each.context for each in asked]
    assert answers[2].refusal.field == "context.purpose"  # not that of the envelope
    recorded = await events(store)
    assert [event.outcome != 0 for event in recorded] == [False, False, True, True]
    assert {event.message_id for event in recorded} == {sealed.message_id}
    assert len(department.asked) == 1
    assert len(department.asked[0].subjects) == 2
    assert (exchange.messages, exchange.questions) == (1, 4)


async def test_the_questions_of_an_envelope_are_about_a_bounded_number_of_people_together(
    federation: Federation, store: Store, department: Register
) -> None:
    exchange = exchange_of(federation, B, store, department, max_subjects=3)
    payloads = [question(ANNA, ANNA).SerializeToString(), question(ANNA, ANNA).SerializeToString()]
    sealed = sealed_by(A, federation, payloads=payloads)
    envelope = await exchange.answer(sealed.envelope, A.identity, 5.0)
    directory = federation.directory.current()
    opened = open_answer(envelope, A.own, directory, question=sealed, now_ms=federation.clock.now_ms())
    first, second = (exchange_pb2.Answer.FromString(payload) for payload in opened.payloads)
    assert len(first.findings.status) == 2
    assert second.refusal.reason == words.REFUSAL_REASON_TOO_LARGE


async def test_a_member_taken_out_of_the_directory_meanwhile_gets_no_answer(
    federation: Federation, store: Store, department: Register
) -> None:
    exchange = exchange_of(federation, B, store, department)
    directories = iter([federation.directory.current(), Listed(B, C, clock=federation.clock).current()])
    exchange._directory = lambda: next(directories)
    error = await refusal(exchange, sealed_by(A, federation))
    assert error.code == "STRANGER"
