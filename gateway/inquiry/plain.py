"""Findings about one living person of whom nothing but traces is known, written without columns (`rules.living`).

Owns: who is as plain as that, as far as it shows before the rows are looked at. Refuses (None) everybody else: they are
graded in columns and written by `findings`, which comes to the same for these (ADR 56).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.inquiry.findings import Part, Terms, begun, narrowing, texts_of
from gateway.inquiry.gathering import Gathered
from gateway.rules.book import RuleBook
from gateway.rules.living import grade_living, tell_living, tell_traces
from wugan.federation.v1 import exchange_pb2


def write_plain(
    book: RuleBook, terms: Terms, parts: Sequence[Part], gathered: Gathered, made_at_ms: int
) -> exchange_pb2.Findings | None:
    """The findings for these parts of a batch, if they are one question about one such person; None: they are not."""
    if len(parts) != 1 or not _is_plain(terms, parts[0], gathered):
        return None
    part = parts[0]
    evidence = gathered.evidence
    benefit, born_on = part.benefits.item(), part.born_on.item()
    since_on = 0 if part.since_on is None else part.since_on.item()
    living = grade_living(book, evidence, benefit=benefit, born_on=born_on, as_of_on=terms.as_of_on, since_on=since_on)
    if living is None:
        return None
    status, last_trace_on, valid_until_on, reason = tell_living(book, terms.purpose, living)
    code, department, kind, on, number = reason
    told = None if terms.not_alive else tell_traces(book, terms.purpose, evidence, terms.evidence_limit)
    findings = begun(
        book,
        terms,
        gathered,
        made_at_ms,
        status=[status],
        flags=[0],
        decided_on=[0],
        last_trace_on=[last_trace_on],
        valid_until_on=[valid_until_on],
        reasons={
            "subject": [0],
            "code": [code],
            "department": [department],
            "kind": [kind],
            "on": [on],
            "number": [number],
        },
        reason_texts=texts_of(book, [code]),
        evidence=None if told is None else told._asdict(),
        benefit_since_used=part.since_on is not None,
    )
    findings.cacheable_until_ms, findings.stale_until_ms = book.caching.times(
        terms.purpose, [status], [kind], [valid_until_on], made_at_ms, partial=False
    )
    return findings


def _is_plain(terms: Terms, part: Part, gathered: Gathered) -> bool:
    """Whether a part is about one person, whom all sources answered about, known by one number and one name; whose
    grant leaves nothing out.
    """
    return (
        part.count == len(part.rows) == 1
        and bool(gathered.known[0])
        and not gathered.identity_conflict[0]
        and not gathered.linked[0]
        and not gathered.link_subject
        and not len(gathered.faces)
        and gathered.whole
        and narrowing(terms.scope) is None
    )
