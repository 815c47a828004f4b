"""Asking what may never answer: once at a time, and how long it has not answered is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gateway.clock import FakeClock, SystemClock
from gateway.observing import calls
from gateway.vitals import patience
from gateway.vitals.patience import Patient


class Server:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: list[asyncio.Future[int]] = []

    async def ask(self) -> int:
        self.asked += 1
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeClock]:
    monkeypatch.setattr(patience, "WITHIN_S", 0.01)
    made = FakeClock()
    calls.use_clock(made)
    yield made
    calls.use_clock(SystemClock())


async def test_who_looks_often_does_not_ask_often_and_knows_how_long_there_was_no_answer(clock: FakeClock) -> None:
    server = Server()
    patient = Patient(server.ask)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await patient()
        clock.advance(10)
    assert (server.asked, patient.waited_s()) == (1, 30)
    looking = asyncio.ensure_future(patient())
    await asyncio.sleep(0)
    server.answers[0].set_result(7)
    assert (await looking, patient.waited_s()) == (7, 0)


async def test_a_question_that_failed_while_nobody_looked_is_asked_anew_and_was_not_answered(clock: FakeClock) -> None:
    server = Server()
    patient = Patient(server.ask)
    with pytest.raises(TimeoutError):
        await patient()
    server.answers[0].set_exception(OSError())
    await asyncio.sleep(0.01)
    clock.advance(10)
    with pytest.raises(TimeoutError):
        await patient()
    assert (server.asked, patient.waited_s()) == (2, 10)


async def test_an_error_that_comes_in_time_is_raised(clock: FakeClock) -> None:
    async def fails() -> int:
        raise OSError

    with pytest.raises(OSError):
        await Patient(fails)()
