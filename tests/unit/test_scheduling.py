"""Threads of a server do not interrupt each other, and an operator's own choice stands."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import pytest

from gateway.scheduling import settle_scheduling


def in_a_thread(work: Callable[[], None]) -> list[int]:
    """The policy of a thread after some work, and that of one which it begins then: this one's stays as it is."""
    seen = []

    def look() -> None:
        seen.append(os.sched_getscheduler(0))

    def first() -> None:
        work()
        look()
        second = threading.Thread(target=look)
        second.start()
        second.join()

    thread = threading.Thread(target=first)
    thread.start()
    thread.join()
    return seen


def test_a_thread_and_those_that_it_begins_interrupt_nobody() -> None:
    assert in_a_thread(settle_scheduling) == [os.SCHED_BATCH, os.SCHED_BATCH]


def test_an_operators_own_choice_stands() -> None:
    def chosen() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        settle_scheduling()

    assert in_a_thread(chosen) == [os.SCHED_IDLE, os.SCHED_IDLE]


def test_where_the_system_does_not_let_us_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_of: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    assert in_a_thread(settle_scheduling) == [os.SCHED_OTHER, os.SCHED_OTHER]
