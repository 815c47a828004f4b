"""Deadlines, cancelling, and many lookups at once."""

from __future__ import annotations

import asyncio

from adapters.conformance.answers import said_of
from adapters.conformance.case import Failed, Say, case
from adapters.conformance.kit import LEGAL_BASIS, SOMEBODY, Kit
from adapters.contract import Lookup, Subjects
from adapters.errors import AdapterError, SourceDownError

_DEADLINE = "adapter.proto: Lookup; its deadline"
_SHORT_S = 0.001


async def _largest(kit: Kit, seconds: float) -> None:
    """Somebody known at the end of the largest batch, within so many seconds: in time, or an error that says so."""
    person, _ = await kit.somebody()
    numbers = [*kit.strangers[: kit.largest - 1], person.number]
    try:
        found = await kit.ask(numbers, deadline_s=seconds)
    except SourceDownError:
        return
    except AdapterError as error:
        raise Failed("late, but the error is none of a source that is down", "超时后的错误不是来源不可用") from error
    if not said_of(found, [len(numbers) - 1])[0].known:
        raise Failed("a part of the answer came as if it were the whole", "将部分结果作为完整结果返回")


@case(
    "time.short",
    Say("With a deadline that cannot be met, it answers whole or says that it is late", "时限过短时完整应答或说明超时"),
    Say(
        "End the work at the deadline and raise SourceDownError (DEADLINE_EXCEEDED on the wire), never answer in part.",
        "到时即停止并报 SourceDownError（线上为 DEADLINE_EXCEEDED），不得返回部分结果。",
    ),
    _DEADLINE,
)
async def short(kit: Kit) -> None:
    """A millisecond for the largest batch."""
    await _largest(kit, _SHORT_S)


@case(
    "time.none",
    Say("With no time left at all, it comes back at once", "时限已过时立即返回"),
    Say("A question may arrive when its time is over.", "查询到达时可能已经超时。"),
    _DEADLINE,
)
async def none(kit: Kit) -> None:
    """A deadline of 0 s, and one that is over."""
    for seconds in (0.0, -1.0):
        await _largest(kit, seconds)


@case(
    "time.after_late",
    Say("After a late answer the next question is answered", "超时之后的查询正常应答"),
    Say("Give connections back, and end statements that nobody waits for.", "应归还连接，并终止无人等待的语句。"),
    _DEADLINE,
)
async def after_late(kit: Kit) -> None:
    """Several late ones, then one in time."""
    person, _ = await kit.somebody()
    for _ in range(3):
        try:
            await kit.ask(kit.strangers[: kit.largest], deadline_s=_SHORT_S)
        except (AdapterError, Failed):
            continue
    if not (await kit.said([person]))[0].known:
        raise Failed("the known person is not found any more", "已知人员查不到了")


@case(
    "time.cancel",
    Say("A cancelled lookup ends soon", "取消的查询及时停止"),
    Say(
        "Whoever asked has gone: let CancelledError pass (CANCELLED on the wire) and stop the work in the source.",
        "查询方已离开：应放行 CancelledError（线上为 CANCELLED）并停止来源侧的工作。",
    ),
    "adapters/contract.py",
)
async def cancel(kit: Kit) -> None:
    """The largest batch, cancelled at once, and cancelled after it has begun."""
    await kit.somebody()
    for turns in (0, 1, 10):
        task = asyncio.ensure_future(kit.adapter.lookup(_question(kit)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=kit.bounds.grace_s)
        if not task.done():
            raise Failed(
                f"goes on {kit.bounds.grace_s:g} s after it was cancelled", f"取消 {kit.bounds.grace_s:g} 秒后仍在继续"
            )
        if not task.cancelled() and task.exception() is not None and not isinstance(task.exception(), AdapterError):
            raise Failed("cancelling made it crash", "取消导致崩溃")


@case(
    "time.after_cancel",
    Say("After cancelled lookups the next question is answered", "取消之后的查询正常应答"),
    Say("A cancelled lookup keeps no connection, thread or lock.", "取消的查询不得占用连接、线程或锁。"),
    "adapters/contract.py",
)
async def after_cancel(kit: Kit) -> None:
    """More cancelled ones than an adapter has connections, then one that is not."""
    person, _ = await kit.somebody()
    tasks = [asyncio.ensure_future(kit.adapter.lookup(_question(kit))) for _ in range(kit.bounds.at_once)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=kit.bounds.grace_s)
    if not (await kit.said([person]))[0].known:
        raise Failed("the known person is not found any more", "已知人员查不到了")


@case(
    "time.at_once",
    Say("Lookups made at the same time get each its own answer", "并发查询各得其所"),
    Say(
        "Keep nothing of a lookup outside of it: no shared cursor, buffer or list.",
        "不得在查询之外共享游标、缓冲或列表。",
    ),
    "adapters/contract.py",
)
async def at_once(kit: Kit) -> None:
    """Different batches side by side, against the same one after another."""
    people = [person.number for person, _ in await kit.known()]
    batches = [
        [*kit.strangers[at : at + at % 3], people[at % len(people)], *kit.strangers[: at % 4]][: kit.largest]
        for at in range(kit.bounds.at_once)
    ]

    async def together() -> object:
        jobs = [asyncio.ensure_future(kit.said(batch)) for batch in batches]
        try:
            return await asyncio.gather(*jobs)
        finally:
            for job in jobs:
                job.cancel()

    async def in_turn() -> object:
        return [await kit.said(batch) for batch in batches]

    if await kit.differs(in_turn, together):
        raise Failed("the answers differ", "结果不一致")


@case(
    "time.beside_cancelled",
    Say("Cancelling one lookup harms none of the others", "取消一个查询不影响其他查询"),
    Say("A connection that is shared is not closed because one of its users went.", "共享连接不得因一方离开而关闭。"),
    "adapters/contract.py",
)
async def beside_cancelled(kit: Kit) -> None:
    """A small lookup while a large one is cancelled."""
    person, said = await kit.somebody()
    large = asyncio.ensure_future(kit.adapter.lookup(_question(kit)))
    small = asyncio.ensure_future(kit.said([person]))
    await asyncio.sleep(0)
    large.cancel()
    (told,) = await small
    await asyncio.wait([large], timeout=kit.bounds.grace_s)
    if told != said:
        raise Failed("the other lookup is answered otherwise", "其他查询的结果有变")


def _question(kit: Kit) -> Lookup:
    numbers = kit.strangers[: kit.largest]
    return Lookup(
        Subjects(numbers, [SOMEBODY] * len(numbers)), deadline_s=kit.bounds.deadline_s, legal_basis=LEGAL_BASIS
    )
