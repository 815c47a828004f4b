"""The same question gets the same answer, in whatever order people stand in it."""

from __future__ import annotations

from adapters.conformance.answers import Said
from adapters.conformance.case import Failed, Say, case
from adapters.conformance.kit import Kit

_ORDER = "columns.proto: Order of rows carries no meaning"


@case(
    "same.twice",
    Say("The same question twice gets the same answer", "同一查询两次结果相同"),
    Say(
        "What was answered may be given again and is kept as proof: no sampling, no limit without an order.",
        "应答可能被再次使用并留作凭据：不得抽样，限行须有固定次序。",
    ),
    "adapter.proto: Lookup",
)
async def twice(kit: Kit) -> None:
    """All known people, three times."""
    people = [person for person, _ in await kit.known()]
    for _ in range(2):
        if await kit.differs(lambda: kit.said(people), lambda: kit.said(people)):
            raise Failed("the answers differ", "结果不一致")


@case(
    "same.order",
    Say("In another order, everybody gets the same answer", "调换次序后每人结果不变"),
    Say(
        "The source's order is not the question's: give each row to its person by number, never by position.",
        "来源的次序不等于查询的次序：应按号码而非位置对应。",
    ),
    _ORDER,
)
async def order(kit: Kit) -> None:
    """The known people among strangers, forwards and backwards."""
    people = [person.number for person, _ in await kit.known()]
    mixed = [number for pair in zip(people, kit.strangers, strict=False) for number in pair][: kit.largest]

    async def backwards() -> list[Said]:
        return list(reversed(await kit.said(list(reversed(mixed)))))

    if await kit.differs(lambda: kit.said(mixed), backwards):
        raise Failed("the answers differ", "结果不一致")


@case(
    "same.between_strangers",
    Say("Other people in the batch change nothing", "同批其他人员不影响结果"),
    Say("What is said of somebody depends on that person alone.", "对一人的应答只取决于本人。"),
    _ORDER,
)
async def between_strangers(kit: Kit) -> None:
    """A known person alone, and behind a few hundred strangers."""
    person, _ = await kit.somebody()
    among = [*kit.strangers[: min(400, kit.largest - 1)], person.number]

    async def last() -> Said:
        return (await kit.said(among))[-1]

    async def alone() -> Said:
        return (await kit.said([person.number]))[0]

    if await kit.differs(alone, last):
        raise Failed("the answers differ", "结果不一致")
