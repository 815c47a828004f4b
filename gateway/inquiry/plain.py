"""Findings about one living person of whom nothing but traces is known, written without columns (`rules.living`).

Owns: who is as plain as that, as far as it shows before the rows are looked at. Refuses (None) everybody else: they are
graded in columns and written by `findings`, which comes to the same for these (ADR 56).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from operator import attrgetter

from gateway.access.terms import Scope
from gateway.inquiry.findings import Part, Terms, begun, narrowing, texts_of
from gateway.inquiry.gathering import Gathered, SourceReport
from gateway.rules.book import RuleBook
from gateway.rules.living import grade_living, tell_living, tell_traces
from wugan.adapter.v1 import columns_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_source_of = attrgetter("adapter_id", "department", "complete_until_on")


def write_plain(
    book: RuleBook, terms: Terms, parts: Sequence[Part], gathered: Gathered, made_at_ms: int
) -> exchange_pb2.Findings | None:
    """The findings for these parts of a batch, if they are one question about one such person; None: they are not."""
    purpose, _, as_of_on, limit, scope, not_alive = terms
    if not gathered.plain or narrowing(scope) is not None or len(parts) != 1:
        return None
    part = parts[0]
    if part.count != 1:  # the others were refused
        return None
    found = gathered.evidence
    benefit, born_on = int(part.benefits[0]), int(part.born_on[0])
    since_on = 0 if part.since_on is None else part.since_on[0]
    living = grade_living(book, found, benefit=benefit, born_on=born_on, as_of_on=as_of_on, since_on=since_on)
    if living is None:
        return None
    status, last_trace_on, valid_until_on, code, department, kind, on, number = tell_living(book, purpose, living)
    told = None if not_alive else tell_traces(book, purpose, found, limit)
    sources = tuple(map(_source_of, gathered.reports))
    rows = 0 if told is None else len(told["kind"])
    alike = _alike(book, purpose, scope, sources, status, code, department, kind, number, rows)
    findings = exchange_pb2.Findings.FromString(alike)
    findings.as_of_on, findings.made_at_ms = as_of_on, made_at_ms
    findings.last_trace_on.append(last_trace_on)
    findings.valid_until_on.append(valid_until_on)
    findings.reasons.on.append(on)
    if told is not None:
        findings.evidence.MergeFrom(columns_pb2.EvidenceColumns(**told))
    if part.since_on is not None:
        findings.benefit_since_used = True
    findings.cacheable_until_ms, findings.stale_until_ms = book.caching.times(
        purpose, [status], [kind], [valid_until_on], made_at_ms, partial=False
    )
    return findings


@functools.lru_cache(maxsize=1024)
def _alike(
    book: RuleBook,
    purpose: int,
    scope: Scope,
    sources: tuple[tuple[str, int, int], ...],
    status: int,
    code: int,
    department: int,
    kind: int,
    number: int,
    rows: int,
) -> bytes:
    """What is the same in the findings about many such people, serialized: parsing it takes a tenth of making it.

    It follows from these alone: the rules, the Purpose, the grant's scope; adapter, department and day of completeness
    of each source, all of which have answered; the status, and the columns of the reason but for its day; how many rows
    of evidence are told of one person, none of which has a span.
    """
    reports = [SourceReport(name, whose, words.SOURCE_OUTCOME_ANSWERED, until) for name, whose, until in sources]
    return begun(
        book,
        purpose,
        scope,
        reports,
        status=[status],
        flags=[0],
        decided_on=[0],
        reasons={"subject": [0], "code": [code], "department": [department], "kind": [kind], "number": [number]},
        reason_texts=texts_of(book, [code]),
        evidence={"subject": [0] * rows, "from_on": [0] * rows, "until_on": [0] * rows} if rows else None,
    ).SerializeToString()
