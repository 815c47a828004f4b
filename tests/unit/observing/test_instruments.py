"""Figures: bounded, and without a word of a person, whatever is put in."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observing import instruments
from gateway.observing.instruments import INSTRUMENTS, MAX_SERIES, REGISTRY, Counter, Gauge, Histogram, exposition
from tests.unit.adapters.adapters_world import number

_names = itertools.count()


@pytest.fixture
def name() -> Iterator[str]:
    """A name for an instrument of one test, which is taken away again."""
    made = f"test_{next(_names)}"
    before = set(INSTRUMENTS)
    yield made
    for each in set(INSTRUMENTS) - before:
        made_here = INSTRUMENTS.pop(each)
        if isinstance(made_here, Counter | Gauge | Histogram):
            REGISTRY.unregister(made_here)


def shown() -> str:
    return exposition()[0].decode()


def test_what_was_counted_is_shown(name: str) -> None:
    counter = Counter(f"{name}_total", "m", "partner")
    counter.add("11330000002482285J")
    counter.add("11330000002482285J", by=2)
    assert f'{name}_total{{partner="11330000002482285J"}} 3.0' in shown()


def test_a_counter_without_labels_is_shown_before_anything_was_counted(name: str) -> None:
    Counter(f"{name}_total", "m")
    assert f"{name}_total 0.0" in shown()


def test_times_are_shown_in_buckets(name: str) -> None:
    Histogram(f"{name}_seconds", "m").observe(0.003)
    assert f'{name}_seconds_bucket{{le="0.0025"}} 0.0' in shown()
    assert f'{name}_seconds_bucket{{le="0.005"}} 1.0' in shown()


@pytest.mark.parametrize("label", [number(1), "安娜", "a b", "", "x" * 65, "110101900101001"])
def test_a_label_that_may_say_something_of_a_person_counts_as_other(name: str, label: str) -> None:
    Counter(f"{name}_total", "m", "who").add(label)
    Gauge(f"{name}_state", "m", "who").set(1, label)
    assert f'{name}_total{{who="other"}} 1.0' in shown()
    assert f'{name}_state{{who="other"}} 1.0' in shown()


@given(st.text(max_size=80))
def test_no_label_whatever_it_is_breaks_the_form(label: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.:/-]{1,64}", instruments.permitted(label))


def test_series_are_bounded_in_number(name: str) -> None:
    counter, gauge = Counter(f"{name}_total", "m", "who"), Gauge(f"{name}_state", "m", "who")
    for at in range(MAX_SERIES + 50):
        counter.add(f"w{at}")
        gauge.set(at, f"w{at}")
    assert len(re.findall(rf"^{name}_total{{", shown(), re.M)) == MAX_SERIES + 1
    assert f'{name}_total{{who="other"}} 50.0' in shown()
    assert len(gauge.values()) == MAX_SERIES


def test_what_counts_as_other_is_bounded_too(name: str) -> None:
    counter = Counter(f"{name}_total", "m", "who", "outcome")
    for at in range(MAX_SERIES + 50):
        counter.add("安娜", f"o{at}")
    assert len(re.findall(rf"^{name}_total{{", shown(), re.M)) == MAX_SERIES + 1
    assert f'{name}_total{{outcome="other",who="other"}} 50.0' in shown()


def test_threads_that_count_at_once_lose_nothing(name: str) -> None:
    counter, histogram = Counter(f"{name}_total", "m", "who"), Histogram(f"{name}_seconds", "m")

    def count() -> None:
        for at in range(2_000):
            counter.add(f"w{at % 7}")
            histogram.observe(at)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(float(each) for each in re.findall(rf"^{name}_total{{.*}} (.*)$", shown(), re.M)) == 8_000
    assert f"{name}_seconds_count 8000.0" in shown()


def test_a_gauge_is_read_when_somebody_looks_until_it_is_not_followed_any_more(name: str) -> None:
    gauge = Gauge(f"{name}_state", "m", "who")
    gauge.set(1, "set")
    unfollow = gauge.follow(lambda: {("read",): 2.0})
    assert gauge.values() == {("set",): 1, ("read",): 2.0}
    unfollow()
    gauge.drop("set")
    assert gauge.values() == {}


def test_a_read_that_fails_hides_nothing_else(name: str) -> None:
    def fails() -> dict[tuple[str, ...], float]:
        raise RuntimeError

    gauge = Gauge(f"{name}_state", "m")
    gauge.follow(fails)
    gauge.follow(lambda: {(): 3.0})
    assert gauge.values() == {(): 3.0}
    assert f"{name}_state 3.0" in shown()


def test_a_name_is_given_once(name: str) -> None:
    Gauge(f"{name}_state", "m")
    with pytest.raises(ValueError, match="there already"):
        Gauge(f"{name}_state", "m")


def test_openmetrics_is_spoken_to_who_asks_for_it() -> None:
    body, content_type = exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
