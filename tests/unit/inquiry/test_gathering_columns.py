"""Many holders compared in whole columns are judged as each by itself is: same conflicts, same refusals."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import DataItem, Description, Evidence, Faces, Found, Holders, Links, Subjects
from adapters.faces import FACE_TOKEN_BYTES
from adapters.texts import Texts
from gateway.inquiry import fitting, gathering
from gateway.inquiry.gathering import Gathered, Gathering
from gateway.inquiry.narrowing import Narrowing
from wugan.adapter.v1 import vocabulary_pb2 as v

_NUMBERS = ["NUMBER-A", "NUMBER-B", "NUMBER-C", "NUMBER-D"]
_NAMES = ["甲", "乙", " 甲", "", "丙\ud800"]
_ITEMS = tuple(
    DataItem(kind, v.STRENGTH_REAL_NAME, 1)
    for kind in (v.EVIDENCE_KIND_OUTPATIENT, v.EVIDENCE_KIND_INPATIENT, v.EVIDENCE_KIND_FACE_CHECK)
)
_ABOUT = Description("insurance", "1", v.DEPARTMENT_HEALTH_INSURANCE, (330000,), _ITEMS, links=True)
_rows = st.integers(0, 2)


def _int32(values: list[int]) -> np.ndarray:
    return np.array(values, np.int32)


@st.composite
def _found(draw: st.DrawFn, *, lazy: bool) -> Found:
    held = draw(st.lists(st.tuples(_rows, st.sampled_from(_NUMBERS), st.sampled_from(_NAMES)), max_size=6))
    numbers, names = [number for _, number, _ in held], [name for _, _, name in held]
    kinds = draw(
        st.lists(st.tuples(_rows, st.sampled_from([8, 8, 8, 8, 9, 9, 9, 9, 3, 0, 101, 70_000, -1])), max_size=5)
    )
    count = len(kinds)
    links = draw(st.lists(st.tuples(_rows, st.sampled_from(_NUMBERS)), max_size=2))
    column = np.full(count, 20_000, np.int32)
    wrap = (lambda texts: Texts(pl.Series(texts, dtype=pl.String))) if lazy else list
    return Found(
        Holders(
            _int32([row for row, _, _ in held]),
            wrap(numbers),
            wrap([n.replace("\ud800", "") if lazy else n for n in names]),
        ),
        Evidence(
            subject=_int32([row for row, _ in kinds]),
            kind=_int32([kind for _, kind in kinds]),
            department=np.full(count, v.DEPARTMENT_HEALTH_INSURANCE, np.int32),
            region=np.full(count, 330702, np.int32),
            observed_on=column,
            available_on=column,
            strength=np.full(count, v.STRENGTH_REAL_NAME, np.int32),
            source_reference=wrap(["r"] * count),
            detail=column * 0,
            from_on=column * 0,
            until_on=column * 0,
        ),
        Links(_int32([row for row, _ in links]), wrap([number for _, number in links]), _int32([0] * len(links))),
    )


def _gathered(columns_from: int, answers: list[Found], narrowing: Narrowing) -> tuple[Gathered, list[str]]:
    people = Subjects(_NUMBERS[:3], ["甲", "乙", "丙"], [1], ["NUMBER-D"])
    with (
        mock.patch.object(gathering, "COLUMNS_FROM", columns_from),
        mock.patch.object(fitting, "COLUMNS_FROM", columns_from),
    ):
        made = Gathering(people, [_ABOUT, _ABOUT], lambda a, b: a.strip() == b.strip(), narrowing)
        made.add(0, answers[0])
        made.add(1, answers[1])
        further = made.further()
        if further is not None and answers[2].holders.subject.max(initial=0) < len(further):
            made.add(0, answers[2])
        return made.result(), [] if further is None else list(further.id_number)


def _told(gathered: Gathered) -> object:
    evidence = gathered.evidence
    return (
        [getattr(evidence, name).tolist() for name in evidence.INTEGER_COLUMNS],
        list(evidence.source_reference),
        gathered.known.tolist(),
        gathered.identity_conflict.tolist(),
        gathered.linked.tolist(),
        [gathered.link_subject, gathered.link_id_number, gathered.link_since_on],
        [
            (each.adapter_id, each.outcome, each.complete_until_on, _listed(each.unreadable))
            for each in gathered.reports
        ],
    )


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_columns_are_judged_as_rows_are(data: st.DataObject) -> None:
    answers = [data.draw(_found(lazy=data.draw(st.booleans()))) for _ in range(3)]
    narrowing = Narrowing((330700,)) if data.draw(st.booleans()) else Narrowing()
    rows, asked_by_rows = _gathered(1_000_000, answers, narrowing)
    columns, asked_by_columns = _gathered(0, answers, narrowing)
    assert _told(columns) == _told(rows)
    assert asked_by_columns == asked_by_rows


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_not_special_comes_to_the_same_by_the_long_way(data: st.DataObject) -> None:
    answers = [data.draw(_found(lazy=False)) for _ in range(3)]
    if data.draw(st.booleans()):  # with links hardly anything is as it came
        answers = [replace(found, links=Links()) for found in answers]
    if data.draw(st.booleans()):
        unreadable = _int32([data.draw(_rows)])
        answers[1] = replace(answers[1], holders=Holders(), evidence=Evidence(), links=Links(), unreadable=unreadable)
    face = Faces(_int32([0]), [b"f" * FACE_TOKEN_BYTES], _int32([20_000]), _int32([330702]))
    if data.draw(st.booleans()):
        answers[0] = replace(answers[0], faces=face)
    narrowing = data.draw(
        st.sampled_from([Narrowing(), Narrowing((330700,)), Narrowing((), frozenset([b"NUMBER-A"]), str.encode)])
    )
    short, asked = _gathered(1_000_000, answers, narrowing)
    with mock.patch.object(Gathering, "_special", True):
        long, asked_by_the_long_way = _gathered(1_000_000, answers, narrowing)
    assert (_told(short), asked) == (_told(long), asked_by_the_long_way)
    assert [each.tolist() for each in (short.faces.subject, short.faces.observed_on)] == [
        each.tolist() for each in (long.faces.subject, long.faces.observed_on)
    ]
    assert _listed(short.unasked) == _listed(long.unasked)


_HELD = Found(Holders(_int32([0]), ["NUMBER-A"], ["甲"]))


@pytest.mark.parametrize(
    ("first", "second", "narrowing"),
    [
        (_HELD, _HELD, Narrowing()),
        (replace(_HELD, links=Links(_int32([0]), ["510104194912310"], _int32([9]))), _HELD, Narrowing()),
        (
            replace(_HELD, faces=Faces(_int32([0]), [b"f" * FACE_TOKEN_BYTES], _int32([20_000]), _int32([330702]))),
            _HELD,
            Narrowing(),
        ),
        (_HELD, replace(_HELD, holders=Holders(), unreadable=_int32([0])), Narrowing()),
        (_HELD, _HELD, Narrowing((), frozenset([b"NUMBER-A"]), str.encode)),
        (_HELD, _HELD, Narrowing((510000,))),
        (_HELD, v.STRENGTH_REAL_NAME, Narrowing()),
    ],
)
def test_one_thing_that_is_special_is_not_passed_over(first: Found, second: Found | int, narrowing: Narrowing) -> None:
    def gathered() -> tuple[object, list[bytes], bool]:
        made = Gathering(Subjects(_NUMBERS[:1], ["甲"]), [_ABOUT, _ABOUT], lambda a, b: a == b, narrowing)
        made.add(0, first)
        made.add(1, second)
        if made.further() is not None:
            made.add(0, Found())
            made.further()
        came = made.result()
        return _told(came), list(came.faces.token), came.unasked is None

    short = gathered()
    with mock.patch.object(Gathering, "_special", True):
        assert gathered() == short


_FACE = Faces(_int32([0]), [b"f" * FACE_TOKEN_BYTES], _int32([20_000]), _int32([330702]))


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize(
    ("answers", "plain"),
    [
        ([_HELD, _HELD], True),
        ([_HELD, Found()], True),
        ([Found(), replace(_HELD, holders=Holders.of_few([0], ["NUMBER-A"], [""]))], True),
        ([Found(), Found()], False),
        ([_HELD, replace(_HELD, holders=Holders.of_few([0], ["NUMBER-A"], ["乙"]))], False),
        ([replace(_HELD, links=Links(_int32([0]), ["510104194912310"], _int32([9]))), _HELD], False),
        ([replace(_HELD, faces=_FACE), _HELD], False),
        ([_HELD, replace(_HELD, holders=Holders(), unreadable=_int32([0]))], False),
        ([v.STRENGTH_REAL_NAME, _HELD], False),
        ([_HELD, replace(_HELD, holders=Holders.of_few([0], ["NUMBER-B"], ["甲"]))], False),
    ],
)
def test_plain_is_one_person_of_whom_no_column_says_anything_special(
    people: int, answers: list[Found | int], plain: bool
) -> None:
    made = Gathering(Subjects(_NUMBERS[:people], ["甲"] * people), [_ABOUT, _ABOUT], lambda a, b: a == b)
    for position, answer in enumerate(answers):
        made.add(position, answer)
    if made.further() is not None:
        made.add(0, replace(_HELD, holders=Holders.of_few([0], ["510104194912310"], [""])))
    came = made.result()
    assert came.plain == (plain and people == 1)
    if people == 1:
        reports = [(each.outcome, each.unreadable) for each in came.reports]
        ordinary = came.known[0] and not came.identity_conflict[0] and not came.linked[0] and not len(came.faces)
        assert (ordinary and reports == [(1, None)] * 2) == plain, "what is not plain is so for a reason"


def _listed(column: np.ndarray | None) -> list[bool] | None:
    return None if column is None else column.tolist()


_odd = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3, -1, 2**31 - 1, -(2**31)])


@settings(max_examples=400, deadline=None)
@given(
    st.lists(_odd, max_size=4),
    st.lists(st.tuples(_odd, _odd, _odd, st.sampled_from([8, 8, 8, 9, 3, 70_000, -1])), max_size=4),
    st.sampled_from([0, 0, 0, 0, 1]),
    st.sampled_from([0, 1, 2, 3]),
)
def test_a_few_rows_fit_where_they_fit_as_columns(
    held: list[int], rows: list[tuple[int, int, int, int]], short: int, count: int
) -> None:
    subject, strength, department, kind = (_int32([row[column] for row in rows]) for column in range(4))
    other = np.zeros(max(0, len(rows) - short), np.int32)
    evidence = Evidence(
        subject=subject,
        kind=kind,
        department=department + v.DEPARTMENT_HEALTH_INSURANCE,
        region=other,
        observed_on=other,
        available_on=other,
        strength=strength,
        source_reference=["r"] * len(rows),
        detail=other,
        from_on=other,
        until_on=other,
    )
    found = Found(Holders(_int32(held), ["n"] * len(held), ["甲"] * len(held)), evidence)
    few = fitting.fits_question(found, count, _ABOUT)
    with mock.patch.object(fitting, "COLUMNS_FROM", 0):
        assert fitting.fits_question(found, count, _ABOUT) == few
