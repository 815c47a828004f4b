"""AgencyService: rows in, rows out. Translates a request to a check, and what came of it to one readable message.

Owns: who is served here, and what a request says. Refuses: rules, and the shape of the message (`readable`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

import grpc

from certs.identity import ROLE_UNIT, Identity
from gateway.errors import AccessError, RefusedError
from gateway.federation.check import Checks
from gateway.federation.checked import Checked
from gateway.federation.directory import DirectorySource
from gateway.federation.late import LateChecks
from gateway.federation.questions import Case, Recipient
from gateway.federation.routing import Places
from gateway.federation.verdict import verdict
from gateway.observing import tracing
from gateway.rules.book import RuleBook
from gateway.services.carrying import Carrying
from gateway.services.days import civil_day_of, start_day_of
from gateway.services.duplicates import DuplicateService
from gateway.services.finished import FinishedAnswers
from gateway.services.late import LateService, Named
from gateway.services.many import CALLS, ManyChecks
from gateway.services.notices import NoticeService
from gateway.services.readable import nothing_known, readable
from gateway.services.rosters import RosterService
from gateway.services.serving import Context, Desk, shutting_down, traceparent
from gateway.status import message_too_large
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc, duplicates_pb2, roster_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_LEFT_BYTES = 128
"""That saying that a question is left adds to an answer, and to each province's part of it, at most."""
_SERVICE = agency_pb2.DESCRIPTOR.services_by_name["AgencyService"].full_name


class AgencyServicer(agency_pb2_grpc.AgencyServiceServicer):
    """What this member's agencies call.

    Args:
        book: the rules by which answers are merged and proposals made.
        directory: tells the names of members.
        member_id: this member's; only its own units are served here.
        late: checks that are left open.
        notices: subscriptions and what comes of them.
        rosters: whole-roster runs.
        finished: whole responses that may be given again; without it each is made anew.
        duplicates: people who draw twice; without it these calls are refused.
        most_bytes: that an answer may have.
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
        rosters: RosterService,
        finished: FinishedAnswers | None = None,
        duplicates: DuplicateService | None = None,
        *,
        most_bytes: int = 16 << 20,
    ) -> None:
        self.notices = notices
        self.rosters = rosters
        self.late = LateService(late, self._respond)
        self._desk = desk
        self._checks = checks
        self._book = book
        self._directory = directory
        self._member_id = member_id
        self._finished = finished
        self._duplicates = duplicates
        self._most_bytes = most_bytes
        self.carrying = Carrying()
        """Checks that are to be left; to be finished before the store is closed."""

    def register(self, server: grpc.aio.Server) -> None:
        """Have these calls served. Responses about recipients go out as the bytes that they may be held as."""
        check: grpc.RpcMethodHandler[agency_pb2.CheckRequest, bytes] = grpc.unary_unary_rpc_method_handler(
            self.check_serialized, request_deserializer=agency_pb2.CheckRequest.FromString
        )
        many: grpc.RpcMethodHandler[agency_pb2.CheckManyRequest, bytes] = grpc.stream_stream_rpc_method_handler(
            self.CheckMany, request_deserializer=agency_pb2.CheckManyRequest.FromString
        )
        serialized: dict[str, grpc.RpcMethodHandler[Any, Any]] = {"Check": check, "CheckMany": many}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, serialized),))
        agency_pb2_grpc.add_AgencyServiceServicer_to_server(self, server)

    async def Check(self, request: agency_pb2.CheckRequest, context: Context) -> agency_pb2.CheckResponse:
        """Ask about one recipient."""
        return agency_pb2.CheckResponse.FromString(await self.check_serialized(request, context))

    async def check_serialized(self, request: agency_pb2.CheckRequest, context: Context) -> bytes:
        """The same, the response as it travels."""

        def check(peer: Identity) -> Awaitable[bytes]:
            return self._traced(request, peer, context.time_remaining(), lambda: traceparent(context))

        return await self._desk.serve("Check", context, check)

    async def CheckMany(  # type: ignore[override]  # as a coroutine that writes bytes; `register` has them sent as such
        self, request_iterator: AsyncIterator[agency_pb2.CheckManyRequest], context: Context
    ) -> None:
        """Ask about many at the same time; the answers as they travel."""
        desk = self._desk

        async def work(_peer: Identity) -> None:
            caller = desk.caller(context)

            async def answer(question: agency_pb2.CheckManyQuestion) -> bytes:
                time_s = question.timeout_ms / 1000 if question.timeout_ms else None

                def check(peer: Identity) -> Awaitable[bytes]:
                    return self._traced(question.check, peer, time_s, lambda: question.traceparent)

                return await desk.take("Check", caller, time_s, check)

            if await ManyChecks(answer, context.write, room=desk.room).run(request_iterator, desk.draining):
                raise shutting_down()

        await desk.hold("CheckMany", context, work, at_once=CALLS)

    async def _traced(
        self,
        request: agency_pb2.CheckRequest,
        peer: Identity,
        remaining_s: float | None,
        asked_by: Callable[[], str],
    ) -> bytes:
        with tracing.begin("check", asked_by):
            body = await self._check(request, peer, remaining_s)
        if len(body) > self._most_bytes:  # or the library would refuse to send it, in words of its own
            raise message_too_large(self._most_bytes, answer=True)
        return body

    async def CheckStream(  # type: ignore[override]  # gRPC takes a generator, or a coroutine that writes
        self, request: agency_pb2.CheckStreamRequest, context: Context
    ) -> None:
        """Ask about one recipient, and tell what is known as it becomes known."""
        await self._desk.serve_each(
            "CheckStream", context, lambda peer: self._follow(request.check, peer, context.time_remaining())
        )

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

    async def SubmitRoster(
        self, request_iterator: AsyncIterable[roster_pb2.SubmitRosterRequest], context: Context
    ) -> roster_pb2.SubmitRosterResponse:
        """Take in a whole roster."""
        work = self.rosters.submit
        return await self._desk.serve(
            "SubmitRoster", context, lambda peer: work(self._unit(peer), aiter(request_iterator))
        )

    async def WatchRoster(  # type: ignore[override]  # the library's is a generator; gRPC takes both
        self, request: roster_pb2.WatchRosterRequest, context: Context
    ) -> None:
        """How a run stands."""

        async def watch(peer: Identity) -> None:
            await self.rosters.watch(self._unit(peer), request, context.write)

        await self._desk.attend(context, watch)

    async def FetchResult(  # type: ignore[override]  # the library's is a generator; gRPC takes both
        self, request: roster_pb2.FetchResultRequest, context: Context
    ) -> None:
        """The results of a run."""

        async def fetch(peer: Identity) -> None:
            await self.rosters.fetch(self._unit(peer), request, context.write)

        await self._desk.attend(context, fetch)

    async def ListRosters(
        self, request: roster_pb2.ListRostersRequest, context: Context
    ) -> roster_pb2.ListRostersResponse:
        """The unit's runs."""
        return await self._desk.serve("ListRosters", context, lambda peer: self.rosters.list(self._unit(peer), request))

    async def CancelRoster(
        self, request: roster_pb2.CancelRosterRequest, context: Context
    ) -> roster_pb2.CancelRosterResponse:
        """Stop a run."""
        work = self.rosters.cancel
        return await self._desk.serve("CancelRoster", context, lambda peer: work(self._unit(peer), request))

    async def ListDuplicates(
        self, request: duplicates_pb2.ListDuplicatesRequest, context: Context
    ) -> duplicates_pb2.ListDuplicatesResponse:
        """People of the unit who draw, or were to be certified, twice."""
        work = self._findings().list
        return await self._desk.serve("ListDuplicates", context, lambda peer: work(self._unit(peer), request))

    async def SettleDuplicate(
        self, request: duplicates_pb2.SettleDuplicateRequest, context: Context
    ) -> duplicates_pb2.SettleDuplicateResponse:
        """What an official decided on one of them."""
        work = self._findings().settle
        return await self._desk.serve("SettleDuplicate", context, lambda peer: work(self._unit(peer), request))

    def _findings(self) -> DuplicateService:
        if self._duplicates is None:
            raise RefusedError(
                "this gateway keeps no such findings", "本网关不提供该项服务", reason=words.REFUSAL_REASON_NOT_SERVED
            )
        return self._duplicates

    async def _check(self, request: agency_pb2.CheckRequest, peer: Identity, remaining_s: float | None) -> bytes:
        unit = self._unit(peer)
        if request.leave_open_s or request.only_leave:
            recipient, case = self._read(request, unit)
            tag = self.carrying.tag(request, unit)

            def work(asked: Callable[[], None]) -> Coroutine[Any, Any, bytes]:
                return self._left(request, unit, recipient, case, remaining_s, asked)

            return await self.carrying.once(tag, remaining_s, work)
        finished = None if request.fresh else self._finished
        tag = b""
        if finished is not None:
            official, case_reference = request.official, request.case_reference
            tag = finished.tag(request, unit)
            again = finished.find(tag, unit, official, case_reference)
            if again is not None:
                body, recorded = again
                await recorded
                return body
            request.official, request.case_reference = official, case_reference
        recipient, case = self._read(request, unit)
        checked = await self._checks.check(recipient, case, remaining_s)
        response = self._respond(checked, recipient.benefit, self._members(checked), request.benefit_since)
        await checked.recorded()
        if finished is not None:
            finished.put(tag, response, checked, case)
        return response.SerializeToString()

    async def _left(
        self,
        request: agency_pb2.CheckRequest,
        unit: str,
        recipient: Recipient,
        case: Case,
        remaining_s: float | None,
        asked: Callable[[], None],
    ) -> bytes:
        """The same of a check that is left with whoever may have more to say; `asked`: see `Carrying`."""
        if request.only_leave:
            checked = self._checks.unasked(recipient, case)
        else:
            checked = await self._checks.check(recipient, case, remaining_s, may_be_left=True)
        asked()
        return (await self._leave(request, unit, recipient, checked)).SerializeToString()

    async def _leave(
        self, request: agency_pb2.CheckRequest, unit: str, recipient: Recipient, checked: Checked
    ) -> agency_pb2.CheckResponse:
        """The answer to a check, which is left on the disk when this returns."""
        response = self._respond(checked, recipient.benefit, self._members(checked), request.benefit_since)
        if response.ByteSize() + _LEFT_BYTES * (1 + len(response.answers)) > self._most_bytes:
            raise message_too_large(self._most_bytes, answer=True)  # whoever is refused is to have nothing left
        await checked.recorded()
        await self.late.leave(unit, checked, request.leave_open_s, response)
        return response

    async def _follow(
        self, request: agency_pb2.CheckRequest, peer: Identity, remaining_s: float | None
    ) -> AsyncIterator[agency_pb2.CheckStreamResponse]:
        unit = self._unit(peer)
        recipient, case = self._read(request, unit)
        if not request.leave_open_s:
            async for checked in self._checks.follow(recipient, case, remaining_s):
                known = self._respond(checked, recipient.benefit, self._members(checked), request.benefit_since)
                await checked.recorded()
                yield self._so_far(checked, known)
            return
        told: asyncio.Queue[agency_pb2.CheckStreamResponse | None] = asyncio.Queue()

        async def work(asked: Callable[[], None]) -> bytes:
            known = agency_pb2.CheckResponse()
            async for checked in self._checks.follow(recipient, case, remaining_s, may_be_left=True):
                if checked.awaited:
                    known = self._respond(checked, recipient.benefit, self._members(checked), request.benefit_since)
                    await checked.recorded()
                    told.put_nowait(self._so_far(checked, known))
                else:
                    asked()
                    known = await self._leave(request, unit, recipient, checked)
            return known.SerializeToString()

        running = asyncio.ensure_future(self.carrying.once(self.carrying.tag(request, unit), remaining_s, work))

        def ended(carried: asyncio.Future[bytes]) -> None:
            told.put_nowait(None)
            if not carried.cancelled():
                carried.exception()  # whoever asked may be gone

        running.add_done_callback(ended)
        try:
            while (so_far := await told.get()) is not None:
                yield so_far
            known = agency_pb2.CheckResponse.FromString(await running)
            yield agency_pb2.CheckStreamResponse(known=known, final=True)
        finally:
            running.cancel()

    def _so_far(self, checked: Checked, known: agency_pb2.CheckResponse) -> agency_pb2.CheckStreamResponse:
        return agency_pb2.CheckStreamResponse(
            known=known, awaited=checked.awaited, final=not checked.awaited, awaited_members=self._awaited(checked)
        )

    def _unit(self, peer: Identity) -> str:
        """The unit that asks: what its certificate says, never what a request claims."""
        if peer.role != ROLE_UNIT or peer.member_id != self._member_id:
            raise AccessError(
                "only agencies of this gateway's own member are served here; use your agency's certificate",
                "此处仅服务本成员的经办机构，请使用本机构的证书",
                reason=words.REFUSAL_REASON_PEER_MISMATCH,
            )
        return peer.name

    def _members(self, checked: Checked) -> Mapping[str, Named]:
        directory = self._directory.current()
        members: dict[str, Named] = {}
        for result in checked.results:
            members[result.member_id] = directory.member(result.member_id)
        return members

    def _awaited(self, checked: Checked) -> list[agency_pb2.AwaitedMember]:
        directory = self._directory.current()
        members = [directory.member(each) for each in checked.awaited]
        return [
            agency_pb2.AwaitedMember(member_id=each.member_id, name_zh=each.name_zh, name_en=each.name_en)
            for each in members
        ]

    def _respond(
        self, checked: Checked, benefit: int, members: Mapping[str, Named], since: str = ""
    ) -> agency_pb2.CheckResponse:
        if checked.answered:
            response = readable(checked, verdict(self._book, checked, benefit, start_day_of(since)), members)
        else:
            response = nothing_known(checked, members)
        if since:
            response.benefit_since = since
        return response

    def _read(self, request: agency_pb2.CheckRequest, unit: str) -> tuple[Recipient, Case]:
        if request.leave_open_s or request.only_leave:
            self.late.require_time(request.leave_open_s)
        since_on = start_day_of(request.benefit_since)
        recipient = Recipient(
            id_number=request.id_number,
            name=request.name,
            document_kind=request.document_kind,
            alias_id_numbers=tuple(request.alias_id_numbers[:]),
            benefit=request.benefit,
            places=Places(
                residence=tuple(request.regions[:]),
                insured=request.insured_region,
                past=tuple(request.past_regions[:]),
                household=request.household_region,
            ),
            benefit_since_on=since_on,
            # Smallest scope: who need not know it is not told.
            tells_since=bool(since_on and self._book.start_matters.take(request.benefit, mode="clip")),
        )
        case = Case(
            unit=unit,
            official=request.official,
            purpose=request.purpose,
            legal_basis=request.legal_basis,
            case_reference=request.case_reference,
            as_of_on=civil_day_of(request.as_of),
            evidence_limit=request.evidence_limit,
            fresh=request.fresh,
        )
        return recipient, case
