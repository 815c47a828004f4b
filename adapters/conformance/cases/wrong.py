"""Numbers that are none: the adapter refuses or finds nobody, and goes on."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.conformance.answers import NOTHING, said_of
from adapters.conformance.case import Failed, NotTried, Say, case
from adapters.conformance.kit import SOMEBODY, Kit
from adapters.conformance.sample import wrong_check
from adapters.contract import Subjects
from adapters.errors import AdapterError

_SUBJECTS = "columns.proto: SubjectColumns.id_number"
_REFUSE = Say(
    "The gateway asks only well-formed numbers; an adapter that is asked another one refuses by an AdapterError "
    "(INVALID_ARGUMENT on the wire) or finds nobody, and never crashes.",
    "网关只查询格式正确的号码；若收到其他号码，应以 AdapterError（线上为 INVALID_ARGUMENT）拒绝或查无此人，不得崩溃。",
)
_ILL_FORMED = ("", " ", "0", "abc", "身份证", "1101010001010", "33070219500101001", "99999999999999999X", "😀")
_PATTERNS = ("%", "_" * 18, "*", ".*", "?" * 18, "' OR '1'='1", '"; DROP TABLE a; --', "${jndi:x}", "../../x", "<x/>")
_CONTROL = ("\x00", "3307\x0002", "\r\n", "\u202e", "\ufeff")
_HUGE = 100_000


async def _nobody(kit: Kit, numbers: Sequence[str]) -> None:
    """Each number alone: refused, or nobody."""
    for at, number in enumerate(numbers, 1):
        try:
            said = said_of(await kit.ask(Subjects([number], [SOMEBODY])), (0,))
        except AdapterError:
            continue
        if said[0] != NOTHING:
            raise Failed(
                f"somebody is found by number {at} of {len(numbers)}",
                f"第 {at} 个（共 {len(numbers)} 个）号码查到了人员",
            )


@case(
    "wrong.check_digit",
    Say("A known number with a wrong check digit finds nobody", "校验码错误的号码查无此人"),
    Say("Compare the whole number, not its first 17 digits.", "须比对完整号码，而非前 17 位。"),
    _SUBJECTS,
)
async def check_digit(kit: Kit) -> None:
    """The check character replaced."""
    numbers = [wrong_check(person.number) for person, _ in await kit.known()]
    if not any(numbers):
        raise NotTried("the sample holds no resident number", "样例中没有居民身份号码")
    await _nobody(kit, [number for number in numbers if number][:5])


@case(
    "wrong.part",
    Say("A part of a known number, or more than it, finds nobody", "号码的一部分或多出字符时查无此人"),
    Say(
        "Compare for equality: no LIKE, no prefix, no cutting to a column's width.",
        "须等值比较，不得模糊、前缀匹配或截断。",
    ),
    _SUBJECTS,
)
async def part(kit: Kit) -> None:
    """Beginnings, ends and prolongations."""
    person, _ = await kit.somebody()
    number = person.number
    await _nobody(kit, [number[:-1], number[:6], number[1:], number[6:14], number + "0", "0" + number])


@case("wrong.ill_formed", Say("What is no number finds nobody", "非号码内容查无此人"), _REFUSE, _SUBJECTS)
async def ill_formed(kit: Kit) -> None:
    """Empty, too short, letters."""
    await _nobody(kit, _ILL_FORMED)


@case(
    "wrong.patterns",
    Say("Wildcards and pieces of SQL are taken as they stand", "通配符与 SQL 片段仅作字面处理"),
    Say(
        "Numbers are parameters, never part of a statement, path or pattern. Somebody found here means injection.",
        "号码只能作为参数，不得拼入语句、路径或模式；此处查到人员即存在注入。",
    ),
    _SUBJECTS,
)
async def patterns(kit: Kit) -> None:
    """What a database, a shell or a template would take for more than text."""
    person, _ = await kit.somebody()
    await _nobody(kit, [*_PATTERNS, person.number[:6] + "%", person.number[:17] + "_", person.number + "' OR '1'='1"])


@case("wrong.control", Say("Control characters find nobody", "控制字符查无此人"), _REFUSE, _SUBJECTS)
async def control(kit: Kit) -> None:
    """NUL, line ends, marks of direction."""
    await _nobody(kit, _CONTROL)


@case("wrong.huge", Say("A number of 100,000 characters finds nobody", "十万字符的号码查无此人"), _REFUSE, _SUBJECTS)
async def huge(kit: Kit) -> None:
    """Much too long."""
    await _nobody(kit, ["9" * _HUGE])


@case(
    "wrong.beside",
    Say("A wrong number beside a known one loses nobody", "错误号码不影响同批的已知人员"),
    Say(
        "Refuse the batch by an error, or answer for the others: never drop them in silence.",
        "可报错拒绝整批，或照常应答其余人员，不得静默丢弃。",
    ),
    _SUBJECTS,
)
async def beside(kit: Kit) -> None:
    """A wrong one on either side of a known person."""
    person, said = await kit.somebody()
    try:
        told = await kit.said(["abc", person.number, "%"])
    except AdapterError:
        return
    if told[1].known != said.known:
        raise Failed("the known person was not found", "未查到已知人员")


@case(
    "wrong.aftermath",
    Say("After all wrong numbers it answers as before", "查询错误号码之后应答如常"),
    Say(
        "A refused question leaves no broken connection or transaction behind.",
        "被拒绝的查询不得留下损坏的连接或事务。",
    ),
    _SUBJECTS,
)
async def aftermath(kit: Kit) -> None:
    """Wrong numbers, then a known person."""
    person, _ = await kit.somebody()
    for number in (*_CONTROL, *_PATTERNS):
        try:
            await kit.ask(Subjects([number], [SOMEBODY]))
        except (AdapterError, Failed):
            continue
    if not (await kit.said([person]))[0].known:
        raise Failed("the known person is not found any more", "已知人员查不到了")
