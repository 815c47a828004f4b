"""People known, unknown, asked twice, asked under another name or under a former number."""

from __future__ import annotations

import unicodedata

import numpy as np

from adapters.conformance.answers import NOTHING, Answer, said_of
from adapters.conformance.case import Ended, Failed, NotTried, Say, case, examination
from adapters.conformance.kit import SOMEBODY, Kit
from adapters.conformance.sample import KNOWN_AT_MOST
from adapters.contract import Subjects

_HOLDERS = "columns.proto: HolderColumns"
_SUBJECTS = "columns.proto: SubjectColumns"
_ELSE = "查无此名"
"""A name that nobody bears."""
_DOTS = "·•・‧．."
MOST_ALIASES = 8


@case(
    "people.known",
    Say("Every person of the sample whom the source should know is found", "样例中应有的人员均可查到"),
    Say(
        "A row in HolderColumns means that the source knows the person, be there evidence or not.",
        "HolderColumns 中有该行即表示来源有此人，无论有无证据。",
    ),
    _HOLDERS,
)
async def known(kit: Kit) -> None:
    """The sample against what was found."""
    try:
        found = {person.number for person, _ in await kit.known()}
    except NotTried:
        if not kit.sample.known:
            raise
        found = set()
    expected = {person.number: person for person in kit.sample.known[:KNOWN_AT_MOST]}
    missing = [person.line for number, person in expected.items() if number not in found]
    if missing:
        lines = _listed(missing)
        raise Failed(f"not found: the people of lines {lines} of the sample", f"未查到：样例第 {lines} 行的人员")


@examination(
    "people.unknown",
    Say("Nothing is said of people whom the source does not know", "对来源中没有的人员不作任何应答"),
    Say(
        "No row at all means unknown. A row of blanks or zeros would make the person known.",
        "查无此人即不返回任何行；返回空白行会使其被视为有此人。",
    ),
    _HOLDERS,
)
def unknown(kit: Kit, answer: Answer) -> Ended | None:
    """Rows about numbers that are nobody's."""
    found, subjects = answer.found, answer.question.subjects
    told = np.unique(np.concatenate([found.holders.subject, found.evidence.subject, found.links.subject]))
    aliases: dict[int, list[str]] = {}
    for row, number in zip(subjects.alias_subject, subjects.alias_id_number, strict=True):
        aliases.setdefault(row, []).append(number)
    wrong = [row for row in told.tolist() if kit.nobodies.issuperset((subjects.id_number[row], *aliases.get(row, ())))]
    if wrong:
        return Failed(
            f"something is said of {len(wrong)} people who are nobody", f"对 {len(wrong)} 名不存在的人员作了应答"
        )
    return None


@case(
    "people.unknown_sample",
    Say("People of the sample whom the source should not know are not found", "样例中不应有的人员查不到"),
    Say("Match the whole number, nothing else.", "须按完整号码匹配。"),
    _HOLDERS,
)
async def unknown_sample(kit: Kit) -> None:
    """The part of the sample marked as unknown; `people.unknown` judges."""
    if not kit.unknown:
        raise NotTried("the sample names nobody with `known` = no", "样例中没有标注为“否”的人员")
    said = await kit.said(list(kit.unknown))
    found = [person.line for person, told in zip(kit.unknown, said, strict=True) if told != NOTHING]
    if found:
        lines = _listed(found)
        raise Failed(f"found: the people of lines {lines} of the sample", f"查到了样例第 {lines} 行的人员")


@case(
    "people.duplicates",
    Say("Somebody asked about twice in a batch is answered in both rows", "同一人在批次中出现两次，两行均应答"),
    Say(
        "`subject` is a row of the question. A person who stands in two rows is in the answer for each of them.",
        "subject 是查询的行号；同一人占两行时，应答须对应两行。",
    ),
    _SUBJECTS,
)
async def duplicates(kit: Kit) -> None:
    """The same person in three rows."""
    person, _ = await kit.somebody()
    stranger = kit.strangers[0]
    first, _, second, third = await kit.said([person, stranger, person, person])
    if not first == second == third:
        raise Failed("the rows are answered differently", "各行应答不同")


@case(
    "people.many_duplicates",
    Say("Somebody asked about in hundreds of rows is answered in each", "同一人占数百行时逐行应答"),
    Say("A page or limit of rows of the answer must not cut it off.", "应答的分页或行数上限不得造成截断。"),
    _SUBJECTS,
)
async def many_duplicates(kit: Kit) -> None:
    """The same person in as many rows as the batch takes, up to 600."""
    person, said = await kit.somebody()
    size = min(600, kit.largest)
    told = await kit.said([person] * size)
    if any(each.known != said.known or len(each.rows) != len(told[0].rows) for each in told):
        raise Failed(f"some of {size} rows are answered differently", f"{size} 行中有的应答不同")


@case(
    "people.two_names",
    Say("The same number under two names is answered in both rows", "同一号码以两个姓名查询，两行均应答"),
    Say("Look up by number. The names are compared by the gateway.", "应按号码查询，姓名由网关比对。"),
    _SUBJECTS,
)
async def two_names(kit: Kit) -> None:
    """One number, two names."""
    person, _ = await kit.somebody()
    found = await kit.ask(Subjects([person.number] * 2, [person.name or SOMEBODY, _ELSE]))
    first, second = said_of(found, (0, 1))
    if not (first.known and second.known):
        raise Failed("one of the two rows is not known", "其中一行未查到")


@case(
    "people.name_echoed",
    Say("The name told is the one in the source, not the one asked", "返回的姓名取自来源，而非查询所给"),
    Say(
        "Two people under one number are told apart only by the name in the register. Without one, leave it empty.",
        "一号两人只能靠登记姓名区分；来源没有姓名时应留空。",
    ),
    _HOLDERS,
)
async def name_echoed(kit: Kit) -> None:
    """Ask under a name that nobody bears, and look whether it comes back."""
    person, _ = await kit.somebody()
    (said,) = said_of(await kit.ask(Subjects([person.number], [_ELSE])), (0,))
    if any(name == _ELSE for _, name in said.holders):
        raise Failed("the name asked came back as the name held", "将查询姓名作为登记姓名返回")


@case(
    "people.names_held",
    Say("Names come back as the sample has them", "返回的姓名与样例一致"),
    Say(
        "Compared without blanks and middle dots. A name that differs is an identity conflict, and hides all evidence: "
        "look at the column and at the encoding.",
        "比对时不计空格与间隔号。姓名不一致会被视为身份冲突并隐去全部证据：请检查列与编码。",
    ),
    _HOLDERS,
)
async def names_held(kit: Kit) -> None:
    """The names of the sample against those held."""
    named = [(person, said) for person, said in await kit.known() if person.name and any(n for _, n in said.holders)]
    if not named:
        raise NotTried("neither sample nor source has a name", "样例或来源中没有姓名")
    other = [
        person.line for person, said in named if _plain(person.name) not in {_plain(name) for _, name in said.holders}
    ]
    if other:
        lines = _listed(other)
        raise Failed(f"another name: the people of lines {lines} of the sample", f"姓名不符：样例第 {lines} 行的人员")


@case(
    "people.aliases",
    Say("Somebody held under a former number is found by it", "以曾用号码登记的人员可按曾用号码查到"),
    Say(
        "Look up `alias_id_number` as well, and tell in `held_id_number` under which number the row was found.",
        "应同时按 alias_id_number 查询，并在 held_id_number 中说明按哪个号码查到。",
    ),
    _SUBJECTS,
)
async def aliases(kit: Kit) -> None:
    """A known number as the former number of a stranger, and the other way round."""
    person, _ = await kit.somebody()
    stranger = kit.strangers[0]
    found = await kit.ask(Subjects([stranger, person.number], [SOMEBODY] * 2, [0, 1], [person.number, stranger]))
    for said in said_of(found, (0, 1)):
        if {number for number, _ in said.holders} != {person.number}:
            raise Failed(
                "not found under the former number, or not told under which", "按曾用号码未查到，或未说明所依号码"
            )


@case(
    "people.alias_shared",
    Say(
        "A number that stands in two rows, once as a former one, is answered in both",
        "同一号码兼作他行曾用号码时两行均应答",
    ),
    Say(
        "One number may stand for several rows: keep a list of rows for each number.",
        "一个号码可能对应多行，须逐行应答。",
    ),
    _SUBJECTS,
)
async def alias_shared(kit: Kit) -> None:
    """A known number asked by itself and as somebody's former one."""
    person, _ = await kit.somebody()
    one, other = kit.strangers[:2]
    numbers = [person.number, one, other]
    found = await kit.ask(Subjects(numbers, [SOMEBODY] * 3, [1, 2], [person.number] * 2))
    said = said_of(found, (0, 1, 2))
    if not said[0] == said[1] == said[2]:
        raise Failed("the rows are answered differently", "各行应答不同")


@case(
    "people.alias_many",
    Say("The last of eight former numbers is looked up too", "八个曾用号码逐一查询"),
    Say("The gateway follows eight numbers of one person at most.", "网关对一人最多跟踪八个号码。"),
    _SUBJECTS,
)
async def alias_many(kit: Kit) -> None:
    """Strangers' numbers first, a known one last."""
    person, _ = await kit.somebody()
    numbers = [*kit.strangers[1:MOST_ALIASES], person.number]
    found = await kit.ask(Subjects(kit.strangers[:1], [SOMEBODY], [0] * len(numbers), numbers))
    if not said_of(found, (0,))[0].known:
        raise Failed("not found", "未查到")


@case(
    "people.alias_own",
    Say("A former number that is the person's own changes nothing", "曾用号码与现号码相同时结果不变"),
    Say("Registers do hold such pairs. Nobody is answered twice for them.", "登记中确有此类情况，不应重复应答。"),
    _SUBJECTS,
)
async def alias_own(kit: Kit) -> None:
    """The person's own number as a former one."""
    person, _ = await kit.somebody()

    async def doubled() -> object:
        return said_of(await kit.ask(Subjects([person.number], [SOMEBODY], [0], [person.number])), (0,))

    if await kit.differs(doubled, lambda: kit.said([person.number])):
        raise Failed("the answers differ", "结果不一致")


def _plain(name: str) -> str:
    """A name without blanks and dots, in compatibility form."""
    folded = unicodedata.normalize("NFKC", name)
    return "".join(
        c for c in folded if not c.isspace() and c not in _DOTS and unicodedata.category(c) != "Cf"
    ).casefold()


def _listed(lines: list[int]) -> str:
    return ", ".join(map(str, lines))
