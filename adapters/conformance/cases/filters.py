"""What the question asks for: kinds, since when, references, purposes."""

from __future__ import annotations

from contextlib import suppress

from adapters.conformance.answers import Row, Said
from adapters.conformance.case import Failed, Noted, NotTried, Say, case
from adapters.conformance.kit import Kit
from adapters.conformance.sample import Person
from adapters.errors import AdapterError
from wugan.adapter.v1 import vocabulary_pb2 as words

_KINDS = "adapter.proto: LookupRequest.kinds"
_SINCE = "adapter.proto: LookupRequest.traces_since_on"
_FIRST_EVENT = 100
_KINDS_TRIED = 8


async def _with_evidence(kit: Kit) -> tuple[Person, Said]:
    person, said = await kit.somebody()
    if not said.evidence:
        raise NotTried("needs a known person with evidence", "需要有证据的已知人员")
    return person, said


async def _agrees(kit: Kit, person: Person, rows: list[Row], said: Said, **question: object) -> bool:
    """Whether a narrower question brings these rows; asked again, and once more in full, if it does not."""
    (told,) = await kit.said([person], **question)
    return told == said.with_rows(rows)


@case(
    "filter.kinds",
    Say("Asked for one kind, it gives all rows of that kind and no others", "按单一类型查询时只返回且全部返回该类型"),
    Say(
        "Minimal disclosure begins at the source: evidence that was not asked for must not leave it.",
        "最小披露从来源开始：未查询的证据不得返回。",
    ),
    _KINDS,
)
async def kinds(kit: Kit) -> None:
    """Each kind that somebody has, by itself."""
    person, said = await _with_evidence(kit)
    for kind in sorted({row.kind for row in said.rows})[:_KINDS_TRIED]:
        rows = [row for row in said.rows if row.kind == kind]
        if not await _agrees(kit, person, rows, said, kinds=(kind,)):
            raise Failed(
                f"asked for {words.EvidenceKind.Name(words.EvidenceKind.ValueType(kind))}: other rows came, or not all",
                f"查询 {words.EvidenceKind.Name(words.EvidenceKind.ValueType(kind))} 时返回的行有多余或缺失",
            )


@case(
    "filter.several_kinds",
    Say("Asked for all its kinds by name, it gives what it gives unasked", "列出全部类型与不列类型结果相同"),
    Say("No kinds at all means all of them.", "不列类型即表示全部。"),
    _KINDS,
)
async def several_kinds(kit: Kit) -> None:
    """All described kinds."""
    person, said = await _with_evidence(kit)
    if not await _agrees(kit, person, said.rows, said, kinds=tuple(item.kind for item in kit.about.items)):
        raise Failed("the answers differ", "结果不一致")


@case(
    "filter.other_kinds",
    Say(
        "Asked for kinds it does not have, it gives no evidence, and still says whom it knows",
        "查询其没有的类型时不返回证据，但仍说明有此人",
    ),
    Say("A kind that the adapter does not have is no error.", "查询其没有的类型不是错误。"),
    _KINDS,
)
async def other_kinds(kit: Kit) -> None:
    """A kind of the vocabulary that is not described."""
    person, said = await kit.somebody()
    described = {item.kind for item in kit.about.items}
    other = next((kind for kind in words.EvidenceKind.values() if kind and kind not in described), 0)
    if not other:
        raise NotTried("it has every kind of the vocabulary", "其具有词表的全部类型")
    (told,) = await kit.said([person], kinds=(other,))
    if told.evidence:
        raise Failed("evidence came that was not asked for", "返回了未查询的证据")
    if told.holders != said.holders:
        raise Failed("the person is not known any more", "未说明有此人")


@case(
    "filter.traces_since",
    Say("Traces before the day asked stay out; those of that very day are in", "早于所给日期的轨迹不返回，当日的返回"),
    Say("The day itself counts.", "含当日。"),
    _SINCE,
)
async def traces_since(kit: Kit) -> None:
    """The newest trace's day, and the day after."""
    person, said = await _with_evidence(kit)
    days = [row.observed_on for row in said.rows if row.kind < _FIRST_EVENT]
    if not days:
        raise NotTried("needs a known person with a trace", "需要有轨迹的已知人员")
    for since in (max(days), max(days) + 1):
        rows = [row for row in said.rows if row.kind >= _FIRST_EVENT or row.observed_on >= since]
        (told,) = await kit.said([person], since=since)
        if [r for r in told.rows if r.kind < _FIRST_EVENT] != [r for r in rows if r.kind < _FIRST_EVENT]:
            raise Failed("traces are missing, or came that were not asked for", "轨迹有缺失或多余")


@case(
    "filter.events_kept",
    Say("Events come whatever the day asked", "事件不受所给日期影响"),
    Say(
        "A death of ten years ago must be told. `traces_since_on` is about traces alone.",
        "十年前的死亡也必须返回；traces_since_on 只限轨迹。",
    ),
    _SINCE,
)
async def events_kept(kit: Kit) -> None:
    """A day to come."""
    for person, said in await kit.known():
        events = [row for row in said.rows if row.kind >= _FIRST_EVENT]
        if not events:
            continue
        (told,) = await kit.said([person], since=kit.today + 30)
        if [row for row in told.rows if row.kind >= _FIRST_EVENT] != events:
            raise Failed("events were left out", "遗漏了事件")
        return
    raise NotTried("needs a known person with an event", "需要有事件的已知人员")


@case(
    "filter.references",
    Say("Asked without references, it gives the same rows", "不查询来源编号时各行不变"),
    Say("An adapter may leave references out then, and nothing else.", "此时可省略来源编号，其余不得变化。"),
    "adapter.proto: LookupRequest.without_references",
)
async def references(kit: Kit) -> None:
    """Without references."""
    person, said = await _with_evidence(kit)
    (told,) = await kit.said([person], references=False)
    if told.without_references() != said.without_references():
        raise Failed("the rows differ in more than their references", "各行除来源编号外还有不同")


@case(
    "filter.purposes",
    Say("Every purpose of the vocabulary is answered alike", "各查询目的得到相同应答"),
    Say(
        "Purpose and legal basis are for the department's own log; what a purpose may see is the gateway's to decide. "
        "An adapter that must refuse one refuses it by an error.",
        "目的与依据供部门记录；各目的可见内容由网关决定。如须拒绝某一目的，应以错误表明。",
    ),
    "adapter.proto: LookupRequest.purpose",
)
async def purposes(kit: Kit) -> None:
    """Each purpose."""
    person, said = await kit.somebody()
    for purpose in words.Purpose.values():
        if not purpose:
            continue
        try:
            (told,) = await kit.said([person], purpose=purpose)
        except AdapterError as error:
            name = words.Purpose.Name(purpose)
            raise Noted(f"{name} is refused", f"拒绝 {name}") from error
        if told != said:
            raise Failed(
                f"{words.Purpose.Name(purpose)} is answered otherwise", f"{words.Purpose.Name(purpose)} 的应答不同"
            )


@case(
    "filter.legal_basis",
    Say(
        "A legal basis as long as a cell may be, and none at all, change nothing",
        "法律依据为空或达到长度上限均不影响结果",
    ),
    Say(
        "It is text for a log, at most 256 bytes. It decides nothing here.", "仅用于记录，不超过 256 字节，不影响结果。"
    ),
    "adapter.proto: LookupRequest.legal_basis",
)
async def legal_basis(kit: Kit) -> None:
    """None, as long as may be, with odd characters; and much too long, which may be refused."""
    person, said = await kit.somebody()
    for text in ("", "《社会保险经办条例》第二十三条" * 5, "'; --\n𠮷"):
        if (await kit.said([person], legal_basis=text))[0].known != said.known:
            raise Failed("the person is not known any more", "查不到已知人员")
    with suppress(AdapterError):
        await kit.said([person], legal_basis="长" * 100_000)
