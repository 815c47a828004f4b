"""The kit finds faults: an adapter that keeps every rule passes, and of a hundred that break one, each is caught by the
case meant for it and by no other."""

from __future__ import annotations

import asyncio

import pytest

from adapters.conformance import ALL_CASES, Bounds, Outcome, ProgramTarget, conform
from adapters.contract import Found, Lookup
from adapters.errors import SourceDownError
from tests.unit.adapters.adapters_world import now_ms
from tests.unit.adapters.conformance_mutants import MUTANTS
from tests.unit.adapters.conformance_world import SAMPLE, Register, Source, proved


async def test_an_adapter_that_keeps_every_rule_passes_every_case() -> None:
    report = await proved(Register)
    assert {result.case.id: result.says.en for result in report.results if result.outcome != Outcome.PASSED} == {}
    assert report.conforms
    assert len(report.results) == len(ALL_CASES)


@pytest.mark.parametrize("case", [case.id for case in ALL_CASES])
async def test_an_adapter_that_breaks_one_rule_is_caught_by_the_case_meant_for_it(case: str) -> None:
    report = await proved(MUTANTS[case], getattr(MUTANTS[case], "bounds", None))
    told = {result.case.id: result.says.en for result in report.results if result.outcome == Outcome.FAILED}
    told |= {result.case.id: result.says.en for result in report.results if result.outcome == Outcome.NOTED}
    assert set(told) == {case}, told


async def test_what_is_not_started_from_here_is_not_said_to_have_been_started_anew() -> None:
    source = Source()
    elsewhere = ProgramTarget("elsewhere", lambda: Register(source), local=False)
    report = await conform(elsewhere, SAMPLE, only=("restart.", "changes.restart"), now_ms=now_ms)
    assert {result.outcome for result in report.results} == {Outcome.NOT_TRIED}


async def test_a_sample_of_whom_nobody_is_found_is_a_failure_and_the_rest_is_not_tried() -> None:
    source = Source(people={})
    report = await conform(ProgramTarget("empty", lambda: Register(source)), SAMPLE, now_ms=now_ms)
    assert [result.case.id for result in report.failed] == ["people.known"]
    assert report.failed[0].says.zh == "未查到：样例第 2, 3, 4, 5 行的人员"
    outcomes = {result.case.id: result.outcome for result in report.results}
    assert outcomes["people.duplicates"] is Outcome.NOT_TRIED
    assert outcomes["evidence.kinds"] is Outcome.NOT_TRIED, "no row came of which it could be said"


class Hanging(Register):
    """Never comes back from a lookup."""

    async def lookup(self, question: Lookup) -> Found:
        self.source.asked.append(question)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


class Late(Register):
    """Its source does not answer, which it says when its own time is over."""

    async def lookup(self, question: Lookup) -> Found:
        self.source.asked.append(question)
        await asyncio.sleep(max(question.deadline_s, 0))
        raise SourceDownError("did not answer in time", "未在时限内应答")


@pytest.mark.parametrize("kind", [Hanging, Late])
async def test_of_an_adapter_that_does_not_come_back_the_rest_is_not_tried_after_a_few_times(
    kind: type[Register],
) -> None:
    source = Source()
    target = ProgramTarget("hanging", lambda: kind(source))
    report = await conform(target, SAMPLE, bounds=Bounds(deadline_s=0.02, grace_s=0.02), now_ms=now_ms)
    assert not report.conforms
    assert len(report.results) == len(ALL_CASES)
    assert len(source.asked) <= 4
    left = [result for result in report.results if "3 times" in result.says.en]
    assert {result.outcome for result in left} == {Outcome.NOT_TRIED}
    assert len(left) > len(ALL_CASES) // 2
    assert all("3 次" in result.says.zh for result in left)


async def test_an_adapter_that_is_never_ready_nor_says_that_it_is_not_is_down() -> None:
    class Unready(Register):
        async def check(self) -> None:
            await asyncio.Event().wait()

    target = ProgramTarget("unready", lambda: Unready(Source()))
    with pytest.raises(SourceDownError, match="did not come back"):
        await conform(target, SAMPLE, bounds=Bounds(deadline_s=0.02, grace_s=0.02), now_ms=now_ms)
