"""What a member answered: whether it fits the question, what is wrong with it where it does not, and its reasons.

Owns: these checks, and reading an answer's reasons. Every failure comes out as an error of our tree: what the member
refused as a RefusedError, what it did wrong as PARTNER_FAULTY. Refuses: opening and verifying, and merging.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from adapters.faces import FACE_TOKEN_BYTES
from gateway.errors import RefusedError, WuganError
from gateway.exchange.envelope import Proof
from gateway.exchange.question import MAX_FACES
from gateway.federation.retrying import unusable
from gateway.rules.reasons import Reasons
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_INT32_MAX = (1 << 31) - 1
_MANY = 64
"""So many rows are looked at as a column of numpy, which is made without an object for each. Fewer are taken out of the
message as a slice: to go through a column of it row by row costs three times as much."""
_COUNTED_TO = 1 << 16
_STATUSES = frozenset(words.SurvivalStatus.values())
_REFUSALS = frozenset(words.RefusalReason.values()) - {words.REFUSAL_REASON_UNSPECIFIED}
_DENSE: Final = attrgetter("status", "flags", "decided_on", "last_trace_on", "valid_until_on")
"""Columns that have a row for everyone asked about."""
EVIDENCE: Final = (
    "kind",
    "department",
    "region",
    "observed_on",
    "available_on",
    "strength",
    "source_reference",
    "detail",
    "from_on",
    "until_on",
)
"""Columns of an answer's evidence, besides of whom a row speaks."""
_Group = Literal["reasons", "evidence", "links", "refused", "faces"]
_SPARSE: Final[Sequence[tuple[_Group, Callable[[Any], tuple[Sequence[Any], ...]]]]] = (
    ("reasons", attrgetter("subject", "code", "department", "kind", "on", "number")),
    ("evidence", attrgetter("subject", *EVIDENCE)),
    ("links", attrgetter("subject", "id_number", "since_on")),
    ("refused", attrgetter("subject", "reason")),
    ("faces", attrgetter("subject", "token")),
)
"""Groups of columns that have a row for each thing there is to say; first of whom it is said."""
taken_out: Final = itemgetter(slice(None))
"""A column of a message as a list."""
_CODE: Final = attrgetter("code")


class Columns(NamedTuple):
    """Columns of findings, read out of the message once: to read one takes longer than most of what is done with it.

    Args:
        dense: status, flags, decided_on, last_trace_on, valid_until_on: a row for everyone asked about.
        said: the columns of each group that is there, first of whom a row speaks.
        texts: of the reasons, where there are any.
    """

    dense: tuple[Sequence[int], ...]
    said: dict[_Group, tuple[Sequence[Any], ...]]
    texts: Sequence[exchange_pb2.ReasonText]


class PartnerAnswer(NamedTuple):
    """A member's findings, and what proves later that it gave them; `message_id` is of the answer.

    `read`: the findings' columns, where they are at hand; `columns` are them in any case.
    """

    member_id: str
    findings: exchange_pb2.Findings
    message_id: bytes
    proof: Proof
    read: Columns | None = None

    @property
    def columns(self) -> Columns:
        """The findings' columns."""
        return self.read or columns_of(self.findings)

    def with_columns(self) -> PartnerAnswer:
        """The same with its columns at hand, for those who look at them one after another."""
        return self if self.read is not None else self._replace(read=columns_of(self.findings))


def columns_of(findings: exchange_pb2.Findings) -> Columns:
    """The columns of findings."""
    said: dict[_Group, tuple[Sequence[Any], ...]] = {}
    for group, columns in _SPARSE:
        if findings.HasField(group):  # else all its columns are empty
            said[group] = columns(getattr(findings, group))
    return Columns(_DENSE(findings), said, findings.reason_texts[:] if "reasons" in said else ())


def reasons_in(columns: exchange_pb2.ReasonColumns) -> Reasons:
    """Reasons as the rules take them."""
    return Reasons(
        subject=np.array(columns.subject, np.int32),
        code=np.array(columns.code, np.int32),
        department=np.array(columns.department, np.int32),
        kind=np.array(columns.kind, np.int32),
        on=np.array(columns.on, np.int32),
        number=np.array(columns.number, np.int32),
    )


def codes_by_month(found: exchange_pb2.Findings, texts: Sequence[exchange_pb2.ReasonText]) -> set[int]:
    """Codes of reasons whose day stands for its month; `texts`: of the findings' reasons."""
    of_trace = found.trace_dates == words.DATE_PRECISION_MONTH
    of_event = found.event_dates == words.DATE_PRECISION_MONTH
    codes: set[int] = set()
    if of_trace or of_event:
        for text in texts:
            if of_trace if text.about_trace else of_event:
                codes.add(text.code)
    return codes


def answer_in(
    member_id: str, question: exchange_pb2.Question, message_id: bytes, proof: Proof
) -> PartnerAnswer | WuganError:
    """The answer in a verified part, if it fits its question; else what is wrong with it."""
    try:
        findings, columns = _fitting(exchange_pb2.Answer.FromString(proof.payload), question)
    except DecodeError:
        return unusable("does not parse")
    except WuganError as error:
        return error
    return PartnerAnswer(member_id, findings, message_id, proof, columns)


def findings_in(answer: exchange_pb2.Answer, question: exchange_pb2.Question) -> exchange_pb2.Findings:
    """The findings of a member's answer, which fit the question.

    Raises:
        RefusedError: the member refused the question.
        PartnerError: PARTNER_FAULTY; the answer does not fit, and nothing of it may be used.
    """
    findings, _ = _fitting(answer, question)
    return findings


def _fitting(answer: exchange_pb2.Answer, question: exchange_pb2.Question) -> tuple[exchange_pb2.Findings, Columns]:
    """The same, with their columns."""
    if answer.context != question.context:
        raise unusable("is for another context")
    if answer.HasField("refusal"):
        raise _refused(answer.refusal)
    findings, people = answer.findings, len(question.subjects.id_number)
    columns = check_findings(findings, people)
    if question.as_of_on and findings.as_of_on != question.as_of_on:
        raise unusable("is as of another day")
    if "evidence" in columns.said and len(columns.said["evidence"][0]) > question.evidence_limit * people:
        raise unusable("holds more evidence than was asked for")
    return findings, columns


def check_findings(findings: exchange_pb2.Findings, subjects: int) -> Columns:
    """Check that findings fit a question about so many people: column lengths, row numbers, known words.

    Returns:
        Their columns.

    Raises:
        PartnerError: PARTNER_FAULTY; nothing of the findings may be used.
    """
    columns = dense, said, texts = columns_of(findings)
    if set(map(len, dense)) != {subjects}:
        raise unusable("has columns of a wrong length")
    for group in said.values():
        if len(set(map(len, group))) != 1:
            raise unusable("has columns of a wrong length")
        rows = group[0]
        if rows and _largest(rows) >= subjects:
            raise unusable("speaks of people who were not asked about")
    if findings.partial and any(_largest(source.unreadable_subject) >= subjects for source in findings.sources[:]):
        raise unusable("speaks of people who were not asked about")
    if "faces" in said:
        rows, tokens = said["faces"]
        if rows and (len(rows) > MAX_FACES * subjects or set(map(len, tokens)) != {FACE_TOKEN_BYTES}):
            raise unusable("holds faces that are none, or too many")
    if "reasons" in said:
        _check_reasons(said["reasons"], texts)
    statuses = _occurring(dense[0])
    if not statuses <= _STATUSES:
        raise unusable("uses a status this version does not know")
    refused, why = said.get("refused", ((), ()))
    if not _REFUSALS.issuperset(why[:]):
        raise unusable("refuses for a reason this version does not know")
    if (_without(dense[0]) if 0 in statuses else set()) != set(refused[:]):
        raise unusable("leaves people without status or refusal, or gives both")
    return columns


def _check_reasons(columns: Sequence[Sequence[Any]], texts: Sequence[exchange_pb2.ReasonText]) -> None:
    """Check that the reasons given are numbers that the rules take, and have texts."""
    _, codes, *_, numbers = columns
    if max(_largest(codes), _largest(numbers)) > _INT32_MAX:
        raise unusable("gives reasons out of range")
    if not _occurring(codes).issubset(map(_CODE, texts)):
        raise unusable("gives reasons without their texts")


def _largest(column: Sequence[int]) -> int:
    """The largest number of a column, 0 where it is empty."""
    return max(column[:], default=0) if len(column) < _MANY else int(np.asarray(column).max())


def _occurring(column: Sequence[int]) -> set[int]:
    """The numbers that occur in a column."""
    if len(column) < _MANY:
        return set(column[:])
    values = np.asarray(column)
    if values.min() < 0 or values.max() > _COUNTED_TO:
        return set(column)
    return set(np.bincount(values).nonzero()[0].tolist())


def _without(statuses: Sequence[int]) -> set[int]:
    """The rows that have no status."""
    if len(statuses) < _MANY:
        return {row for row, status in enumerate(statuses[:]) if not status}
    return set(np.flatnonzero(np.asarray(statuses) == 0).tolist())


def _refused(refusal: exchange_pb2.Refusal) -> RefusedError:
    if refusal.reason not in _REFUSALS:
        raise unusable("refuses for a reason this version does not know")
    return RefusedError(
        refusal.message_en[:500] or "the other province refused the question and did not say why; ask it",
        refusal.message_zh[:500] or "对方省份拒绝了查询但未说明原因，请联系对方",
        reason=refusal.reason,
        field=refusal.field[:200],
        retryable=refusal.retryable,
        retry_after_ms=refusal.retry_after_ms,
    )
