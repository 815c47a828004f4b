"""AgencyService: rows in, rows out. Translates a request to a check, and what came of it to one readable message."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from certs.identity import ROLE_UNIT, Identity
from gateway.errors import AccessError, RefusedError, WuganError
from gateway.federation.check import Case, Checked, Checks, MemberResult, Recipient
from gateway.federation.directory import DirectorySource
from gateway.federation.late import LateChecks
from gateway.federation.verdict import Verdict, verdict
from gateway.observing import tracing
from gateway.rules.book import RuleBook
from gateway.rules.kinds import FIRST_EVENT
from gateway.rules.wording import day_text
from gateway.services.late import LateService, Named
from gateway.services.notices import NoticeService
from gateway.services.serving import Context, Desk, traceparent
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_EPOCH = dt.date(1970, 1, 1)
_FLAGS = [number for number in words.EntitlementFlag.DESCRIPTOR.values_by_number if number]


class AgencyServicer(agency_pb2_grpc.AgencyServiceServicer):
    """What this member's agencies call.

    Args:
        book: the rules by which answers are merged and proposals made.
        directory: tells the names of members.
        member_id: this member's; only its own units are served here.
        late: checks that are left open.
        notices: subscriptions and what comes of them.
    """

    def __init__(
        self,
        desk: Desk,
        checks: Checks,
        book: RuleBook,
        directory: DirectorySource,
        member_id: str,
        late: LateChecks,
        notices: NoticeService,
    ) -> None:
        self.notices = notices
        self.late = LateService(late, self._respond)
        self._desk = desk
        self._checks = checks
        self._book = book
        self._directory = directory
        self._member_id = member_id

    async def Check(self, request: agency_pb2.CheckRequest, context: Context) -> agency_pb2.CheckResponse:
        """Ask about one recipient."""
        return await self._desk.serve("Check", context, lambda peer: self._traced(request, peer, context))

    async def _traced(
        self, request: agency_pb2.CheckRequest, peer: Identity, context: Context
    ) -> agency_pb2.CheckResponse:
        with tracing.begin("check", lambda: traceparent(context)):
            return await self._check(request, peer, context.time_remaining())

    async def ListLate(self, request: agency_pb2.ListLateRequest, context: Context) -> agency_pb2.ListLateResponse:
        """Checks that the unit left open."""
        return await self._desk.serve("ListLate", context, lambda peer: self.late.list(self._unit(peer), request))

    async def FetchLate(self, request: agency_pb2.FetchLateRequest, context: Context) -> agency_pb2.FetchLateResponse:
        """What is known by now of one of them."""
        return await self._desk.serve("FetchLate", context, lambda peer: self.late.fetch(self._unit(peer), request))

    async def WatchLate(  # type: ignore[override]  # the library's is a generator; gRPC takes both
        self, request: agency_pb2.WatchLateRequest, context: Context
    ) -> None:
        """Late answers as they come."""

        async def watch(peer: Identity) -> None:
            await self.late.watch(self._unit(peer), request, context.write)

        await self._desk.attend(context, watch)

    async def Subscribe(self, request: agency_pb2.SubscribeRequest, context: Context) -> agency_pb2.SubscribeResponse:
        """Be told when something changes about people."""
        work = self.notices.subscribe
        return await self._desk.serve("Subscribe", context, lambda peer: work(self._unit(peer), request))

    async def Unsubscribe(
        self, request: agency_pb2.UnsubscribeRequest, context: Context
    ) -> agency_pb2.UnsubscribeResponse:
        """Be told no longer."""
        work = self.notices.unsubscribe
        return await self._desk.serve("Unsubscribe", context, lambda peer: work(self._unit(peer), request))

    async def ListSubscriptions(
        self, request: agency_pb2.ListSubscriptionsRequest, context: Context
    ) -> agency_pb2.ListSubscriptionsResponse:
        """Of whom the unit is told."""
        work = self.notices.list
        return await self._desk.serve("ListSubscriptions", context, lambda peer: work(self._unit(peer), request))

    async def WatchNotices(  # type: ignore[override]  # the library's is a generator; gRPC takes both
        self, request: agency_pb2.WatchNoticesRequest, context: Context
    ) -> None:
        """Notices as they come."""

        async def watch(peer: Identity) -> None:
            await self.notices.watch(self._unit(peer), request, self._respond, context.write)

        await self._desk.attend(context, watch)

    async def _check(
        self, request: agency_pb2.CheckRequest, peer: Identity, remaining_s: float | None
    ) -> agency_pb2.CheckResponse:
        unit = self._unit(peer)
        recipient = Recipient(
            id_number=request.id_number,
            name=request.name,
            document_kind=request.document_kind,
            alias_id_numbers=tuple(request.alias_id_numbers),
            benefit=request.benefit,
            regions=tuple(request.regions),
        )
        case = Case(
            unit=unit,
            official=request.official,
            purpose=request.purpose,
            legal_basis=request.legal_basis,
            case_reference=request.case_reference,
            as_of_on=_civil_day(request.as_of),
            evidence_limit=request.evidence_limit,
        )
        leave_s = request.leave_open_s
        if leave_s or request.only_leave:
            self.late.require_time(leave_s)
        if request.only_leave:
            checked = self._checks.unasked(recipient, case)
        else:
            checked = await self._checks.check(recipient, case, remaining_s, may_be_left=leave_s > 0)
        members = {member: self._directory.current().member(member) for member in _members(checked)}
        response = self._respond(checked, request.benefit, members)
        await checked.recorded()
        if leave_s:
            await self.late.leave(unit, checked, leave_s, response)
        return response

    def _unit(self, peer: Identity) -> str:
        """The unit that asks: what its certificate says, never what a request claims."""
        if peer.role != ROLE_UNIT or peer.member_id != self._member_id:
            raise AccessError(
                "only agencies of this gateway's own member are served here; use your agency's certificate",
                "此处仅服务本成员的经办机构，请使用本机构的证书",
                reason=words.REFUSAL_REASON_PEER_MISMATCH,
            )
        return peer.name

    def _respond(self, checked: Checked, benefit: int, members: Mapping[str, Named]) -> agency_pb2.CheckResponse:
        if any(result.answer is not None for result in checked.results):
            return _response(checked, verdict(self._book, checked, benefit), members)
        response = agency_pb2.CheckResponse(as_of=day_text(checked.as_of_on), partial=True)
        response.answers.extend(_province(result, members[result.member_id]) for result in checked.results)
        response.made_at.FromMilliseconds(checked.made_at_ms)
        return response


def _seen_by_month(checked: Checked) -> bool:
    """Whether the newest trace may come from a member that tells only its month."""
    answers = [result.answer.findings for result in checked.results if result.answer is not None]
    return any(findings.last_trace_date == words.DATE_PRECISION_MONTH for findings in answers)


def _members(checked: Checked) -> list[str]:
    return [result.member_id for result in checked.results]


def _response(checked: Checked, found: Verdict, members: Mapping[str, Named]) -> agency_pb2.CheckResponse:
    response = agency_pb2.CheckResponse(
        status=found.status,  # type: ignore[arg-type]  # numbers of the contract, here and below
        flags=[flag for flag in _FLAGS if found.flags >> flag & 1],  # type: ignore[misc]
        proposal=found.proposal,  # type: ignore[arg-type]
        effective_month=found.effective_month,
        reasons=[agency_pb2.Reason(name=told.name, zh=told.zh, en=told.en) for told in found.reasons],
        decided_on=day_text(found.decided_on),
        last_trace_on=day_text(found.last_trace_on, month=_seen_by_month(checked)),
        valid_until=day_text(found.valid_until_on),
        as_of=day_text(checked.as_of_on),
        partial=found.partial,
    )
    for result in checked.results:
        response.answers.append(_province(result, members[result.member_id]))
        if result.answer is not None:
            _add_rows(response, result.member_id, result.answer.findings)
    answered = [result.answer.findings for result in checked.results if result.answer is not None]
    response.linked_id_numbers.extend(dict.fromkeys(number for each in answered for number in each.links.id_number))
    if len(checked.results) > 1:  # each member's own rows come newest first
        response.evidence.sort(key=lambda row: (row.observed_on, row.kind), reverse=True)
    response.made_at.FromMilliseconds(checked.made_at_ms)
    return response


def _add_rows(response: agency_pb2.CheckResponse, member_id: str, findings: exchange_pb2.Findings) -> None:
    """Evidence and sources of one member's findings."""
    rows = findings.evidence
    for at in range(len(rows.subject)):
        dates = findings.event_dates if rows.kind[at] >= FIRST_EVENT else findings.trace_dates
        month = dates == words.DATE_PRECISION_MONTH
        response.evidence.add(
            kind=rows.kind[at],
            department=rows.department[at],
            region=rows.region[at],
            observed_on=day_text(rows.observed_on[at], month=month),
            available_on=day_text(rows.available_on[at], month=month),
            strength=rows.strength[at],
            source_reference=rows.source_reference[at],
            detail=rows.detail[at],
            from_on=day_text(rows.from_on[at], month=month),
            until_on=day_text(rows.until_on[at], month=month),
            member_id=member_id,
        )
    for source in findings.sources:
        response.sources.add(
            member_id=member_id,
            adapter_id=source.adapter_id,
            department=source.department,
            outcome=source.outcome,
            complete_until=day_text(source.complete_until_on),
        )


def _province(result: MemberResult, member: Named) -> agency_pb2.ProvinceAnswer:
    about = agency_pb2.ProvinceAnswer(
        member_id=member.member_id, member_name_zh=member.name_zh, member_name_en=member.name_en
    )
    if result.answer is None:
        error = result.error or WuganError("no answer", "无答复")
        about.refusal, about.message_zh, about.message_en = error.reason, error.zh, error.en
        return about
    findings = result.answer.findings
    about.status = findings.status[0]
    about.rules_version, about.rules_digest = findings.rules_version, findings.rules_digest
    about.proof.MergeFrom(agency_pb2.Proof(**result.answer.proof._asdict()))
    return about


def _civil_day(text: str) -> int:
    """Civil day of "YYYY-MM-DD"; 0 for an empty text."""
    if not text:
        return 0
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        date = _EPOCH
    day = (date - _EPOCH).days
    if date.isoformat() != text or day <= 0:  # ISO 8601 knows other spellings of ten characters, such as 2026-W01-1
        raise RefusedError('as_of: write a date as "YYYY-MM-DD"', "as_of：日期格式应为 “YYYY-MM-DD”", field="as_of")
    return day
