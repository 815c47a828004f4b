"""Traces: whose a span is, what goes along with a question, and that none of it is there while tracing is off."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import FakeClock
from gateway.coalescing import Coalescer
from gateway.errors import RefusedError
from gateway.observing import tracing
from gateway.observing.instruments import value_of
from gateway.observing.tracer import SdkTracer, linked
from tests.unit.adapters.adapters_world import number
from tests.unit.observing.traced_world import TracedWorld as World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    yield lambda **options: World(tmp_path / "spans.jsonl", **options)
    tracing.use(None)


def test_spans_within_spans_are_one_trace_with_the_times_of_the_clock(world: Callable[..., World]) -> None:
    there = world()
    began = there.clock.now_ms() * 1_000_000
    with tracing.begin("check"):
        there.clock.advance(1)
        with tracing.span("seal", partner="11340000002482285X", questions=2):
            there.clock.advance(2)
    seal, check = there.written()
    assert seal["trace"] == check["trace"]
    assert (check["parent"], seal["parent"]) == ("", check["span"])
    assert (check["start_ns"], check["end_ns"]) == (began, began + 3_000_000_000)
    assert (seal["start_ns"], seal["end_ns"]) == (began + 1_000_000_000, began + 3_000_000_000)
    assert seal["attributes"] == {"partner": "11340000002482285X", "questions": 2}


def test_what_is_carried_is_followed_on_the_other_side(world: Callable[..., World]) -> None:
    there = world()
    with tracing.begin("check"):
        carried = tracing.carried()
    assert len(carried) == tracing.TRACE_BYTES
    with tracing.resume("answer", [carried]):
        assert tracing.active()
    check, answer = there.written()
    assert (answer["trace"], answer["parent"]) == (check["trace"], check["span"])


def test_what_is_not_sampled_leaves_nothing_and_carries_nothing(world: Callable[..., World]) -> None:
    there = world(sample=0.5)
    with tracing.begin("check"), tracing.span("seal"):
        assert not tracing.active()
        assert tracing.carried() == b""
    assert there.written() == []


@given(st.binary(max_size=40))
def test_bytes_that_are_no_trace_are_not_followed(raw: bytes) -> None:
    tracer = SdkTracer("m", [], FakeClock(), sample=1.0, followed_a_second=1000)
    span = tracer.joined("answer", raw)
    valid = len(raw) == 25 and raw[24] & 1 and any(raw[:16]) and any(raw[16:24])
    assert (span is not None) == bool(valid)


def test_another_gateway_makes_no_more_work_here_than_is_allowed(world: Callable[..., World]) -> None:
    there = world(most=2)
    carried = bytes(range(1, 25)) + b"\x01"
    for _ in range(5):
        with tracing.resume("answer", [carried]):
            pass
    there.clock.advance(1)
    with tracing.resume("answer", [carried]):
        pass
    assert len(there.written()) == 3


def test_several_questions_that_come_together_each_have_their_span(world: Callable[..., World]) -> None:
    there = world()
    first, second = bytes(range(1, 25)) + b"\x01", bytes(range(2, 26)) + b"\x01"
    with tracing.resume("answer", [b"", first, second]) as spans:
        spans.tell(questions=3)
        with tracing.span("grade"):
            pass
    grade, one, two = there.written()
    assert {one["trace"], two["trace"]} == {first[:16].hex(), second[:16].hex()}
    assert grade["trace"] == one["trace"], "what is done for all of them is told in the first one's trace"


def test_the_agencys_own_trace_is_linked_and_not_taken_over(world: Callable[..., World]) -> None:
    there = world()
    with tracing.begin("check", lambda: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        assert bytes.fromhex("0af7651916cd43dd8448eb211c80319c") not in tracing.carried()
    (check,) = there.written()
    assert check["links"] == ["0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"]


@pytest.mark.parametrize("text", ["", "00-1-2-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 1000, number(1)])
def test_a_traceparent_that_is_none_is_passed_over(text: str) -> None:
    assert linked(text) == []


def test_an_error_is_told_by_its_code_and_no_text_comes_along(world: Callable[..., World]) -> None:
    there = world()
    with pytest.raises(RefusedError), tracing.begin("check"):
        raise RefusedError(f"about {number(1)}", "z")
    with pytest.raises(ValueError, match="about"), tracing.begin("check"):
        raise ValueError(f"about {number(1)}")
    refused, crashed = there.written()
    assert (refused["error"], crashed["error"]) == ("INVALID_ARGUMENT", "ValueError")
    assert number(1) not in there.path.read_text("utf-8")


def test_no_value_of_a_span_holds_a_word_of_a_person(world: Callable[..., World]) -> None:
    there = world()
    with (
        tracing.begin("check"),
        tracing.span("seal", partner=number(1), department="安娜", outcome="a text of any kind"),
    ):
        pass
    assert there.written()[0]["attributes"] == {"partner": "other", "department": "other", "outcome": "other"}


def test_a_part_that_is_over_is_noted_with_its_times(world: Callable[..., World]) -> None:
    there = world()
    began = there.clock.monotonic()
    there.clock.advance(3)
    with tracing.begin("check"):
        tracing.note("open", began)
    opened, _ = there.written()
    assert opened["end_ns"] - opened["start_ns"] == 3_000_000_000


async def test_a_batch_is_told_in_the_trace_of_a_part_that_is_traced(world: Callable[..., World]) -> None:
    there = world()

    async def run(_key: str, parts: object, _time_s: float) -> list[bool]:
        with tracing.span("batch"):
            return [tracing.active()] * len(parts)  # type: ignore[arg-type]

    coalescer: Coalescer[str, int, bool] = Coalescer(run, there.clock, limit=10)

    async def traced() -> bool:
        with tracing.begin("check"):
            return await coalescer.join("k", 2, 1.0)

    assert await asyncio.gather(coalescer.join("k", 1, 1.0), traced()) == [True, True]
    spans = there.written()
    assert {span["name"] for span in spans} == {"batch", "check"}
    assert len({span["trace"] for span in spans}) == 1


async def test_a_batch_never_runs_in_the_trace_of_the_one_before(world: Callable[..., World]) -> None:
    there = world()
    gate = asyncio.Event()
    seen = []

    async def run(_key: str, parts: list[int], _time_s: float) -> list[int]:
        seen.append((parts, tracing.active()))
        await gate.wait()
        return parts

    coalescer: Coalescer[str, int, int] = Coalescer(run, there.clock, limit=1, under_way=1)  # type: ignore[arg-type]

    async def traced() -> int:
        with tracing.begin("check"):
            return await coalescer.join("k", 1, 1.0)

    first = asyncio.create_task(traced())
    second = asyncio.create_task(coalescer.join("k", 2, 1.0))
    async with asyncio.timeout(10):
        while len(seen) < 1:
            await asyncio.sleep(0)
        gate.set()
        assert [await first, await second] == [1, 2]
    assert {tuple(parts): active for parts, active in seen} == {(1,): True, (2,): False}
    there.written()


def test_a_file_at_its_limit_is_set_aside(world: Callable[..., World], tmp_path: Path) -> None:
    there = world(max_bytes=100)
    with tracing.begin("check"):
        pass
    there.tracer.close()
    assert not there.path.exists()
    assert len((tmp_path / "spans.jsonl.1").read_text("utf-8").splitlines()) == 1


def test_spans_that_cannot_be_written_are_lost_and_counted(tmp_path: Path) -> None:
    before = value_of("wugan_spans_lost_total")
    there = World(tmp_path / "no-such-folder" / "spans.jsonl")
    try:
        with tracing.begin("check"):
            pass
        assert there.written() == []
    finally:
        tracing.use(None)
    assert value_of("wugan_spans_lost_total") == before + 1


def test_while_tracing_is_off_nothing_of_opentelemetry_is_loaded() -> None:
    code = (
        "import gateway.app, gateway.cli.gateway, sys; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
