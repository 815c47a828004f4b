"""Subscribing at other members for the people whom this member's units pay, and keeping that up.

Owns: tokens under a key for each member, which member is asked about whom, the letters, what their replies mean, and
renewal before the other side's time for a subscription is over; having those looked at whom the other side had lost.
Refuses: asking every member: whoever is watched for lives somewhere, and no more members than that learn that somebody
is; and naming a number to one that did not lose it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import structlog
from google.protobuf.message import DecodeError

from gateway.clock import Clock
from gateway.errors import DirectoryError, RefusedError, StoreError, WuganError
from gateway.exchange.question import MAX_TEXT, check_context
from gateway.exchange.tokens import TOKEN_BYTES, PairKey, cut
from gateway.federation.directory import Directory, DirectorySource
from gateway.federation.regions import is_region
from gateway.federation.told_before import told_before
from gateway.log import described
from gateway.post.leaving import Post, commit
from gateway.post.letters import Handled, Received, letter
from gateway.rules.book import RuleBook
from gateway.rules.identity import normalise_number
from gateway.rules.notifying import Told
from gateway.sections.lasting import NoticesSettings
from gateway.store.audit import AuditEvent
from gateway.store.engine import Store
from gateway.store.letters import Effect, Letter
from gateway.store.subscriptions import Putting, Replied, Subscribed
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import delivery_pb2, exchange_pb2, notices_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)

IN_ONE_LETTER: Final = 2_000
LONGEST_MS: Final = 400 * 86_400_000
_ASK_AGAIN_MS: Final = 86_400_000
"""A member that did not reply, or refused, is asked again after a day."""
_RENEW_BEFORE_MS: Final = 10 * 86_400_000
"""So long before another member's time for a subscription ends it is renewed, however short that time is."""
_PURPOSE: Final = adapter_words.PURPOSE_CHANGE_MONITORING
_ORDER: Final = "subscriptions"
"""Changes to one member are dealt with in the order in which they were made."""
_BENEFITS: Final = frozenset(words.BenefitType.DESCRIPTOR.values_by_number) - {0}
_DEPARTMENTS: Final = frozenset(adapter_words.Department.DESCRIPTOR.values_by_number) - {0}


class Wanted(NamedTuple):
    """Somebody a unit wants to be told about, as its register has them."""

    id_number: str
    name: str
    benefit: int
    regions: tuple[int, ...]

    def __repr__(self) -> str:
        """Nothing of the person, whoever logs it."""
        return "<Wanted>"


class Subscribing:
    """See the module; deals with deliveries of kind SUBSCRIPTION_REPLY.

    Args:
        deliver_ms: how long a letter may be on its way.
    """

    def __init__(
        self,
        member_id: str,
        book: RuleBook,
        directory: DirectorySource,
        store: Store,
        post: Post,
        clock: Clock,
        settings: NoticesSettings,
        *,
        deliver_ms: int,
    ) -> None:
        self._member_id = member_id
        self._book = book
        self._directory = directory
        self._store = store
        self._post = post
        self._clock = clock
        self._settings = settings
        self._deliver_ms = deliver_ms
        self._keys: dict[str, PairKey] = {}

    async def subscribe(
        self, context: exchange_pb2.Context, people: Sequence[Wanted], until_ms: int
    ) -> tuple[int, list[tuple[int, RefusedError]]]:
        """Subscribe for people, or renew; how many subscriptions that makes, and which rows were refused.

        On the disk when this returns, and certain to reach the other members.

        Raises:
            RefusedError: the context is not whole.
            DirectoryError: the directory has expired.
            StoreError: it could not be written, or too much waits for a member.
        """
        check_context(context)
        directory = self._directory.current()
        refused: list[tuple[int, RefusedError]] = []
        by_member: dict[str, list[Subscribed]] = {}
        written = context.SerializeToString()
        for row, wanted in enumerate(people):
            try:
                number, members = self._understood(directory, wanted)
            except RefusedError as error:
                refused.append((row, error))
                continue
            for member in members:
                key = await self._key(member)
                token = key.token(number)
                check = key.name_check(token, self._book.name_key(wanted.name))
                made = Subscribed(
                    context.unit, wanted.benefit, member, token, check, until_ms, written, number, wanted.name.strip()
                )
                by_member.setdefault(member, []).append(made)
        await self._ask(context, by_member.items(), until_ms)
        return sum(len(each) for each in by_member.values()), refused

    async def unsubscribe(self, unit: str, people: Sequence[tuple[str, int]]) -> int:
        """End a unit's subscriptions for people (number, benefit; 0: every benefit); how many there were.

        Raises:
            RefusedError: a number is wrong.
            StoreError: as `subscribe`.
        """
        found: dict[tuple[str, bytes], list[Subscribed]] = {}
        for number, benefit in people:
            for each in await self._store.subscriptions.find(unit, normalise_number(number), benefit):
                found.setdefault((each.member, each.context), []).append(each)
        effects: list[Effect] = []
        for (member, written), group in found.items():
            context = exchange_pb2.Context.FromString(written)
            for part in _parts(group):
                sent = await self._letter(member, context, part, 0)
                effects += [
                    self._store.subscriptions.removing(part),
                    self._post.effect(sent),
                    self._record(context, member, sent, len(part), "subscriptions to notices ended"),
                ]
        await commit(self._store, effects)
        return sum(len(group) for group in found.values())

    def check(self, sender: str, purpose: int, body: bytes, now_ms: int) -> None:
        """See `gateway.post.letters.Handler`."""
        _read_reply(body)

    async def handle(self, delivery: Received) -> Handled:
        """Note what a member said to a letter of ours."""
        reply = _read_reply(delivery.body)
        monitored = sum(1 << number for number in set(reply.monitored) if number in _DEPARTMENTS)
        reason = reply.refusal.reason if reply.HasField("refusal") else 0
        if reply.HasField("refusal") and not reason:
            reason = words.REFUSAL_REASON_INTERNAL
        if reason:
            _log.warning("subscription refused", member=delivery.sender, why=int(reason))
        now_ms = self._clock.now_ms()
        replied = Replied(delivery.sender, reply.answers_to, reason, reply.until_ms, monitored, now_ms)
        effects = [self._store.subscriptions.replying(replied)]
        if not reason:
            effects += await self._looks(delivery.sender, reply, now_ms)
        return Handled(effects)

    async def _looks(self, member: str, reply: notices_pb2.SubscriptionReply, now_ms: int) -> list[Effect]:
        """Letters that have people looked at whose subscriptions a member had lost, though they were believed in force.

        What these are answered is not waited for: nobody is put down as asked for by such a letter, so that the reply
        to one that asks for a look leads to no other, whatever it says.
        """
        unknown = frozenset(cut(reply.unknown, TOKEN_BYTES))
        lost = await self._store.subscriptions.lost(member, reply.answers_to, unknown, now_ms)
        if lost:
            _log.warning("subscriptions were lost by a member", member=member, people=len(lost))
        groups: dict[tuple[bytes, int], list[Subscribed]] = {}
        for each in lost:
            groups.setdefault((each.context, each.until_ms), []).append(each)
        effects: list[Effect] = []
        for (written, until_ms), group in groups.items():
            context = exchange_pb2.Context.FromString(written)
            for part in _parts(group):
                sent = await self._letter(
                    member, context, part, until_ms, await self._to_look_at(member, context, part)
                )
                record = self._record(context, member, sent, len(part), "asked to look at people it had lost")
                effects += [self._post.effect(sent), record]
        return effects

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            try:
                while await self.renew():
                    pass
            except (StoreError, DirectoryError) as error:
                _log.warning("subscriptions not renewed", fault=described(error))
            except Exception as error:  # noqa: BLE001  a loop that ends would never be noticed
                _log.error("subscriptions not renewed", error=type(error).__name__)
            await asyncio.sleep(self._settings.renew_s)

    async def renew(self) -> int:
        """Ask again for subscriptions whose time at the other side is soon over, or that it refused a day ago."""
        now_ms = self._clock.now_ms()
        due = await self._store.subscriptions.to_renew(now_ms, now_ms + _RENEW_BEFORE_MS, now_ms - _ASK_AGAIN_MS)
        groups: dict[tuple[str, bytes, int], list[Subscribed]] = {}
        for each in due:
            groups.setdefault((each.member, each.context, each.until_ms), []).append(each)
        for (member, written, until_ms), group in groups.items():
            await self._ask(exchange_pb2.Context.FromString(written), [(member, group)], until_ms)
        return len(due)

    async def _ask(
        self, context: exchange_pb2.Context, by_member: Iterable[tuple[str, Sequence[Subscribed]]], until_ms: int
    ) -> None:
        """Leave letters with the members, and note the subscriptions in the same commit."""
        effects: list[Effect] = []
        for member, group in by_member:
            for part in _parts(group):
                sent = await self._letter(member, context, part, until_ms)
                effects += [
                    self._store.subscriptions.putting(Putting(part, sent.delivery_id, sent.created_at_ms)),
                    self._post.effect(sent),
                    self._record(context, member, sent, len(part), "subscribed to notices"),
                ]
        await commit(self._store, effects)

    async def _letter(
        self,
        member: str,
        context: exchange_pb2.Context,
        people: Sequence[Subscribed],
        until_ms: int,
        look: Mapping[tuple[bytes, int], notices_pb2.ToldBefore] = MappingProxyType({}),
    ) -> Letter:
        key = await self._key(member)
        change = notices_pb2.SubscriptionChange(
            context=context,
            key=notices_pb2.SubscriptionKey(key_id=key.key_id, secret=key.secret),
            people=notices_pb2.SubscribedColumns(
                tokens=b"".join(each.token for each in people),
                name_checks=b"".join(each.name_check for each in people),
                benefit=[each.benefit for each in people],  # type: ignore[misc]  # numbers of the contract
            ),
            until_ms=until_ms,
            look_at=[each.id_number for each in people if look],
            told=[look[each.token, each.benefit] for each in people if look],
        )
        now_ms = self._clock.now_ms()
        return letter(
            member,
            delivery_pb2.DELIVERY_KIND_SUBSCRIPTION,
            change.SerializeToString(),
            purpose=_PURPOSE,
            now_ms=now_ms,
            expires_at_ms=now_ms + self._deliver_ms,
            order_key=self._store.order_key(member, _ORDER),
        )

    async def _to_look_at(
        self, member: str, context: exchange_pb2.Context, people: Sequence[Subscribed]
    ) -> dict[tuple[bytes, int], notices_pb2.ToldBefore]:
        """What each of a unit's people who are to be looked at was told of last, by token and benefit."""
        kept = await self._store.notices.about(context.unit, member, [each.blind_index for each in people])
        found = {}
        for each in people:
            told = told_before(self._book, kept.get((each.blind_index, each.benefit), []))
            found[each.token, each.benefit] = notices_pb2.ToldBefore() if told is None else _written(told)
        return found

    async def _key(self, member: str) -> PairKey:
        key = self._keys.get(member)
        if key is None:
            key = self._keys[member] = PairKey(*await self._store.subscriptions.key(member, *PairKey.fresh()))
        return key

    def _understood(self, directory: Directory, wanted: Wanted) -> tuple[str, list[str]]:
        """The normalised number, and the members to ask."""
        number = normalise_number(wanted.id_number)
        if not wanted.name.strip() or len(wanted.name) > MAX_TEXT or "\x00" in wanted.name:
            raise RefusedError("name: give the person's name", "name：姓名缺失或过长", field="name")
        if wanted.benefit not in _BENEFITS:
            raise RefusedError(
                "benefit: name a type of benefit",
                "benefit：险种代码无效",
                reason=words.REFUSAL_REASON_UNKNOWN_BENEFIT,
                field="benefit",
            )
        members: dict[str, None] = {}
        for region in wanted.regions:
            serving = directory.members_serving(region) if is_region(region) else ()
            if not serving:
                raise _unknown_region()
            members |= dict.fromkeys(member for member in serving if member != self._member_id)
        if not members:
            raise _unknown_region()
        return number, list(members)

    def _record(self, context: exchange_pb2.Context, member: str, sent: Letter, people: int, what: str) -> Effect:
        return self._store.audit.effect(
            AuditEvent.of(
                context,
                at_ms=sent.created_at_ms,
                direction="out",
                counterpart=member,
                message_id=sent.delivery_id,
                digest=b"",
                subjects=people,
                decision=what,
            )
        )


def _written(told: Told) -> notices_pb2.ToldBefore:
    return notices_pb2.ToldBefore(**told._asdict())


def _parts(people: Sequence[Subscribed]) -> list[Sequence[Subscribed]]:
    return [people[start : start + IN_ONE_LETTER] for start in range(0, len(people), IN_ONE_LETTER)]


def _read_reply(body: bytes) -> notices_pb2.SubscriptionReply:
    try:
        reply = notices_pb2.SubscriptionReply.FromString(body)
    except DecodeError as error:
        raise RefusedError("the reply does not parse", "回复无法解析") from error
    if len(reply.answers_to) != 16 or not 0 <= reply.until_ms < 1 << 52 or len(reply.monitored) > 64:
        raise RefusedError("the reply is malformed", "回复格式有误")
    if len(reply.unknown) % TOKEN_BYTES or len(reply.unknown) > IN_ONE_LETTER * TOKEN_BYTES:
        raise RefusedError("the reply is malformed", "回复格式有误")
    return reply


def _unknown_region() -> WuganError:
    return RefusedError(
        "regions: name the region where the person lives; another member of the federation must serve it",
        "regions：请填写居住地行政区划代码，且该地区应由联盟其他成员服务",
        reason=words.REFUSAL_REASON_UNKNOWN_REGION,
        field="regions",
    )
