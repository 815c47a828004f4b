"""A roster on its way to a member: in any order, within the window, and again where a stream is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.errors import EnvelopeError, RefusedError
from gateway.federation.kept import MAX_LINKED, spoken_against
from gateway.federation.streams import Chunk, Streams
from gateway.observing import tracing
from gateway.resilience.backoff import Outage
from gateway.resilience.breaker import State
from gateway.sections.resilience import BreakerSettings
from gateway.store.ended import EVERY_MEMBER
from tests.unit.federation.streams_world import (
    Chunks,
    Far,
    Read,
    Writing,
    asked,
    at_once,
    at_the_door,
    errors,
    losing_after,
    world_of,
)
from tests.unit.observing.traced_world import TracedWorld
from tests.unit.services.gateways_world import ANNA, BO, CHEN, NEW_ANNA, B, findings, question, status_of
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

LATE = words.REFUSAL_REASON_DEADLINE_EXCEEDED


async def test_every_chunk_is_answered_and_recorded(tmp_path: Path) -> None:
    async with world_of(tmp_path, at_once) as (world, far):
        outcomes = await world.ask(Chunks(*range(10)))
        assert {each.number for each in outcomes} == set(range(10))
        assert not errors(outcomes)
        assert far.streams == 1
        assert sorted(await world.recorded()) == [(f"chunk {number}", 0, "") for number in range(10)]


async def test_an_outcome_names_its_messages(tmp_path: Path) -> None:
    async with world_of(tmp_path, at_once) as (world, far):
        (outcome,) = await world.ask(Chunks(1))
        assert outcome.answer is not None
        assert outcome.sent[-1].message_id == far.read[0].opened.header.message_id
        assert outcome.answer.proof.question_digest == outcome.sent[-1].digest == far.read[0].opened.digest


async def test_a_chunk_is_one_span_from_its_asking_to_its_outcome_and_carries_it(tmp_path: Path) -> None:
    traced = TracedWorld(tmp_path / "spans.jsonl")
    try:
        async with world_of(tmp_path, losing_after(1), at_once) as (world, far):
            assert not errors(await world.ask(Chunks(0, 1)))
            spans = {bytes.fromhex(span["trace"] + span["span"]): span for span in traced.written()}
    finally:
        tracing.use(None)
    assert {read.question.trace[:24]: read.number for read in far.read}.keys() == spans.keys()
    assert {read.question.trace[24:] for read in far.read} == {b"\x01"}
    assert {span["name"] for span in spans.values()} == {"chunk"}
    tries = {read.number: 0 for read in far.read}
    for read in far.read:
        tries[read.number] += 1
        attributes = spans[read.question.trace[:24]]["attributes"]
        assert (attributes["partner"], attributes["people"]) == (B.member_id, 1)
    assert sorted(span["attributes"]["tries"] for span in spans.values()) == sorted(tries.values()) == [1, 2]
    assert ANNA not in traced.path.read_text("utf-8")


async def test_a_chunk_without_an_answer_says_why_in_its_span_and_keeps_its_id(tmp_path: Path) -> None:
    async def refusing(_far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        async for read in reads:
            assert read.question.question_id == b"i" * 16
            refusal = exchange_pb2.Refusal(reason=words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED, message_en="no")
            await write(read.answer(refusal=refusal))

    async def one() -> AsyncIterator[Chunk]:
        made = asked(0)
        made.question_id = b"i" * 16
        yield Chunk(0, made)

    traced = TracedWorld(tmp_path / "spans.jsonl")
    try:
        async with world_of(tmp_path, refusing) as (world, _far):
            (outcome,) = [each async for each in world.streams().ask(B.member_id, one(), chunk_s=20.0)]
            (span,) = traced.written()
    finally:
        tracing.use(None)
    assert outcome.error is not None
    assert span["error"] == outcome.error.code


async def test_before_an_outcome_is_told_the_cache_forgets_what_anybody_said_of_whom_it_says_more_than_that_they_live(
    tmp_path: Path,
) -> None:
    async def script(_far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        async for read in reads:
            said = (words.SURVIVAL_STATUS_ALIVE_STRONG, words.SURVIVAL_STATUS_DECEASED)[read.number % 2]
            await write(read.answer(findings=findings(said)))

    forgotten: list[tuple[str, list[str]]] = []
    answered: list[tuple[str, list[int]]] = []
    async with world_of(tmp_path, script) as (world, _):
        streams = Streams(
            world.partners,
            world.store.audit,
            world.federation.clock,
            window=1,
            forget=lambda member, numbers: forgotten.append((member, list(numbers))),
            answered=lambda member, found: answered.append((member, list(found.status))),
        )
        told = [
            (each.number, len(forgotten)) async for each in streams.ask(B.member_id, Chunks(*range(4)), chunk_s=20.0)
        ]
    assert told == [(0, 0), (1, 1), (2, 1), (3, 2)]
    assert forgotten == [(EVERY_MEMBER, [ANNA])] * 2
    alive, dead = [words.SURVIVAL_STATUS_ALIVE_STRONG], [words.SURVIVAL_STATUS_DECEASED]
    assert answered == [(B.member_id, alive), (B.member_id, dead)] * 2


def test_of_an_answer_those_are_spoken_against_who_are_not_just_alive_under_every_number_of_theirs() -> None:
    asked_about = question(ANNA, BO, CHEN, NEW_ANNA)
    asked_about.subjects.alias_subject.extend([1, 2])
    asked_about.subjects.alias_id_number.extend(["old number of Bo", "old number of Chen"])
    found = findings(
        words.SURVIVAL_STATUS_ALIVE_WEAK,
        words.SURVIVAL_STATUS_CONFLICT,
        words.SURVIVAL_STATUS_ALIVE_STRONG,
        words.SURVIVAL_STATUS_UNKNOWN,
        flags=[0, 0, 1 << words.ENTITLEMENT_FLAG_REMARRIED, 0],
    )
    found.links.subject.extend([0, 2])
    found.links.id_number.extend(["new number of Anna", "new number of Chen"])
    assert set(spoken_against(asked_about, found)) == {
        BO,
        CHEN,
        "old number of Bo",
        "old number of Chen",
        "new number of Chen",
    }
    assert spoken_against(question(ANNA), findings(words.SURVIVAL_STATUS_ALIVE_WEAK)) == []
    many = findings(words.SURVIVAL_STATUS_DECEASED)
    many.links.subject.extend([0] * (MAX_LINKED + 1))
    many.links.id_number.extend(map(str, range(MAX_LINKED + 1)))
    many.links.since_on.extend([0] * (MAX_LINKED + 1))
    assert spoken_against(question(ANNA), many) == [ANNA, *map(str, range(MAX_LINKED))], "no more than are looked at"


async def test_answers_come_in_any_order(tmp_path: Path) -> None:
    async def backwards(_far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        held = [await anext(reads) for _ in range(3)]
        for read in reversed(held):
            await write(read.answer())

    async with world_of(tmp_path, backwards) as (world, _):
        outcomes = await world.ask(Chunks(0, 1, 2))
        assert [each.number for each in outcomes] == [2, 1, 0]
        assert all(each.answer is not None for each in outcomes)


async def test_no_more_than_the_window_is_taken_or_sent(tmp_path: Path) -> None:
    go = asyncio.Event()
    full = asyncio.Event()

    async def holding(far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        held = []
        async for read in reads:
            held.append(read)
            if len(far.read) == 3:
                full.set()
                await go.wait()
            if go.is_set():
                for each in held:
                    await write(each.answer())
                held.clear()

    async with world_of(tmp_path, holding) as (world, far):
        chunks = Chunks(*range(9))
        asking = asyncio.ensure_future(world.ask(chunks, window=3))
        await full.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert (chunks.taken, len(far.read)) == (3, 3)
        go.set()
        assert len(await asking) == 9


async def test_chunks_are_not_taken_faster_than_outcomes_are(tmp_path: Path) -> None:
    async with world_of(tmp_path, at_once) as (world, far):
        chunks = Chunks(*range(50))
        async with contextlib.aclosing(world.streams(2).ask(B.member_id, chunks, chunk_s=20)) as outcomes:
            taken = 0
            async for _ in outcomes:
                taken += 1
                while len(far.read) < chunks.taken:  # let it run as far as it goes by itself
                    await asyncio.sleep(0)
                for _ in range(100):
                    await asyncio.sleep(0)
                assert chunks.taken <= taken + 4
        assert taken == 50


async def test_what_a_lost_stream_left_is_asked_again_under_the_same_id_and_nothing_else_is(tmp_path: Path) -> None:
    async with world_of(tmp_path, losing_after(4), losing_after(0), at_the_door, at_once) as (world, far):
        outcomes = await world.ask(Chunks(*range(8)))
        assert not errors(outcomes)
        assert sorted(each.number for each in outcomes) == list(range(8))
        again = [read for read in far.read if read.number == 4]
        assert len(again) >= 2
        assert len({read.question.question_id for read in again}) == 1
        assert again[0].question.question_id
        assert len({read.opened.header.message_id for read in again}) == len(again)
        assert [far.numbers().count(number) for number in range(4)] == [1] * 4
        recorded = await world.recorded()
        lost = [words_ for case, reason, words_ in recorded if case == "chunk 4" and reason]
        assert lost == ["not answered; asked in another message"] * (len(again) - 1)


async def test_an_id_that_the_chunk_has_is_kept(tmp_path: Path) -> None:
    async def one() -> AsyncIterator[Chunk]:
        question = asked(1)
        question.question_id = b"i" * 16
        yield Chunk(1, question)

    async with world_of(tmp_path, at_once) as (world, far):
        outcomes = [each async for each in world.streams().ask(B.member_id, one(), chunk_s=20)]
        assert not errors(outcomes)
        assert far.read[0].question.question_id == b"i" * 16


async def test_where_nobody_is_there_a_chunk_fails_after_its_time_and_may_be_asked_later(tmp_path: Path) -> None:
    async with world_of(tmp_path, at_the_door) as (world, far):
        began = asyncio.get_running_loop().time()
        outcomes = await world.ask(Chunks(0, 1), chunk_s=0.3)
        assert asyncio.get_running_loop().time() - began >= 0.3
        assert errors(outcomes) == {0: "PARTNER_UNAVAILABLE", 1: "PARTNER_UNAVAILABLE"}
        assert all(each.error is not None and each.error.retryable and not each.sent for each in outcomes)
        assert far.streams <= 60  # waits between tries are of 10 ms at least


async def test_a_tampered_answer_is_not_used_and_the_others_are(tmp_path: Path) -> None:
    async def tampering(_far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        async for read in reads:
            envelope = read.answer()
            if read.number == 1:
                changed = bytearray(envelope.ciphertext)
                changed[-1] ^= 1
                envelope.ciphertext = bytes(changed)
            await write(envelope)

    async with world_of(tmp_path, tampering) as (world, far):
        outcomes = await world.ask(Chunks(0, 1, 2))
        assert errors(outcomes) == {1: "PARTNER_FAULTY"}
        assert far.streams == 1


async def test_an_answer_to_nothing_ends_the_stream_and_only_the_oldest_chunk_pays_for_it(tmp_path: Path) -> None:
    async def strange(_far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        held = [await anext(reads) for _ in range(3)]
        envelope = held[0].answer()
        await write(held[2].answer())
        await write(held[2].answer())
        await write(envelope)

    async with world_of(tmp_path, strange, at_once) as (world, far):
        outcomes = await world.ask(Chunks(0, 1, 2))
        assert errors(outcomes) == {0: "PARTNER_FAULTY"}
        assert far.streams == 2


async def test_a_status_that_is_final_is_the_outcome_of_the_first_chunk_without_an_answer(tmp_path: Path) -> None:
    refused = EnvelopeError("no", "不", reason=words.REFUSAL_REASON_ENVELOPE_REJECTED)

    async def refusing(_far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        held = [await anext(reads) for _ in range(3)]
        await write(held[0].answer())
        raise status_of(refused)

    async with world_of(tmp_path, refusing, at_once) as (world, _):
        outcomes = await world.ask(Chunks(0, 1, 2))
        assert errors(outcomes) == {1: "ENVELOPE_REJECTED"}


async def test_who_is_not_let_in_gets_that_for_all_that_waits_at_once(tmp_path: Path) -> None:
    async def stranger(_far: Far, _reads: AsyncIterator[Read], _write: Writing) -> None:
        raise status_of(RefusedError("no", "不", reason=words.REFUSAL_REASON_STRANGER))

    async with world_of(tmp_path, stranger) as (world, _):
        outcomes = await world.ask(Chunks(*range(5)), chunk_s=60)
        assert errors(outcomes) == dict.fromkeys(range(5), "STRANGER")


async def test_a_refusal_for_now_is_asked_again_and_one_for_good_is_not(tmp_path: Path) -> None:
    async def busy(far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        async for read in reads:
            first = far.numbers().count(read.number) == 1
            refusal = exchange_pb2.Refusal(
                reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
                message_en="no",
                message_zh="不",
                retryable=read.number != 2,
                retry_after_ms=60,
            )
            await write(read.answer(refusal=refusal) if first and read.number else read.answer())

    async with world_of(tmp_path, busy) as (world, far):
        outcomes = await world.ask(Chunks(0, 1, 2))
        assert errors(outcomes) == {2: "QUOTA_EXCEEDED"}
        assert sorted(far.numbers()) == [0, 1, 1, 2]


async def test_a_chunk_that_is_never_answered_fails_in_its_time_and_holds_up_no_other(tmp_path: Path) -> None:
    async def silent_about_one(_far: Far, reads: AsyncIterator[Read], write: Writing) -> None:
        async for read in reads:
            if read.number != 1:
                await write(read.answer())

    async with world_of(tmp_path, silent_about_one) as (world, far):
        outcomes = await world.ask(Chunks(0, 1, 2, 3), window=2, chunk_s=0.6)
        assert errors(outcomes) == {1: "DEADLINE_EXCEEDED"}
        assert far.numbers().count(1) >= 2, "it was not tried again after the time of the first try"


async def test_giving_up_ends_the_call_and_what_left_is_on_record(tmp_path: Path) -> None:
    left = asyncio.Event()
    ended = asyncio.Event()

    async def never(_far: Far, reads: AsyncIterator[Read], _write: Writing) -> None:
        try:
            async for _ in reads:
                left.set()
        finally:
            ended.set()

    async with world_of(tmp_path, never) as (world, _):
        outcomes = world.streams(2).ask(B.member_id, Chunks(0, 1, 2), chunk_s=60)
        asking = asyncio.ensure_future(anext(outcomes))
        await left.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await outcomes.aclose()
        await ended.wait()
        recorded = await world.recorded()
        assert ("chunk 0", LATE, "given up by the agency") in recorded
        assert all(words_ == "given up by the agency" for _, _, words_ in recorded)


async def test_what_the_chunks_raise_is_raised_once_those_before_are_told(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[Chunk]:
        yield Chunk(0, asked(0))
        raise OSError("the spool is gone")

    async with world_of(tmp_path, at_once) as (world, _):
        with pytest.raises(OSError, match="spool"):
            async for _ in world.streams().ask(B.member_id, broken(), chunk_s=20):
                pass


async def test_a_stream_moves_to_the_new_channel_after_a_change_of_own_certificate(tmp_path: Path) -> None:
    async with world_of(tmp_path, at_once) as (world, far):
        renewed = asyncio.Event()

        async def chunks() -> AsyncIterator[Chunk]:
            yield Chunk(0, asked(0))
            await renewed.wait()
            yield Chunk(1, asked(1))

        outcomes = world.streams().ask(B.member_id, chunks(), chunk_s=20)
        await anext(outcomes)
        (line,) = world.federation.lines
        await world.partners.renew()
        renewed.set()
        assert (await anext(outcomes)).answer is not None
        assert far.streams == 2
        await outcomes.aclose()
        await asyncio.sleep(0)
        assert line.closed


async def test_a_partner_that_keeps_failing_is_left_alone_and_tried_again(tmp_path: Path) -> None:
    lost = [losing_after(0)] * 5
    async with world_of(tmp_path, *lost, at_once) as (world, far):
        world.leave_alone_after(3)
        outcomes = await world.ask(Chunks(0, 1))
        assert not errors(outcomes)
        assert far.streams == 6
        assert world.partners.standings.outage(B.member_id, B.address) is None
        assert sum(world.waited) >= 2, "it was not left alone after the third failure"


@pytest.mark.parametrize("at_the_door", [False, True], ids=["while a chunk is on its way", "before it is let in"])
async def test_a_roster_given_up_leaves_a_partner_that_comes_back_its_probes(tmp_path: Path, at_the_door: bool) -> None:
    there = asyncio.Event()

    class Silent(Far):
        async def stream(self, envelopes: AsyncIterator[envelope_pb2.Envelope], call: Any) -> None:
            if not at_the_door:
                await call.send_initial_metadata(())
                await anext(envelopes)
            there.set()
            await asyncio.Event().wait()

    async with world_of(tmp_path, at_once) as (world, far):
        now_ms = world.federation.clock.now_ms()
        breaker = world.partners.standings.of(B.member_id).door(B.address).breaker
        breaker.restore(Outage(now_ms, 1, 1000, now_ms, "UNAVAILABLE"))
        world.federation.at(B, Silent(world.federation, at_once))
        for number in range(BreakerSettings().probes):
            outcomes = world.streams().ask(B.member_id, Chunks(number), chunk_s=60)
            asking = asyncio.ensure_future(anext(outcomes))
            await there.wait()
            there.clear()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await outcomes.aclose()
        assert not breaker.refuses, "nobody would ever ask it again"
        world.federation.at(B, far)
        await world.partners.renew()
        assert not errors(await world.ask(Chunks(7, 8)))
        assert breaker.state is State.CLOSED


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_a_chunk_leaves_in_so_many_messages_at_most(tmp_path: Path, status: grpc.StatusCode) -> None:
    async with world_of(tmp_path, losing_after(0, status)) as (world, far):
        outcomes = await world.ask(Chunks(0), chunk_s=60)
        assert errors(outcomes) == {0: "PARTNER_UNAVAILABLE"}
        assert len(far.read) == len(outcomes[0].sent) == 8
