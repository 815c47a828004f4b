"""What a case of the conformance kit is, and how it ends.

Owns: the table of cases, the five ways in which one ends, and texts in both languages. Refuses: asking an adapter
anything (`adapters.conformance.kit`), and order: every case can be run by itself.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from adapters.conformance.answers import Answer
    from adapters.conformance.kit import Kit
    from adapters.contract import Found


class Say(NamedTuple):
    """One text in both languages; never with a number or name of anybody."""

    en: str
    zh: str


class Group(enum.Enum):
    """What a case is about. The value begins the ids of its cases."""

    DESCRIPTION = "description"
    BATCH = "batch"
    PEOPLE = "people"
    WRONG = "wrong"
    NAMES = "names"
    FILTER = "filter"
    UNREADABLE = "unreadable"
    SAME = "same"
    TIME = "time"
    ANSWER = "answer"
    EVIDENCE = "evidence"
    LINKS = "links"
    CLOCK = "clock"
    RESTART = "restart"
    CHANGES = "changes"

    @property
    def title(self) -> Say:
        """As a report names it."""
        return _GROUPS[self]


_GROUPS = {
    Group.DESCRIPTION: Say("What it says of itself", "自我描述"),
    Group.BATCH: Say("Batches", "批量"),
    Group.PEOPLE: Say("People", "人员"),
    Group.WRONG: Say("Wrong numbers", "错误号码"),
    Group.NAMES: Say("Names and encodings", "姓名与编码"),
    Group.FILTER: Say("What was asked for", "查询范围"),
    Group.UNREADABLE: Say("Rows that do not read", "无法读取的记录"),
    Group.SAME: Say("The same answer again", "结果一致"),
    Group.TIME: Say("Deadlines, cancelling, many at once", "时限、取消与并发"),
    Group.ANSWER: Say("Shape of the answers", "应答结构"),
    Group.EVIDENCE: Say("Rows of evidence", "证据行"),
    Group.LINKS: Say("Linked numbers", "号码关联"),
    Group.CLOCK: Say("Days and time zones", "日期与时区"),
    Group.RESTART: Say("Restart", "重启"),
    Group.CHANGES: Say("Changes", "变更跟踪"),
}


class Outcome(enum.Enum):
    """How a case ended. Only FAILED keeps an adapter from conforming."""

    PASSED = "passed"
    NOTED = "noted"
    FAILED = "failed"
    NOT_TRIED = "not_tried"


class Ended(Exception):  # noqa: N818  not an error of ours
    """A case ended otherwise than by passing."""

    outcome = Outcome.FAILED

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.says = Say(en, zh)


class Failed(Ended):
    """The adapter does what the rule forbids."""


class Noted(Ended):
    """It does what is allowed, but probably not meant."""

    outcome = Outcome.NOTED


class NotTried(Ended):
    """The case could not be tried; says why."""

    outcome = Outcome.NOT_TRIED


Body: TypeAlias = "Callable[[Kit], Awaitable[None]]"
Examination: TypeAlias = "Callable[[Kit, Answer], Ended | None]"


@dataclass(frozen=True, slots=True)
class Case:
    """One rule, and how it is tried.

    Args:
        id: stable name, group first.
        group: what it is about.
        rule: what must hold, as a person reads it.
        advice: why, and what to do about it.
        reference: where the rule stands: a file, RPC or message of the contract, or a page of the documents.
        body: tries it; None for an examination.
        examine: looks at one answer; run over every answer that any other case got.
        formed_only: the examination is given only answers whose columns fit each other and the question.
    """

    id: str
    group: Group
    rule: Say
    advice: Say
    reference: str
    body: Body | None = None
    examine: Examination | None = None
    formed_only: bool = True

    def concerns(self, found: Found) -> bool:
        """Whether an examination has anything to look at in an answer."""
        if self.group in (Group.EVIDENCE, Group.CLOCK):
            return bool(len(found.evidence.subject))
        if self.group is Group.UNREADABLE:
            return bool(len(found.unreadable))
        return self.group is not Group.LINKS or bool(len(found.links.subject))


TABLE: dict[str, Case] = {}
"""Every case by its id, in the order of the report; filled by the modules of `adapters.conformance.cases`."""


def case(name: str, rule: Say, advice: Say, reference: str) -> Callable[[Body], Body]:
    """Register a case that asks the adapter something."""

    def register(body: Body) -> Body:
        _add(Case(name, Group(name.partition(".")[0]), rule, advice, reference, body))
        return body

    return register


def examination(
    name: str, rule: Say, advice: Say, reference: str, *, formed_only: bool = True
) -> Callable[[Examination], Examination]:
    """Register a case that looks at every answer of the run."""

    def register(examine: Examination) -> Examination:
        group = Group(name.partition(".")[0])
        _add(Case(name, group, rule, advice, reference, examine=examine, formed_only=formed_only))
        return examine

    return register


def _add(made: Case) -> None:
    if made.id in TABLE:
        raise ValueError(f"two cases are called {made.id}")
    TABLE[made.id] = made
