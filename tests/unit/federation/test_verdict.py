"""What several members said about one recipient, made into one verdict that an official can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import PartnerError
from gateway.exchange.envelope import Proof
from gateway.federation.answers import PartnerAnswer, check_findings
from gateway.federation.checked import Checked, MemberResult
from gateway.federation.verdict import MAX_NAME, MAX_TEMPLATE, Verdict, verdict
from gateway.rules.reasons import TRACE_CODES, ReasonCode
from tests.unit.rules.rules_world import BOOK, DEPENDANT, EMPLOYEE, TODAY, civil, flag_bits
from tests.unit.services.gateways_world import A, B, C, findings
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

STRONG = words.SURVIVAL_STATUS_ALIVE_STRONG
WEAK = words.SURVIVAL_STATUS_ALIVE_WEAK
DECEASED = words.SURVIVAL_STATUS_DECEASED
UNKNOWN = words.SURVIVAL_STATUS_UNKNOWN
CONFLICT = words.SURVIVAL_STATUS_CONFLICT
IDENTITY = 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT
MONTH, DAY, NONE = words.DATE_PRECISION_MONTH, words.DATE_PRECISION_DAY, words.DATE_PRECISION_UNSPECIFIED
REFUSED = PartnerError("not there", "不在")


def result(found: exchange_pb2.Findings | None, member_id: str = B.member_id) -> MemberResult:
    if found is None:
        return MemberResult(member_id, (), error=REFUSED)
    proof = Proof(b"", b"", b"", b"", b"", 0, 1, b"")
    return MemberResult(member_id, (), answer=PartnerAnswer(member_id, found, b"", proof))


def judged(*found: exchange_pb2.Findings | None, benefit: int = EMPLOYEE, since: str | None = None) -> Verdict:
    """The verdict on what these members found; None: did not answer."""
    members = (B.member_id, C.member_id, A.member_id)
    results = tuple(result(each, member) for each, member in zip(found, members, strict=False))
    return verdict(BOOK, Checked(civil(TODAY), 0, results), benefit, civil(since))


def told(
    code: ReasonCode, on: int = 0, *, department: int = 5, kind: int = 8, number: int = 2, **texts: str
) -> dict[str, Any]:
    """One reason as columns and text, to be given to `findings`."""
    text = BOOK.reason_texts[code]
    return {
        "reasons": exchange_pb2.ReasonColumns(
            subject=[0], code=[code], department=[department], kind=[kind], on=[on], number=[number]
        ),
        "reason_texts": [
            exchange_pb2.ReasonText(
                code=code,
                name=texts.get("name", text.name),
                zh=texts.get("zh", text.zh),
                en=texts.get("en", text.en),
                about_trace=code in TRACE_CODES,
            )
        ],
    }


statuses = st.sampled_from([number for number in words.SurvivalStatus.values() if number])
flag_sets = st.integers(0, 2**16 - 1).map(lambda bits: bits & ~1 & ~IDENTITY)
days = st.one_of(st.just(0), st.integers(15_000, civil(TODAY)))


@st.composite
def rows(draw: st.DrawFn) -> exchange_pb2.Findings:
    """A row as the grading gives it: a day decides where something happened, an identity conflict hides all else."""
    status = draw(statuses)
    flags = draw(flag_sets)
    decided = draw(days) if status in (4, 5, 6, 7) else 0
    if status in (4, 5, 6) and not decided:
        decided = 15_000
    last = draw(days)
    if draw(st.booleans()) and status == CONFLICT:
        flags, decided, last = IDENTITY, 0, 0
    return findings(
        status,
        flags=[flags],
        decided_on=[decided],
        last_trace_on=[last],
        valid_until_on=[draw(st.integers(civil(TODAY), civil(TODAY) + 90))],
        partial=draw(st.booleans()),
    )


def essence(row: Verdict) -> tuple[object, ...]:
    return row.status, row.flags, row.decided_on, row.last_trace_on, row.valid_until_on


@given(rows(), st.sampled_from([EMPLOYEE, DEPENDANT]))
@settings(max_examples=150, deadline=None)
def test_one_members_verdict_equals_the_merge_of_one(row: exchange_pb2.Findings, benefit: int) -> None:
    alone = judged(row, benefit=benefit)
    merged = judged(row, None, benefit=benefit)  # a member that did not answer adds nothing but that
    assert essence(alone) == essence(merged)
    assert (alone.proposal, alone.effective_month) == (merged.proposal, merged.effective_month)
    assert merged.partial
    assert alone.partial == row.partial


def test_an_identity_conflict_is_one_whatever_else_a_member_says() -> None:
    row = findings(STRONG, flags=[IDENTITY | flag_bits("REMARRIED")], last_trace_on=[civil(5)])
    alone = judged(row)
    assert essence(alone) == essence(judged(row, None))
    assert (alone.status, alone.flags) == (CONFLICT, IDENTITY)


def test_a_death_here_and_a_later_trace_there_is_a_conflict_that_says_so() -> None:
    dead = findings(DECEASED, decided_on=[civil(100)], **told(ReasonCode.DEATH_CONFIRMED, civil(100), kind=101))
    alive = findings(STRONG, last_trace_on=[civil(5)], **told(ReasonCode.INDEPENDENT_DEPARTMENTS, civil(5)))
    found = judged(dead, alive)
    assert found.status == CONFLICT
    assert found.proposal == words.CERTIFICATION_STATUS_SUSPECT
    assert not found.effective_month
    names = [reason.name for reason in found.reasons]
    assert names == ["MEMBERS_DISAGREE", "DEATH_CONFIRMED", "INDEPENDENT_DEPARTMENTS"]


def test_a_province_that_does_not_know_the_person_changes_nothing() -> None:
    alive = findings(STRONG, last_trace_on=[civil(5)], valid_until_on=[civil(TODAY) + 30])
    found = judged(alive, findings(UNKNOWN, valid_until_on=[civil(TODAY)]))
    assert (found.status, found.valid_until_on) == (STRONG, civil(TODAY) + 30)
    assert not found.partial


def test_a_member_that_did_not_answer_makes_it_partial_and_no_worse() -> None:
    alive = findings(STRONG, last_trace_on=[civil(5)])
    found = judged(None, alive)
    assert (found.status, found.partial) == (STRONG, True)


def test_a_death_proposes_to_stop_from_the_month_after_it() -> None:
    found = judged(findings(DECEASED, decided_on=[civil("2026-01-31")]))
    assert found.proposal == words.CERTIFICATION_STATUS_STOP_PROPOSED
    assert found.effective_month == "2026-02"


def test_the_month_of_a_remarriage_comes_from_the_reason_that_tells_its_day() -> None:
    married = flag_bits("REMARRIED")
    early = findings(STRONG, flags=[married], **told(ReasonCode.REMARRIED, civil("2025-12-15")))
    late = findings(STRONG, flags=[married], **told(ReasonCode.REMARRIED, civil("2026-03-01")))
    for found in (
        judged(early, benefit=DEPENDANT, since="2020-01-01"),
        judged(late, early, benefit=DEPENDANT, since="2020-01-01"),
    ):
        assert found.proposal == words.CERTIFICATION_STATUS_STOP_PROPOSED
        assert found.effective_month == "2026-01"
    undated = findings(STRONG, flags=[married])
    assert judged(undated, benefit=DEPENDANT, since="2020-01-01").effective_month == ""


def test_two_benefits_with_the_same_row_are_judged_apart() -> None:
    row = findings(STRONG, flags=[flag_bits("REMARRIED")], **told(ReasonCode.REMARRIED, civil("2025-12-15")))
    assert judged(row, benefit=EMPLOYEE).proposal == words.CERTIFICATION_STATUS_CERTIFIED
    found = judged(row, benefit=DEPENDANT, since="2020-01-01")
    assert found.proposal == words.CERTIFICATION_STATUS_STOP_PROPOSED


START = "BENEFIT_START_UNKNOWN"
NOT_USED = "BENEFIT_START_NOT_USED"


def married(*days: str, used: bool = False) -> exchange_pb2.Findings:
    """Findings about a living person with these marriages, of a member that went by the start, or not."""
    row = findings(STRONG, flags=[flag_bits("REMARRIED")], **told(ReasonCode.REMARRIED, civil(days[0])))
    for day in days[1:]:
        row.reasons.MergeFrom(told(ReasonCode.REMARRIED, civil(day))["reasons"])
    row.benefit_since_used = used
    return row


@pytest.mark.parametrize(
    ("marriages", "since", "proposal", "month", "names"),
    [
        # the start is not known: an official looks, and is told why
        (["2022-05-01"], None, "SUSPECT", "", {START}),
        # the only marriage is the one to the deceased worker: an older partner tells it all the same
        (["2019-12-31"], "2020-01-01", "CERTIFIED", "", set()),
        (["2020-01-01"], "2020-01-01", "STOP_PROPOSED", "2020-02", set()),
        (["2022-05-01"], "2020-01-01", "STOP_PROPOSED", "2022-06", set()),
        # that marriage does not hide the second one
        (["2018-05-01", "2022-05-01"], "2020-01-01", "STOP_PROPOSED", "2022-06", set()),
        (["2024-05-01", "2022-05-01", "2018-05-01"], "2020-01-01", "STOP_PROPOSED", "2022-06", set()),
        (["2018-05-01", "2019-05-01"], "2020-01-01", "CERTIFIED", "", set()),
    ],
)
def test_a_marriage_counts_by_the_start_of_the_benefit(
    marriages: list[str], since: str | None, proposal: str, month: str, names: set[str]
) -> None:
    for found in (
        judged(married(*marriages), benefit=DEPENDANT, since=since),
        judged(*[married(day) for day in marriages], benefit=DEPENDANT, since=since),
    ):
        assert words.CertificationStatus.Name(found.proposal) == f"CERTIFICATION_STATUS_{proposal}"
        assert found.effective_month == month
        assert {each.name for each in found.reasons} & {START, NOT_USED} == names - {NOT_USED} | (
            {NOT_USED} if since else set()
        )


def test_a_partner_that_does_not_go_by_the_start_is_told_of_where_it_may_leave_something_out() -> None:
    def names(*found: exchange_pb2.Findings, benefit: int = DEPENDANT, since: str | None) -> set[str]:
        return {each.name for each in judged(*found, benefit=benefit, since=since).reasons} & {START, NOT_USED}

    old, new = findings(STRONG), findings(STRONG)
    new.benefit_since_used = True
    assert names(old, since="2010-01-01") == {NOT_USED}
    assert names(new, old, since="2010-01-01") == {NOT_USED}
    assert names(new, new, since="2010-01-01") == set()
    assert names(old, since=None) == set()
    assert names(old, since="2026-01-01") == set()  # within the shortest look-back nothing is left out
    assert names(old, benefit=EMPLOYEE, since="2010-01-01") == set()


@pytest.mark.parametrize(
    ("code", "trace_dates", "event_dates", "text"),
    [
        (ReasonCode.MISUSE_AFTER_DEATH, MONTH, DAY, "2026-05"),
        (ReasonCode.MISUSE_AFTER_DEATH, DAY, MONTH, "2026-05-01"),
        (ReasonCode.REMARRIED, MONTH, DAY, "2026-05-01"),
        (ReasonCode.REMARRIED, DAY, MONTH, "2026-05"),
    ],
)
def test_a_month_is_told_as_a_month_and_a_day_as_a_day(
    code: ReasonCode, trace_dates: Any, event_dates: Any, text: str
) -> None:
    reason = told(code, civil("2026-05-01"), zh="{on}。", en="on {on}.")
    (sentence,) = judged(findings(STRONG, trace_dates=trace_dates, event_dates=event_dates, **reason)).reasons
    assert (sentence.zh, sentence.en) == (f"{text}。", f"on {text}.")


def test_a_day_that_is_not_disclosed_is_told_in_general_words() -> None:
    reason = told(ReasonCode.MISUSE_AFTER_DEATH, 0, department=0, kind=0, zh="{on}{department}{kind}", en="{on}")
    (sentence,) = judged(findings(STRONG, trace_dates=NONE, **reason)).reasons
    assert (sentence.zh, sentence.en) == ("某日某部门记录", "a day not disclosed")


def test_the_same_sentence_of_two_members_is_told_once() -> None:
    row = findings(STRONG, last_trace_on=[civil(5)], **told(ReasonCode.INDEPENDENT_DEPARTMENTS, civil(5)))
    assert len(judged(row, row).reasons) == 1


def test_another_members_texts_are_cut() -> None:
    reason = told(ReasonCode.REMARRIED, name="N" * 5000, zh="字" * 5000, en="e" * 5000)
    (sentence,) = judged(findings(STRONG, **reason)).reasons
    assert (len(sentence.name), len(sentence.zh), len(sentence.en)) == (MAX_NAME, MAX_TEMPLATE, MAX_TEMPLATE)


def test_a_code_of_a_newer_version_is_told_with_the_text_that_came_with_it() -> None:
    reason = told(ReasonCode.REMARRIED)
    reason["reasons"].code[0] = reason["reason_texts"][0].code = 9_999
    reason["reason_texts"][0].en = "new for {number} reasons"
    (sentence,) = judged(findings(STRONG, flags=[2**32 - 2], **reason)).reasons
    assert sentence.en == "new for 2 reasons"


wild = st.sampled_from([0, 1, -1, 5, 255, 20_000, 2**31 - 1, -(2**31)])


@given(st.lists(st.tuples(statuses, st.integers(0, 2**32 - 1), wild, wild, wild, wild), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_whatever_fits_a_question_can_be_judged(given_rows: Sequence[tuple[int, ...]]) -> None:
    found = []
    for status, flags, decided, last, until, on in given_rows:
        reason = told(ReasonCode.REMARRIED, on)
        made = findings(
            status, flags=[flags], decided_on=[decided], last_trace_on=[last], valid_until_on=[until], **reason
        )
        check_findings(made, 1)
        found.append(made)
    judged(*found, benefit=DEPENDANT)


def test_the_order_of_members_changes_nothing_but_the_order_of_reasons() -> None:
    dead = findings(DECEASED, decided_on=[civil(100)], last_trace_on=[civil(120)])
    weak = findings(WEAK, last_trace_on=[civil(130)])
    first, second = judged(dead, weak), judged(weak, dead)
    assert first._replace(reasons=()) == second._replace(reasons=())
