"""What the members said about one recipient, made into one verdict: merged, with what is proposed.

Owns: bringing findings of the contract into the columns that the rules take, and the rules' results back into a row.
Refuses: judging; `gateway.rules` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gateway.federation.check import Checked
from gateway.rules.book import RuleBook
from gateway.rules.certification import flag_days, month_text, propose
from gateway.rules.merge import merge
from gateway.rules.reasons import Reasons
from gateway.rules.wording import fill, reason_texts
from wugan.federation.v1 import exchange_pb2

MAX_TEMPLATE = 500
MAX_NAME = 100
"""Characters taken over of another member's texts."""


@dataclass(frozen=True, slots=True)
class Told:
    """A reason in both languages, with its stable name."""

    name: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One recipient: numbers as in the contract, days as civil days.

    Args:
        proposal: CertificationStatus, for an official to decide.
        effective_month: "YYYY-MM" of the first month without entitlement, "" for none.
        partial: whether some member, or some source of a member, did not answer.
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


def verdict(book: RuleBook, checked: Checked, benefit: int) -> Verdict:
    """The verdict on the one recipient of a check."""
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
    answered = [found for found in findings if found is not None]
    days = np.stack([flag_days(1, _reasons(found)) for found in answered])
    told = np.where(days == 0, np.iinfo(np.int32).max, days).min(axis=0)
    proposals = propose(
        book,
        benefit=np.array([benefit], np.int32),
        status=merged.status,
        flags=merged.flags,
        decided_on=merged.decided_on,
        flag_on=np.where(told == np.iinfo(np.int32).max, 0, told).astype(np.int32),
        as_of_on=checked.as_of_on,
    )
    reasons = _tell(
        book, merged.reasons, {text.code: text for text in reason_texts(book, merged.reasons.code.tolist())}
    )
    for found in answered:
        reasons += _tell(book, _reasons(found), {text.code: text for text in found.reason_texts})
    return Verdict(
        status=int(merged.status[0]),
        flags=int(merged.flags[0]),
        decided_on=int(merged.decided_on[0]),
        last_trace_on=int(merged.last_trace_on[0]),
        valid_until_on=int(merged.valid_until_on[0]),
        proposal=int(proposals.status[0]),
        effective_month=month_text(int(proposals.effective_on[0])),
        partial=bool(merged.partial[0]),
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _reasons(findings: exchange_pb2.Findings) -> Reasons:
    columns = findings.reasons
    return Reasons(
        subject=np.array(columns.subject, np.int32),
        code=np.array(columns.code, np.int32),
        department=np.array(columns.department, np.int32),
        kind=np.array(columns.kind, np.int32),
        on=np.array(columns.on, np.int32),
        number=np.array(columns.number, np.int32),
    )


class _Text(Protocol):
    """What a ReasonText of the rules and one of the contract have in common."""

    @property
    def name(self) -> str: ...
    @property
    def zh(self) -> str: ...
    @property
    def en(self) -> str: ...


def _tell(book: RuleBook, reasons: Reasons, texts: Mapping[int, _Text]) -> list[Told]:
    """The reasons about the one recipient as sentences, in their order; the texts are the answering side's own."""
    told = []
    rows = zip(
        reasons.code.tolist(),
        reasons.department.tolist(),
        reasons.kind.tolist(),
        reasons.on.tolist(),
        reasons.number.tolist(),
        strict=True,
    )
    for code, department, kind, on, number in rows:
        text = texts[code]
        values = {"department": department, "kind": kind, "on": on, "number": number}
        zh = fill(book, text.zh[:MAX_TEMPLATE], "zh", **values)
        en = fill(book, text.en[:MAX_TEMPLATE], "en", **values)
        told.append(Told(text.name[:MAX_NAME], zh, en))
    return told
