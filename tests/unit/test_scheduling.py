"""While there is much to do threads of a server do not interrupt each other, and an operator's own choice stands."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from gateway.clock import FakeClock
from gateway.scheduling import BUSY, CALM_LOOKS, LOOK_S, SEVERAL, Load, Turns, every_thread, settle_scheduling
from tests.instant_loop import run_instantly

ORDINARY, BATCH = os.SCHED_OTHER, os.SCHED_BATCH


def give(policy: int, thread: int = 0) -> None:
    os.sched_setscheduler(thread, policy, os.sched_param(0))


def in_a_thread(*work: Callable[[], None]) -> list[int]:
    """The policy of a thread after some work, and that of one which it begins then: this one's stays as it is."""
    seen = []

    def look() -> None:
        seen.append(os.sched_getscheduler(0))

    def first() -> None:
        give(ORDINARY)  # whichever of the two the tests run under
        for each in work:
            each()
        look()
        second = threading.Thread(target=look)
        second.start()
        second.join()

    thread = threading.Thread(target=first)
    thread.start()
    thread.join()
    return seen


@contextlib.contextmanager
def waiting(*policies: int, lower_by: int = 0) -> Iterator[list[int]]:
    """Threads of these policies that do nothing for the length of the block, by the system's number."""
    end, ready, numbers = threading.Event(), threading.Barrier(len(policies) + 1), []

    def wait(policy: int) -> None:
        give(policy)
        number = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, number, os.getpriority(os.PRIO_PROCESS, number) + lower_by)
        numbers.append(number)
        ready.wait()
        end.wait()

    threads = [threading.Thread(target=wait, args=(policy,)) for policy in policies]
    for thread in threads:
        thread.start()
    ready.wait()
    try:
        yield numbers
    finally:
        end.set()
        for thread in threads:
            thread.join()


def policies_of(threads: Iterable[int]) -> list[int]:
    return sorted(os.sched_getscheduler(thread) for thread in threads)


def refused(*_of: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


class Gateway:
    """What there is to do at one, as `Turns` sees it."""

    def __init__(self, threads: Callable[[], Iterable[int]]) -> None:
        self._clock = FakeClock()
        self.at_a_time = 1.0
        self._worked = 0.0
        self.turns = Turns(lambda: self.at_a_time, self._clock.monotonic, lambda: self._worked, threads)

    def works(self, share: float, at_a_time: float, looks: int = 1) -> None:
        """It works so much of the time until as many looks have been taken."""
        self.at_a_time = at_a_time
        for _ in range(looks):
            self._clock.advance(LOOK_S)
            self._worked += share * LOOK_S
            self.turns.look()


def much_after(looks: Sequence[bool]) -> bool:
    load = Load()
    for much in looks:
        load.add(much=much)
    return load.much


def test_there_is_much_to_do_at_once_and_no_more_after_some_looks_in_a_row() -> None:
    assert not much_after([])
    assert not much_after([False])
    assert much_after([True])
    assert much_after([True] + [False] * (CALM_LOOKS - 1))
    assert not much_after([True] + [False] * CALM_LOOKS)
    assert much_after([True] + [False] * (CALM_LOOKS - 1) + [True] + [False] * (CALM_LOOKS - 1))
    assert much_after([False] * 100 + [True] + [False] * (CALM_LOOKS - 1))


def test_all_threads_take_turns_while_there_is_much_to_do_and_only_then() -> None:
    with waiting(ORDINARY, ORDINARY) as threads:
        gateway = Gateway(lambda: threads)
        gateway.works(share=0.9, at_a_time=1.0)
        assert policies_of(threads) == [ORDINARY] * 2, "one call at a time"
        gateway.works(share=BUSY / 2, at_a_time=20.0)
        assert policies_of(threads) == [ORDINARY] * 2, "many that hardly cost anything"
        gateway.works(share=BUSY * 1.01, at_a_time=SEVERAL)
        assert policies_of(threads) == [BATCH] * 2
        gateway.works(share=0.9, at_a_time=1.0, looks=CALM_LOOKS - 1)
        assert policies_of(threads) == [BATCH] * 2
        gateway.works(share=0.9, at_a_time=1.0)
        assert policies_of(threads) == [ORDINARY] * 2
        gateway.works(share=0.5, at_a_time=2.0)
        assert policies_of(threads) == [BATCH] * 2


def test_threads_are_gone_over_only_where_the_policy_changes() -> None:
    asked = []

    def threads() -> list[int]:
        asked.append(1)
        return []

    gateway = Gateway(threads)
    gateway.works(share=0.5, at_a_time=1.0, looks=3)
    assert not asked
    gateway.works(share=0.5, at_a_time=2.0)
    changed = len(asked)
    gateway.works(share=0.5, at_a_time=2.0, looks=3)
    assert len(asked) == changed > 0


def test_a_thread_that_was_begun_meanwhile_and_one_that_has_ended_are_no_matter() -> None:
    with waiting(ORDINARY) as gone:
        pass
    with waiting(ORDINARY, ORDINARY) as threads:
        lists = iter(([*gone, threads[0]], [*gone, *threads]))
        gateway = Gateway(lambda: next(lists))
        gateway.works(share=0.5, at_a_time=2.0)
        assert policies_of(threads) == [BATCH] * 2


def test_what_an_operator_chose_for_a_running_thread_stands_and_so_does_its_priority() -> None:
    with waiting(os.SCHED_IDLE, ORDINARY, lower_by=3) as threads:
        before = [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads]
        gateway = Gateway(lambda: threads)
        gateway.works(share=0.5, at_a_time=2.0)
        assert policies_of(threads) == sorted([os.SCHED_IDLE, BATCH])
        gateway.works(share=0.0, at_a_time=0.0, looks=CALM_LOOKS)
        assert policies_of(threads) == sorted([os.SCHED_IDLE, ORDINARY])
        assert [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads] == before


def test_every_thread_of_the_process_is_seen() -> None:
    with waiting(ORDINARY, ORDINARY) as threads:
        assert {*threads, threading.get_native_id(), os.getpid()} <= set(every_thread())
    assert not set(threads) & set(every_thread())


def served(started_under: int, threads: list[int]) -> list[int]:
    """The policies of some threads while a gateway has much to do; looked at from one of a process so started."""
    seen: list[int] = []

    async def serve() -> None:
        times, worked = iter(range(1000)), iter(range(1000))
        turns = Turns(lambda: 2.0, lambda: next(times), lambda: next(worked), lambda: threads)
        looking = asyncio.create_task(turns.run())
        await asyncio.sleep(LOOK_S * 2)
        seen.extend(policies_of(threads))
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    in_a_thread(lambda: give(started_under), lambda: run_instantly(serve))
    return seen


def test_a_gateway_looks_as_long_as_it_runs_and_then_leaves_everything_as_it_was() -> None:
    with waiting(ORDINARY, ORDINARY) as threads:
        assert served(ORDINARY, threads) == [BATCH] * 2
        assert policies_of(threads) == [ORDINARY] * 2


def test_a_gateway_that_an_operator_started_under_another_policy_never_changes_it() -> None:
    with waiting(BATCH, ORDINARY) as threads:
        assert served(BATCH, threads) == [ORDINARY, BATCH]
        assert served(os.SCHED_IDLE, threads) == [ORDINARY, BATCH]
        assert policies_of(threads) == [ORDINARY, BATCH]


def test_where_the_system_refuses_a_gateway_looks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    async def serve() -> None:
        times, worked = iter(range(1000)), iter(range(1000))
        await asyncio.wait_for(Turns(lambda: 2.0, lambda: next(times), lambda: next(worked), lambda: [0]).run(), 60)
        ended.append(next(times))

    def gateway() -> None:
        monkeypatch.setattr(os, "sched_setscheduler", refused)
        run_instantly(serve)

    assert in_a_thread(gateway) == [ORDINARY, ORDINARY]
    assert ended == [2], "at the first look"


def test_a_thread_and_those_that_it_begins_interrupt_nobody() -> None:
    assert in_a_thread(settle_scheduling) == [BATCH, BATCH]


def test_an_operators_own_choice_stands() -> None:
    assert in_a_thread(lambda: give(os.SCHED_IDLE), settle_scheduling) == [os.SCHED_IDLE, os.SCHED_IDLE]


def test_where_the_system_does_not_let_us_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle() -> None:
        monkeypatch.setattr(os, "sched_setscheduler", refused)
        settle_scheduling()

    assert in_a_thread(settle) == [ORDINARY, ORDINARY]
