"""What is refused is on the record of both sides, with the reason in words, whatever the question held."""

from __future__ import annotations

import re

import pytest
from federation_world import Member, SmallWorld, question_about
from test_two_provinces import living_in_second, refusal, seal_question, send

from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.exchange.envelope import open_answer
from gateway.store.audit import RecordedEvent
from gateway.store.engine import Store
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration


async def trail(member: Member, digest: bytes | None = None) -> list[RecordedEvent]:
    """A member's record, read beside its running gateway; only what is about the question with this digest."""
    state = load_gateway(member.folder / "gateway.toml").state_dir
    async with Store.open(state / "gateway.db", key=state / "store.key", clock=SystemClock()) as store:
        await store.audit.verify_chain()
        events = await store.audit.events(limit=10_000)
        return [each for each in events if digest is None or store.audit.matches(each, digest)]


async def test_a_refused_question_of_any_length_is_recorded_with_the_reason_in_words(world: SmallWorld) -> None:
    question = question_about(living_in_second(world))
    question.context.unit = "长" * 100_000
    question.context.official_pseudonym = b"p" * 5000
    sealed = seal_question(world, question.SerializeToString())
    envelope = await send(world, sealed.envelope)
    opened = open_answer(
        envelope, world.members[0].own, world.directory, question=sealed, now_ms=SystemClock().now_ms()
    )
    refused = exchange_pb2.Answer.FromString(opened.payloads[0]).refusal
    (recorded,) = await trail(world.members[1], sealed.digest)
    assert recorded.event.message_id == sealed.message_id
    assert recorded.event.outcome == refused.reason == words.REFUSAL_REASON_INVALID_ARGUMENT
    assert recorded.event.decision == refused.message_en != ""
    assert recorded.event.unit == "长" * 200 + "…[100000]"
    assert recorded.event.official == b"p" * 32 + b"+"


async def test_the_asking_side_records_why_it_was_refused_and_the_answering_side_why_it_answered(
    world: SmallWorld,
) -> None:
    recipient = world.recipient("active")
    _, error = await refusal(world, recipient, purpose=adapter_words.PURPOSE_AUDIT)
    last = (await trail(world.member(recipient.paying_province)))[-1].event
    assert (last.direction, last.outcome) == ("out", words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED)
    assert last.decision == error.en != ""
    answered = [each.event for each in await trail(world.members[1]) if not each.event.outcome]
    assert not any(event.decision for event in answered if event.direction == "out")
    assert all(re.match(r"g\d+: \d+ people", event.decision) for event in answered if event.direction == "in")
