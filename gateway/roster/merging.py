"""The answers about a chunk made into its results: merged, with what is proposed and what was overpaid, in columns.

Owns: bringing the members' columns together by row, and the tables of results. Refuses: judging; `gateway.rules` does,
by the same functions that a single check goes through.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.federation.answers import PartnerAnswer, codes_by_month, reasons_in
from gateway.federation.verdict import LACKING
from gateway.roster.asking import Reply
from gateway.roster.frames import EVIDENCE, FACES, MESSAGES, PEOPLE, REASON_TEXTS, REASONS, Schema
from gateway.roster.lacking import incomplete, missing_from
from gateway.roster.linking import lacking, linked_by, replaced
from gateway.roster.run import Refusal, Submitted
from gateway.rules.book import RuleBook
from gateway.rules.certification import FlagDays, propose, start_not_used, start_unknown
from gateway.rules.merge import Merged, merge
from gateway.rules.overpayment import overpaid
from gateway.rules.reasons import ReasonCode, Reasons, ReasonSheet
from gateway.rules.wording import reason_texts
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_TEMPLATE: Final = 500
MAX_NAME: Final = 100
MAX_REFERENCE: Final = 256
"""Characters taken over of another member's texts."""
LACKING_CODE: Final = 0
"""Stands for `LACKING` among the reasons of the merging: no code of the rules."""
_SEPARATOR: Final = ";"
_CERTIFIED: Final = words.CERTIFICATION_STATUS_CERTIFIED
_NEEDS_FACE: Final = np.int32(words.CERTIFICATION_STATUS_NEEDS_FACE)
_BITS: Final = 62

_NUMPY: Final[dict[pl.DataType, np.dtype[Any]]] = {
    pl.Int8(): np.dtype(np.int8),
    pl.Int16(): np.dtype(np.int16),
    pl.Int32(): np.dtype(np.int32),
    pl.Int64(): np.dtype(np.int64),
    pl.UInt32(): np.dtype(np.uint32),
    pl.Boolean(): np.dtype(np.bool_),
}

Index = NDArray[np.int64]
Int32 = NDArray[np.int32]


def merged(
    book: RuleBook, run: Submitted, number: int, rows: pl.DataFrame, replies: Sequence[Reply]
) -> dict[str, pl.DataFrame]:
    """The tables of a chunk's results, but for rejected rows; in order of the input's rows.

    Args:
        book: the rules of this side.
        run: what was submitted.
        number: of the chunk.
        rows: its people, planned.
        replies: to all its questions, in any order.
    """
    ordered = sorted(replies, key=lambda reply: (reply.ask.phase, reply.ask.member))
    gone = replaced(ordered)
    since = rows["entitled_since_on"].to_numpy()
    side = _side_by_side(book, since, rows, ordered, gone)
    linked = linked_by(rows, ordered)
    unasked = lacking(linked, ordered, rows.height) if linked else side.partial[:0]
    one = merge(
        book,
        status=side.status,
        flags=side.flags,
        decided_on=side.decided_on,
        last_trace_on=side.last_trace_on,
        valid_until_on=side.valid_until_on,
    )
    benefit = rows["benefit"].to_numpy()
    proposals = propose(
        book,
        benefit=benefit,
        status=one.status,
        flags=one.flags,
        decided_on=one.decided_on,
        flag_on=side.flag_on,
        as_of_on=run.as_of_on,
        entitled_since_on=since,
    )
    lacks = unasked.any(axis=0)  # a face shows who is alive, whatever the numbers
    certification = np.where(lacks & (proposals.status == _CERTIFIED), _NEEDS_FACE, proposals.status)
    monthly, account = rows["monthly_fen"].to_numpy(), rows["account_fen"].to_numpy()
    over = overpaid(proposals.effective_on, rows["last_paid_on"].to_numpy(), monthly, account)
    answered = one.status != 0
    missing, silent = _silent(side.partial, ordered)
    people = _frame(
        {
            "row": rows["row"],
            "chunk": np.full(rows.height, number, np.int32),
            "id_number": rows["id_number"],
            "name": rows["name"],
            "benefit": rows["benefit"],
            "reference": rows["reference"],
            "unit": rows["unit"],
            "grid_unit": rows["grid_unit"],
            "region": rows["residence"].list.first().fill_null(0),
            "monthly_fen": monthly,
            "last_paid_on": rows["last_paid_on"],
            "account_fen": account,
            "entitled_since_on": since,
            "status": one.status,
            "flags": one.flags,
            "decided_on": one.decided_on,
            "last_trace_on": one.last_trace_on,
            "valid_until_on": one.valid_until_on,
            "partial": side.partial.any(axis=0) | lacks,
            "refusal": np.where(answered, 0, side.refusal),
            "members": _listed(side.asked, [reply.ask.member for reply in ordered]),
            "silent": _listed(
                np.concatenate((missing, unasked)),
                silent + [reply.ask.member for reply in ordered[: len(unasked)]],
            ),
            "certification": certification,
            "effective_on": proposals.effective_on,
            "verify_by_on": proposals.verify_by_on,
            "overpaid_months": over.months,
            "overpaid_gross_fen": over.gross,
            "overpaid_offset_fen": over.offset,
            "overpaid_net_fen": over.net,
        },
        PEOPLE,
    )
    row = rows["row"].to_numpy()
    merging = _with_starts(book, one, benefit, since, side.not_by_start, run.as_of_on)
    return {"people": people, **_sparse(book, number, row, ordered, gone, merging, row[lacks])}


def _with_starts(
    book: RuleBook, one: Merged, benefit: Int32, since: Int32, not_by_start: NDArray[np.bool_], as_of_on: int
) -> Reasons:
    """The reasons of the merging, and what is to be said of the start of benefits, as of a single check."""
    unknown = np.flatnonzero(start_unknown(book, benefit, one.flags, since))
    unused = np.flatnonzero(not_by_start & start_not_used(book, benefit, since, as_of_on))
    if not len(unknown) and not len(unused):
        return one.reasons
    sheet = ReasonSheet()
    reasons = one.reasons
    if len(reasons):
        sheet.add(
            reasons.subject,
            reasons.code,
            department=reasons.department,
            kind=reasons.kind,
            on=reasons.on,
            number=reasons.number,
        )
    sheet.add(unknown, ReasonCode.BENEFIT_START_UNKNOWN)
    sheet.add(unused, ReasonCode.BENEFIT_START_NOT_USED)
    return sheet.finish()


class _SideBySide(NamedTuple):
    """What members said: a row for each reply, a column for each of the people; the last two have no rows.

    Args:
        status, flags, decided_on, last_trace_on, valid_until_on: as each graded them; 0 where it did not.
        asked: whether the question of that reply was about them.
        partial: whether that reply, or a part of it, is missing.
        refusal: why nobody answered about them, so far as anybody said so.
        flag_on: first day of each fact that any of them told and that counts; 0 for none.
        not_by_start: whether some member that graded them did not go by the start of benefits.
    """

    status: NDArray[np.int32]
    flags: NDArray[np.uint32]
    decided_on: NDArray[np.int32]
    last_trace_on: NDArray[np.int32]
    valid_until_on: NDArray[np.int32]
    asked: NDArray[np.bool_]
    partial: NDArray[np.bool_]
    refusal: NDArray[np.int32]
    flag_on: NDArray[np.int32]
    not_by_start: NDArray[np.bool_]


def _side_by_side(
    book: RuleBook, since: Int32, rows: pl.DataFrame, replies: Sequence[Reply], gone: Mapping[int, Index]
) -> _SideBySide:
    count, members = rows.height, len(replies)
    status = np.zeros((members, count), np.int32)
    flags = np.zeros((members, count), np.uint32)
    decided, traced, valid = (np.zeros((members, count), np.int32) for _ in range(3))
    asked = np.zeros((members, count), np.bool_)
    partial = np.zeros((members, count), np.bool_)
    refusal = rows["refusal"].to_numpy().astype(np.int32)
    told = FlagDays(book, since)
    not_by_start = np.zeros(count, np.bool_)
    for place, (_, at, came, _) in enumerate(replies):
        asked[place, at] = True
        if isinstance(came, Refusal):
            partial[place, at] = True
            _refuse(refusal, at, came.reason)
            continue
        found = came.findings
        status[place, at] = found.status
        flags[place, at] = np.array(found.flags, np.uint32)
        decided[place, at] = found.decided_on
        traced[place, at] = found.last_trace_on
        valid[place, at] = found.valid_until_on
        partial[place, at] = incomplete(found, len(at))
        if found.refused.subject:
            at_refused = at[np.array(found.refused.subject, np.int64)]
            partial[place, at_refused] = True
            _refuse(refusal, at_refused, np.array(found.refused.reason, np.int32))
        if place in gone:
            for column in (status, flags, decided, traced, valid, partial):
                column[place, gone[place]] = 0
        counts = at[~np.isin(at, gone[place])] if place in gone else at
        told.hear(reasons_in(found.reasons), at, counts)
        not_by_start[counts] |= not found.benefit_since_used
    return _SideBySide(status, flags, decided, traced, valid, asked, partial, refusal, told.result(), not_by_start)


def _sparse(
    book: RuleBook,
    number: int,
    row: Index,
    replies: Sequence[Reply],
    gone: Mapping[int, Index],
    merging: Reasons,
    lacking: Index,
) -> dict[str, pl.DataFrame]:
    """The tables that have any number of rows for a person.

    Args:
        book: the rules of this side.
        number: of the chunk.
        row: of its people.
        replies: in order.
        gone: which of them do not count, and at which places.
        merging: what the merging itself found.
        lacking: rows of those who were not asked about under all numbers.
    """
    own = {text.code: (text.name, text.zh, text.en) for text in reason_texts(book, merging.code.tolist())}
    parts = [_reason_rows("", row, merging, {code: name for code, (name, _, _) in own.items()}, frozenset())]
    if len(lacking):
        own[LACKING_CODE] = LACKING.name, LACKING.zh, LACKING.en
        nothing = np.zeros(len(lacking), np.int32)
        alone = Reasons(np.arange(len(lacking), dtype=np.int32), nothing + LACKING_CODE, *[nothing] * 4)
        parts.insert(0, _reason_rows("", lacking, alone, {LACKING_CODE: LACKING.name}, frozenset()))
    texts = {("", code): told_as for code, told_as in own.items()}
    evidence, faces = [], []
    messages: list[tuple[Any, ...]] = []
    for position, (ask, at, came, _) in enumerate(replies):
        if isinstance(came, Refusal):
            continue
        found = came.findings
        told = found.reason_texts[:]
        theirs = {text.code: (text.name[:MAX_NAME], text.zh[:MAX_TEMPLATE], text.en[:MAX_TEMPLATE]) for text in told}
        names = {code: name for code, (name, _, _) in theirs.items()}
        reasons = _reason_rows(ask.member, row[at], reasons_in(found.reasons), names, codes_by_month(found, told))
        shown = _evidence_rows(ask.member, row[at], found.evidence)
        seen = pl.DataFrame(schema=dict(FACES))
        if found.faces.subject:
            at_faces = row[at][np.array(found.faces.subject, np.int64)]
            seen = pl.DataFrame({"row": at_faces, "token": list(found.faces.token)}, schema=dict(FACES))
        if position in gone:
            counts = ~pl.col("row").is_in(row[gone[position]].tolist())
            reasons, shown, seen = reasons.filter(counts), shown.filter(counts), seen.filter(counts)
        parts.append(reasons)
        evidence.append(shown)
        faces.append(seen)
        for code, told_as in theirs.items():
            texts.setdefault((ask.member, code), told_as)
        messages.append(_message(number, ask.member, came))
    return {
        "reasons": _in_order(parts, REASONS),
        "evidence": _in_order(evidence, EVIDENCE),
        "faces": _in_order(faces, FACES).unique(maintain_order=True),
        "reason_texts": pl.DataFrame(
            [(*key, *told_as) for key, told_as in sorted(texts.items())], schema=dict(REASON_TEXTS), orient="row"
        ),
        "messages": pl.DataFrame(messages, schema=dict(MESSAGES), orient="row"),
    }


def _refuse(refusal: Int32, at: Index, reason: int | Int32) -> None:
    """Note why somebody was not answered, where nothing is noted yet."""
    refusal[at] = np.where(refusal[at] == 0, reason, refusal[at])


def _frame(columns: Mapping[str, Any], schema: Schema) -> pl.DataFrame:
    """A table; what another member says that no cell of it can hold is 0."""
    return pl.DataFrame([_column(name, column, schema[name]) for name, column in columns.items()])


def _column(name: str, values: Any, dtype: pl.DataType) -> pl.Series:
    """A column of a table. Done by numpy: polars takes longer for a thousand rows than for the values in them."""
    if isinstance(values, pl.Series):
        found = values.alias(name)
        return found if found.dtype == dtype else found.cast(dtype, strict=False).fill_null(0)
    wanted = _NUMPY[dtype]
    if values.dtype != wanted:
        if len(values) and wanted.kind in "iu":
            bounds = np.iinfo(wanted)
            if int(values.min()) < bounds.min or int(values.max()) > bounds.max:
                values = np.where((values < bounds.min) | (values > bounds.max), 0, values)
        values = values.astype(wanted)
    return pl.Series(name, values)


def _in_order(parts: Sequence[pl.DataFrame], schema: Schema) -> pl.DataFrame:
    filled = [part for part in parts if part.height]
    if not filled:
        return pl.DataFrame(schema=dict(schema))
    return pl.concat(filled).sort("row", maintain_order=True)


def _silent(partial: NDArray[np.bool_], replies: Sequence[Reply]) -> tuple[NDArray[np.bool_], list[str]]:
    """Who did not answer, and a row for each with whom it did not answer about: members, or departments of theirs."""
    marks: list[NDArray[np.bool_]] = []
    names: list[str] = []
    for mark, (ask, at, came, _) in zip(partial, replies, strict=True):
        if not mark.any():
            continue
        missing = [] if isinstance(came, Refusal) else missing_from(came.findings)
        rest = mark.copy()
        for source in missing:
            whose = mark
            if source.unreadable_subject:
                whose = np.zeros_like(mark)
                whose[at[np.array(source.unreadable_subject, np.int64)]] = True
                whose &= mark
            marks.append(whose)
            names.append(f"{ask.member}/{source.department}")
            rest &= ~whose
        if rest.any():
            marks.append(rest)
            names.append(ask.member)
    return np.stack(marks) if marks else partial[:0], names


def _listed(chosen: NDArray[np.bool_], names: Sequence[str]) -> pl.Series:
    """For each row the names whose mark is set, joined. Few combinations occur."""
    if not len(names):
        return pl.repeat("", chosen.shape[1], dtype=pl.String, eager=True)
    unique, inverse = _combinations(chosen)
    texts = [
        _SEPARATOR.join(dict.fromkeys(name for name, there in zip(names, column, strict=True) if there))
        for column in unique
    ]
    if len(texts) == 1:
        return pl.Series(texts, dtype=pl.String).new_from_index(0, chosen.shape[1])
    return pl.Series(texts, dtype=pl.String).gather(inverse)


def _combinations(chosen: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Index]:
    """The columns that occur, as rows, and which one each is."""
    if len(chosen) > _BITS:
        unique, inverse = np.unique(chosen, axis=1, return_inverse=True)
        return unique.T, inverse.reshape(-1)
    codes = (np.int64(1) << np.arange(len(chosen), dtype=np.int64)) @ chosen.astype(np.int64)
    if (codes == codes[:1]).all():
        return chosen[:, :1].T, np.zeros(chosen.shape[1], np.int64)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return chosen[:, first].T, inverse


def _reason_rows(
    member: str, row: Index, reasons: Reasons, names: Mapping[int, str], by_month: Collection[int]
) -> pl.DataFrame:
    if not len(reasons):
        return pl.DataFrame(schema=dict(REASONS))
    codes, inverse = np.unique(reasons.code, return_inverse=True)
    name = pl.Series([names.get(code, "") for code in codes.tolist()], dtype=pl.String)
    month = np.array([code in by_month for code in codes.tolist()], np.bool_)
    return _frame(
        {
            "row": row[reasons.subject],
            "member": pl.repeat(member, len(reasons), dtype=pl.String, eager=True),
            "code": reasons.code,
            "name": name.gather(inverse),
            "department": reasons.department,
            "kind": reasons.kind,
            "on": reasons.on,
            "number": reasons.number,
            "month": month[inverse],
        },
        REASONS,
    )


def _evidence_rows(member: str, row: Index, columns: Any) -> pl.DataFrame:
    count = len(columns.subject)
    if not count:
        return pl.DataFrame(schema=dict(EVIDENCE))
    return _frame(
        {
            "row": row[np.array(columns.subject, np.int64)],
            "member": pl.repeat(member, count, dtype=pl.String, eager=True),
            "kind": np.array(columns.kind, np.int32),
            "department": np.array(columns.department, np.int32),
            "region": np.array(columns.region, np.int64),
            "observed_on": np.array(columns.observed_on, np.int32),
            "available_on": np.array(columns.available_on, np.int32),
            "strength": np.array(columns.strength, np.int32),
            "source_reference": pl.Series(list(columns.source_reference), dtype=pl.String).str.slice(0, MAX_REFERENCE),
            "from_on": np.array(columns.from_on, np.int32),
            "until_on": np.array(columns.until_on, np.int32),
            "detail": np.array(columns.detail, np.int64),
        },
        EVIDENCE,
    )


def _message(number: int, member: str, answer: PartnerAnswer) -> tuple[Any, ...]:
    found = answer.findings
    return (
        number,
        member,
        answer.message_id.hex(),
        answer.proof.question_digest.hex(),
        found.made_at_ms,
        found.rules_version[:MAX_NAME],
        found.rules_digest.hex()[:MAX_NAME],
        False,
    )
