"""Names as registers write them: a name never decides whether somebody is found, and comes back undamaged."""

from __future__ import annotations

import unicodedata

from adapters.conformance.answers import Answer, said_of
from adapters.conformance.case import Ended, Failed, Say, case, examination
from adapters.conformance.kit import Kit
from adapters.contract import MAX_CELL_BYTES, Subjects
from adapters.errors import AdapterError

_NAMES = "columns.proto: SubjectColumns.name"
_HELD = "columns.proto: HolderColumns.held_name"
_BY_NUMBER = Say(
    "People are looked up by number; the name asked must neither be a condition nor have to fit an encoding.",
    "应按号码查询；所给姓名既不作条件，也不要求能编入某种字符集。",
)
_FOUR_BYTES = "㐂𠮷𬱖䶮"
"""Of Unicode planes 0 and 2; in GB 18030 four bytes each, in GBK not at all."""
_PRIVATE = "王\ue816\ue854"
"""Private-use forms of GB 18030-2000, which fonts and registers still carry."""
_FULL_WIDTH = "ＡＮＮＡ　张"
_COMBINING = "Zoe\u0308 Mu\u0308ller"
_DOTTED = ("买买提·吐尔逊", "买买提•吐尔逊", "买买提．吐尔逊")
_LONG = "迪丽热巴·" * 15 + "买买提"
"""As long as a cell may be, 256 bytes less a little; documents of minorities and foreigners come near."""
_ODD = ("\u200f名\u202e", "\ufeff张三", "👨‍👩‍👧", "a\tb\nc", "\x00")
_HUGE = 100_000
_MOJIBAKE = ("\ufffd", "锟斤拷", "烫烫烫", "Ã¥", "Ã¦", "â€", "ï»¿")
"""What wrongly decoded Chinese leaves behind."""


async def _found(kit: Kit, names: tuple[str, ...], *, may_refuse: bool = False) -> None:
    person, _ = await kit.somebody()
    for at, name in enumerate(names, 1):
        try:
            said = said_of(await kit.ask(Subjects([person.number], [name])), (0,))[0]
        except AdapterError:
            if may_refuse:
                continue
            raise
        if not said.known:
            raise Failed(f"not found under name {at} of {len(names)}", f"以第 {at} 个（共 {len(names)} 个）姓名未查到")


@case("names.rare", Say("Rare characters of the name asked do no harm", "生僻字姓名可正常查询"), _BY_NUMBER, _NAMES)
async def rare(kit: Kit) -> None:
    """Characters beyond plane 0."""
    await _found(kit, (_FOUR_BYTES, "张" + _FOUR_BYTES[1]))


@case(
    "names.private_use", Say("Private-use characters do no harm", "自造字（私用区）姓名可正常查询"), _BY_NUMBER, _NAMES
)
async def private_use(kit: Kit) -> None:
    """Private-use forms."""
    await _found(kit, (_PRIVATE,))


@case(
    "names.full_width",
    Say("Full-width letters and blanks do no harm", "全角字母与空格姓名可正常查询"),
    _BY_NUMBER,
    _NAMES,
)
async def full_width(kit: Kit) -> None:
    """Full width."""
    await _found(kit, (_FULL_WIDTH, "　李四　"))


@case("names.combining", Say("Combining marks do no harm", "带组合附加符号的姓名可正常查询"), _BY_NUMBER, _NAMES)
async def combining(kit: Kit) -> None:
    """Composed and decomposed."""
    await _found(kit, (_COMBINING, unicodedata.normalize("NFC", _COMBINING)))


@case("names.middle_dot", Say("Middle dots of every kind do no harm", "各种间隔号的姓名可正常查询"), _BY_NUMBER, _NAMES)
async def middle_dot(kit: Kit) -> None:
    """U+00B7 and what is typed in its place."""
    await _found(kit, _DOTTED)


@case("names.quotes", Say("Apostrophes and quotes do no harm", "带撇号、引号的姓名可正常查询"), _BY_NUMBER, _NAMES)
async def quotes(kit: Kit) -> None:
    """What a careless statement trips over."""
    await _found(kit, ("D'Arcy", '"某"', "a;b--", "\\"))


@case("names.long", Say("A name as long as a cell may be does no harm", "最长姓名可正常查询"), _BY_NUMBER, _NAMES)
async def long(kit: Kit) -> None:
    """Up to 256 bytes."""
    await _found(kit, (_LONG,))


@case("names.none", Say("Somebody asked about without a name is found", "未给姓名也可查询"), _BY_NUMBER, _NAMES)
async def none(kit: Kit) -> None:
    """The empty name."""
    await _found(kit, ("",))


@case(
    "names.odd",
    Say("Invisible and control characters are borne or refused", "不可见字符与控制字符被容忍或拒绝"),
    _BY_NUMBER,
    _NAMES,
)
async def odd(kit: Kit) -> None:
    """Marks of direction, line ends, NUL."""
    await _found(kit, _ODD, may_refuse=True)


@case(
    "names.huge",
    Say("A name of 100,000 characters is borne or refused", "十万字符的姓名被容忍或拒绝"),
    _BY_NUMBER,
    _NAMES,
)
async def huge(kit: Kit) -> None:
    """Much too long."""
    await _found(kit, ("长" * _HUGE,), may_refuse=True)


@examination(
    "names.size",
    Say("No text of an answer is longer than a cell", "应答文本不超过单元格上限"),
    Say(
        f"At most {MAX_CELL_BYTES} bytes of UTF-8: cut nothing off, send less.",
        f"UTF-8 不超过 {MAX_CELL_BYTES} 字节；不得截断，应减少内容。",
    ),
    "columns.proto",
)
def size(_: Kit, answer: Answer) -> Ended | None:
    """Numbers and names held."""
    for texts in (answer.found.holders.held_id_number, answer.found.holders.held_name):
        long = sum(len(text) * 4 > MAX_CELL_BYTES and len(_bytes(text)) > MAX_CELL_BYTES for text in texts)
        if long:
            return Failed(f"{long} numbers or names are too long", f"{long} 个号码或姓名过长")
    return None


@examination(
    "names.undamaged",
    Say("Names of the source come back undamaged", "来源姓名未损坏"),
    Say(
        "Read the source in the encoding it is written in (GB 18030, not GBK; UTF-8), and take control characters out.",
        "应按来源实际编码读取（GB 18030 而非 GBK，或 UTF-8），并去除控制字符。",
    ),
    _HELD,
)
def undamaged(_: Kit, answer: Answer) -> Ended | None:
    """Traces of wrong decoding, halves of surrogate pairs, control characters."""
    wrong = sum(_damaged(name) for name in answer.found.holders.held_name)
    if wrong:
        return Failed(f"{wrong} names are damaged", f"{wrong} 个姓名已损坏")
    return None


def _damaged(name: str) -> bool:
    if name.isascii():
        return not name.isprintable()
    return any(part in name for part in _MOJIBAKE) or any(unicodedata.category(c) in ("Cc", "Cs") for c in name)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
