"""Message ids."""

from __future__ import annotations

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange.randomness import RANDOMNESS
from gateway.exchange.uuid7 import MAX_MS, Uuid7, timestamp_ms


@given(st.integers(0, MAX_MS))
def test_an_id_is_a_version_7_uuid_that_carries_its_time(now_ms: int) -> None:
    made = Uuid7().next(now_ms)
    parsed = uuid.UUID(bytes=made)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert timestamp_ms(made) == now_ms


def test_ids_increase_within_a_millisecond_and_beyond() -> None:
    source = Uuid7()
    made = [source.next(1_000 + step // 500) for step in range(2_000)]
    assert made == sorted(set(made))


def test_ids_increase_where_their_random_bits_reach_beyond_the_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([b"\x00\x00\x3f" + b"\xff" * 7, b"\xff" * 10])
    monkeypatch.setattr(RANDOMNESS, "take", lambda _: next(drawn))
    source = Uuid7()
    first, second = (source.next(1_000) for _ in range(2))
    assert first[6:9] == b"\x70\x00\xbf"
    assert second[6:9] == b"\x70\x01\x80"
    assert uuid.UUID(bytes=second).variant == uuid.RFC_4122


def test_ids_follow_a_clock_that_goes_back_and_stay_unique() -> None:
    source = Uuid7()
    made = [source.next(now_ms) for now_ms in (2_000, 1_000, 2_000, 1_000)]
    assert [timestamp_ms(one) for one in made] == [2_000, 1_000, 2_000, 1_000]
    assert len(set(made)) == 4


def test_threads_never_get_the_same_id() -> None:
    source = Uuid7()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: source.next(5_000), range(4_000)))
    assert len(set(made)) == 4_000


def test_two_sources_do_not_make_the_same_ids() -> None:
    assert Uuid7().next(1_000) != Uuid7().next(1_000)


def test_a_forked_process_does_not_make_the_ids_of_its_parent() -> None:
    source = Uuid7()
    source.next(1_000)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, source.next(1_000))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 16) not in {source.next(1_000) for _ in range(3)}


@pytest.mark.parametrize("now_ms", [-1, MAX_MS + 1])
def test_a_time_that_does_not_fit_is_refused(now_ms: int) -> None:
    with pytest.raises(ValueError, match="time"):
        Uuid7().next(now_ms)


@pytest.mark.parametrize(
    "other", [b"", bytes(16), uuid.UUID("b185e6d8-c247-4540-b9f9-4e0e1852f290").bytes, bytes(15), b"\xff" * 16]
)
def test_other_bytes_carry_no_time(other: bytes) -> None:
    assert timestamp_ms(other) is None
