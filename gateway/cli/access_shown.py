"""A grant as a person reads it in `wugan access list`: a headline, and what it allows, in the language of the screen.

Owns: these lines. Refuses: what programs read (`access_explain.described`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway import wording
from gateway.access.terms import BENEFIT_NAMES, KIND_NAMES, PURPOSE_NAMES
from gateway.cli.language import say
from gateway.cli.member_names import MemberNames
from gateway.sections.values import ANY

STATES: Final = {
    "active": ("in force", "有效"),
    "waiting": ("not begun", "未生效"),
    "proposed": ("proposed", "待批准"),
    "expired": ("ended", "已到期"),
    "withdrawn": ("withdrawn", "已撤回"),
    "removed": ("removed", "已移除"),
}
"""States of grants and people."""
_QUOTAS: Final = {
    "day": ("people a day", "每日人数"),
    "official_day": ("a day by one official", "每经办人每日"),
    "minute": ("a minute", "每分钟"),
    "second": ("a second", "每秒"),
}
_TWO_PERSONS: Final = {
    "member": ("any member may ask", "适用于任一成员"),
    "quotas.day": ("many people a day", "每日人数较多"),
    "purposes": ("purposes of weight", "重要目的"),
    "evidence": ("sensitive evidence", "敏感证据"),
}
"""Why a grant waits for a second person (`Thresholds.exceeded`)."""


def state(name: str) -> str:
    """A state in the language of the screen."""
    return say(*STATES[name])


def because(reasons: Iterable[str]) -> str:
    """Why a grant waits for a second person, in the language of the screen.

    Args:
        reasons: from `Ledger.needs_approval`.
    """
    return _separated(say(*_TWO_PERSONS[each]) for each in reasons)


def lines(grant: Mapping[str, Any], members: MemberNames) -> list[str]:
    """The lines about a grant.

    Args:
        grant: from `access_explain.described`.
        members: what members are called.
    """
    whom = say("any member", "任一成员") if grant["member"] == ANY else members.called(grant["member"])
    quotas = [f"{say(*_QUOTAS[name])} {bound}" for name, bound in grant["quotas"].items() if bound]
    waiting = grant["needs_approval"]
    people = [
        (say("proposed by", "提出"), grant["proposed_by"]),
        (say("approved by", "批准"), _joined(grant["approved_by"])),
        (say("withdrawn by", "撤回"), grant["withdrawn_by"]),
        (say("waits for a second person", "待第二人批准"), because(waiting)),
    ]
    told = [
        (say("units", "经办机构"), _joined(grant["units"])),
        (say("purposes", "目的"), _words(grant["purposes"], PURPOSE_NAMES, wording.PURPOSES)),
        (say("benefits", "险种"), _words(grant["benefits"], BENEFIT_NAMES, wording.BENEFITS)),
        (say("evidence", "证据"), _words(grant["evidence"], KIND_NAMES, wording.KINDS)),
        (say("regions", "地区"), _joined(map(str, grant["regions"]))),
        (say("quotas", "额度"), _separated(quotas) or say("none", "不限")),
        (say("roster", "名册规模"), str(grant["roster"] or "")),
        (say("valid", "有效期"), f"{grant['from']} – {grant['until']}"),
        *people,
        (say("reason", "理由"), grant["why"]),
    ]
    return [
        f"{grant['grant']}  {state(grant['state'])}  {whom}",
        *(f"    {name}{say(': ', '：')}{value}" for name, value in told if value),
    ]


def _separated(parts: Iterable[str]) -> str:
    return say(", ", "、").join(parts)


def _joined(parts: str | Iterable[str]) -> str:
    listed = [parts] if isinstance(parts, str) else list(parts)
    return _separated(say("all", "全部") if each == ANY else each for each in listed)


def _words(names: Iterable[str], numbers: Mapping[str, int], words: dict[int, wording.Word]) -> str:
    """Names of the contract as people read them."""
    found = []
    for name in names:
        if name == ANY:
            found.append(say("all", "全部"))
        else:
            word = wording.word(words, numbers[name])
            found.append(say(word.en, word.zh))
    return _separated(found)
