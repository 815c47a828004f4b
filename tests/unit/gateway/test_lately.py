"""What began lately is counted, what is under way for long is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.pacing import LATELY_S, Lately

STEPS = st.lists(
    st.tuples(st.floats(min_value=0.0, max_value=0.3), st.booleans(), st.integers(min_value=0)), max_size=60
)


@given(STEPS)
def test_all_that_began_within_the_span_counts_and_nothing_that_began_long_before(
    steps: list[tuple[float, bool, int]],
) -> None:
    lately, now = Lately(), 1_000.0
    under_way: list[tuple[float, int]] = []
    for wait_s, begins, chosen in steps:
        now += wait_s
        if begins:
            under_way.append((now, lately.begin(now)))
        elif under_way:
            lately.end(under_way.pop(chosen % len(under_way))[1])
        ages = [now - began for began, _ in under_way]
        slack_s = 1e-6
        assert sum(age <= LATELY_S - slack_s for age in ages) <= lately.count(now)
        assert lately.count(now) <= sum(age <= 2 * LATELY_S + slack_s for age in ages)
    for _, span in under_way:
        lately.end(span)
    assert lately.count(now) == 0
    assert not lately._by_span
