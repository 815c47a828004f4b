"""Closing, and beginning again."""

from __future__ import annotations

from contextlib import suppress

from adapters.conformance.case import Failed, NotTried, Say, case
from adapters.conformance.kit import Kit
from adapters.errors import AdapterError

_CONTRACT = "adapters/contract.py"


@case(
    "restart.answer",
    Say("After a restart the answers are the same", "重启后结果相同"),
    Say("Keep nothing in memory that an answer depends on.", "应答所依赖的内容不得只存于内存。"),
    _CONTRACT,
)
async def answer(kit: Kit) -> None:
    """All known people, before and after."""
    people = [person for person, _ in await kit.known()]

    async def again() -> object:
        await kit.restart()
        return await kit.said(people)

    if await kit.differs(lambda: kit.said(people), again):
        raise Failed("the answers differ", "结果不一致")


@case(
    "restart.description",
    Say("After a restart it describes itself in the same way", "重启后自我描述相同"),
    Say("A name or version made up at start breaks what is kept by it.", "启动时临时生成的标识或版本会使归集失效。"),
    "adapter.proto: Describe",
)
async def description(kit: Kit) -> None:
    """`Describe` before and after."""
    await kit.restart()
    await kit.within(kit.adapter.check(), kit.bounds.deadline_s)
    if await kit.described() != kit.about:
        raise Failed("the description differs", "描述不同")


@case(
    "restart.closed",
    Say("Once closed, it refuses instead of hanging", "关闭后拒绝查询而不挂起"),
    Say(
        "Whoever still holds it gets an AdapterError, or an answer as before.",
        "仍在使用者应得到 AdapterError 或照常应答。",
    ),
    _CONTRACT,
)
async def closed(kit: Kit) -> None:
    """A lookup after closing, closing twice, and a new one."""
    if not kit.target.local:
        raise NotTried("it runs elsewhere and is not ours to close", "其在别处运行，不应由此关闭")
    closing = kit.adapter
    await kit.close()
    kit.adapter = await kit.target.open()
    with suppress(AdapterError):
        await kit.ask(kit.strangers[: min(kit.largest, 300)], adapter=closing)
    await kit.within(closing.close(), 0)
