"""The kit finds faults: an adapter that keeps every rule passes, and of a hundred that break one, each is caught by the
case meant for it and by no other."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from adapters.conformance import ALL_CASES, Bounds, Outcome, ProgramTarget, Sample, SampleError, conform
from adapters.contract import Found, Lookup
from adapters.errors import SourceDownError, SourceFaultError
from tests.unit.adapters.adapters_world import now_ms
from tests.unit.adapters.conformance_mutants import MUTANTS, NamesOneRow
from tests.unit.adapters.conformance_world import ANNA, EMIL, SAMPLE, Register, Source, proved


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


async def test_who_names_one_row_of_somebody_who_stands_in_two_is_caught_by_the_case_about_naming() -> None:
    report = await proved(NamesOneRow)
    assert {result.case.id for result in report.failed} == {"unreadable.named"}


class Refuses(Register):
    """Knows no better than to refuse, as the contract lets it."""

    def answer(self, question: Lookup) -> Found:
        return super().answer(replace(question, takes_unreadable=False))


async def test_who_refuses_is_told_that_it_costs_the_others_their_answer_and_conforms() -> None:
    report = await proved(Refuses, only=("unreadable.",))
    outcomes = {result.case.id: result.outcome for result in report.results}
    assert report.conforms
    assert outcomes["unreadable.named"] is Outcome.NOTED
    assert outcomes["unreadable.others"] is Outcome.NOT_TRIED
    assert outcomes["unreadable.refused"] is outcomes["unreadable.none"] is Outcome.PASSED


class SaysItIsDown(Register):
    """Blames the connection for a row."""

    def answer(self, question: Lookup) -> Found:
        try:
            return super().answer(question)
        except SourceFaultError as error:
            raise SourceDownError("the source is away", "数据源不可用") from error


async def test_who_blames_the_connection_for_a_row_is_told_that_it_is_asked_again_in_vain() -> None:
    report = await proved(SaysItIsDown, only=("unreadable.refused",))
    assert [result.outcome for result in report.results] == [Outcome.NOTED]
    assert "asked again in vain" in report.results[0].says.en


async def test_without_a_sample_of_such_people_what_needs_them_is_not_tried_and_says_what_to_do() -> None:
    target = ProgramTarget("register", lambda: Register(Source()))
    report = await conform(target, replace(SAMPLE, unreadable=()), only=("unreadable.",), now_ms=now_ms)
    told = {result.case.id: (result.outcome, result.says.en) for result in report.results}
    assert told.pop("unreadable.none")[0] is Outcome.PASSED
    assert {outcome for outcome, _ in told.values()} == {Outcome.NOT_TRIED}
    assert "`known` = unreadable" in told["unreadable.named"][1]


def test_a_sample_says_of_whom_a_row_does_not_read() -> None:
    for word in ("unreadable", "无法读取"):
        sample = Sample.parse(f"id_number,known\n{ANNA},\n{EMIL},yes\n{EMIL},{word}\n".encode())
        assert [person.number for person in sample.known] == [ANNA], "nobody is in two lists"
        assert [(person.number, person.line) for person in sample.unreadable] == [(EMIL, 4)]
    with pytest.raises(SampleError, match="yes, no or unreadable"):
        Sample.parse(f"id_number,known\n{ANNA},perhaps\n".encode())
