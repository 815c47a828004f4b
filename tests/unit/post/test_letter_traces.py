"""Traces of letters: whose each attempt to hand them over is, and each dealing with what came; none while it is off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.errors import WuganError
from gateway.observing import tracing
from gateway.post import traces
from gateway.store.inbox import DEAD
from tests.unit.observing.traced_world import Spans, TracedWorld, ways
from tests.unit.post.post_world import Site, two_sites, until
from tests.unit.services.gateways_world import A, B
from wugan.federation.v1 import delivery_pb2, exchange_pb2

QUESTION, ANSWER, NOTICE = (
    delivery_pb2.DELIVERY_KIND_QUESTION,
    delivery_pb2.DELIVERY_KIND_ANSWER,
    delivery_pb2.DELIVERY_KIND_NOTICE,
)
CARRIED = bytes(range(1, 25)) + b"\x01"


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    async with two_sites(tmp_path) as both:
        yield both


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Callable[..., TracedWorld]]:
    traces._made_in.clear()
    yield lambda name="spans.jsonl", **options: TracedWorld(tmp_path / name, **options)
    tracing.use(None)
    traces._made_in.clear()


def of(spans: Spans, name: str) -> Spans:
    return [span for span in spans if span["name"] == name]


async def delivered(sites: tuple[Site, Site], count: int) -> None:
    a, b = sites
    await until(lambda: len(b.noting.bodies) == count)
    await until(lambda: _none_waits(a))


async def _none_waits(site: Site) -> bool:
    return await site.waiting() == 0


async def test_a_letter_of_no_trace_has_one_of_its_own_at_each_side(
    sites: tuple[Site, Site], traced: Callable[..., TracedWorld]
) -> None:
    a, b = sites
    there = traced()
    await a.leave(b"news")
    async with a.running(), b.running():
        await delivered(sites, 1)
    spans = there.written()
    assert {tuple(span["name"] for span in way) for way in ways(spans)} == {
        ("deliver",),
        ("deliver", "seal"),
        ("deliver", "exchange"),
        ("deliver", "open"),
        ("deliver", "record"),
        ("handle",),
        ("handle", "record"),
    }
    ((deliver,), (handle,)) = of(spans, "deliver"), of(spans, "handle")
    assert deliver["trace"] != handle["trace"], "no word of the one goes to the other province"
    assert deliver["attributes"]["partner"] == B.member_id
    assert handle["attributes"] == {"partner": A.member_id, "kind": "NOTICE", "outcome": "DONE", "attempt": 1}


async def test_letters_that_share_an_envelope_are_each_told_of_in_their_own_trace(
    sites: tuple[Site, Site], traced: Callable[..., TracedWorld]
) -> None:
    a, b = sites
    there = traced()
    for body in (b"one", b"two"):
        with tracing.begin("notice"):
            await a.leave(body)
    await a.leave(b"of no trace")
    async with a.running(), b.running():
        await delivered(sites, 3)
    spans = there.written()
    attempts, notices = of(spans, "deliver"), of(spans, "notice")
    assert len(a.wire.envelopes) == 1
    assert {(span["trace"], span["parent"]) for span in attempts} == {(span["trace"], span["span"]) for span in notices}
    assert {span["attributes"]["letters"] for span in attempts} == {3}


async def test_what_goes_to_a_partner_later_is_no_part_of_the_trace_that_first_woke_its_lane(
    sites: tuple[Site, Site], traced: Callable[..., TracedWorld]
) -> None:
    a, b = sites
    first = traced()
    async with a.running(), b.running():
        await until(lambda: a.outbox._running)
        with tracing.begin("notice"):
            await a.leave(b"one")
            await asyncio.sleep(0)
        await delivered(sites, 1)
        first.written()
        second = traced("others.jsonl", sample=0.0)
        await a.leave(b"two")
        await delivered(sites, 2)
    assert second.written() == []


async def test_a_delivery_that_fails_says_how_it_stands(
    sites: tuple[Site, Site], traced: Callable[..., TracedWorld]
) -> None:
    a, b = sites
    there = traced()

    async def fails(_delivery: object) -> None:
        raise WuganError("no", "否", retryable=False)

    b.noting.before = fails
    await a.leave(b"news")
    async with a.running(), b.running():
        await until(lambda: _dead(b))
    (handle,) = of(there.written(), "handle")
    assert handle["attributes"]["outcome"] == "DEAD"


async def _dead(site: Site) -> bool:
    return (await site.store.inbox.counts()).get(DEAD, 0) > 0


async def test_a_question_is_followed_if_it_carries_a_trace_and_not_begun_if_it_carries_none(
    traced: Callable[..., TracedWorld],
) -> None:
    there = traced()

    def unread() -> bytes:
        raise WuganError("no", "否")

    carrying = exchange_pb2.Question(trace=CARRIED).SerializeToString()
    for body in (lambda: carrying, lambda: b"", lambda: b"\xff", lambda: b"\x7a\x03abc", unread):
        with traces.handling(A.member_id, QUESTION, body):
            pass
    with traces.handling(A.member_id, ANSWER, unread):
        pass
    (handle,) = there.written()
    assert (handle["trace"], handle["parent"]) == (CARRIED[:16].hex(), CARRIED[16:24].hex())


async def test_nothing_is_remembered_or_read_while_tracing_is_off(sites: tuple[Site, Site]) -> None:
    a, _ = sites
    traces._made_in.clear()

    def unread() -> bytes:
        raise AssertionError

    (letter,) = await a.leave(b"news")
    assert traces.delivering(B.member_id, [letter]) is tracing.NOTHING
    assert traces.handling(A.member_id, NOTICE, unread) is tracing.NOTHING
    assert traces._made_in == {}


def test_only_so_many_letters_are_remembered_and_the_oldest_is_forgotten(traced: Callable[..., TracedWorld]) -> None:
    traced()
    with tracing.begin("notice"):
        for number in range(traces.REMEMBERED + 2):
            traces.made(number.to_bytes(16))
    assert len(traces._made_in) == traces.REMEMBERED
    assert (1).to_bytes(16) not in traces._made_in
    assert (2).to_bytes(16) in traces._made_in
