"""The set of numbers behind the look-out for harvesting holds what was put in, and counts it, however it has grown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inquiry.sequences import ORDERS, Seen

_PREFIXES = st.sampled_from((42010619400101, 42010619400102, 33010119551231, 65432120001130))
_NUMBERS = st.builds(lambda prefix, order: prefix * ORDERS + order, _PREFIXES, st.integers(0, ORDERS - 1))


@given(st.lists(st.frozensets(_NUMBERS, max_size=400), max_size=8), st.booleans())
def test_it_holds_what_was_taken_in_and_tells_what_is_new(batches: list[frozenset[int]], counted: bool) -> None:
    seen, there = Seen(counted=counted), set[int]()
    for batch in batches:
        numbers = np.array(sorted(batch), np.int64)
        assert seen.add(numbers).tolist() == [number not in there for number in numbers.tolist()]
        there |= batch
        asked = np.concatenate((numbers, numbers + 7 * ORDERS, numbers ^ 1))
        assert seen.holds(asked).tolist() == [number in there for number in asked.tolist()]
    assert seen.count == len(there)


def test_it_grows_without_losing_a_number_and_stays_small() -> None:
    seen = Seen()
    numbers = np.random.default_rng(1).permutation(np.arange(1, 200_001, dtype=np.int64) * 977)
    for part in np.array_split(numbers, 40):
        assert seen.add(part).all()
    assert seen.count == 200_000
    assert seen.holds(numbers).all()
    assert not seen.holds(numbers + 1).any()
    assert (seen.under(numbers) >= 1).all()
    held = seen._table.nbytes / seen.count
    assert 8 <= held <= 16.1


def test_a_set_that_does_not_count_is_not_asked_for_counts() -> None:
    with pytest.raises(TypeError):
        Seen(counted=False).under(np.array([1], np.int64))
