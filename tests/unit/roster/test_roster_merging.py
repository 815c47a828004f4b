"""The members' answers about a chunk made into its results: held against the same, made for one person at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import WuganError
from gateway.exchange.envelope import Proof
from gateway.federation.answers import PartnerAnswer, check_findings
from gateway.roster.asking import Reply
from gateway.roster.frames import EVIDENCE, FACES, MESSAGES, PEOPLE, REASON_TEXTS, REASONS
from gateway.roster.linking import replaced
from gateway.roster.merging import MAX_NAME, MAX_REFERENCE, MAX_TEMPLATE, merged
from gateway.roster.run import LINKED, Ask, Refusal, Submitted
from gateway.roster.validating import ROWS
from gateway.rules.book import FLAG_SLOTS
from gateway.rules.certification import propose
from gateway.rules.merge import merge
from gateway.rules.overpayment import overpaid
from tests.unit.adapters.adapters_world import number
from tests.unit.rules.rules_world import BOOK
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

TODAY = 20_600
MEMBERS = ("MA", "MB", "MC")
SCHEMAS = {
    "people": PEOPLE,
    "reasons": REASONS,
    "evidence": EVIDENCE,
    "faces": FACES,
    "reason_texts": REASON_TEXTS,
    "messages": MESSAGES,
}
BENEFITS = [words.BENEFIT_TYPE_EMPLOYEE_PENSION, words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT]
REFUSED = Refusal(words.REFUSAL_REASON_MEMBER_NOT_PERMITTED, "未获授权", "no grant")
RUN = Submitted(
    run_id=b"r" * 16,
    unit="u",
    file_name="f.csv",
    form=1,
    size=1,
    sha256=b"s" * 32,
    purpose=v.PURPOSE_CERTIFICATION,
    legal_basis="法",
    case_reference="C",
    official=b"o" * 32,
    benefit=0,
    columns=(),
    evidence_limit=5,
    live=False,
    continues=b"",
    sheet="",
    ask_about_home=False,
    as_of_on=TODAY,
    chunk_rows=100,
    submitted_at_ms=0,
    deadline_ms=0,
    secret=b"k" * 32,
)


def planned(count: int) -> pl.DataFrame:
    """Rows of a chunk: every third cannot be asked about for the place it names."""
    every = range(count)
    columns: dict[str, Any] = {
        "row": [7 + 2 * each for each in every],
        "id_number": [number(each) for each in every],
        "name": [f"人{each}" for each in every],
        "document_kind": [1] * count,
        "aliases": [[]] * count,
        "benefit": [BENEFITS[each % 2] for each in every],
        "residence": [[330700, 110000] if each % 2 else [] for each in every],
        "insured": [0] * count,
        "household": [0] * count,
        "past": [[]] * count,
        "reference": [f"R{each}" for each in every],
        "unit": [""] * count,
        "grid_unit": [f"网格{each % 2}" for each in every],
        "monthly_fen": [350_000 + each for each in every],
        "last_paid_on": [TODAY - 10] * count,
        "account_fen": [1_000 * each for each in every],
        "entitled_since_on": [0] * count,
    }
    refusal = [words.REFUSAL_REASON_NOT_SERVED if each % 3 == 2 else 0 for each in every]
    rows = pl.DataFrame(columns, schema=ROWS)
    return rows.with_columns(members=pl.lit(""), refusal=pl.Series(refusal, dtype=pl.Int16))


def answer(member: str, people: Sequence[tuple[int, int, int]], **more: Any) -> PartnerAnswer:
    """About people of (status, flags, days before today), the first of whom has reasons and evidence."""
    decided = [TODAY - ago if status >= words.SURVIVAL_STATUS_DECEASED else 0 for status, _, ago in people]
    plain: dict[str, Any] = {
        "status": [status for status, _, _ in people],
        "flags": [flags for _, flags, _ in people],
        "decided_on": decided,
        "last_trace_on": [TODAY - ago for _, _, ago in people],
        "valid_until_on": [TODAY + ago for _, _, ago in people],
        "as_of_on": TODAY,
        "made_at_ms": 17,
        "rules_version": "1" * 200,
        **more,
    }
    found = exchange_pb2.Findings(**plain)
    check_findings(found, len(people))
    return PartnerAnswer(member, found, b"m" * 16, Proof(b"h", b"q" * 32, b"s", b"", b"", 0, 1, b""))


status = st.sampled_from(
    [
        words.SURVIVAL_STATUS_ALIVE_STRONG,
        words.SURVIVAL_STATUS_ALIVE_WEAK,
        words.SURVIVAL_STATUS_DECEASED,
        words.SURVIVAL_STATUS_MISSING,
        words.SURVIVAL_STATUS_UNKNOWN,
    ]
)
flags = st.sampled_from([0, 1 << words.ENTITLEMENT_FLAG_REMARRIED, 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT])
person = st.tuples(status, flags, st.integers(1, 200))


@st.composite
def chunk(draw: st.DrawFn) -> tuple[int, list[Reply]]:
    count = draw(st.integers(0, 9))
    replies = []
    for member in MEMBERS:
        for phase in (0, 1):
            at = sorted(draw(st.sets(st.integers(0, count - 1)))) if count else []
            if not at:
                continue
            came: PartnerAnswer | Refusal = REFUSED
            if draw(st.integers(0, 4)):
                people = draw(st.lists(person, min_size=len(at), max_size=len(at)))
                more: dict[str, Any] = {"partial": draw(st.booleans())}
                if draw(st.booleans()):  # the last one is refused by himself
                    people[-1] = (0, 0, 1)
                    reason = words.REFUSAL_REASON_INVALID_ARGUMENT
                    more["refused"] = exchange_pb2.SubjectRefusals(subject=[len(at) - 1], reason=[reason])
                came = answer(member, people, **more)
            replies.append(Reply(Ask(3, phase, member), np.array(at, np.int64), came))
    return count, replies


@settings(deadline=None, max_examples=25)
@given(chunk(), st.randoms())
def test_every_row_comes_to_what_it_would_by_itself(given_: tuple[int, list[Reply]], chance: Any) -> None:
    count, replies = given_
    rows = planned(count)
    shuffled = list(replies)
    chance.shuffle(shuffled)
    tables = merged(BOOK, RUN, 3, rows, shuffled)
    for name, schema in SCHEMAS.items():
        assert tables[name].schema == pl.Schema(schema)
    people = tables["people"]
    assert people["row"].to_list() == rows["row"].to_list()
    ordered = sorted(replies, key=lambda reply: (reply.ask.phase, reply.ask.member))
    for place, told in enumerate(people.rows(named=True)):
        about = [(reply, int(np.flatnonzero(reply.at == place)[0])) for reply in ordered if place in reply.at]
        answers = [(reply.came.findings, at) for reply, at in about if isinstance(reply.came, PartnerAnswer)]

        def one(field: str, form: Any, answers: list[Any] = answers) -> np.ndarray:
            return np.array([[getattr(found, field)[at]] for found, at in answers], form).reshape(len(answers), 1)

        alone = merge(
            BOOK,
            status=one("status", np.int32),
            flags=one("flags", np.uint32),
            decided_on=one("decided_on", np.int32),
            last_trace_on=one("last_trace_on", np.int32),
            valid_until_on=one("valid_until_on", np.int32),
        )
        for field in ("status", "flags", "decided_on", "last_trace_on", "valid_until_on"):
            assert told[field] == getattr(alone, field)[0], field
        proposed = propose(
            BOOK,
            benefit=rows["benefit"].to_numpy()[place : place + 1],
            status=alone.status,
            flags=alone.flags,
            decided_on=alone.decided_on,
            flag_on=np.zeros((1, FLAG_SLOTS), np.int32),
            as_of_on=TODAY,
            entitled_since_on=np.zeros(1, np.int32),
        )
        assert told["certification"] == proposed.status[0]
        over = overpaid(
            proposed.effective_on,
            rows["last_paid_on"].to_numpy()[place : place + 1],
            rows["monthly_fen"].to_numpy()[place : place + 1],
            rows["account_fen"].to_numpy()[place : place + 1],
        )
        assert (told["overpaid_months"], told["overpaid_net_fen"]) == (over.months[0], over.net[0])
        lacking = [
            reply.ask.member
            for reply, at in about
            if isinstance(reply.came, Refusal) or reply.came.findings.partial or not reply.came.findings.status[at]
        ]
        assert told["members"] == ";".join(dict.fromkeys(reply.ask.member for reply, _ in about))
        assert told["silent"] == ";".join(dict.fromkeys(lacking))
        assert told["partial"] == bool(lacking)
        assert (told["refusal"] == 0) == bool(told["status"] or not (lacking or place % 3 == 2))


def sources(*outcomes: int) -> list[exchange_pb2.SourceReport]:
    return [
        exchange_pb2.SourceReport(adapter_id=f"a{at}", department=at, outcome=outcome)  # type: ignore[arg-type]
        for at, outcome in enumerate(outcomes, start=1)
    ]


ALIVE = (words.SURVIVAL_STATUS_ALIVE_STRONG, 0, 3)


def whole(*replies: tuple[str, Sequence[int], PartnerAnswer]) -> dict[str, pl.DataFrame]:
    asked = [Reply(Ask(3, 0, member), np.array(at, np.int64), came) for member, at, came in replies]
    return merged(BOOK, RUN, 3, planned(4), asked)


def test_departments_that_did_not_answer_are_named_with_their_member() -> None:
    away = sources(words.SOURCE_OUTCOME_ANSWERED, words.SOURCE_OUTCOME_UNAVAILABLE, words.SOURCE_OUTCOME_FAULTY)
    tables = whole(
        ("MA", [0, 1], answer("MA", [ALIVE] * 2, partial=True, sources=away)),
        ("MB", [1, 3], answer("MB", [ALIVE] * 2)),
    )
    assert tables["people"]["silent"].to_list() == ["MA/2;MA/3", "MA/2;MA/3", "", ""]
    assert tables["people"]["members"].to_list() == ["MA", "MA;MB", "", "MB"]


def test_a_department_that_could_not_read_some_is_missing_to_them_only() -> None:
    faulty = sources(words.SOURCE_OUTCOME_FAULTY, words.SOURCE_OUTCOME_ANSWERED, words.SOURCE_OUTCOME_FAULTY)
    faulty[0].unreadable_subject.extend([1])
    faulty[2].unreadable_subject.extend([1, 2])
    tables = whole(
        ("MA", [0, 1, 3], answer("MA", [ALIVE] * 3, partial=True, sources=faulty)), ("MB", [2], answer("MB", [ALIVE]))
    )
    people = tables["people"]
    assert people["silent"].to_list() == ["", "MA/1;MA/3", "", "MA/3"]
    assert people["partial"].to_list() == [False, True, False, True]


def test_of_whoever_was_refused_beside_them_the_member_is_missing() -> None:
    faulty = sources(words.SOURCE_OUTCOME_FAULTY)
    faulty[0].unreadable_subject.extend([0])
    refused = exchange_pb2.SubjectRefusals(subject=[1], reason=[words.REFUSAL_REASON_INVALID_ID_NUMBER])
    came = answer("MA", [ALIVE, (0, 0, 0), ALIVE], partial=True, sources=faulty, refused=refused)
    assert whole(("MA", [0, 1, 3], came))["people"]["silent"].to_list() == ["MA/1", "MA", "", ""]


def test_an_answer_under_more_numbers_takes_the_place_of_another_where_it_is_whole() -> None:
    faulty = sources(words.SOURCE_OUTCOME_FAULTY)
    faulty[0].unreadable_subject.extend([1])
    first = Reply(Ask(3, 0, "MA"), np.array([0, 1, 2], np.int64), answer("MA", [ALIVE] * 3))
    came = answer("MA", [ALIVE] * 2, partial=True, sources=faulty)
    later = Reply(Ask(3, LINKED, "MA"), np.array([0, 2], np.int64), came)
    assert {at: places.tolist() for at, places in replaced([first, later]).items()} == {0: [0]}
    faulty[0].ClearField("unreadable_subject")
    came = answer("MA", [ALIVE] * 2, partial=True, sources=faulty)
    assert not replaced([first, later._replace(came=came)])


def test_a_list_of_people_who_were_not_asked_about_makes_an_answer_useless() -> None:
    faulty = sources(words.SOURCE_OUTCOME_FAULTY)
    faulty[0].unreadable_subject.extend([2])
    with pytest.raises(WuganError):
        answer("MA", [ALIVE] * 2, partial=True, sources=faulty)


def test_what_members_say_of_rows_stands_at_these_rows_in_their_order_and_is_cut() -> None:
    reasons = exchange_pb2.ReasonColumns(
        subject=[1, 0], code=[5, 5], department=[2, 2], kind=[1, 1], on=[TODAY - 3, TODAY], number=[0, 9]
    )
    texts = [exchange_pb2.ReasonText(code=5, name="N" * 300, zh="字" * 900, en="text", about_trace=True)]
    evidence = columns_pb2.EvidenceColumns(
        subject=[1],
        kind=[v.EVIDENCE_KIND_CREMATION],
        department=[2],
        region=[330700],
        observed_on=[TODAY - 3],
        available_on=[0],
        strength=[1],
        source_reference=["x" * 400],
        detail=[0],
        from_on=[0],
        until_on=[0],
    )
    said = answer(
        "MB",
        [ALIVE] * 2,
        reasons=reasons,
        reason_texts=texts,
        evidence=evidence,
        trace_dates=words.DATE_PRECISION_MONTH,
    )
    tables = whole(("MB", [0, 3], said), ("MA", [3], answer("MA", [ALIVE])))
    told = tables["reasons"].filter(pl.col("member") == "MB")
    assert told.select("row", "code", "number", "month").rows() == [(7, 5, 9, True), (13, 5, 0, True)]
    assert {len(name) for name in told["name"]} == {MAX_NAME}
    assert [len(text) for text in tables["reason_texts"].filter(pl.col("member") == "MB")["zh"]] == [MAX_TEMPLATE]
    assert tables["evidence"].select("row", "member", "kind").rows() == [(13, "MB", v.EVIDENCE_KIND_CREMATION)]
    assert [len(text) for text in tables["evidence"]["source_reference"]] == [MAX_REFERENCE]
    assert tables["messages"].select("chunk", "member", "cached").rows() == [(3, "MA", False), (3, "MB", False)]
    assert {len(version) for version in tables["messages"]["rules_version"]} == {MAX_NAME}


def test_a_face_that_two_members_tell_of_is_one() -> None:
    one, two = b"1" * 16, b"2" * 16
    first = exchange_pb2.FaceTokens(subject=[1, 0, 1], token=[one, two, two])
    tables = whole(
        ("MA", [0, 3], answer("MA", [ALIVE] * 2, faces=first)),
        ("MB", [3], answer("MB", [ALIVE], faces=exchange_pb2.FaceTokens(subject=[0], token=[one]))),
    )
    assert tables["faces"].rows() == [(7, two), (13, one), (13, two)]


@pytest.mark.parametrize(("field", "value"), [("decided_on", (1 << 31) - 1), ("valid_until_on", -(1 << 31))])
def test_days_out_of_range_are_nothing_to_fall_over(field: str, value: int) -> None:
    tables = whole(("MA", [0], answer("MA", [(words.SURVIVAL_STATUS_DECEASED, 0, 5)], **{field: [value]})))
    assert tables["people"].height == 4
