"""Which rows were asked for: a few rows are judged one by one as many are in columns."""

from __future__ import annotations

from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import wanted as module
from adapters.contract import Evidence, Lookup, Subjects
from adapters.wanted import FIRST_EVENT, only_wanted, wanted

kinds = st.sampled_from([1, 8, FIRST_EVENT - 1, FIRST_EVENT, FIRST_EVENT + 1])
days = st.sampled_from([-5, 0, 99, 100, 101])


def evidence_of(rows: list[tuple[int, int]]) -> Evidence:
    """Each row about somebody of its own."""
    count = len(rows)
    zeros = [0] * count
    lists = [[*range(count)], [of for of, _ in rows], zeros, zeros, [on for _, on in rows], *[zeros] * 5]
    return Evidence.of_few(lists, [str(row) for row in range(count)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(kinds, days), max_size=6), st.sampled_from([0, 100]), st.lists(kinds, max_size=2))
def test_few_rows_and_columns_are_asked_for_alike(rows: list[tuple[int, int]], since: int, asked: list[int]) -> None:
    question = Lookup(Subjects(["n"], ["甲"]), traces_since_on=since, deadline_s=1.0, kinds=tuple(asked))
    kind, day = (np.array([row[column] for row in rows], np.int32) for column in range(2))
    few = wanted(question, kind, day)
    with mock.patch.object(module, "FEW", -1):
        many = wanted(question, kind, day)
        of_many = only_wanted(question, evidence_of(rows))
    assert (few is None) == (many is None)
    if few is not None and many is not None:
        assert few.tolist() == many.tolist()
    told = range(len(rows)) if few is None else few.tolist()
    for evidence in (of_many, only_wanted(question, evidence_of(rows))):
        assert evidence.subject.tolist() == list(told)
        assert list(evidence.source_reference) == [str(row) for row in told]
    for row, (of, on) in enumerate(rows):
        is_asked_for = (not asked or of in asked) and (of >= FIRST_EVENT or on >= since or not since)
        assert (row in told) == is_asked_for
