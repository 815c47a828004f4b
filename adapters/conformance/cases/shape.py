"""The shape of every answer: columns, row numbers, whose records they are."""

from __future__ import annotations

import re

import numpy as np

from adapters.conformance.answers import Answer, columns_fit, subjects_fit
from adapters.conformance.case import Ended, Failed, Say, case, examination
from adapters.conformance.kit import Kit
from adapters.errors import AdapterError

_RULES = "columns.proto: Rules for all of them"
_HOLDERS = "columns.proto: HolderColumns"
_NUMBER = re.compile(r"(?<!\d)\d{17}[\dXx](?!\d)")


@examination(
    "answer.columns",
    Say("All columns of a message have the same length and type", "同一消息各列长度与类型一致"),
    Say(
        'Row i is element i of every column: leave no column out, fill what is not given with 0 or "".',
        "第 i 行由各列第 i 个元素组成：不得缺列，未提供的值填 0 或空。",
    ),
    _RULES,
    formed_only=False,
)
def columns(_: Kit, answer: Answer) -> Ended | None:
    """Lengths and types."""
    return None if columns_fit(answer.found) else Failed("columns differ in length or type", "各列长度或类型不一致")


@examination(
    "answer.subjects",
    Say("Every row is about somebody of the question", "各行均对应查询中的人员"),
    Say("`subject` counts from 0 the rows of the question.", "subject 为查询的行号，从 0 开始。"),
    _RULES,
    formed_only=False,
)
def subjects(_: Kit, answer: Answer) -> Ended | None:
    """Row numbers in range."""
    if columns_fit(answer.found) and not subjects_fit(answer):
        return Failed("`subject` is out of range", "subject 超出范围")
    return None


@examination(
    "answer.own_record",
    Say("Every record is of somebody who was asked about, under the number asked", "各记录均属被查询人且号码一致"),
    Say(
        "Someone else's record spoils the whole answer. Give the number as it was asked: upgraded from 15 digits, X in "
        "upper case, without blanks.",
        "混入他人记录将使整个应答作废。号码应按查询写法返回：15 位升 18 位、X 大写、无空格。",
    ),
    _HOLDERS,
)
def own_record(_: Kit, answer: Answer) -> Ended | None:
    """`held_id_number` against the numbers asked for that row."""
    people, held = answer.question.subjects, answer.found.holders
    further: set[tuple[int, str]] = set(zip(people.alias_subject, people.alias_id_number, strict=True))
    wrong = sum(
        number != people.id_number[row] and (row, number) not in further
        for row, number in zip(held.subject.tolist(), held.held_id_number, strict=True)
    )
    return Failed(f"{wrong} records of others", f"有 {wrong} 条他人记录") if wrong else None


@examination(
    "answer.holders_once",
    Say("Every number and name of a person stands there once", "每人的每个号码与姓名只出现一次"),
    Say(
        "One row for each distinct (subject, number, name), however many records.",
        "无论记录多少，每个（行、号码、姓名）只占一行。",
    ),
    _HOLDERS,
)
def holders_once(_: Kit, answer: Answer) -> Ended | None:
    """Repeated rows of holders."""
    held = answer.found.holders
    distinct = set(zip(held.subject.tolist(), held.held_id_number, held.held_name, strict=True))
    more = len(held.subject) - len(distinct)
    return Failed(f"{more} rows of holders are repeated", f"有 {more} 行重复") if more else None


@examination(
    "answer.evidence_held",
    Say("Whoever has evidence is also among the holders", "有证据者必在持有人之列"),
    Say(
        "Evidence without a holder is of somebody whose identity nobody can compare.", "没有持有人的证据无法核对身份。"
    ),
    "columns.proto: EvidenceColumns",
)
def evidence_held(_: Kit, answer: Answer) -> Ended | None:
    """Subjects of evidence among those of holders."""
    missing = np.setdiff1d(answer.found.evidence.subject, answer.found.holders.subject)
    if len(missing):
        return Failed(f"{len(missing)} people have evidence and no holder", f"{len(missing)} 人有证据而无持有人")
    return None


@examination(
    "answer.complete_until",
    Say("The day up to which the data is complete is none to come", "数据完整截止日不晚于今日"),
    Say(
        "0 where it is not known. A day to come would make absence of traces look meaningful.",
        "未知填 0；填未来日期会使“无轨迹”被误读。",
    ),
    "adapter.proto: LookupResponse.complete_until_on",
)
def complete_until(kit: Kit, answer: Answer) -> Ended | None:
    """0 or up to today."""
    day = answer.found.complete_until_on
    return None if 0 <= day <= kit.today + 1 else Failed("it is out of range", "超出范围")


@case(
    "answer.errors_impersonal",
    Say("Errors name nobody", "错误信息不含个人信息"),
    Say(
        "Errors end up in logs and on screens: name the record set and the column, never a number, name or row.",
        "错误会进入日志和界面：可写记录集与列名，不得含号码、姓名或行内容。",
    ),
    "docs/adapters/conformance.md",
)
async def errors_impersonal(kit: Kit) -> None:
    """Texts of every error that the run met, and of a few more that it provokes."""
    for number in ("330702195001010\x00", "12345678901234567X"):
        try:
            await kit.ask([number])
        except (AdapterError, Failed):
            continue
    people = [*(person for person, _ in (kit.known_if_any or [])), *kit.unreadable]
    for error in kit.errors:
        text = f"{error.en} {error.zh}"
        if _NUMBER.search(text) or any(person.number in text for person in people):
            raise Failed("an error holds an identity number", "错误信息含身份号码")
        if any(len(person.name) > 1 and person.name in text for person in people):
            raise Failed("an error holds a name", "错误信息含姓名")
