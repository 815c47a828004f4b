"""A roster's column with the start of each benefit: what of it leaves, and what the results say by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from gateway.roster.asking import Reply, question
from gateway.roster.merging import merged
from gateway.roster.run import LINKED, Ask
from gateway.rules.kinds import FLAGS
from gateway.rules.reasons import ReasonCode
from tests.unit.roster.test_roster_merging import RUN, TODAY, answer, planned
from tests.unit.rules.rules_world import BOOK, flag_bits
from tests.unit.services.gateways_world import context
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG = words.SURVIVAL_STATUS_ALIVE_STRONG
DEPENDANT, PENSION = words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT, words.BENEFIT_TYPE_EMPLOYEE_PENSION
LONG, LATELY = TODAY - 4_000, TODAY - 100
ASK = Ask(0, 0, "MA")


def rows_of(benefits: list[int], starts: list[int]) -> pl.DataFrame:
    rows = planned(len(starts))
    return rows.with_columns(
        benefit=pl.Series(benefits, dtype=pl.Int32),
        entitled_since_on=pl.Series(starts, dtype=pl.Int32),
        refusal=pl.lit(0, pl.Int16),
    )


def test_the_start_is_told_of_whom_it_matters_for_and_of_nobody_else() -> None:
    at, matters = np.arange(3), BOOK.start_matters
    run = replace(RUN, official=context().official_pseudonym)
    some = question(run, ASK, rows_of([DEPENDANT, PENSION, DEPENDANT], [LONG, LONG, 0]), at, matters)
    assert list(some.benefit_since_on) == [LONG, 0, 0]
    part = question(run, ASK, rows_of([DEPENDANT, PENSION, DEPENDANT], [LONG, LONG, LATELY]), np.array([1, 2]), matters)
    assert list(part.benefit_since_on) == [0, LATELY]
    under = question(run, ASK, rows_of([DEPENDANT], [LONG]), np.arange(1), matters, {0: ("330702195001010044",)})
    assert list(under.benefit_since_on) == [LONG]
    none = question(run, ASK, rows_of([PENSION, PENSION], [LONG, LONG]), np.arange(2), matters)
    assert not none.benefit_since_on


def reply(*days: tuple[int, int], count: int, used: bool, member: str = "MA") -> Reply:
    """Of a member that tells marriages: (whose, when)."""
    married = flag_bits("REMARRIED")
    raised = {whose for whose, _ in days}
    made = answer(member, [(STRONG, married if at in raised else 0, 3) for at in range(count)])
    made.findings.ClearField("reasons")
    for whose, on in days:
        told = exchange_pb2.ReasonColumns(
            subject=[whose], code=[ReasonCode.REMARRIED], department=[2], kind=[130], on=[on], number=[0]
        )
        made.findings.reasons.MergeFrom(told)
    made.findings.benefit_since_used = used
    return Reply(Ask(0, 0, member), np.arange(count), made)


def certified(people: pl.DataFrame) -> list[str]:
    return [
        words.CertificationStatus.Name(each).removeprefix("CERTIFICATION_STATUS_") for each in people["certification"]
    ]


def reasons_of(tables: dict[str, pl.DataFrame], name: str) -> list[int]:
    rows = tables["people"]["row"].to_list()
    found = tables["reasons"].filter((pl.col("name") == name) & (pl.col("member") == ""))
    return [rows.index(each) for each in found["row"]]


def test_a_marriage_is_judged_by_the_start_of_its_row() -> None:
    starts = [LONG, LATELY - 500, 0, LONG, LONG]
    benefits = [DEPENDANT, DEPENDANT, DEPENDANT, PENSION, DEPENDANT]
    marriages = [(0, LATELY), (1, LONG), (2, LATELY), (3, LATELY), (4, LONG - 100), (4, LATELY)]
    tables = merged(BOOK, RUN, 0, rows_of(benefits, starts), [reply(*marriages, count=5, used=True)])
    assert certified(tables["people"]) == ["STOP_PROPOSED", "CERTIFIED", "SUSPECT", "CERTIFIED", "STOP_PROPOSED"]
    assert reasons_of(tables, "BENEFIT_START_UNKNOWN") == [2]
    assert reasons_of(tables, "BENEFIT_START_NOT_USED") == []
    names = tables["reason_texts"].filter(pl.col("member") == "")
    assert "BENEFIT_START_UNKNOWN" in names["name"].to_list()
    assert FLAGS["REMARRIED"]


def test_the_days_that_two_members_tell_are_taken_together() -> None:
    one = reply((0, LONG - 100), count=1, used=True)
    other = reply((0, LATELY), count=1, used=True, member="MB")
    tables = merged(BOOK, RUN, 0, rows_of([DEPENDANT], [LONG]), [one, other])
    assert certified(tables["people"]) == ["STOP_PROPOSED"]


def test_an_answer_that_another_replaced_says_nothing_of_a_marriage() -> None:
    first = reply((0, LATELY), count=2, used=False)
    again = reply(count=1, used=True)._replace(
        ask=Ask(0, LINKED, "MA"), at=np.array([0]), under={0: ("330702195001010044",)}
    )
    tables = merged(BOOK, RUN, 0, rows_of([DEPENDANT] * 2, [LONG, LONG]), [first, again])
    assert certified(tables["people"])[0] == "CERTIFIED"
    assert reasons_of(tables, "BENEFIT_START_NOT_USED") == [1]


def test_the_days_of_a_part_of_the_chunk_are_those_of_its_people() -> None:
    told = reply((0, LONG), (1, LATELY), count=2, used=True)._replace(at=np.array([1, 2]))
    rest = reply(count=1, used=True, member="MB")
    tables = merged(BOOK, RUN, 0, rows_of([DEPENDANT] * 3, [LATELY, LATELY, LONG]), [told, rest])
    assert certified(tables["people"]) == ["CERTIFIED", "CERTIFIED", "STOP_PROPOSED"]


def test_a_member_that_does_not_go_by_the_start_is_told_of_where_it_may_leave_something_out() -> None:
    rows = rows_of([DEPENDANT, DEPENDANT, PENSION, DEPENDANT], [LONG, LATELY, LONG, 0])
    told = merged(BOOK, RUN, 0, rows, [reply(count=4, used=False)])
    assert reasons_of(told, "BENEFIT_START_NOT_USED") == [0]
    both = [reply(count=4, used=True), reply(count=4, used=False, member="MB")]
    assert reasons_of(merged(BOOK, RUN, 0, rows, both), "BENEFIT_START_NOT_USED") == [0]
