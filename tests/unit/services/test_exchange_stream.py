"""ExchangeStream of a gateway as it runs: the same answers as Exchange, each on record, until somebody says stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.exchange.envelope import Sealed, open_answer, seal
from gateway.federation.streams import Chunk, ChunkOutcome, Streams
from gateway.services.federation import FederationServicer
from gateway.services.serving import Desk
from gateway.status import from_rpc_error
from gateway.store.engine import Store
from tests.unit.adapters.adapters_world import number
from tests.unit.federation.cache_world import Changing
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import (
    ANNA,
    BO,
    FEDERATION,
    NAMES,
    A,
    B,
    C,
    Federation,
    Register,
    access_of,
    door_of,
    exchange_of,
    gateway_of,
    policy,
    question,
    serving,
    stored,
    terms,
)
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

PEOPLE = [number(serial) for serial in range(1, 40)]
REGISTER = {
    who: [row("OUTPATIENT", "2026-05-20")] if at % 5 else [row("CREMATION", "2026-04-01")]
    for at, who in enumerate(PEOPLE)
    if at % 7
}
NAMED = {who: NAMES.get(who, "无名") for who in PEOPLE}


def register(**more: Any) -> Register:
    return Register(REGISTER, names=NAMED, **more)


class Province:
    """B as it runs, and what A hears of it over a stream."""

    def __init__(self, federation: Federation, a_store: Store, servicer: FederationServicer) -> None:
        self.federation = federation
        self.servicer = servicer
        federation.at(B, serving(servicer))
        self.a_store = a_store
        self.streams = Streams(federation.partners(), a_store.audit, federation.clock, window=4)

    async def ask(self, *questions: exchange_pb2.Question, chunk_s: float = 20.0) -> dict[int, ChunkOutcome]:
        async def chunks() -> AsyncIterator[Chunk]:
            for at, each in enumerate(questions):
                yield Chunk(at, each)

        return {each.number: each async for each in self.streams.ask(B.member_id, chunks(), chunk_s=chunk_s)}

    async def unary(self, asked: exchange_pb2.Question) -> exchange_pb2.Answer:
        sealed = sealed_question(self.federation, asked)
        call = self.federation.channel(B.address, B.identity.tls_name)
        envelope = await call.unary_unary(
            "", envelope_pb2.Envelope.SerializeToString, envelope_pb2.Envelope.FromString
        )(sealed.envelope)
        keyring = self.federation.directory.current()
        opened = open_answer(envelope, A.own, keyring, question=sealed, now_ms=self.federation.clock.now_ms())
        return exchange_pb2.Answer.FromString(opened.payloads[0])


def sealed_question(federation: Federation, asked: exchange_pb2.Question) -> Sealed:
    return seal(
        A.own,
        B.member_id,
        B.encryption,
        kind=envelope_pb2.MESSAGE_KIND_QUESTION,
        purpose=asked.context.purpose,
        payloads=[asked.SerializeToString()],
        now_ms=federation.clock.now_ms(),
        lifetime_ms=60_000,
    )


@contextlib.asynccontextmanager
async def province(folder: Path, *departments: Register, **changed: Any) -> AsyncIterator[tuple[Province, Store]]:
    federation = Federation()
    async with stored(folder / "a", federation.clock) as a_store, stored(folder / "b", federation.clock) as b_store:
        options = {"max_subjects": 5_000, **changed}
        yield Province(federation, a_store, gateway_of(federation, B, b_store, *departments, **options)), b_store


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()


async def test_who_asked_what_was_understood_is_known_to_be_there(tmp_path: Path) -> None:
    async with province(tmp_path, register()) as (asked, _):
        heard: list[str] = []
        asked.servicer._heard = lambda partner: heard.append(partner.member_id)
        await asked.unary(question(ANNA))
        assert heard == [A.member_id]
        sealed = sealed_question(asked.federation, question(ANNA)).envelope
        sealed.ciphertext = bytes(len(sealed.ciphertext))
        channel = asked.federation.channel(B.address, B.identity.tls_name)
        send = channel.unary_unary("", envelope_pb2.Envelope.SerializeToString, envelope_pb2.Envelope.FromString)
        with pytest.raises(grpc.aio.AioRpcError):
            await send(sealed)
        assert heard == [A.member_id]


def as_answered(findings: exchange_pb2.Findings) -> bytes:
    return findings.SerializeToString(deterministic=True)


people = st.lists(st.sampled_from([*PEOPLE, "110101194912310021X", "wrong"]), min_size=35, max_size=60)


@settings(max_examples=5, deadline=None)
@given(
    asked=st.lists(people, min_size=1, max_size=4), sparing=st.booleans(), limit=st.integers(0, 4), big=st.booleans()
)
async def test_a_stream_gives_the_same_bytes_as_exchange(
    tmp_path_factory: pytest.TempPathFactory, asked: list[list[str]], sparing: bool, limit: int, big: bool
) -> None:
    folder = tmp_path_factory.mktemp("streams")
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    questions = [question(*(who * 15 if big else who), evidence_limit=limit) for who in asked]
    for each in questions:
        each.evidence_only_where_not_alive = sparing
    async with province(folder, register()) as (there, _):
        outcomes = await there.ask(*questions)
        for at, each in enumerate(questions):
            answer = outcomes[at].answer
            assert answer is not None, outcomes[at].error
            alone = await there.unary(each)
            assert as_answered(answer.findings) == as_answered(alone.findings)
            assert exchange_pb2.Answer.FromString(answer.proof.payload) == alone


async def test_traces_come_only_of_those_who_are_not_alive_where_that_is_asked(tmp_path: Path) -> None:
    asked = question(*PEOPLE)
    asked.evidence_only_where_not_alive = True
    async with province(tmp_path, register()) as (there, _):
        outcomes = await there.ask(asked, question(*PEOPLE))
        sparing, whole = (outcomes[at].answer for at in (0, 1))
        assert sparing is not None
        assert whole is not None
        assert list(sparing.findings.status) == list(whole.findings.status)
        told = {whole.findings.status[subject] for subject in sparing.findings.evidence.subject}
        assert told == {words.SURVIVAL_STATUS_DECEASED_SUSPECTED}
        alive = {words.SURVIVAL_STATUS_ALIVE_MEDIUM, words.SURVIVAL_STATUS_DECEASED_SUSPECTED}
        assert {whole.findings.status[subject] for subject in whole.findings.evidence.subject} == alive


async def test_each_chunk_is_on_record_on_both_sides_with_its_people(tmp_path: Path) -> None:
    async with province(tmp_path, register()) as (there, b_store):
        await there.ask(question(ANNA), question(ANNA, BO), question(*PEOPLE))
        for store, direction in ((there.a_store, "out"), (b_store, "in")):
            events = [each.event for each in await store.audit.events()]
            assert sorted(event.subjects for event in events) == [1, 2, len(PEOPLE)]
            assert {(event.direction, event.outcome) for event in events} == {(direction, 0)}


async def test_a_refusal_is_the_answer_to_its_chunk_alone(tmp_path: Path) -> None:
    async with province(tmp_path, register(), max_subjects=10) as (there, _):
        outcomes = await there.ask(question(ANNA), question(*PEOPLE), question(ANNA, legal_basis=" "), question(BO))
        assert {at: each.error.code for at, each in outcomes.items() if each.error} == {
            1: "TOO_LARGE",
            2: "INVALID_ARGUMENT",
        }


async def test_an_oversized_chunk_never_leaves(tmp_path: Path) -> None:
    large = question(ANNA)
    large.subjects.name[0] = "无" * (6 << 20)
    async with province(tmp_path, register()) as (there, _):
        outcomes = await there.ask(question(ANNA), large, question(BO))
        assert {at: each.error.code for at, each in outcomes.items() if each.error} == {1: "TOO_LARGE"}
        assert not outcomes[1].sent


async def test_a_replayed_envelope_ends_the_stream_after_those_before_it(tmp_path: Path) -> None:
    async with province(tmp_path, register()) as (there, b_store):
        sealed = [sealed_question(there.federation, question(who)).envelope for who in (ANNA, BO)]
        answers, error = await sent(there, [sealed[0], sealed[1], sealed[0]])
        assert len(answers) == 2
        assert error is not None
        assert error.code == "ENVELOPE_REPLAYED"
        assert len(await b_store.audit.events()) == 2


async def sent(there: Province, envelopes: Sequence[envelope_pb2.Envelope]) -> tuple[list[envelope_pb2.Envelope], Any]:
    """What a stream of these envelopes is answered by, and the error that it ends with."""
    line: Any = there.federation.channel(B.address, B.identity.tls_name)
    call = line.stream_stream("", envelope_pb2.Envelope.SerializeToString, envelope_pb2.Envelope.FromString)()

    async def write() -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            for envelope in envelopes:
                await call.write(envelope)
            await call.done_writing()

    writing = asyncio.ensure_future(write())
    answers: list[envelope_pb2.Envelope] = []
    try:
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
    except grpc.aio.AioRpcError as error:
        return answers, from_rpc_error(error)
    finally:
        writing.cancel()
    return answers, None


async def test_a_question_that_comes_again_under_its_id_counts_once(tmp_path: Path) -> None:
    from gateway.access.terms import Quotas

    async with stored(tmp_path / "b") as counting:
        access = access_of(terms(quotas=Quotas(day=3)), store=counting)
        async with province(tmp_path, register(), access=access) as (there, _):
            asked = question(ANNA, BO)
            asked.question_id = b"i" * 16
            for _ in range(3):
                outcomes = await there.ask(asked)
                assert outcomes[0].error is None
            outcomes = await there.ask(question(ANNA, BO))
            assert outcomes[0].error is not None
            assert outcomes[0].error.code == "QUOTA_EXCEEDED"


class Slow(Register):
    """A department that answers when it is let."""

    def __init__(self) -> None:
        super().__init__(REGISTER, names=NAMED)
        self.go = asyncio.Event()
        self.begun = asyncio.Semaphore(0)

    async def lookup(self, question: Any) -> Any:
        self.begun.release()
        await self.go.wait()
        return await super().lookup(question)


async def test_a_stop_answers_what_is_in_hand_and_the_rest_may_be_asked_elsewhere(tmp_path: Path) -> None:
    slow = Slow()
    async with province(tmp_path, slow) as (there, _):
        line: Any = there.federation.channel(B.address, B.identity.tls_name)
        call = line.stream_stream("", envelope_pb2.Envelope.SerializeToString, envelope_pb2.Envelope.FromString)()
        await call.write(sealed_question(there.federation, question(ANNA)).envelope)
        await slow.begun.acquire()
        there.servicer._desk.drain()
        for _ in range(10):
            await asyncio.sleep(0)
        slow.go.set()
        assert isinstance(await call.read(), envelope_pb2.Envelope)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        error = from_rpc_error(caught.value)
        assert error is not None
        assert (error.code, error.retryable) == ("SHUTTING_DOWN", True)


async def test_a_member_taken_out_mid_stream_gets_no_further_answer(tmp_path: Path) -> None:
    federation, slow = Federation(), Slow()
    directory = Changing(A, B, C, clock=federation.clock)
    async with stored(tmp_path / "b", federation.clock) as store:
        desk = Desk(federation.clock, directory.current, federation=FEDERATION, limit=8)
        servicer = FederationServicer(desk, exchange_of(federation, B, store, slow), door_of(federation, B, store))
        federation.at(B, serving(servicer))
        line: Any = federation.channel(B.address, B.identity.tls_name)
        call = line.stream_stream("", envelope_pb2.Envelope.SerializeToString, envelope_pb2.Envelope.FromString)()
        await call.write(sealed_question(federation, question(ANNA)).envelope)
        await slow.begun.acquire()
        directory.replace(B, C)
        desk.recheck()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        error = from_rpc_error(caught.value)
        assert error is not None
        assert error.code == "STRANGER"
        async with asyncio.timeout(30):  # it is written while the call ends
            while not (refused := [each.event for each in await store.audit.events() if each.event.outcome]):
                await asyncio.sleep(0)
        assert [event.decision.partition(" [")[0] for event in refused] == ["given up by the asker"]


async def test_access_that_is_withdrawn_mid_stream_is_withdrawn_for_the_next_chunk(tmp_path: Path) -> None:
    access = access_of(terms())

    async with province(tmp_path, register(), access=access) as (there, _):
        withdrawn = asyncio.Event()

        async def chunks() -> AsyncIterator[Chunk]:
            yield Chunk(0, question(ANNA))
            await withdrawn.wait()
            yield Chunk(1, question(ANNA))

        outcomes = there.streams.ask(B.member_id, chunks(), chunk_s=20)
        assert (await anext(outcomes)).answer is not None
        access.use(policy())
        withdrawn.set()
        refused = (await anext(outcomes)).error
        assert refused is not None
        assert refused.code == "MEMBER_NOT_PERMITTED"


async def test_one_member_cannot_hold_all_streams(tmp_path: Path) -> None:
    async with province(tmp_path, Slow()) as (there, _):
        line: Any = there.federation.channel(B.address, B.identity.tls_name)
        made = [
            line.stream_stream("", envelope_pb2.Envelope.SerializeToString, envelope_pb2.Envelope.FromString)()
            for _ in range(5)
        ]
        for call in made:
            await call.initial_metadata()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made[4].read()
        error = from_rpc_error(caught.value)
        assert error is not None
        assert (error.code, error.retryable) == ("OVERLOADED", True)
        assert not any(call.done() for call in made[:4])
        for call in made:
            call.cancel()


async def test_a_slow_department_is_named_in_the_answer_when_the_life_of_the_envelope_is_over(tmp_path: Path) -> None:
    async with province(tmp_path, Slow(), register(department=v.DEPARTMENT_TRANSPORT)) as (there, _):
        outcomes = await there.ask(question(ANNA), chunk_s=1.0)
        answer = outcomes[0].answer
        assert answer is not None, outcomes[0].error
        assert answer.findings.partial
        assert [source.outcome for source in answer.findings.sources] == [
            words.SOURCE_OUTCOME_SILENT,
            words.SOURCE_OUTCOME_ANSWERED,
        ]
