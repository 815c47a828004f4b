"""Claiming in columns says of every row what claiming one by one says, whatever was claimed before and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.once.keyed import Keying, in_order
from gateway.store.certifications import _Claim
from gateway.store.claimed import DRAWERS, ClaimMany, Many, drawers_of
from gateway.store.keys import StoreKeys
from gateway.store.once_tables import certification, claimed
from gateway.store.rows import Transaction
from gateway.store.tables import metadata
from gateway.store.tagging import Texts
from tests.unit.rules.rules_world import BOOK
from wugan.federation.v1 import vocabulary_pb2 as words

PENSION = words.BENEFIT_TYPE_EMPLOYEE_PENSION
BENEFITS = [PENSION, words.BENEFIT_TYPE_RESIDENT_PENSION, words.BENEFIT_TYPE_WORK_INJURY]
KEYING = Keying(BOOK, StoreKeys(b"k" * 32))
CYCLE = BOOK.grading.cycle_days
Refused = list[tuple[int, int, str, int]]

rows = st.tuples(
    st.integers(0, 3),  # whose number
    st.sampled_from(["", "甲", "乙"]),
    st.sampled_from(BENEFITS),
    st.sampled_from(["", "R1", "R2"]),
)
claims = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.lists(rows, max_size=6)), max_size=6)


@pytest.fixture(scope="module")
def engine() -> Iterator[sa.Engine]:
    made = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    metadata.create_all(made, tables=[certification, claimed])
    yield made
    made.dispose()


def claim(transaction: Transaction, unit: str, run: int, people: Sequence[Any], on: int, *, columns: bool) -> Refused:
    packed = KEYING.packed(
        id_number=Texts.of([f"{number:018d}" for number, *_ in people]),
        name_key=Texts.of([name for _, name, *_ in people]),
        reference=Texts.of([reference for *_, reference in people]),
        benefit=np.array([benefit for _, _, benefit, _ in people], np.int32),
        row=np.arange(len(people), dtype=np.int64),
        certified_on=np.full(len(people), on, np.int32),
    )
    packed = packed[in_order(packed)]
    by = bytes([run]) * 16
    if columns:
        (found,) = ClaimMany().apply(transaction, [Many(unit, by, packed, CYCLE, 0, DRAWERS - 1)])
        parts = zip(found.place.tolist(), found.kind.tolist(), found.unit, found.certified_on.tolist(), strict=True)
    else:
        (collisions,) = _Claim().apply(transaction, [KEYING.claims(unit, by, packed)])
        parts = iter(tuple(each) for each in collisions)
    return sorted((int(packed["row"][place]), kind, other, since) for place, kind, other, since in parts)


@settings(deadline=None, max_examples=40)
@given(claims, st.lists(st.booleans(), min_size=6, max_size=6), st.sampled_from([0, CYCLE // 2, CYCLE + 1]))
def test_in_columns_it_is_refused_what_is_refused_one_by_one(
    engine: sa.Engine, order: Sequence[tuple[str, int, Sequence[Any]]], columns: Sequence[bool], later: int
) -> None:
    outcomes = []
    for in_columns in (columns, [False] * 6, [True] * 6):
        with engine.connect() as connection:
            transaction = Transaction(connection)
            transaction.begin()
            transaction.connection.execute(sa.delete(certification))
            transaction.connection.execute(sa.delete(claimed))
            outcomes.append(
                [
                    claim(transaction, unit, run, people, 20_000 + at * later, columns=in_columns[at])
                    for at, (unit, run, people) in enumerate(order)
                ]
            )
            transaction.commit()
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_drawers_are_by_the_first_ten_bits() -> None:
    tags = np.frombuffer(bytes(16) + b"\x00\x3f" + bytes(14) + b"\x00\x40" + bytes(14) + b"\xff" * 16, "V16")
    assert drawers_of(tags).tolist() == [0, 0, 1, 1023]
