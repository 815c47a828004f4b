"""What arrives together is run together, and nobody waits for long."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import FakeClock
from gateway.coalescing import ALIKE, PACES, Coalescer, SingleFlight
from gateway.errors import WuganError


class Runs:
    """Batches as they were run; each ends when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.times: list[float] = []
        self.gates: list[asyncio.Event] = []
        self.held = True

    async def run(self, _key: str, parts: Sequence[int], time_s: float) -> list[int]:
        self.batches.append(list(parts))
        self.times.append(time_s)
        gate = asyncio.Event()
        self.gates.append(gate)
        if self.held:
            await gate.wait()
        return [part * 10 for part in parts]


def coalescer(runs: Runs, *, limit: int = 100, under_way: int | None = 2) -> Coalescer[str, int, int]:
    return Coalescer(runs.run, FakeClock(), limit=limit, under_way=under_way)


def joining(made: Coalescer[str, int, int], *parts: int, key: str = "a") -> list[asyncio.Task[int]]:
    return [asyncio.ensure_future(made.join(key, part, 5.0)) for part in parts]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_parts_that_arrive_together_are_one_batch_and_each_gets_its_own_result() -> None:
    runs = Runs()
    runs.held = False
    assert await asyncio.gather(*joining(coalescer(runs), 1, 2, 3)) == [10, 20, 30]
    assert runs.batches == [[1, 2, 3]]


async def test_parts_under_different_keys_are_not_mixed() -> None:
    runs, made = Runs(), None
    runs.held = False
    made = coalescer(runs)
    await asyncio.gather(*joining(made, 1, key="a"), *joining(made, 2, key="b"))
    assert sorted(runs.batches) == [[1], [2]]


async def test_a_part_that_is_alone_is_run_in_the_callers_own_task() -> None:
    runs = Runs()
    runs.held = False
    assert await coalescer(runs).join("a", 7, 5.0, alone=True) == 70
    assert runs.batches == [[7]]


async def test_while_enough_batches_are_under_way_parts_gather_until_one_has_ended() -> None:
    runs = Runs()
    made = coalescer(runs, under_way=2)
    first = joining(made, 1)
    await turns()
    second = joining(made, 2)
    await turns()
    waiting = joining(made, 3, 4)
    await turns()
    waiting += joining(made, 5)
    await turns()
    assert runs.batches == [[1], [2]]
    runs.gates[1].set()
    assert await second[0] == 20
    await turns()
    assert runs.batches == [[1], [2], [3, 4, 5]]
    for gate in runs.gates:
        gate.set()
    assert await asyncio.gather(*first, *waiting) == [10, 30, 40, 50]


async def test_beside_a_batch_of_several_parts_none_begins() -> None:
    runs = Runs()
    made = coalescer(runs, under_way=2)
    alone = joining(made, 1)
    await turns()
    asked = joining(made, 2, 3)
    await turns()
    assert runs.batches == [[1], [2, 3]], "beside one part alone another batch begins"
    asked += joining(made, 4)
    await turns()
    runs.gates[0].set()
    assert await alone[0] == 10
    await turns()
    assert runs.batches == [[1], [2, 3]], "the larger one is under way"
    runs.gates[1].set()
    await turns()
    assert runs.batches == [[1], [2, 3], [4]]
    runs.gates[2].set()
    assert await asyncio.gather(*asked) == [20, 30, 40]


async def test_where_any_number_may_be_under_way_none_waits_for_another() -> None:
    runs = Runs()
    made = coalescer(runs, under_way=None)
    asked = joining(made, 1, 2, 3)
    await turns()
    asked += joining(made, 4)
    await turns()
    asked += joining(made, 5)
    await turns()
    assert runs.batches == [[1, 2, 3], [4], [5]]
    for gate in runs.gates:
        gate.set()
    assert await asyncio.gather(*asked) == [10, 20, 30, 40, 50]


async def test_a_slow_batch_holds_others_up_for_the_window_only() -> None:
    runs = Runs()
    made = coalescer(runs, under_way=1)
    slow = joining(made, 1)
    await turns()
    waiting = joining(made, 2)
    async with asyncio.timeout(5):
        while len(runs.batches) < 2:
            await asyncio.sleep(0.001)
    assert runs.batches == [[1], [2]]
    runs.gates[1].set()
    assert await waiting[0] == 20
    assert not slow[0].done()
    runs.gates[0].set()
    await slow[0]


async def test_a_full_batch_leaves_at_once() -> None:
    runs = Runs()
    made = coalescer(runs, limit=2, under_way=1)
    asked = joining(made, 1)
    await turns()
    asked += joining(made, 2, 3, 4)
    await turns()
    assert runs.batches == [[1], [2, 3]]
    for _ in range(3):
        for gate in runs.gates:
            gate.set()
        await turns()
    assert await asyncio.gather(*asked) == [10, 20, 30, 40]


async def test_when_everybody_has_left_nothing_is_run_or_goes_on() -> None:
    runs = Runs()
    made = coalescer(runs)
    left = joining(made, 1)
    await asyncio.sleep(0)
    left[0].cancel()
    await turns()
    assert runs.batches == []
    left = joining(made, 2, 3)
    await turns()
    for task in left:
        task.cancel()
    await turns()
    stayed = joining(made, 4)
    await turns()
    runs.gates[-1].set()
    assert await stayed[0] == 40


async def test_what_a_run_raises_everybody_in_it_gets_and_others_are_run_after_it() -> None:
    class Broken(Runs):
        async def run(self, _key: str, parts: Sequence[int], time_s: float) -> list[int]:
            await super().run(_key, parts, time_s)
            raise ValueError

    runs = Broken()
    made = coalescer(runs, under_way=1)
    failing = joining(made, 1, 2)
    await turns()
    waiting = joining(made, 3)
    await turns()
    runs.gates[0].set()
    outcomes = await asyncio.gather(*failing, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError, ValueError]
    await turns()
    assert runs.batches == [[1, 2], [3]]
    runs.gates[1].set()
    with pytest.raises(ValueError):
        await waiting[0]


@pytest.mark.parametrize(("every_s", "together"), [(0.002, True), (0.004, False)])
async def test_where_many_parts_come_batches_begin_apart_and_where_few_come_at_once(
    every_s: float, together: bool
) -> None:
    runs, clock = Runs(), FakeClock()
    runs.held = False
    made: Coalescer[str, int, int] = Coalescer(runs.run, clock, limit=100, under_way=2, apart_s=0.008)
    for number in range(200):  # until it is known how many come
        clock.advance(every_s)
        await asyncio.gather(*joining(made, number))
    begun = len(runs.batches)
    joined = joining(made, 1)
    await turns()
    assert (len(runs.batches) == begun) is together
    joined += joining(made, 2)
    await asyncio.gather(*joined)
    assert (runs.batches[begun:] == [[1, 2]]) is together


async def pressed(waited_s: float, *, time_s: float = 5.0, every_s: float = 0.01) -> list[list[int]]:
    """How parts come together that come one by one, while whatever comes waited so long before."""
    runs, clock = Runs(), FakeClock()
    runs.held = False
    made: Coalescer[str, int, int] = Coalescer(
        runs.run, clock, limit=100, under_way=2, apart_s=0.008, most_apart_s=0.06, waited_s=lambda: waited_s
    )
    loop = asyncio.get_running_loop()
    later: list[tuple[float, Callable[[], object]]] = []

    def call_later(wait_s: float, act: Callable[..., object], *args: object) -> None:
        later.append((clock.monotonic() + wait_s, functools.partial(act, *args)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_later", call_later)
        joined = []
        for number in range(200):
            clock.advance(every_s)
            for due in [each for each in later if each[0] <= clock.monotonic() + 1e-9]:
                later.remove(due)
                due[1]()
            joined.append(asyncio.ensure_future(made.join("a", number, time_s)))
            await turns(10)
        for _, act in later:
            act()
        assert await asyncio.gather(*joined) == [10 * number for number in range(200)]
    return runs.batches[len(runs.batches) // 2 : -1]  # until it is known how many come; and what is left at the end


@pytest.mark.parametrize(
    ("waited_s", "time_s", "together"),
    [
        (0.0, 5.0, 1),
        (0.02, 5.0, 1),  # no more than a moment
        (0.06, 5.0, 4),  # 40 ms more than a moment
        (0.5, 5.0, 6),  # 60 ms at most
        (0.5, 0.32, 4),  # an eighth of what time they have
    ],
)
async def test_the_longer_parts_waited_before_they_came_the_more_go_together(
    waited_s: float, time_s: float, together: int
) -> None:
    assert {len(batch) for batch in await pressed(waited_s, time_s=time_s)} == {together}


@pytest.mark.parametrize(
    ("waited_s", "time_s", "after_s"),
    [(0.0, 5.0, 0.02), (0.04, 5.0, 0.02), (0.12, 5.0, 0.1), (5.0, 5.0, 0.25), (5.0, 0.8, 0.1)],
)
async def test_what_may_not_begin_gathers_for_as_long_as_it_waited_before(
    waited_s: float, time_s: float, after_s: float
) -> None:
    runs = Runs()
    made: Coalescer[str, int, int] = Coalescer(
        runs.run, FakeClock(), limit=100, under_way=2, most_apart_s=0.06, waited_s=lambda: waited_s
    )
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    first = [asyncio.ensure_future(made.join("a", part, time_s)) for part in (1, 2)]
    await turns(10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_later", lambda wait_s, *_: waits.append(wait_s))
        behind = asyncio.ensure_future(made.join("a", 3, time_s))
        await turns(10)
    assert runs.batches == [[1, 2]]
    assert waits == [pytest.approx(after_s)]
    runs.held = False
    runs.gates[0].set()
    assert await asyncio.gather(*first, behind) == [10, 20, 30]


async def test_a_full_batch_waits_for_nothing_and_no_batch_does_after_a_pause() -> None:
    runs, clock = Runs(), FakeClock()
    runs.held = False
    made: Coalescer[str, int, int] = Coalescer(runs.run, clock, limit=4, under_way=2, apart_s=0.008)
    for _ in range(100):
        clock.advance(0.008)
        await asyncio.gather(*joining(made, 1, 2, 3, 4))
    begun = len(runs.batches)
    full = joining(made, 1, 2, 3, 4)
    await turns()
    assert len(runs.batches) == begun + 1
    await asyncio.gather(*full)
    clock.advance(0.008)
    late = joining(made, 5)
    await turns()
    assert len(runs.batches) == begun + 2
    await asyncio.gather(*late)


async def test_what_is_known_of_keys_is_bounded() -> None:
    runs, clock = Runs(), FakeClock()
    runs.held = False
    made: Coalescer[str, int, int] = Coalescer(runs.run, clock, limit=4, under_way=2, apart_s=0.008)
    for number in range(2 * PACES):
        clock.advance(0.01)
        await asyncio.gather(*joining(made, 1, key=str(number)))
    assert len(made._paces) <= PACES


class Flight:
    """Something that takes until it is let go, and how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.go.wait()
        return number


async def test_where_a_run_is_cancelled_from_below_nobody_in_it_waits_for_ever() -> None:
    async def run(_key: str, _parts: Sequence[int], _time_s: float) -> list[int]:
        raise asyncio.CancelledError  # a channel was closed, say

    made: Coalescer[str, int, int] = Coalescer(run, FakeClock(), limit=100)
    outcomes = await asyncio.wait_for(asyncio.gather(*joining(made, 1, 2), return_exceptions=True), 5.0)
    assert [isinstance(each, WuganError) and each.retryable for each in outcomes] == [True, True]


async def test_what_is_asked_twice_at_the_same_time_is_done_once_and_afterwards_anew() -> None:
    flights: SingleFlight[str, int] = SingleFlight(FakeClock())
    flight = Flight()
    both = [asyncio.ensure_future(flights.join("a", flight, 5.0)) for _ in range(3)]
    other = asyncio.ensure_future(flights.join("b", flight, 5.0))
    await turns()
    flight.go.set()
    assert await asyncio.gather(*both) == [1, 1, 1]
    assert await other == 2
    assert await flights.join("a", flight, 5.0) == 3
    assert not flights._flights


async def test_when_whoever_came_first_gives_up_another_begins_anew_and_the_rest_wait_for_that_one() -> None:
    flights: SingleFlight[str, int] = SingleFlight(FakeClock())
    flight = Flight()
    first, *others = [asyncio.ensure_future(flights.join("a", flight, 5.0)) for _ in range(4)]
    await turns()
    first.cancel()
    await turns()
    assert flight.begun == 2
    others.pop().cancel()
    await turns()
    flight.go.set()
    assert await asyncio.gather(*others) == [2, 2]


async def test_what_a_flight_raises_is_its_callers_and_the_others_try_for_themselves() -> None:
    flights: SingleFlight[str, int] = SingleFlight(FakeClock())
    tried = []

    async def failing() -> int:
        tried.append(1)
        await asyncio.sleep(0)
        raise ValueError

    outcomes = await asyncio.gather(*(flights.join("a", failing, 5.0) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError] * 3
    assert len(tried) == 3
    assert not flights._flights


@pytest.mark.parametrize(
    ("later_s", "time_s", "together"),
    [(0.0, 5.0, True), (0.2, 5.0, True), (0.0, 5.4, True), (4.0, 5.0, False), (4.0, 1.0, True), (0.0, 30.0, False)],
)
async def test_nobody_waits_for_one_whose_time_is_over_much_sooner_or_later(
    later_s: float, time_s: float, together: bool
) -> None:
    clock = FakeClock()
    flights: SingleFlight[str, int] = SingleFlight(clock)
    flight = Flight()
    first = asyncio.ensure_future(flights.join("a", flight, 5.0))
    await turns()
    clock.advance(later_s)
    second = asyncio.ensure_future(flights.join("a", flight, time_s))
    await turns()
    flight.go.set()
    assert await asyncio.gather(first, second) == ([1, 1] if together else [1, 2])
    assert not flights._flights


@given(
    times=st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(min_value=0.01, max_value=600.0)), min_size=1, max_size=9)
)
def test_whoever_waits_for_another_has_about_as_much_time_left(times: list[tuple[float, float]]) -> None:
    async def check() -> None:
        clock = FakeClock()
        flights: SingleFlight[str, float] = SingleFlight(clock)
        go = asyncio.Event()
        asked = []
        for later_s, time_s in times:
            clock.advance(later_s)
            until_s = clock.monotonic() + time_s

            async def run(until_s: float = until_s) -> float:
                await go.wait()
                return until_s

            asked.append((until_s, time_s, asyncio.ensure_future(flights.join("a", run, time_s))))
            await turns()
        go.set()
        for until_s, time_s, result in asked:
            assert abs(await result - until_s) <= (ALIKE - 1) * time_s + 1e-6
        assert not flights._flights

    asyncio.run(check())


async def test_a_batch_has_the_least_of_its_parts_times() -> None:
    runs = Runs()
    runs.held = False
    made = coalescer(runs)
    await asyncio.gather(made.join("a", 1, 5.0), made.join("a", 2, 4.8))
    assert runs.times == [4.8]


@pytest.mark.parametrize("time_s", [0.011 * 1.013**step for step in range(0, 600, 7)])
async def test_parts_whose_times_are_alike_are_one_batch_whatever_they_are(time_s: float) -> None:
    runs = Runs()
    runs.held = False
    made = coalescer(runs)
    times = [time_s * 1.08, time_s, time_s * 1.04]
    await asyncio.gather(*(made.join("a", part, each) for part, each in enumerate(times)))
    assert runs.batches == [[0, 1, 2]]
    assert runs.times == [time_s]


@given(times=st.lists(st.floats(min_value=0.01, max_value=3600.0), min_size=1, max_size=12))
def test_what_has_much_time_is_never_cut_short_by_what_has_little(times: list[float]) -> None:
    async def check() -> None:
        runs = Runs()
        runs.held = False
        made = coalescer(runs, under_way=2)
        results = await asyncio.gather(*(made.join("a", part, each) for part, each in enumerate(times)))
        assert results == [part * 10 for part in range(len(times))]
        assert sorted(part for batch in runs.batches for part in batch) == list(range(len(times)))
        for batch, time_s in zip(runs.batches, runs.times, strict=True):
            assert time_s == min(times[part] for part in batch)
            assert all(times[part] <= time_s * 1.1 for part in batch)
        assert not made._open
        assert not made._under_way

    asyncio.run(check())


async def test_of_a_key_one_batch_is_under_way_also_where_times_are_not_alike() -> None:
    runs = Runs()
    made = coalescer(runs, under_way=1)
    asked = joining(made, 1, 2)
    await turns()
    asked += [asyncio.ensure_future(made.join("a", part, time_s)) for part, time_s in [(3, 5.0), (4, 60.0), (5, 5.1)]]
    await turns()
    assert runs.batches == [[1, 2]]
    runs.gates[0].set()
    await turns()
    assert runs.batches == [[1, 2], [3, 5]]
    runs.gates[1].set()
    await turns()
    assert runs.batches == [[1, 2], [3, 5], [4]]
    runs.gates[2].set()
    assert await asyncio.gather(*asked) == [10, 20, 30, 40, 50]


async def test_batches_begin_apart_also_where_times_lie_on_both_sides_of_a_class() -> None:
    runs, clock = Runs(), FakeClock()
    runs.held = False
    made: Coalescer[str, int, int] = Coalescer(runs.run, clock, limit=100, under_way=2, apart_s=0.008)
    edge_s = 1.1**7
    for number in range(200):
        clock.advance(0.002)
        await asyncio.gather(made.join("a", number, edge_s + (0.01 if number % 2 else -0.01)))
    begun = len(runs.batches)
    joined = [asyncio.ensure_future(made.join("a", part, edge_s + shift)) for part, shift in [(1, 0.01), (2, -0.01)]]
    await turns()
    assert len(runs.batches) == begun
    await asyncio.gather(*joined)
    assert runs.batches[begun:] == [[1, 2]]
