"""Batches of nobody, of one, of as many as the adapter takes, and of one more."""

from __future__ import annotations

from adapters.conformance.answers import said_of, size_of
from adapters.conformance.case import Failed, NotTried, Say, case
from adapters.conformance.kit import Kit
from adapters.contract import Found
from adapters.errors import AdapterError

_LOOKUP = "adapter.proto: Lookup"


@case(
    "batch.empty",
    Say("A batch of nobody gets an empty answer", "空批次得到空应答"),
    Say(
        "A batch may come out empty after narrowing. It is no error: answer with columns of length 0.",
        "经筛选后批次可能为空，这不是错误，应返回长度为 0 的各列。",
    ),
    _LOOKUP,
)
async def empty(kit: Kit) -> None:
    """Nobody."""
    rows, _ = size_of(await kit.ask([]))
    if rows:
        raise Failed(f"{rows} rows came back", f"返回了 {rows} 行")


@case(
    "batch.one",
    Say("A batch of one person is answered", "单人批次正常应答"),
    Say("A single question is a batch of one: the same path, and the quickest.", "单人查询即一人批次，走同一路径。"),
    _LOOKUP,
)
async def one(kit: Kit) -> None:
    """One person whom nobody knows, then one whom the source knows."""
    await kit.ask(kit.strangers[:1])
    person, _ = await kit.somebody()
    if not (await kit.said([person]))[0].known:
        raise Failed("somebody known in a batch is not known alone", "批次中可查到的人员单独查询时查不到")


@case(
    "batch.largest",
    Say(
        "The largest batch is answered, and its first, middle and last people are found",
        "最大批次完整应答，首、中、尾人员均可查到",
    ),
    Say(
        "Take `max_batch` people in one lookup, or say a smaller number. Never answer for some of them only.",
        "单次应能处理 max_batch 人，否则请减小该值；不得只应答其中一部分。",
    ),
    _LOOKUP,
)
async def largest(kit: Kit) -> None:
    """As many as it takes, or as the bounds of the run allow."""
    await _found_among(kit, kit.largest)


@case(
    "batch.beyond",
    Say("One person too many is refused or answered, never cut off", "超出上限时拒绝或完整应答，不得截断"),
    Say(
        "Refuse a batch beyond `max_batch` by an error, or answer all of it: people cut off look unknown.",
        "超过 max_batch 的批次应报错拒绝或完整应答；截断会使人员被误认为查无此人。",
    ),
    _LOOKUP,
)
async def beyond(kit: Kit) -> None:
    """One more than it takes."""
    if kit.largest < kit.about.max_batch:
        raise NotTried(
            f"it takes {kit.about.max_batch} people, and the run is bounded to {kit.largest}",
            f"上限为 {kit.about.max_batch} 人，而本次检查以 {kit.largest} 人为限",
        )
    try:
        await _found_among(kit, kit.largest + 1)
    except AdapterError:
        return


@case(
    "batch.paging",
    Say("What is said of people together is what is said of each alone", "合并查询与逐人查询结果一致"),
    Say(
        "Read the source to its last page, and give every row to its own person. A limit of rows belongs nowhere.",
        "应读完数据源的最后一页，并将每行归到本人；不得限制行数。",
    ),
    _LOOKUP,
)
async def paging(kit: Kit) -> None:
    """Each of the sample alone, against all of them together."""
    people = [person for person, _ in await kit.known()]
    if len(people) < 2:
        raise NotTried("needs two people whom the source knows", "需要数据源中已有的两名人员")

    async def alone() -> object:
        return [(await kit.said([person]))[0] for person in people]

    if await kit.differs(alone, lambda: kit.said(people)):
        raise Failed("the answers differ", "结果不一致")


@case(
    "batch.bounded",
    Say("An answer is no larger than its question can need", "应答规模与查询相称"),
    Say(
        "Do not hand over years of rows: let the source's view hold thirteen months, and use `traces_since_on`.",
        "不应返回多年数据：视图保留十三个月即可，并按 traces_since_on 截取。",
    ),
    "adapter.proto: LookupRequest.traces_since_on",
)
async def bounded(kit: Kit) -> None:
    """Rows and bytes of what the known people brought."""
    people = [person for person, _ in await kit.known()]
    rows, size = size_of(await kit.ask([person.number for person in people]))
    if rows > kit.bounds.rows * len(people) or size > kit.bounds.answer_bytes:
        raise Failed(
            f"{rows} rows, about {size} bytes, about {len(people)} people",
            f"{len(people)} 人返回 {rows} 行，约 {size} 字节",
        )


async def _found_among(kit: Kit, size: int) -> None:
    """Known people first, in the middle and last of a batch of strangers."""
    known = [person for person, _ in await kit.known()][: min(3, size)]
    numbers = kit.strangers[: size - len(known)]
    places = [0, size // 2, size - 1][: len(known)]
    for place, person in zip(places, known, strict=True):
        numbers.insert(place, person.number)
    found: Found = await kit.ask(numbers)
    missing = [place for place, said in zip(places, said_of(found, places), strict=True) if not said.known]
    if missing:
        raise Failed(
            f"known people are not found in rows {missing} of {size}",
            f"{size} 人批次中，第 {missing} 行的已知人员未查到",
        )
