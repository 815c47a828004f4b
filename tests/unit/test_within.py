"""A coroutine that has until a moment: as under asyncio's own time limit, but for the timer where it never waits."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from gateway.within import within

_SET = contextvars.ContextVar("set", default=0)
Limited = Callable[[float, Coroutine[Any, Any, Any]], Awaitable[Any]]


async def _by_asyncio(end: float, coroutine: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.timeout_at(end):
        return await coroutine


both = pytest.mark.parametrize("limited", [within, _by_asyncio])


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_what_never_waits_takes_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once() -> int:
        return 7

    monkeypatch.setattr(asyncio, "timeout_at", None)
    assert await within(_in(5), at_once()) == 7
    assert await within(_in(-5), at_once()) == 7  # it is over before a timer could say anything

    async def fails() -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await within(_in(5), fails())


@both
async def test_it_waits_in_the_callers_own_task_and_context(limited: Limited) -> None:
    async def waits() -> tuple[object, int]:
        for _ in range(3):
            await asyncio.sleep(0)
        got = await asyncio.get_running_loop().run_in_executor(None, lambda: 3)
        _SET.set(got)
        return asyncio.current_task(), got

    assert await limited(_in(30), waits()) == (asyncio.current_task(), 3)
    assert _SET.get() == 3


@both
@pytest.mark.parametrize("seconds", [0.01, 0.0, -1.0])
async def test_what_still_waits_at_the_end_is_cancelled_and_late(limited: Limited, seconds: float) -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        finally:
            ended.append("over")

    with pytest.raises(TimeoutError):
        await limited(_in(seconds), waits())
    assert ended == ["cancelled", "over"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@both
async def test_errors_thrown_in_may_be_dealt_with_and_others_come_out(limited: Limited) -> None:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def waits() -> str:
        try:
            await failed
        except OSError:
            await asyncio.sleep(0)
        raise KeyError("x")

    asyncio.get_running_loop().call_soon(failed.set_exception, OSError())
    with pytest.raises(KeyError):
        await limited(_in(30), waits())


@both
async def test_who_gives_up_is_no_time_limit(limited: Limited) -> None:
    began, ended = asyncio.Event(), []

    async def waits() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.get_running_loop().create_task(limited(_in(30), waits()))  # type: ignore[arg-type]
    await began.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


@both
@pytest.mark.parametrize("inner_s", [0.01, 0.03, 30.0])
async def test_a_time_limit_within_says_what_it_says(limited: Limited, inner_s: float) -> None:
    """The inner one alone, both at the same moment, the outer one alone."""
    said: list[str] = []

    async def waits() -> str:
        try:
            async with asyncio.timeout(inner_s):
                await asyncio.Event().wait()
        except TimeoutError:
            said.append("inner")
            return "dealt with"
        return ""

    if inner_s < 0.03:
        assert await limited(_in(30), waits()) == "dealt with"
        assert said == ["inner"]
    elif inner_s > 1:
        with pytest.raises(TimeoutError):
            await limited(_in(0.01), waits())
        assert said == []
    else:
        end = _in(inner_s)
        try:
            came = await limited(end, waits())
        except TimeoutError:
            came = "late"
        assert came in ("dealt with", "late")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
