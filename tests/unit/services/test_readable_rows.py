"""Rows of evidence in a readable answer: each column in its field, and what is not told left out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.exchange.envelope import Proof
from gateway.federation.answers import PartnerAnswer
from gateway.federation.checked import Checked, MemberResult
from gateway.federation.verdict import verdict
from gateway.rules.kinds import FIRST_EVENT
from gateway.rules.wording import day_text
from gateway.services.readable import readable
from tests.unit.rules.rules_world import BOOK, EMPLOYEE, TODAY, civil
from tests.unit.services.gateways_world import B, C, findings
from wugan.adapter.v1 import columns_pb2
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MONTH, DAY = words.DATE_PRECISION_MONTH, words.DATE_PRECISION_DAY
DAYS = ("observed_on", "available_on", "from_on", "until_on")
days = st.sampled_from([0, 1, -1, civil(TODAY), 2**31 - 1])
rows = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([0, 8, FIRST_EVENT]),
        "department": st.integers(0, 9),
        "region": st.sampled_from([0, 330700]),
        **dict.fromkeys(DAYS, days),
        "strength": st.integers(0, 4),
        "source_reference": st.sampled_from(["", "r"]),
        "detail": st.sampled_from([0, 340100]),
    }
)


def shown(made: exchange_pb2.Findings) -> agency_pb2.CheckResponse:
    answer = PartnerAnswer(B.member_id, made, b"", Proof(b"", b"", b"", b"", b"", 0, 1, b""))
    checked = Checked(civil(TODAY), 1, (MemberResult(B.member_id, (), answer=answer),))
    return readable(checked, verdict(BOOK, checked, EMPLOYEE), {B.member_id: B.entry()})


@settings(deadline=None)
@given(st.lists(rows, max_size=3), st.sampled_from([MONTH, DAY]), st.sampled_from([MONTH, DAY]))
def test_every_column_of_a_row_is_in_its_field(told: list[dict[str, object]], traces: int, events: int) -> None:
    columns = {name: [row[name] for row in told] for name in (told[0] if told else ())}
    made = findings(words.SURVIVAL_STATUS_ALIVE_STRONG, trace_dates=traces, event_dates=events)
    made.evidence.CopyFrom(columns_pb2.EvidenceColumns(subject=[0] * len(told), **columns))  # type: ignore[arg-type]
    expected = []
    for row in told:
        month = (events if row["kind"] >= FIRST_EVENT else traces) == MONTH  # type: ignore[operator]
        texts = {name: day_text(row[name], month=month) for name in DAYS}  # type: ignore[arg-type]
        expected.append(agency_pb2.Evidence(**{**row, **texts, "member_id": B.member_id}))  # type: ignore[arg-type]
    assert list(shown(made).evidence) == expected


def test_who_tells_no_evidence_has_no_rows() -> None:
    response = shown(findings(words.SURVIVAL_STATUS_ALIVE_STRONG))
    assert not response.evidence
    assert not response.sources
    assert not response.linked_id_numbers
    assert [each.member_id for each in response.answers] == [B.member_id]


def shown_of_two(first: exchange_pb2.Findings, second: exchange_pb2.Findings) -> agency_pb2.CheckResponse:
    results = [
        MemberResult(
            party.member_id,
            (),
            answer=PartnerAnswer(party.member_id, made, b"", Proof(b"", b"", b"", b"", b"", 0, 1, b"")),
        )
        for party, made in ((B, first), (C, second))
    ]
    checked = Checked(civil(TODAY), 1, tuple(results))
    members = {party.member_id: party.entry() for party in (B, C)}
    return readable(checked, verdict(BOOK, checked, EMPLOYEE), members)


@given(st.sampled_from([MONTH, DAY]), st.sampled_from([MONTH, DAY]))
def test_the_last_trace_is_told_by_its_month_where_any_member_tells_no_more(one: int, other: int) -> None:
    told = [
        findings(words.SURVIVAL_STATUS_ALIVE_STRONG, last_trace_on=[civil(TODAY)], last_trace_date=precision)
        for precision in (one, other)
    ]
    expected = day_text(civil(TODAY), month=MONTH in (one, other))
    assert shown_of_two(*told).last_trace_on == expected


def test_numbers_that_members_link_are_told_once_each_in_the_order_of_the_members() -> None:
    told = []
    for numbers in (["1", "2"], ["2", "3"]):
        made = findings(words.SURVIVAL_STATUS_ALIVE_STRONG)
        made.links.subject.extend([0] * len(numbers))
        made.links.id_number.extend(numbers)
        told.append(made)
    assert shown_of_two(*told).linked_id_numbers == ["1", "2", "3"]
