"""Random bytes are drawn for many at once, and given to one only."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.exchange.randomness import Randomness


def test_what_is_asked_for_comes_in_that_size_and_once() -> None:
    supply = Randomness()
    taken = [supply.take(16) for _ in range(1_000)] + [supply.take(5_000), supply.take(0)]
    assert [len(each) for each in taken[-3:]] == [16, 5_000, 0]
    assert len({taken[at] for at in range(1_000)}) == 1_000


def test_the_system_is_asked_for_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    draw = os.urandom
    monkeypatch.setattr(os, "urandom", lambda size: asked.append(size) or draw(size))
    supply = Randomness()
    for _ in range(500):
        supply.take(16)
    assert len(asked) == 2


def test_threads_never_get_the_same_bytes() -> None:
    supply = Randomness()
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: supply.take(10), range(4_000)))
    assert len(set(taken)) == 4_000


def test_a_forked_process_does_not_get_the_bytes_of_its_parent() -> None:
    supply = Randomness()
    supply.take(16)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, supply.take(16))
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 16) not in {supply.take(16) for _ in range(3)}
