"""Changes: of whom there is something new, and where to go on."""

from __future__ import annotations

from adapters.conformance.case import Failed, NotTried, Say, case
from adapters.conformance.kit import Kit
from adapters.contract import MAX_CELL_BYTES, MAX_CURSOR_BYTES, Changed, ChangeFeed
from adapters.errors import AdapterError

_CHANGES = "adapter.proto: Changes"
_CURSOR = "adapter.proto: ChangesResponse.cursor"
_FOREIGN = (b"\x00somebody else's\xff", b"x" * (MAX_CURSOR_BYTES + 1))
_ROUNDS = 1_000


@case(
    "changes.described",
    Say("It can tell of changes if it says so", "声明提供变更跟踪即应能提供"),
    Say("Whoever is not told of here is not monitored in this source.", "未在此告知的人员不会被动态监测。"),
    "adapter.proto: DescribeResponse.changes",
)
async def described(kit: Kit) -> None:
    """The description against what there is."""
    if not kit.about.changes:
        raise NotTried("it does not tell of changes", "该接入不提供变更跟踪")
    if not isinstance(kit.adapter, ChangeFeed):
        raise Failed("it says so and has no `changes`", "声明提供而未实现")


@case(
    "changes.begin",
    Say("Begun with an empty cursor, it tells nobody and where to go on", "空游标起始：不返回人员，给出续读位置"),
    Say("What was there before is no news.", "此前已有的内容不算变更。"),
    _CHANGES,
)
async def begin(kit: Kit) -> None:
    """The empty cursor."""
    changed = await kit.changes(b"")
    if len(changed):
        raise Failed(f"{len(changed)} people are told of at once", f"起始即返回 {len(changed)} 人")
    if not changed.cursor:
        raise Failed("there is no cursor to go on from", "未给出游标")


@case(
    "changes.shape",
    Say("Columns fit, and the cursor is small", "各列一致，游标不超长"),
    Say(
        f"At most {MAX_CURSOR_BYTES} bytes of cursor, {MAX_CELL_BYTES} of a text.",
        f"游标不超过 {MAX_CURSOR_BYTES} 字节，文本不超过 {MAX_CELL_BYTES} 字节。",
    ),
    _CURSOR,
)
async def shape(kit: Kit) -> None:
    """Two looks."""
    first = await kit.changes(b"")
    for changed in (first, await kit.changes(first.cursor)):
        if len(changed.id_number) != len(changed.name):
            raise Failed("the columns differ in length", "各列长度不一致")
        if not isinstance(changed.cursor, bytes) or len(changed.cursor) > MAX_CURSOR_BYTES:
            raise Failed("the cursor is too long or no bytes", "游标过长或不是字节串")
        if any(not text or len(text.encode()) > MAX_CELL_BYTES for text in changed.id_number):
            raise Failed("a number is empty or too long", "号码为空或过长")


@case(
    "changes.restart",
    Say("A cursor stays good over a restart", "游标在重启后仍有效"),
    Say("Keep nothing in memory that a cursor points to.", "游标所指内容不得只存于内存。"),
    _CURSOR,
)
async def restart(kit: Kit) -> None:
    """Begin, start anew, go on."""
    first = await kit.changes(b"")
    await kit.restart()
    try:
        await kit.changes(first.cursor)
    except AdapterError as error:
        raise Failed("the cursor is refused after a restart", "重启后游标被拒绝") from error


@case(
    "changes.again",
    Say("The same cursor again leaves nobody out", "以同一游标再次读取不遗漏人员"),
    Say(
        "Who was told of may not have been dealt with: only a new cursor moves on.",
        "已返回者未必处理完毕：只有新游标才向前推进。",
    ),
    _CHANGES,
)
async def again(kit: Kit) -> None:
    """A cursor used twice, with a change in between where one can be made."""
    first = await kit.changes(b"")
    told = set((await kit.stirred(first.cursor)).id_number)
    if not told <= set((await kit.changes(first.cursor)).id_number):
        raise Failed("people are missing the second time", "第二次读取有遗漏")


@case(
    "changes.foreign",
    Say("A cursor that is none of its own is refused", "拒绝不属于自己的游标"),
    Say(
        "Raise SourceFaultError (INVALID_ARGUMENT on the wire): a guessed place would leave people out.",
        "应报 SourceFaultError（线上为 INVALID_ARGUMENT）：猜测位置会遗漏人员。",
    ),
    _CURSOR,
)
async def foreign(kit: Kit) -> None:
    """Bytes that it never gave."""
    await kit.changes(b"")
    for cursor in _FOREIGN:
        try:
            await kit.changes(cursor)
        except AdapterError:
            continue
        raise Failed("it was taken", "未拒绝")


@case(
    "changes.limit",
    Say("No more people come than were asked for, and the rest after them", "返回人数不超过限额，其余随后返回"),
    Say("Say `more`, and go on from the new cursor.", "应置 more，并可由新游标续读。"),
    "adapter.proto: ChangesRequest.limit",
)
async def limit(kit: Kit) -> None:
    """One person at a time, to the end."""
    first = await kit.changes(b"")
    expected = set((await kit.stirred(first.cursor)).id_number)
    cursor, told = first.cursor, set[str]()
    for _ in range(_ROUNDS):
        changed: Changed = await kit.changes(cursor, 1)
        if len(changed) > 1:
            raise Failed(f"{len(changed)} people came, and 1 was asked for", f"限额 1 人而返回 {len(changed)} 人")
        told |= set(changed.id_number)
        cursor = changed.cursor
        if not changed.more:
            break
    else:
        raise Failed("it never comes to an end", "续读没有尽头")
    if not expected <= told:
        raise Failed("people are left out", "有人员遗漏")


@case(
    "changes.told",
    Say("Whoever changed in the source is told of", "来源中有变更的人员均被告知"),
    Say("Somebody told of without need does no harm; nobody may be left out.", "多告知无妨，不得遗漏。"),
    _CHANGES,
)
async def told(kit: Kit) -> None:
    """A change made in the source."""
    kit.feed()
    if kit.stir is None:
        raise NotTried("needs a program that changes the source", "需要由程序变更来源数据")
    first = await kit.changes(b"")
    stirred = await kit.stir()
    cursor, found = first.cursor, set[str]()
    for _ in range(_ROUNDS):
        changed = await kit.changes(cursor)
        found |= set(changed.id_number)
        cursor = changed.cursor
        if not changed.more:
            break
    missing = set(stirred) - found
    if missing:
        raise Failed(
            f"{len(missing)} of {len(stirred)} people are not told of", f"{len(stirred)} 人中有 {len(missing)} 人未告知"
        )
