"""Checks left open, as an agency sees them: what was known when it was left, completed by what came since.

Owns: putting the answers together again, and the stream that tells of new ones. Refuses: judging them; the merge is the
same as of a check that is answered at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypedDict

from gateway.clock import civil_day
from gateway.errors import RefusedError, WuganError
from gateway.exchange.envelope import Proof
from gateway.federation.answers import PartnerAnswer, findings_in
from gateway.federation.check import NOT_ASKED
from gateway.federation.checked import Checked, MemberResult
from gateway.federation.further import Further, not_asked
from gateway.federation.late import Kept, LateChecks, followed_to, late_answer, unpack
from gateway.services.watchers import Watchers
from gateway.store.late import DROPPED, LAPSED, OPEN, PARTIAL, Event, Left, Question
from gateway.wording import REFUSALS, Word, word
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

DEFAULT_LIST: Final = 100


class Named(Protocol):
    """A member as an answer names it."""

    @property
    def member_id(self) -> str:
        """Its id."""
        ...

    @property
    def name_zh(self) -> str:
        """Its name in Chinese."""
        ...

    @property
    def name_en(self) -> str:
        """Its name in English."""
        ...


class _Name(NamedTuple):
    member_id: str
    name_zh: str
    name_en: str


Respond = Callable[[Checked, int, Mapping[str, Named], str], agency_pb2.CheckResponse]
"""(what came of a check, benefit, names of members, since when the benefit is paid) → one readable message."""
Write = Callable[[agency_pb2.WatchLateResponse], Awaitable[None]]


class LateService:
    """What an agency may ask about checks that it left open.

    Args:
        late: the checks.
        respond: puts an answer together.
    """

    def __init__(self, late: LateChecks, respond: Respond) -> None:
        self._late = late
        self._respond = respond
        self._watchers = Watchers(
            Word("等待迟到答复的连接过多，请稍后重试", "too many watch for late answers; ask again later")
        )

    def require_time(self, seconds: int) -> None:
        """Return when a check may be left for so long; RefusedError otherwise."""
        self._late.require_time(seconds)

    async def leave(self, unit: str, checked: Checked, seconds: int, response: agency_pb2.CheckResponse) -> bool:
        """Leave a check with whoever may still have something to say, and say so in the response; whether anybody."""
        left = await self._late.leave(unit, checked, seconds, response.SerializeToString())
        if left is None:
            return False
        response.late_ticket = left.ticket
        for answer in response.answers:
            if answer.member_id in left.members:
                _stays_open(answer, left.until_ms)
        return True

    async def list(self, unit: str, request: agency_pb2.ListLateRequest) -> agency_pb2.ListLateResponse:
        """The unit's checks, newest first."""
        response = agency_pb2.ListLateResponse()
        for ticket, _, _ in await self._late.list(unit, request.limit or DEFAULT_LIST, only_open=request.only_open):
            found = await self._late.find(ticket, unit)
            if found is None:  # forgotten meanwhile
                continue
            left, questions, came = found
            kept = unpack(left.body)
            names = _names(_provinces(agency_pb2.CheckResponse.FromString(kept.shown), came))
            check = response.checks.add(ticket=ticket, case_reference=kept.question.context.case_reference)
            check.left_at.FromMilliseconds(left.left_at_ms)
            check.until.FromMilliseconds(left.until_ms)
            for question in questions:
                name = names.get(question.member, _Name(question.member, "", ""))
                check.provinces.add(
                    member_id=question.member, state=question.state, name_zh=name.name_zh, name_en=name.name_en
                )
        return response

    async def fetch(self, unit: str, request: agency_pb2.FetchLateRequest) -> agency_pb2.FetchLateResponse:
        """What is known by now.

        Raises:
            RefusedError: the unit has no such check.
        """
        found = await self._late.find(request.ticket, unit)
        if found is None:
            raise RefusedError(
                "ticket: this unit has no such check, or it was too long ago; ask again",
                "ticket：本机构没有该留置查询，或已超过保存期限，请重新查询",
                field="ticket",
            )
        left, questions, came = found
        kept = unpack(left.body)
        return agency_pb2.FetchLateResponse(response=self._whole(left, kept, questions, came), **_about(kept.question))

    async def watch(self, unit: str, request: agency_pb2.WatchLateRequest, write: Write) -> None:
        """Tell what comes, from a cursor on, until the agency leaves or the gateway stops.

        Raises:
            RefusedError: OVERLOADED, too many watch; SHUTTING_DOWN, the gateway stops.
        """
        await self._watchers.attend(unit, self._watch(unit, request.after, write, only_present=request.only_present))

    async def _watch(self, unit: str, after: int, write: Write, *, only_present: bool) -> None:
        while True:
            news = self._late.news()
            events = await self._late.events(unit, after)
            for event, check, came in events:
                if check is not None:
                    left, questions = check
                    kept = unpack(left.body)
                    message = agency_pb2.WatchLateResponse(
                        cursor=event.number,
                        ticket=event.ticket,
                        member_id=event.member,
                        response=self._whole(left, kept, questions, came),
                        **_about(kept.question),
                    )
                    await write(message)
                after = event.number
            if events:
                continue
            if only_present:
                return
            await self._late.wait(news)

    def close(self) -> None:
        """End the streams of those who watch; they go on with another instance."""
        self._watchers.close()

    def _whole(
        self, left: Left, kept: Kept, questions: Sequence[Question], events: Sequence[Event]
    ) -> agency_pb2.CheckResponse:
        """What was known when it was left, with the newest of each province that came since."""
        shown = agency_pb2.CheckResponse.FromString(kept.shown)
        provinces = _provinces(shown, events)
        newest = {event.member: event for event in events if event.state != OPEN}
        results = []
        for answer in provinces:
            event = newest.get(answer.member_id)
            results.append(_shown(answer, kept.question) if event is None else _came(event, answer, kept.question))
        late = {member for member, event in newest.items() if event.state != LAPSED}
        results = _lacking(results, late, kept.question)
        made_at_ms = max((event.at_ms for event in events), default=left.left_at_ms)
        checked = Checked(kept.question.as_of_on or civil_day(made_at_ms), made_at_ms, tuple(results))
        response = self._respond(checked, kept.question.benefit[0], _names(provinces), shown.benefit_since)
        response.late_ticket = left.ticket
        states = {question.member: question.state for question in questions}
        for answer in response.answers:
            event = newest.get(answer.member_id)
            answer.late = event is not None and event.state != LAPSED
            state = states.get(answer.member_id) if event is None else event.state
            if state in (OPEN, PARTIAL):
                _stays_open(answer, left.until_ms)
        return response


class _About(TypedDict):
    """Whom a check is about, and for which case."""

    id_number: str
    name: str
    case_reference: str


def _stays_open(answer: agency_pb2.ProvinceAnswer, until_ms: int) -> None:
    """Say until when a province may still answer; the text of what it failed with says to ask again, which is wrong."""
    answer.pending_until.FromMilliseconds(until_ms)
    if answer.refusal and answer.message_en != NOT_ASKED.en:
        why = word(REFUSALS, answer.refusal)
        answer.message_zh, answer.message_en = why.zh, why.en


def _provinces(shown: agency_pb2.CheckResponse, events: Sequence[Event]) -> list[agency_pb2.ProvinceAnswer]:
    """The provinces of a check: those asked or left with it at first, then those to which late answers led."""
    return [*shown.answers, *(followed_to(event) for event in events if event.state == OPEN)]


def _names(provinces: Sequence[agency_pb2.ProvinceAnswer]) -> dict[str, _Name]:
    """The members, as they were called then."""
    return {each.member_id: _Name(each.member_id, each.member_name_zh, each.member_name_en) for each in provinces}


def _about(question: exchange_pb2.Question) -> _About:
    who, case = question.subjects, question.context.case_reference
    return _About(id_number=who.id_number[0], name=who.name[0], case_reference=case)


def _shown(answer: agency_pb2.ProvinceAnswer, question: exchange_pb2.Question) -> MemberResult:
    """A province's part as it was when the check was left with it."""
    if not answer.HasField("proof"):
        error = WuganError(answer.message_en, answer.message_zh, reason=answer.refusal)
        return MemberResult(answer.member_id, (), error=error, followed=answer.followed)
    proof = Proof(**{name: getattr(answer.proof, name) for name in Proof._fields})
    result = _result(answer, exchange_pb2.Answer.FromString(proof.payload), question, proof)
    if not answer.linked_unasked:
        return result
    return result._replace(lacking=WuganError(answer.message_en, answer.message_zh))


def _came(event: Event, shown: agency_pb2.ProvinceAnswer, question: exchange_pb2.Question) -> MemberResult:
    """A province's part as it came later; what it said before is not taken back because nothing more came."""
    if event.state == LAPSED:
        if shown.HasField("proof"):
            return _shown(shown, question)
        error = _dropped() if event.body == DROPPED else _lapsed()
        return MemberResult(event.member, (), error=error, followed=shown.followed)
    answer, proof = late_answer(event)
    return _result(shown, answer, question, proof)


def _result(
    shown: agency_pb2.ProvinceAnswer, answer: exchange_pb2.Answer, question: exchange_pb2.Question, proof: Proof
) -> MemberResult:
    member_id, followed = shown.member_id, shown.followed
    try:
        findings = findings_in(answer, question)
        if not findings.status[0]:
            reason = findings.refused.reason[0]
            raise RefusedError("the other province refused this person", "对方省份拒绝查询此人", reason=reason)
    except WuganError as error:
        return MemberResult(member_id, (), error=error, followed=followed)
    given = PartnerAnswer(member_id, findings, b"", proof).with_columns()
    return MemberResult(member_id, (), answer=given, followed=followed)


def _lacking(
    results: Sequence[MemberResult], late: Collection[str], question: exchange_pb2.Question
) -> list[MemberResult]:
    """The results, those marked that are not about numbers to which late answers link the person: nobody is asked again
    for these, and nobody certified on that.
    """
    further = Further(question)
    for result in results:
        if result.answer is not None and result.member_id in late:
            further.hear(result.member_id, result.answer.findings)
    return [
        result._replace(lacking=result.lacking or not_asked())
        if result.answer is not None and further.lacks(result.member_id)
        else result
        for result in results
    ]


def _lapsed() -> RefusedError:
    return RefusedError(
        "the other province did not answer in the time for which the question was left; ask again",
        "对方省份在留置期限内未答复，请重新查询",
        reason=words.REFUSAL_REASON_DELIVERY_EXPIRED,
    )


def _dropped() -> RefusedError:
    return RefusedError(
        "the question was dropped by this gateway's administrator before it was delivered; ask the administrator why",
        "该查询在送达对方省份之前已由本网关管理员删除，原因请咨询管理员",
        reason=words.REFUSAL_REASON_DELIVERY_EXPIRED,
    )
