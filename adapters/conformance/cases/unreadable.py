"""People of whom the source holds a row that it cannot read: named, told nothing else of, and no harm to the others."""

from __future__ import annotations

import numpy as np

from adapters.conformance.answers import Answer, said_of
from adapters.conformance.case import Ended, Failed, Noted, NotTried, Say, case, examination
from adapters.conformance.kit import SOMEBODY, Kit
from adapters.conformance.sample import Person
from adapters.contract import Found, Subjects
from adapters.errors import AdapterError, SourceFaultError

_TAKES = "adapter.proto: LookupRequest.takes_unreadable"
_NAMED = "adapter.proto: LookupResponse.unreadable_subject"
_AS_IF_WHOLE = Say(
    "A death whose day does not read must not look like no death. Name the person in `unreadable_subject`, or refuse.",
    "日期无法读取的死亡记录不得被当作无记录：应在 unreadable_subject 中指明该人员，或报错拒绝。",
)


def _those(kit: Kit) -> list[Person]:
    if not kit.unreadable:
        raise NotTried(
            "needs a person of whom the source holds a row that it cannot read: `known` = unreadable in the sample",
            "需要数据源中有无法读取记录的人员：在样例中将 known（是否有此人）填为“无法读取”",
        )
    return list(kit.unreadable)


async def _taken(kit: Kit, subjects: Subjects) -> Found | None:
    """The answer of who is told that it need not be about everybody; None: it is refused all the same."""
    try:
        return await kit.ask(subjects, takes_unreadable=True)
    except SourceFaultError:
        return None


def _subjects(numbers: list[str]) -> Subjects:
    return Subjects(numbers, [SOMEBODY] * len(numbers))


def _named(found: Found, rows: range | list[int]) -> bool:
    """Whether an answer says that it is not about each of these rows."""
    return set(rows) <= set(found.unreadable.tolist())


@case(
    "unreadable.refused",
    Say(
        "Who takes only whole answers gets none about somebody of whom a row does not read",
        "查询方只接受完整应答时，涉及有无法读取记录的人员即予拒绝",
    ),
    Say(
        "Without `takes_unreadable` the lookup ends with DATA_LOSS (SourceFaultError). " + _AS_IF_WHOLE.en,
        "未给出 takes_unreadable 时，查询应以 DATA_LOSS（SourceFaultError）结束。" + _AS_IF_WHOLE.zh,
    ),
    _TAKES,
)
async def refused(kit: Kit) -> None:
    """Each alone, then all of them beside a known person; `unreadable.unasked` judges who is named all the same."""
    numbers = [person.number for person in _those(kit)]
    known, _ = await kit.somebody()
    for asked in (*([number] for number in numbers), [known.number, *numbers]):
        try:
            found = await kit.ask(asked)
        except SourceFaultError:
            continue
        except AdapterError as error:
            raise Noted(
                "refused as if the source were down, so that it is asked again in vain", "以数据源不可用为由拒绝"
            ) from error
        if not len(found.unreadable):
            raise Failed("it is answered as if all was there", "按完整数据作了应答")


@case(
    "unreadable.named",
    Say(
        "Who takes it is told of whom a row does not read, in every row of the question",
        "查询方接受时，逐行指明有无法读取记录的人员",
    ),
    _AS_IF_WHOLE,
    _NAMED,
)
async def named(kit: Kit) -> None:
    """Each in two rows, among others."""
    numbers = [person.number for person in _those(kit)]
    known, _ = await kit.somebody()
    asked = [kit.strangers[0], *numbers, known.number, *numbers]
    found = await _taken(kit, _subjects(asked))
    if found is None:
        raise Noted(
            "refused: then whoever is asked about beside that person is not answered about, either",
            "予以拒绝：同批其他人员亦得不到应答",
        )
    at = [row for row, number in enumerate(asked) if number in numbers]
    if not _named(found, at):
        raise Failed("somebody is answered about as if all was there", "对有关人员按完整数据作了应答")


@case(
    "unreadable.former_number",
    Say(
        "A row that does not read and stands under a former number counts as well",
        "以曾用号码登记的无法读取的记录同样适用",
    ),
    _AS_IF_WHOLE,
    _NAMED,
)
async def former_number(kit: Kit) -> None:
    """Their numbers as former ones of strangers."""
    numbers = [person.number for person in _those(kit)]
    await kit.known()
    asked = kit.strangers[1 : len(numbers) + 1]
    subjects = Subjects(asked, [SOMEBODY] * len(asked), list(range(len(asked))), numbers[: len(asked)])
    found = await _taken(kit, subjects)
    if found is not None and not _named(found, range(len(asked))):
        raise Failed("somebody is answered about as if all was there", "对有关人员按完整数据作了应答")


@case(
    "unreadable.others",
    Say(
        "Somebody of whom a row does not read changes nothing for those asked about beside",
        "有无法读取记录的人员不影响同批其他人员的应答",
    ),
    Say(
        "The row is one person's: answer about all the others as ever.",
        "无法读取的记录只涉及一人：对其他人员应照常应答。",
    ),
    _NAMED,
)
async def others(kit: Kit) -> None:
    """The known people, with and without them beside."""
    numbers = [person.number for person in _those(kit)]
    known = [person.number for person, _ in await kit.known()]
    if await _taken(kit, _subjects([*numbers, *known])) is None:
        raise NotTried("it refuses to answer about the others", "其对同批其他人员拒绝应答")

    async def beside() -> object:
        found = await kit.ask([*numbers, *known], takes_unreadable=True)
        rows = range(len(numbers), len(numbers) + len(known))
        return said_of(found, rows), set(rows).isdisjoint(found.unreadable.tolist())

    async def without() -> object:
        strangers = kit.strangers[: len(numbers)]
        found = await kit.ask([*strangers, *known], takes_unreadable=True)
        return said_of(found, range(len(strangers), len(strangers) + len(known))), True

    if await kit.differs(beside, without):
        raise Failed("the others are answered about otherwise", "其他人员的应答不同")


@case(
    "unreadable.none",
    Say(
        "Where everything reads, an answer that need not be whole is the same, and names nobody",
        "记录均可读取时，允许不完整的应答与平常一致，且不指明任何人员",
    ),
    Say("`takes_unreadable` is a permission, and no wish for less.", "takes_unreadable 只是许可，并非要求减少应答。"),
    _TAKES,
)
async def none(kit: Kit) -> None:
    """The known people and a stranger, with the permission and without."""
    asked = [*(person.number for person, _ in await kit.known()), kit.strangers[0]]

    async def permitted() -> object:
        found = await kit.ask(asked, takes_unreadable=True)
        return said_of(found, range(len(asked))), len(found.unreadable)

    async def usual() -> object:
        return said_of(await kit.ask(asked), range(len(asked))), 0

    if await kit.differs(permitted, usual):
        raise Failed("the answers differ, or somebody is named", "结果不一致，或指明了人员")


@examination(
    "unreadable.silent",
    Say(
        "Of whom a row does not read, nothing else is told",
        "对有无法读取记录的人员不返回其他任何内容",
    ),
    Say(
        "The row that does not read may be the one that counts: a return to prison, a revocation. Leave the person out "
        "of every other column.",
        "无法读取的可能正是关键的一条（如收监、撤销宣告）：其他各列中均不得出现该人员。",
    ),
    _NAMED,
)
def silent(_: Kit, answer: Answer) -> Ended | None:
    """Subjects named, against those of every other column."""
    found = answer.found
    told = np.concatenate(
        [found.holders.subject, found.evidence.subject, found.links.subject, found.faces.subject], dtype=np.int32
    )
    count = len(np.intersect1d(found.unreadable, told))
    return Failed(f"something is told of {count} such people", f"对 {count} 名此类人员作了应答") if count else None


@examination(
    "unreadable.unasked",
    Say(
        "Nobody is named where the question does not permit it, and nobody who is not in the source",
        "查询方未许可时不指明任何人员，亦不指明来源中没有的人员",
    ),
    Say(
        "An asker that does not know `unreadable_subject` would take the answer for whole.",
        "不识别 unreadable_subject 的查询方会将应答视为完整。",
    ),
    _TAKES,
)
def unasked(kit: Kit, answer: Answer) -> Ended | None:
    """`takes_unreadable` of the question, and numbers that are nobody's."""
    named_rows, subjects = answer.found.unreadable.tolist(), answer.question.subjects
    if named_rows and not answer.question.takes_unreadable:
        return Failed("people are left out, and that was not permitted", "擅自未涉及部分人员")
    further = set(subjects.alias_subject)
    wrong = [row for row in named_rows if row not in further and subjects.id_number[row] in kit.nobodies]
    return Failed(f"{len(wrong)} are nobody", f"其中 {len(wrong)} 人不存在") if wrong else None
