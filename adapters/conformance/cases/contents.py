"""What rows of evidence and links say: words of the vocabulary, what was described, and nothing personal."""

from __future__ import annotations

import re

import numpy as np

from adapters.conformance.answers import Answer
from adapters.conformance.case import Ended, Failed, Noted, Say, examination
from adapters.conformance.kit import Kit
from adapters.contract import MAX_CELL_BYTES
from adapters.mapping import FROM_KINDS, PENALTIES, REGION_DETAIL_KINDS, UNTIL_KINDS
from wugan.adapter.v1 import vocabulary_pb2 as words

_EVIDENCE = "columns.proto: EvidenceColumns"
_KIND = "vocabulary.proto: EvidenceKind"
_LINKS = "columns.proto: LinkColumns"
_FIRST_REGION, _LAST_REGION = 110_000, 829_999
_FIRST_DAY, _LAST_DAY = -25_567, 84_371
"""1900 to 2200."""
_STRENGTHS = sorted(set(words.Strength.values()) - {0})
_NUMBER = re.compile(r"(?<!\d)\d{17}[\dXx](?!\d)")


@examination(
    "evidence.department",
    Say("All evidence is of the department described", "证据均属所描述的部门"),
    Say("One adapter, one department. Another department's data needs another adapter.", "一个接入对应一个部门。"),
    _EVIDENCE,
)
def department(kit: Kit, answer: Answer) -> Ended | None:
    """`department`."""
    other = int(np.count_nonzero(answer.found.evidence.department != kit.about.department))
    return Failed(f"{other} rows are of another department", f"{other} 行属于其他部门") if other else None


@examination(
    "evidence.kinds",
    Say("All evidence is of kinds described", "证据类型均在描述之内"),
    Say("Add the kind to the description, or leave the rows out.", "应将该类型列入描述，或不返回这些行。"),
    _KIND,
)
def kinds(kit: Kit, answer: Answer) -> Ended | None:
    """`kind`."""
    other = int(np.count_nonzero(~np.isin(answer.found.evidence.kind, sorted(kit.about.kinds))))
    return Failed(f"{other} rows are of a kind not described", f"{other} 行的类型未在描述之内") if other else None


@examination(
    "evidence.strength",
    Say("Every row has a strength of the vocabulary", "各行强度均在词表之内"),
    Say(
        "How well the department knew that it was this very person; see Strength.",
        "即部门对“确系本人”的把握程度，见 Strength。",
    ),
    "vocabulary.proto: Strength",
)
def strength(_: Kit, answer: Answer) -> Ended | None:
    """`strength`."""
    other = int(np.count_nonzero(~np.isin(answer.found.evidence.strength, _STRENGTHS)))
    return Failed(f"{other} rows have no such strength", f"{other} 行强度不在词表之内") if other else None


@examination(
    "evidence.strength_described",
    Say("No row is weaker than described", "各行强度不低于描述"),
    Say("Describe the weakest that may come.", "描述应写可能出现的最低强度。"),
    "adapter.proto: DataItem.strength",
)
def strength_described(kit: Kit, answer: Answer) -> Ended | None:
    """`strength` against the item's."""
    evidence = answer.found.evidence
    for item in kit.about.items:
        weak = int(np.count_nonzero((evidence.kind == item.kind) & (evidence.strength < item.strength)))
        if weak and np.isin(evidence.strength, _STRENGTHS).all():
            return Noted(f"{weak} rows are weaker", f"{weak} 行强度较低")
    return None


@examination(
    "evidence.region",
    Say("Regions are six-digit codes or not given", "行政区划为六位代码或未提供"),
    Say(
        "GB/T 2260 as a number: 330700. Of a 9- or 12-digit code the first six.",
        "GB/T 2260 数字代码，如 330700；9 位或 12 位取前六位。",
    ),
    "columns.proto: Regions",
)
def region(_: Kit, answer: Answer) -> Ended | None:
    """`region` in form."""
    codes = answer.found.evidence.region
    wrong = int(np.count_nonzero((codes != 0) & ((codes < _FIRST_REGION) | (codes > _LAST_REGION))))
    return Failed(f"{wrong} rows have no such region", f"{wrong} 行的行政区划有误") if wrong else None


@examination(
    "evidence.region_described",
    Say("Evidence lies within the regions described", "证据发生地在所描述的区划之内"),
    Say(
        "Elsewhere is right for travel and remote settlement. Otherwise look at the column and at `regions`.",
        "出行、异地就医等可在区划之外；其余情形请检查该列与 regions。",
    ),
    "adapter.proto: DescribeResponse.regions",
)
def region_described(kit: Kit, answer: Answer) -> Ended | None:
    """`region` within those described, by province."""
    codes = answer.found.evidence.region
    formed = codes[(codes >= _FIRST_REGION) & (codes <= _LAST_REGION)]
    provinces = sorted({code // 10_000 for code in kit.about.regions})
    outside = int(np.count_nonzero(~np.isin(formed // 10_000, provinces)))
    return Noted(f"{outside} rows lie in other provinces", f"{outside} 行发生在其他省份") if outside else None


@examination(
    "evidence.observed",
    Say("Every row has the day it happened", "各行均有发生日期"),
    Say(
        "A civil day in Asia/Shanghai between 1900 and 2200, counted from 1970-01-01.",
        "Asia/Shanghai 的日期（1900 至 2200 年），自 1970-01-01 起计。",
    ),
    "columns.proto: EvidenceColumns.observed_on",
)
def observed(_: Kit, answer: Answer) -> Ended | None:
    """`observed_on` given and plausible."""
    days = answer.found.evidence.observed_on
    wrong = int(np.count_nonzero((days == 0) | (days < _FIRST_DAY) | (days > _LAST_DAY)))
    return Failed(f"{wrong} rows have no such day", f"{wrong} 行没有有效日期") if wrong else None


@examination(
    "evidence.reference_size",
    Say("References are short", "来源编号不超长"),
    Say(f"At most {MAX_CELL_BYTES} bytes of UTF-8.", f"UTF-8 不超过 {MAX_CELL_BYTES} 字节。"),
    "columns.proto: EvidenceColumns.source_reference",
)
def reference_size(_: Kit, answer: Answer) -> Ended | None:
    """`source_reference` in length."""
    long = sum(
        len(text) * 4 > MAX_CELL_BYTES and len(text.encode("utf-8", "surrogatepass")) > MAX_CELL_BYTES
        for text in answer.found.evidence.source_reference
    )
    return Failed(f"{long} references are too long", f"{long} 个来源编号过长") if long else None


@examination(
    "evidence.reference_impersonal",
    Say("References hold neither identity number nor name", "来源编号不含身份号码或姓名"),
    Say(
        "References are shown in disputes and kept for years. Use the record's own key.",
        "来源编号会在异议中出示并留存多年，应使用记录自身的键。",
    ),
    "columns.proto: EvidenceColumns.source_reference",
)
def reference_impersonal(_: Kit, answer: Answer) -> Ended | None:
    """`source_reference` against the numbers asked, the names held, and whatever looks like a number."""
    found, people = answer.found, answer.question.subjects
    names: dict[int, set[str]] = {}
    for row, name in zip(found.holders.subject.tolist(), found.holders.held_name, strict=True):
        names.setdefault(row, set()).add(name)
    wrong = 0
    for row, text in zip(found.evidence.subject.tolist(), found.evidence.source_reference, strict=True):
        if not text:
            continue
        held = any(len(name) > 1 and name in text for name in names.get(row, ()))
        number = people.id_number[row]
        wrong += held or (len(number) > 6 and number in text) or _NUMBER.search(text) is not None
    return Failed(f"{wrong} references are personal", f"{wrong} 个来源编号含个人信息") if wrong else None


@examination(
    "evidence.detail",
    Say("Details stand only where their kind has them", "明细只出现在相应类型"),
    Say(
        "A penalty kind for sentences, a destination for moves; 0 elsewhere.",
        "判决填刑罚种类，迁移类填目的地代码，其余填 0。",
    ),
    _KIND,
)
def detail(_: Kit, answer: Answer) -> Ended | None:
    """`detail` by kind."""
    kind, value = answer.found.evidence.kind, answer.found.evidence.detail
    places = np.isin(kind, sorted(REGION_DETAIL_KINDS))
    sentences = kind == words.EVIDENCE_KIND_SENTENCE
    fits = value == 0
    fits |= places & (value >= _FIRST_REGION) & (value <= _LAST_REGION)
    fits |= sentences & np.isin(value, sorted(PENALTIES))
    wrong = int(np.count_nonzero(~fits))
    return Failed(f"{wrong} rows have a detail that is none", f"{wrong} 行明细有误") if wrong else None


@examination(
    "evidence.period",
    Say("Periods stand only where their kind has them, and end after they begin", "起止日期只出现在相应类型且先后有序"),
    Say(
        "`from_on` and `until_on` are for sentences, prison, detention and release; 0 elsewhere.",
        "from_on、until_on 用于判决、收监、羁押与释放等，其余填 0。",
    ),
    _KIND,
)
def period(_: Kit, answer: Answer) -> Ended | None:
    """`from_on` and `until_on` by kind."""
    evidence = answer.found.evidence
    wrong = (evidence.from_on != 0) & ~np.isin(evidence.kind, sorted(FROM_KINDS))
    wrong |= (evidence.until_on != 0) & ~np.isin(evidence.kind, sorted(UNTIL_KINDS))
    wrong |= (evidence.from_on != 0) & (evidence.until_on != 0) & (evidence.until_on < evidence.from_on)
    count = int(np.count_nonzero(wrong))
    return Failed(f"{count} rows have a period that is none", f"{count} 行起止日期有误") if count else None


@examination(
    "links.described",
    Say("Links come only from an adapter that says so", "只有声明提供关联的接入才返回关联"),
    Say("Set `links` in the description, or leave LinkColumns out.", "应在描述中声明 links，否则不返回 LinkColumns。"),
    _LINKS,
)
def links_described(kit: Kit, answer: Answer) -> Ended | None:
    """`links` in the description."""
    if len(answer.found.links.subject) and not kit.about.links:
        return Failed("links came that were not described", "返回了未声明的关联")
    return None


@examination(
    "links.held",
    Say("Whoever has a linked number is also among the holders", "有关联号码者必在持有人之列"),
    Say("A link means that the source knows the person.", "有关联即表示来源有此人。"),
    _LINKS,
)
def links_held(_: Kit, answer: Answer) -> Ended | None:
    """Subjects of links among those of holders."""
    missing = np.setdiff1d(answer.found.links.subject, answer.found.holders.subject)
    return Failed(f"{len(missing)} people have no holder", f"{len(missing)} 人没有持有人") if len(missing) else None


@examination(
    "links.formed",
    Say(
        "Linked numbers are other numbers, normalised, since a day that has come",
        "关联号码为规范化的其他号码，日期不晚于今日",
    ),
    Say(
        "18 characters, X in upper case, not the number asked. Without a day: 0.",
        "18 位、X 大写、不同于所查号码；无日期填 0。",
    ),
    _LINKS,
)
def links_formed(kit: Kit, answer: Answer) -> Ended | None:
    """`id_number` and `since_on` of links."""
    links, people = answer.found.links, answer.question.subjects
    wrong = 0
    for row, number, since in zip(links.subject.tolist(), links.id_number, links.since_on.tolist(), strict=True):
        formed = 0 < len(number.encode("utf-8", "surrogatepass")) <= MAX_CELL_BYTES
        formed = formed and number == number.strip().upper() and number != people.id_number[row]
        wrong += not formed or (since != 0 and not _FIRST_DAY <= since <= kit.today + 1)
    return Failed(f"{wrong} links are wrong", f"{wrong} 个关联有误") if wrong else None
