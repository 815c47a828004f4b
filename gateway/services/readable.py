"""What came of a check as one readable message: rows out of columns, days as texts.

Owns: the shape of CheckResponse. Refuses: deciding anything, and the texts of reasons, which the verdict tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.errors import WuganError
from gateway.federation.answers import PartnerAnswer, taken_out
from gateway.federation.checked import Checked, MemberResult
from gateway.federation.kept import Held
from gateway.federation.verdict import Verdict
from gateway.rules.kinds import FIRST_EVENT
from gateway.rules.wording import day_text
from gateway.services.late import Named
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_FLAGS = [number for number in words.EntitlementFlag.DESCRIPTOR.values_by_number if number]
_FAR_MS: Final = 1 << 47
"""After every time that a member's clock may honestly show; in the year 6429."""


def readable(checked: Checked, found: Verdict, members: Mapping[str, Named]) -> agency_pb2.CheckResponse:
    """What came of a check as an agency reads it; `members`: those who were asked, by id."""
    response = agency_pb2.CheckResponse()  # filled in where it is: by arguments it would take twice as long
    response.status = found.status  # type: ignore[assignment]  # numbers of the contract, here and below
    if found.flags:
        response.flags.extend([flag for flag in _FLAGS if found.flags >> flag & 1])  # type: ignore[misc]
    response.proposal = found.proposal  # type: ignore[assignment]
    response.effective_month = found.effective_month
    response.decided_on = day_text(found.decided_on)
    response.valid_until = day_text(found.valid_until_on)
    response.as_of = day_text(checked.as_of_on)
    response.partial = found.partial
    for name, zh, en in found.reasons:
        reason = response.reasons.add()
        reason.name, reason.zh, reason.en = name, zh, en
    by_month = False
    linked: list[str] = []
    held: list[Held] = []
    for result in checked.results:
        _add_province(response, result, members[result.member_id])
        if result.answer is not None:
            findings = result.answer.findings
            _add_rows(response, result.answer)
            by_month = by_month or findings.last_trace_date == words.DATE_PRECISION_MONTH
            if findings.HasField("links"):
                linked += findings.links.id_number[:]
        if result.held is not None:
            held.append(result.held)
    # The newest trace may come from a member that tells only its month.
    response.last_trace_on = day_text(found.last_trace_on, month=by_month)
    if linked:
        response.linked_id_numbers.extend(dict.fromkeys(linked))
    if len(checked.results) > 1:  # each member's own rows come newest first
        response.evidence.sort(key=lambda row: (row.observed_on, row.kind), reverse=True)
    _set_time(response.made_at, checked.made_at_ms)
    if held:
        response.from_cache = True
        response.stale = any(result.outdated for result in checked.results)
        response.age_ms = age_ms(checked.made_at_ms, held)
    return response


def nothing_known(checked: Checked, members: Mapping[str, Named]) -> agency_pb2.CheckResponse:
    """The same where nobody answered, and somebody may yet."""
    response = agency_pb2.CheckResponse(as_of=day_text(checked.as_of_on), partial=True)
    for result in checked.results:
        _add_province(response, result, members[result.member_id])
    response.made_at.FromMilliseconds(checked.made_at_ms)
    return response


def age_ms(now_ms: int, held: Sequence[Held]) -> int:
    """How long ago the oldest of answers that are given again came, by this gateway's clock."""
    return max(0, now_ms - min(each.received_at_ms for each in held))


def _set_time(stamp: Timestamp, at_ms: int) -> None:
    """A Unix time in milliseconds, of a year that a timestamp can tell: the library would look whether it can."""
    stamp.seconds, stamp.nanos = at_ms // 1000, at_ms % 1000 * 1_000_000


def _add_rows(response: agency_pb2.CheckResponse, answer: PartnerAnswer) -> None:
    """Evidence and sources of one member's findings."""
    member_id, findings = answer.member_id, answer.findings
    traces_by_month = findings.trace_dates == words.DATE_PRECISION_MONTH
    events_by_month = findings.event_dates == words.DATE_PRECISION_MONTH
    add = response.evidence.add
    for kind, department, region, observed, available, strength, reference, detail, since, until in zip(
        *map(taken_out, answer.columns.said.get("evidence", ())[1:]), strict=True
    ):
        month = events_by_month if kind >= FIRST_EVENT else traces_by_month
        row = add()
        row.kind = kind
        row.department = department
        row.region = region
        row.observed_on = day_text(observed, month=month)
        row.strength = strength
        row.member_id = member_id
        # What few rows have is set only where it is there.
        if available:
            row.available_on = day_text(available, month=month)
        if reference:
            row.source_reference = reference
        if detail:
            row.detail = detail
        if since or until:
            row.from_on, row.until_on = day_text(since, month=month), day_text(until, month=month)
    for source in findings.sources[:]:
        shown = response.sources.add()
        shown.member_id = member_id
        shown.adapter_id = source.adapter_id
        shown.department = source.department
        shown.outcome = source.outcome
        shown.complete_until = day_text(source.complete_until_on)


def _add_province(response: agency_pb2.CheckResponse, result: MemberResult, member: Named) -> None:
    about = response.answers.add()
    about.member_id, about.member_name_zh, about.member_name_en = member.member_id, member.name_zh, member.name_en
    about.followed = result.followed
    if (why := result.error or result.lacking) is not None:
        about.message_zh, about.message_en = why.zh, why.en
    if result.answer is None:
        about.refusal = WuganError.default_reason if result.error is None else result.error.reason
        return
    if result.held is not None:
        about.from_cache, about.stale = True, result.outdated
    about.linked_unasked = result.lacking is not None
    findings = result.answer.findings
    if 0 < (made_at_ms := findings.made_at_ms) < _FAR_MS:
        _set_time(about.made_at, made_at_ms)
    about.status = result.answer.columns.dense[0][0]  # type: ignore[assignment]
    about.rules_version, about.rules_digest = findings.rules_version, findings.rules_digest
    shown, proof = about.proof, result.answer.proof
    shown.header, shown.question_digest, shown.signature = proof.header, proof.question_digest, proof.signature
    shown.payload, shown.salt, shown.path = proof.payload, proof.salt, proof.path
    shown.position, shown.total = proof.position, proof.total
