"""Subscriptions and notices, as an agency sees them.

Owns: translating requests to subscriptions, and notices to one readable message each; the stream that tells of them.
Refuses: showing a unit what is another's, and judging a notice: what it says is merged like the answer to a check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from gateway.clock import Clock
from gateway.errors import RefusedError, WuganError
from gateway.federation.checked import Checked
from gateway.federation.directory import DirectorySource
from gateway.federation.noticed import Noticed, Told
from gateway.federation.questions import is_official
from gateway.federation.subscribing import LONGEST_MS, Subscribing, Wanted
from gateway.services.late import Named
from gateway.services.watchers import Watchers
from gateway.store.subscriptions import ACTIVE, LIST_AT_MOST, PENDING, Subscribed, Subscriptions
from gateway.store.tables import BLIND_INDEX_BYTES, MEMBER_CHARS
from gateway.wording import Word
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_PEOPLE: Final = 1_000
MAX_REGIONS: Final = 10
DEFAULT_DAYS: Final = 365
DEFAULT_LIST: Final = 100
_DAY_MS: Final = 86_400_000
_PLACE_BYTES: Final = BLIND_INDEX_BYTES + 2
_DEPARTMENTS: Final = [number for number in adapter_words.Department.DESCRIPTOR.values_by_number if number]

Respond = Callable[[Checked, int, Mapping[str, Named]], agency_pb2.CheckResponse]
"""(what came of a check, benefit, names of members) → one readable message."""
Pseudonym = Callable[[str, str], bytes]
"""(unit, official) → what stands for the official elsewhere."""
Write = Callable[[agency_pb2.WatchNoticesResponse], Awaitable[None]]


class NoticeService:
    """What an agency may ask about subscriptions and notices.

    Args:
        subscribing: subscribes at other members.
        noticed: the notices that came.
        subscriptions: those that there are.
        pseudonym: makes of an official what is told to others.
        directory: tells the names of members.
    """

    def __init__(
        self,
        subscribing: Subscribing,
        noticed: Noticed,
        subscriptions: Subscriptions,
        pseudonym: Pseudonym,
        directory: DirectorySource,
        clock: Clock,
    ) -> None:
        self._subscribing = subscribing
        self._noticed = noticed
        self._subscriptions = subscriptions
        self._pseudonym = pseudonym
        self._directory = directory
        self._clock = clock
        self._watchers = Watchers(
            Word("等待变更通知的连接过多，请稍后重试", "too many watch for notices; ask again later")
        )

    async def subscribe(self, unit: str, request: agency_pb2.SubscribeRequest) -> agency_pb2.SubscribeResponse:
        """Subscribe for people, or renew.

        Raises:
            RefusedError: too many people, too long, or something is missing.
        """
        _bounded(len(request.people))
        days = request.days or DEFAULT_DAYS
        if days * _DAY_MS > LONGEST_MS:
            most = LONGEST_MS // _DAY_MS
            raise _wrong("days", f"at most {most}", f"至多 {most} 天")
        if not is_official(request.official):
            raise _wrong(
                "official", "say which official asks, at most 100 characters", "请填写经办人（至多 100 个字符）"
            )
        context = exchange_pb2.Context(
            unit=unit,
            official_pseudonym=self._pseudonym(unit, request.official),
            purpose=adapter_words.PURPOSE_CHANGE_MONITORING,
            legal_basis=request.legal_basis,
            case_reference=request.case_reference,
        )
        people = [
            Wanted(person.id_number, person.name, person.benefit, tuple(person.regions[:MAX_REGIONS]))
            for person in request.people
        ]
        until_ms = self._clock.now_ms() + days * _DAY_MS
        accepted, refused = await self._subscribing.subscribe(context, people, until_ms)
        response = agency_pb2.SubscribeResponse(accepted=accepted)
        for row, error in refused:
            response.refused.add(row=row, reason=error.reason, message_zh=error.zh, message_en=error.en)
        return response

    async def unsubscribe(self, unit: str, request: agency_pb2.UnsubscribeRequest) -> agency_pb2.UnsubscribeResponse:
        """End subscriptions."""
        _bounded(len(request.people))
        people = [(person.id_number, int(person.benefit)) for person in request.people]
        return agency_pb2.UnsubscribeResponse(ended=await self._subscribing.unsubscribe(unit, people))

    async def list(
        self, unit: str, request: agency_pb2.ListSubscriptionsRequest
    ) -> agency_pb2.ListSubscriptionsResponse:
        """A page of the unit's subscriptions.

        Raises:
            RefusedError: `after` is no place.
        """
        limit = min(request.limit or DEFAULT_LIST, LIST_AT_MOST)
        page = await self._subscriptions.page(unit, _place(request.after), limit)
        now_ms = self._clock.now_ms()
        response = agency_pb2.ListSubscriptionsResponse(
            subscriptions=[_shown(_as_it_stands(each, now_ms), self._name(each.member)) for each in page]
        )
        if len(page) == limit:
            last = page[-1]
            response.next = last.blind_index + last.benefit.to_bytes(2) + last.member.encode()
        return response

    async def watch(self, unit: str, request: agency_pb2.WatchNoticesRequest, respond: Respond, write: Write) -> None:
        """Tell the unit's notices, from a cursor on, until the agency leaves or the gateway stops.

        Raises:
            RefusedError: OVERLOADED, too many watch; SHUTTING_DOWN, the gateway stops.
        """
        await self._watchers.attend(unit, self._tell(unit, request, respond, write))

    def close(self) -> None:
        """End the streams of those who watch; they go on with another instance."""
        self._watchers.close()

    async def _tell(self, unit: str, request: agency_pb2.WatchNoticesRequest, respond: Respond, write: Write) -> None:
        async for told in self._noticed.watch(unit, request.after, only_present=request.only_present):
            await write(self._message(told, respond))

    def _message(self, told: Told, respond: Respond) -> agency_pb2.WatchNoticesResponse:
        kept = told.kept
        message = agency_pb2.WatchNoticesResponse(
            cursor=kept.number,
            id_number=told.id_number,
            name=told.name,
            benefit=kept.benefit,  # type: ignore[arg-type]  # a number of the contract
            member_id=kept.member,
            sequence=kept.sequence,
            retracts_from=kept.retracts_from,
            retracted=kept.retracted,
            case_reference=told.case_reference,
            result=respond(told.checked, kept.benefit, {kept.member: self._name(kept.member)}),
        )
        message.received_at.FromMilliseconds(kept.at_ms)
        return message

    def _name(self, member_id: str) -> Named:
        try:
            return self._directory.current().member(member_id)
        except WuganError:  # it has left since, or the directory has expired: the notice is told all the same
            return _Gone(member_id)


class _Gone:
    """A member that the directory does not have."""

    def __init__(self, member_id: str) -> None:
        self.member_id = self.name_zh = self.name_en = member_id


def _as_it_stands(each: Subscribed, now_ms: int) -> Subscribed:
    """One whose time at the other side ran out is not active until it says so again."""
    return each._replace(standing=PENDING) if each.standing == ACTIVE and each.lease_until_ms < now_ms else each


def _shown(each: Subscribed, member: Named) -> agency_pb2.SubscriptionState:
    state = agency_pb2.SubscriptionState(
        id_number=each.id_number,
        name=each.name,
        benefit=each.benefit,  # type: ignore[arg-type]  # numbers of the contract, here and below
        member_id=each.member,
        member_name_zh=member.name_zh,
        member_name_en=member.name_en,
        standing=each.standing,  # type: ignore[arg-type]
        refusal=each.reason,  # type: ignore[arg-type]
        monitored=[number for number in _DEPARTMENTS if each.monitored >> number & 1],  # type: ignore[misc]
    )
    state.until.FromMilliseconds(each.until_ms)
    return state


def _place(after: bytes) -> tuple[bytes, int, str] | None:
    if not after:
        return None
    if len(after) != _PLACE_BYTES + MEMBER_CHARS or not after[_PLACE_BYTES:].isascii():
        raise _wrong("after", "give `next` of the page before", "请填写上一页返回的 next")
    place = after[:BLIND_INDEX_BYTES], int.from_bytes(after[BLIND_INDEX_BYTES:_PLACE_BYTES])
    return (*place, after[_PLACE_BYTES:].decode("ascii"))


def _bounded(people: int) -> None:
    if not 0 < people <= MAX_PEOPLE:
        raise RefusedError(
            f"people: name 1 to {MAX_PEOPLE} in one call",
            f"people：每次 1 至 {MAX_PEOPLE} 人",
            reason=words.REFUSAL_REASON_TOO_LARGE,
            field="people",
        )


def _wrong(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(f"{field}: {en}", f"{field}：{zh}", field=field)
