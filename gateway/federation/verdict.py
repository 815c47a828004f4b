"""What the members said about one recipient, made into one verdict: merged, with what is proposed.

Owns: bringing findings of the contract into the columns that the rules take, and the rules' results back into a row.
Refuses: judging; `gateway.rules` does.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from gateway.federation.answers import PartnerAnswer, codes_by_month, reasons_in, taken_out
from gateway.federation.checked import Checked
from gateway.rules.book import FLAG_SLOTS, RuleBook
from gateway.rules.certification import FlagDays, month_text, propose, start_not_used, start_unknown
from gateway.rules.merge import merge
from gateway.rules.reasons import ReasonCode
from gateway.rules.wording import fill, reason_texts
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_IDENTITY = 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT
MAX_TEMPLATE = 500
MAX_NAME = 100
"""Characters taken over of another member's texts."""


class Told(NamedTuple):
    """A reason in both languages, with its stable name."""

    name: str
    zh: str
    en: str


LACKING = Told(
    "NOT_ASKED_UNDER_LINKED_NUMBERS",
    "有省份告知此人另有关联号码，但未能以该号码查询全部省份，暂不作认证",
    "Another number is linked to the person under which not every province was asked; not certified for that",
)
"""Said where a death may be on record under a number that one member links and another was not asked for."""


class Verdict(NamedTuple):
    """One recipient: numbers as in the contract, days as civil days.

    Args:
        proposal: CertificationStatus, for an official to decide.
        effective_month: "YYYY-MM" of the first month without entitlement, "" for none.
        partial: whether some member, or some source of a member, did not answer now, or not under all numbers.
        reasons: of the merging first, then every member's own.
    """

    status: int
    flags: int
    decided_on: int
    last_trace_on: int
    valid_until_on: int
    proposal: int
    effective_month: str
    partial: bool
    reasons: tuple[Told, ...]


def verdict(book: RuleBook, checked: Checked, benefit: int, since_on: int = 0) -> Verdict:
    """The verdict on the one recipient of a check; `since_on`: first day of the benefit, 0: not known."""
    answers: list[PartnerAnswer] = []
    lacking = outdated = False
    for result in checked.results:
        if result.answer is not None:
            answers.append(result.answer)
        lacking = lacking or result.lacking is not None
        outdated = outdated or result.outdated
    # One member's answer is its own merge (a property the rules' tests hold), and by far the most frequent case.
    row = _alone(answers[0]) if len(checked.results) == len(answers) == 1 else None
    # Only an identity conflict is left to the merge, which holds the member to what one means.
    if row is None or row.flags & _IDENTITY:
        row = _merged(book, checked)
    reasons = list(row.reasons)
    days: tuple[int, ...] = ()
    if row.flags:
        days = _flag_days(book, [answer.findings for answer in answers], since_on)
    for answer in answers:
        _, said, texts = answer.columns
        if "reasons" in said:
            by_code: dict[int, _Text] = {}
            for text in texts:
                by_code[text.code] = text
            reasons += _tell(book, said["reasons"][1:], by_code, codes_by_month(answer.findings, texts))
    if since_on or row.flags:  # else, most often, nothing depends on the start
        reasons += _told_of_start(book, checked, answers, benefit, row.flags, since_on)
    proposal, effective_month = _propose(
        book, benefit, row.status, row.flags, row.decided_on, days, checked.as_of_on, since_on
    )
    if lacking:
        reasons.insert(0, LACKING)
        if proposal == words.CERTIFICATION_STATUS_CERTIFIED:  # a face shows who is alive, whatever the numbers
            proposal = words.CERTIFICATION_STATUS_NEEDS_FACE
    return Verdict(
        status=row.status,
        flags=row.flags,
        decided_on=row.decided_on,
        last_trace_on=row.last_trace_on,
        valid_until_on=row.valid_until_on,
        proposal=proposal,
        effective_month=effective_month,
        partial=row.partial or lacking or outdated,
        reasons=tuple(dict.fromkeys(reasons)),
    )


class _Row(NamedTuple):
    """The members' findings about the recipient as one."""

    status: int
    flags: int
    decided_on: int
    last_trace_on: int
    valid_until_on: int
    partial: bool
    reasons: tuple[Told, ...] = ()


def _alone(answer: PartnerAnswer) -> _Row:
    status, flags, decided_on, last_trace_on, valid_until_on = answer.columns.dense
    return _Row(status[0], flags[0], decided_on[0], last_trace_on[0], valid_until_on[0], answer.findings.partial)


def _merged(book: RuleBook, checked: Checked) -> _Row:
    findings = [result.answer.findings if result.answer else None for result in checked.results]

    def column(name: str) -> list[list[int]]:
        return [[getattr(found, name)[0] if found is not None else 0] for found in findings]

    merged = merge(
        book,
        status=np.array(column("status"), np.int32),
        flags=np.array(column("flags"), np.uint32),
        decided_on=np.array(column("decided_on"), np.int32),
        last_trace_on=np.array(column("last_trace_on"), np.int32),
        valid_until_on=np.array(column("valid_until_on"), np.int32),
        partial=np.array([[found is None or found.partial] for found in findings], np.bool_),
    )
    told = merged.reasons
    columns = [column.tolist() for column in (told.code, told.department, told.kind, told.on, told.number)]
    texts = {text.code: text for text in reason_texts(book, columns[0])}
    return _Row(
        int(merged.status[0]),
        int(merged.flags[0]),
        int(merged.decided_on[0]),
        int(merged.last_trace_on[0]),
        int(merged.valid_until_on[0]),
        bool(merged.partial[0]),
        tuple(_tell(book, columns, texts)),
    )


def _flag_days(book: RuleBook, answered: Sequence[exchange_pb2.Findings], since_on: int) -> tuple[int, ...]:
    """The earliest day that counts, of those that any member told for each flag."""
    days = FlagDays(book, np.array([since_on], np.int32))
    for found in answered:
        days.hear(reasons_in(found.reasons))
    return tuple(days.result()[0].tolist())


def _told_of_start(
    book: RuleBook,
    checked: Checked,
    answers: Sequence[PartnerAnswer],
    benefit: int,
    flags: int,
    since_on: int,
) -> list[Told]:
    """What is to be said of the start of the benefit: that it is wanted, or that some member did not go by it."""
    codes = []
    paid, since = np.array([benefit], np.int32), np.array([since_on], np.int32)
    if not since_on and start_unknown(book, paid, np.array([flags], np.uint32), since)[0]:
        codes.append(ReasonCode.BENEFIT_START_UNKNOWN)
    unused = since_on and not all(answer.findings.benefit_since_used for answer in answers)
    if unused and start_not_used(book, paid, since, checked.as_of_on)[0]:
        codes.append(ReasonCode.BENEFIT_START_NOT_USED)
    return [Told(text.name, text.zh, text.en) for text in reason_texts(book, codes)]


@functools.lru_cache(maxsize=4096)
def _propose(
    book: RuleBook,
    benefit: int,
    status: int,
    flags: int,
    decided_on: int,
    days: tuple[int, ...],
    as_of_on: int,
    since_on: int,
) -> tuple[int, str]:
    """What is proposed for one row, and its first month without entitlement. Few rows differ, so they are kept."""
    proposals = propose(
        book,
        benefit=np.array([benefit], np.int32),
        status=np.array([status], np.int32),
        flags=np.array([flags], np.uint32),
        decided_on=np.array([decided_on], np.int32),
        flag_on=np.array([days or (0,) * FLAG_SLOTS], np.int32),
        as_of_on=as_of_on,
        entitled_since_on=np.array([since_on], np.int32),
    )
    return int(proposals.status[0]), month_text(int(proposals.effective_on[0]))


class _Text(Protocol):
    """What a ReasonText of the rules and one of the contract have in common."""

    @property
    def name(self) -> str: ...
    @property
    def zh(self) -> str: ...
    @property
    def en(self) -> str: ...


def _tell(
    book: RuleBook,
    columns: Sequence[Sequence[int]],
    texts: Mapping[int, _Text],
    by_month: Collection[int] = (),
) -> list[Told]:
    """The reasons about the one recipient as sentences, in their order; the texts are the answering side's own.

    `columns`: code, department, kind, on, number.
    """
    told = []
    for code, department, kind, on, number in zip(*map(taken_out, columns), strict=True):
        text = texts[code]
        month, zh, en = code in by_month, text.zh[:MAX_TEMPLATE], text.en[:MAX_TEMPLATE]
        zh = fill(book, zh, "zh", department=department, kind=kind, on=on, number=number, month=month)
        en = fill(book, en, "en", department=department, kind=kind, on=on, number=number, month=month)
        told.append(Told(text.name[:MAX_NAME], zh, en))
    return told
