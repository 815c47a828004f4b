"""A remote adapter's answer on the wire: what is sent is what arrives, and nothing that is wrong is believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from adapters_world import ANNA, BO, CHEN, ask, day, holders, number, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import DataItem, Description, Evidence, Found, Holders, Links, Lookup, Subjects
from adapters.errors import AdapterError, SourceDownError, SourceFaultError
from adapters.incoming import AnswerLimits, Incoming
from adapters.outgoing import MAX_MESSAGE_BYTES, messages, request
from adapters.serving.asked import RequestError, lookup_of
from wugan.adapter.v1 import adapter_pb2, columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as v

ABOUT = Description(
    "burials",
    "1",
    v.DEPARTMENT_CIVIL_AFFAIRS,
    (330700,),
    (DataItem(v.EVIDENCE_KIND_BURIAL, v.STRENGTH_REAL_NAME, 30), DataItem(v.EVIDENCE_KIND_OLD_AGE_SUBSIDY, 3, 5)),
    links=True,
)
DAY = day("2026-02-14")


def evidence(*subjects: int, **changed: object) -> Evidence:
    ones = np.ones(len(subjects), np.int32)
    columns = {
        "kind": ones * v.EVIDENCE_KIND_BURIAL,
        "department": ones * ABOUT.department,
        "region": ones * 330700,
        "observed_on": ones * DAY,
        "available_on": ones * (DAY + 9),
        "strength": ones * v.STRENGTH_REAL_NAME,
        "detail": ones * 0,
        "from_on": ones * 0,
        "until_on": ones * 0,
        "source_reference": [f"B26-{row:04d}" for row in range(len(subjects))],
        **changed,
    }
    return Evidence(subject=np.array(subjects, np.int32), **columns)  # type: ignore[arg-type]


def known(question: Lookup, *subjects: int) -> Holders:
    numbers = [question.subjects.id_number[row] for row in subjects]
    return Holders(np.array(subjects, np.int32), numbers, ["某人"] * len(subjects))


def taken_in(question: Lookup, stream: list[bytes], limits: AnswerLimits | None = None) -> Found:
    incoming = Incoming(question, ABOUT, limits or AnswerLimits())
    for data in stream:
        incoming.add(data)
    return incoming.found()


def test_who_could_not_be_read_arrives_with_the_rest_if_that_was_asked_for() -> None:
    question = ask(ANNA, BO, CHEN, takes_unreadable=True)
    sent = Found(known(question, 0), evidence(0), unreadable=np.array([1, 2], np.int32))
    for size in (1, 10):
        found = taken_in(question, list(messages(sent, rows=size)))
        assert (found.unreadable.tolist(), holders(found), len(found.evidence)) == ([1, 2], holders(sent), 1)
    alone = Found(unreadable=np.array([0], np.int32))
    assert taken_in(question, list(messages(alone))).unreadable.tolist() == [0]
    arrived = lookup_of(adapter_pb2.LookupRequest.FromString(request(question, b"i")), 5.0, 10)
    assert arrived.takes_unreadable
    with pytest.raises(SourceFaultError, match="not asked to"):
        taken_in(ask(ANNA, BO, CHEN), list(messages(sent)))
    with pytest.raises(SourceFaultError, match="cannot read"):
        taken_in(question, list(messages(replace(sent, unreadable=np.array([0], np.int32)))))
    with pytest.raises(SourceFaultError, match="out of range"):
        taken_in(question, list(messages(replace(sent, unreadable=np.array([3], np.int32)))))
    with pytest.raises(SourceFaultError, match="too many rows"):
        taken_in(question, list(messages(sent)), AnswerLimits(rows=3))


def same(one: Found, other: Found) -> bool:
    return (
        holders(one) == holders(other)
        and rows(one) == rows(other)
        and sorted(zip(one.links.subject.tolist(), one.links.id_number, one.links.since_on.tolist(), strict=True))
        == sorted(zip(other.links.subject.tolist(), other.links.id_number, other.links.since_on.tolist(), strict=True))
        and one.complete_until_on == other.complete_until_on
    )


@settings(max_examples=60, deadline=None)
@given(
    people=st.integers(0, 40),
    held=st.lists(st.integers(0, 39), max_size=60),
    told=st.lists(st.integers(0, 10_000), max_size=80),
    size=st.integers(1, 30),
    most=st.sampled_from([150, 1_000, MAX_MESSAGE_BYTES]),
    until=st.sampled_from([0, DAY]),
)
def test_what_is_sent_in_messages_of_any_size_arrives(
    people: int, held: list[int], told: list[int], size: int, most: int, until: int
) -> None:
    question = ask(*map(number, range(people)))
    held = [row for row in held if row < people]
    subjects = [held[at % len(held)] for at in told] if held else []
    links = Links(np.array(held[:3], np.int32), [CHEN] * len(held[:3]), np.full(len(held[:3]), DAY, np.int32))
    found = Found(known(question, *held), evidence(*subjects), links, until)
    stream = list(messages(found, size, most))
    assert same(taken_in(question, stream), found)
    parsed = [adapter_pb2.LookupResponse.FromString(data) for data in stream]
    assert [message.last for message in parsed] == [False] * (len(parsed) - 1) + [True]
    for message in parsed:
        assert len(message.evidence.subject) <= size
        assert len(message.SerializeToString()) <= most or len(message.evidence.subject) <= 1


def test_many_rows_arrive_as_columns_without_a_python_object_each() -> None:
    question = ask(*map(number, range(1, 700)))
    everybody = range(len(question.subjects))
    found = Found(known(question, *everybody), evidence(*everybody, *everybody))
    arrived = taken_in(question, list(messages(found, 1_000)))
    assert same(arrived, found)
    assert type(arrived.holders.held_id_number).__name__ == "Texts"
    assert type(arrived.evidence.source_reference).__name__ == "Texts"


def test_a_question_arrives_as_it_was_asked() -> None:
    asked = Lookup(
        Subjects([ANNA, BO], ["安", "博"], [1, 1], [CHEN, number(7)]),
        kinds=(v.EVIDENCE_KIND_BURIAL,),
        traces_since_on=DAY,
        deadline_s=2.5,
        purpose=v.PURPOSE_CERTIFICATION,
        legal_basis="条例第十条",
        references=False,
    )
    message = adapter_pb2.LookupRequest.FromString(request(asked, b"id"))
    assert lookup_of(message, 2.5, 2) == asked


@pytest.mark.parametrize(
    "change",
    [
        lambda subjects: subjects.name.append("x"),
        lambda subjects: subjects.alias_subject.append(0),
        lambda subjects: (subjects.alias_subject.append(2), subjects.alias_id_number.append(CHEN)),
        lambda subjects: subjects.document_kind.append(v.DOCUMENT_KIND_PASSPORT),
        lambda subjects: (subjects.id_number.append(CHEN), subjects.name.append("陈")),
        lambda subjects: subjects.name.__setitem__(0, "长" * 86),
    ],
    ids=["a name too many", "an alias without number", "an alias of nobody", "document kinds", "too many", "too long"],
)
def test_a_request_that_is_none_is_refused(change: Callable[[columns_pb2.SubjectColumns], object]) -> None:
    message = adapter_pb2.LookupRequest.FromString(request(ask(ANNA, BO), b""))
    assert lookup_of(message, 1, 2).subjects.id_number == [ANNA, BO]
    change(message.subjects)
    with pytest.raises(RequestError):
        lookup_of(message, 1, 2)


QUESTION = ask(ANNA, BO)
SOUND = Found(known(QUESTION, 0, 1), evidence(0, 1, 1))
BIG = ask(*map(number, range(1, 400)))
SOUND_BIG = Found(known(BIG, *range(399)), evidence(*range(399)))


def broken(change: Callable[[adapter_pb2.LookupResponse], object], found: Found = SOUND) -> list[bytes]:
    (data,) = messages(found)
    message = adapter_pb2.LookupResponse.FromString(data)
    change(message)
    return [message.SerializeToString()]


def put(column: str, value: object, part: str = "evidence") -> Callable[[adapter_pb2.LookupResponse], object]:
    return lambda message: getattr(getattr(message, part), column).__setitem__(1, value)


LIES: dict[str, Callable[[adapter_pb2.LookupResponse], object]] = {
    "someone else's record": put("held_id_number", CHEN, "holders"),
    "the record of another who was asked": put("held_id_number", ANNA, "holders"),
    "a number in another spelling": put("held_id_number", f" {BO}", "holders"),
    "a holder of a row beyond": put("subject", 400, "holders"),
    "a holder of a row far beyond": put("subject", 2**32 - 1, "holders"),
    "evidence of a row beyond": put("subject", 400),
    "an unequal column": lambda message: message.evidence.region.append(330700),
    "an empty column": lambda message: message.evidence.ClearField("until_on"),
    "no references": lambda message: message.evidence.ClearField("source_reference"),
    "unequal holders": lambda message: message.holders.held_name.append("x"),
    "a kind not described": put("kind", v.EVIDENCE_KIND_CREMATION),
    "a kind not known": put("kind", 99),
    "a kind far off": put("kind", 2**31 - 1),
    "a kind below": put("kind", -1),
    "another department": put("department", v.DEPARTMENT_HEALTH),
    "a strength not known": put("strength", 6),
    "a region that is none": put("region", 2**32 - 1),
    "a day before every register": put("observed_on", -(2**31)),
    "a day after every register": put("until_on", 2**31 - 1),
    "a name too long": put("held_name", "长" * 86, "holders"),
    "a reference too long": put("source_reference", "r" * 257),
    "a last day that is none": lambda message: setattr(message, "complete_until_on", 2**31 - 1),
}


@pytest.mark.parametrize(("question", "found"), [(QUESTION, SOUND), (BIG, SOUND_BIG)], ids=["few", "many"])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_of_an_answer_with_a_lie_nothing_is_used(
    question: Lookup, found: Found, lie: Callable[[adapter_pb2.LookupResponse], object]
) -> None:
    assert same(taken_in(question, broken(lambda _: None, found)), found)
    with pytest.raises(SourceFaultError) as caught:
        taken_in(question, broken(lie, found))
    for told in (caught.value.en, caught.value.zh):
        assert "burials" in told
        assert not any(person in told for person in (ANNA, BO, CHEN))


def test_evidence_and_links_of_people_whom_it_does_not_hold_are_a_fault() -> None:
    link = Links(np.array([1], np.int32), [CHEN], np.zeros(1, np.int32))
    for found in (Found(known(QUESTION, 0), evidence(1)), Found(known(QUESTION, 0), links=link)):
        with pytest.raises(SourceFaultError, match="does not list as known"):
            taken_in(QUESTION, list(messages(found)))


def test_links_that_were_not_described_are_a_fault() -> None:
    link = Links(np.array([0], np.int32), [CHEN], np.zeros(1, np.int32))
    incoming = Incoming(QUESTION, replace(ABOUT, links=False), AnswerLimits())
    with pytest.raises(SourceFaultError, match="links"):
        incoming.add(next(messages(Found(known(QUESTION, 0), links=link))))


def test_a_number_asked_as_another_of_the_same_person_is_not_someone_elses() -> None:
    question = Lookup(Subjects([ANNA], ["安"], [0], [CHEN]))
    found = Found(Holders(np.zeros(2, np.int32), [ANNA, CHEN], ["安", "安"]), evidence(0))
    assert same(taken_in(question, list(messages(found))), found)


def test_a_stream_without_its_last_message_is_a_source_that_did_not_answer() -> None:
    stream = list(messages(SOUND, 2))
    assert len(stream) > 1
    for cut in range(len(stream)):
        with pytest.raises(SourceDownError, match="before its last message"):
            taken_in(QUESTION, stream[:cut])


def test_what_comes_after_the_last_message_is_a_fault() -> None:
    with pytest.raises(SourceFaultError, match="after its last"):
        taken_in(QUESTION, [*messages(SOUND), *messages(SOUND)])


@pytest.mark.parametrize(
    "limits",
    [AnswerLimits(messages=2), AnswerLimits(payload=60), AnswerLimits(rows=4)],
    ids=["messages", "bytes", "rows"],
)
def test_an_answer_has_bounds(limits: AnswerLimits) -> None:
    with pytest.raises(SourceFaultError, match=r"too (large|many)"):
        taken_in(QUESTION, list(messages(SOUND, 1)), limits)


def test_an_answer_about_few_people_has_narrower_bounds() -> None:
    repeated = [0] * 12_001
    taken_in(QUESTION, list(messages(Found(known(QUESTION, *repeated[:12_000])))))
    with pytest.raises(SourceFaultError, match="too many rows"):
        taken_in(QUESTION, list(messages(Found(known(QUESTION, *repeated)))))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_whatever_bytes_come_are_an_answer_or_an_error_of_the_tree(noise: bytes, at: int, byte: int) -> None:
    (data,) = messages(SOUND)
    changed = bytearray(data)
    changed[at % len(changed)] = byte
    for stream in ([noise], [bytes(changed)], [data[: at % len(data)]]):
        try:
            taken_in(QUESTION, stream)
        except AdapterError:
            continue


def test_references_may_be_left_out_only_where_they_were_not_wanted() -> None:
    bare = broken(lambda message: message.evidence.ClearField("source_reference"))
    found = taken_in(replace(QUESTION, references=False), bare)
    assert list(found.evidence.source_reference) == ["", "", ""]


def test_what_was_not_asked_for_is_left_out() -> None:
    kinds = np.array([v.EVIDENCE_KIND_BURIAL, v.EVIDENCE_KIND_OLD_AGE_SUBSIDY], np.int32)
    found = Found(known(QUESTION, 0, 1), evidence(0, 1, kind=kinds))
    stream = list(messages(found))
    only = taken_in(replace(QUESTION, kinds=(v.EVIDENCE_KIND_OLD_AGE_SUBSIDY,)), stream)
    assert only.evidence.kind.tolist() == [v.EVIDENCE_KIND_OLD_AGE_SUBSIDY]
    late = taken_in(replace(QUESTION, traces_since_on=DAY + 1), stream)
    assert late.evidence.kind.tolist() == [v.EVIDENCE_KIND_BURIAL]
