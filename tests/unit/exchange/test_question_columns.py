"""Which questions are whole: columns as long as each other, aliases of people asked about, sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import RefusedError
from gateway.exchange.question import MAX_ALIASES, MAX_NUMBER, MAX_TEXT, check_question
from tests.unit.services.gateways_world import ANNA, BO, NAMES, question
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

RESIDENT = v.DOCUMENT_KIND_RESIDENT_IDENTITY
PENSION = words.BENEFIT_TYPE_EMPLOYEE_PENSION
Change = Callable[[exchange_pb2.Question], Any]


def whole() -> exchange_pb2.Question:
    """A question about two people with something in every column."""
    made = question(ANNA, BO)
    made.region.extend([330700, 340000])
    made.subjects.document_kind.extend([RESIDENT, RESIDENT])
    made.subjects.alias_subject.extend([0, 1, 1])
    made.subjects.alias_id_number.extend(["A-1", "B-1", "B-2"])
    return made


def refused(change: Change) -> RefusedError:
    made = whole()
    change(made)
    with pytest.raises(RefusedError) as caught:
        check_question(made, max_subjects=3)
    return caught.value


def test_numbers_and_names_come_back_as_they_were_written() -> None:
    assert check_question(whole(), max_subjects=2) == ([ANNA, BO], [NAMES[ANNA], NAMES[BO]])


@pytest.mark.parametrize("column", ["region", "document_kind", "alias"])
def test_a_column_that_need_not_be_there_may_be_left_out(column: str) -> None:
    made = whole()
    if column == "region":
        made.ClearField("region")
    elif column == "document_kind":
        made.subjects.ClearField("document_kind")
    else:
        made.subjects.ClearField("alias_subject")
        made.subjects.ClearField("alias_id_number")
    check_question(made, max_subjects=2)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("subjects.name", lambda q: q.subjects.name.append("C")),
        ("subjects.name", lambda q: q.subjects.name.pop()),
        ("subjects.name", lambda q: q.subjects.ClearField("name")),
        ("subjects.document_kind", lambda q: q.subjects.document_kind.append(RESIDENT)),
        ("subjects.document_kind", lambda q: q.subjects.document_kind.pop()),
        ("benefit", lambda q: q.benefit.append(PENSION)),
        ("benefit", lambda q: q.benefit.pop()),
        ("benefit", lambda q: q.ClearField("benefit")),
        ("region", lambda q: q.region.append(330700)),
        ("region", lambda q: q.region.pop()),
        ("subjects.alias_subject", lambda q: q.subjects.alias_subject.append(0)),
        ("subjects.alias_subject", lambda q: q.subjects.alias_id_number.append("B-3")),
        ("subjects.alias_subject", lambda q: q.subjects.ClearField("alias_subject")),
        ("subjects.alias_subject", lambda q: q.subjects.ClearField("alias_id_number")),
    ],
)
def test_columns_of_another_length_are_refused(field: str, change: Change) -> None:
    error = refused(change)
    assert (error.code, error.field) == ("INVALID_ARGUMENT", field)
    assert error.en == f"{field}: send columns of equal length"
    assert error.zh == f"{field}：各列长度必须一致"


@pytest.mark.parametrize(
    ("code", "field", "change"),
    [
        ("INVALID_ARGUMENT", "subjects", lambda q: q.subjects.Clear()),
        ("INVALID_ARGUMENT", "subjects", lambda q: q.ClearField("subjects")),
        ("TOO_LARGE", "subjects", lambda q: q.subjects.id_number.extend(["C", "D"])),
        ("INVALID_ARGUMENT", "subjects.alias_subject", lambda q: q.subjects.alias_subject.__setitem__(1, 2)),
        (
            "INVALID_ARGUMENT",
            "subjects.alias_subject",
            lambda q: (
                q.subjects.alias_subject.extend([0] * (2 * MAX_ALIASES - 2)),
                q.subjects.alias_id_number.extend(["A"] * (2 * MAX_ALIASES - 2)),
            ),
        ),
        ("UNKNOWN_BENEFIT", "benefit", lambda q: q.benefit.__setitem__(1, 0)),
        ("INVALID_ARGUMENT", "subjects.document_kind", lambda q: q.subjects.document_kind.__setitem__(1, 77)),
        ("INVALID_ARGUMENT", "subjects.name", lambda q: q.subjects.name.__setitem__(1, "")),
        ("INVALID_ARGUMENT", "subjects.name", lambda q: q.subjects.name.__setitem__(0, "名" * (MAX_TEXT + 1))),
        ("INVALID_ARGUMENT", "subjects.id_number", lambda q: q.subjects.id_number.__setitem__(1, "1" * 41)),
        ("INVALID_ARGUMENT", "subjects.id_number", lambda q: q.subjects.alias_id_number.__setitem__(1, "1" * 41)),
    ],
)
def test_what_does_not_hang_together_is_refused(code: str, field: str, change: Change) -> None:
    error = refused(change)
    assert (error.code, error.field) == (code, field)


def test_the_longest_names_and_numbers_are_taken() -> None:
    made = whole()
    made.subjects.name[0] = "名" * MAX_TEXT
    made.subjects.id_number[1] = made.subjects.alias_id_number[0] = "1" * MAX_NUMBER
    made.subjects.alias_subject.extend([0] * (2 * MAX_ALIASES - 3))
    made.subjects.alias_id_number.extend(["A"] * (2 * MAX_ALIASES - 3))
    check_question(made, max_subjects=2)
