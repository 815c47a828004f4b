"""Subscriptions of other members: what they leave here is looked at, decided on, and answered.

Owns: the bounds of a SubscriptionChange, the decision whether the member may be told of changes at all, and until when;
whom it was not told of because the subscription had been lost here. Refuses: counting people (nobody is told anything
yet: that is counted notice by notice), and learning who they are, but for those who are to be looked at.

The rule. A subscription is new here, or was lost: its time ran out while the subscriber was away, or the database is an
older one. Only the subscriber knows which, so the reply says who was unknown, and a further change names the numbers of
those whom it believed to be watched, and says what it was told of them. They are looked at once, like people who
changed, and their notices go on from there. To name numbers is to ask: whoever goes through them raises an alarm, and
waits, like with questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog
from google.protobuf.message import DecodeError

from gateway.clock import Clock
from gateway.errors import AccessError, RefusedError
from gateway.exchange.question import check_context
from gateway.exchange.tokens import CHECK_BYTES, KEY_ID_BYTES, SECRET_BYTES, TOKEN_BYTES, PairKey, cut
from gateway.inquiry.access import Access
from gateway.post.leaving import Post
from gateway.post.letters import Handled, Received, delivery_digest, letter
from gateway.rules.identity import normalise_numbers
from gateway.rules.notifying import Told
from gateway.sections.lasting import NoticesSettings
from gateway.store.audit import AuditEvent, AuditLog
from gateway.store.changes import ChangedPerson, Changes, Taken
from gateway.store.letters import Effect, Letter
from gateway.store.watches import Advance, Person, Registration, Watches
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import delivery_pb2, notices_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)

MAX_PEOPLE: Final = 5_000
"""People in one change at most."""
AT_ONCE: Final = 1
"""Changes dealt with at once: how many people a member subscribed for is counted before those of a change are taken in,
so that the next one is to be looked at when they are."""
REPLY_MS: Final = 7 * 86_400_000
_SOON_MS: Final = 60_000
"""What runs out so soon may have done so before it is renewed, and is called unknown."""
_TAKEN_IN: Final = 1
"""Progress of a change: it was dealt with and answered; people are still to be looked at."""
_SEEN: Final = 2
"""And whether they are people whom somebody goes through was looked at."""
_BENEFITS: Final = frozenset(words.BenefitType.DESCRIPTOR.values_by_number) - {0}
_STATUSES: Final = frozenset(words.SurvivalStatus.DESCRIPTOR.values_by_number)
_ROSTER_FACTOR: Final = 1.5


class Registering:
    """Deals with deliveries of kind SUBSCRIPTION.

    Args:
        access: what is allowed at the moment, and who goes through numbers.
        monitored: departments here that tell of changes, of the moment.
        found: called when there is somebody to be looked at.
    """

    def __init__(
        self,
        access: Access,
        watches: Watches,
        changes: Changes,
        audit: AuditLog,
        post: Post,
        clock: Clock,
        settings: NoticesSettings,
        monitored: Callable[[], Sequence[int]],
        found: Callable[[], None],
    ) -> None:
        self._access = access
        self._watches = watches
        self._changes = changes
        self._found = found
        self._audit = audit
        self._post = post
        self._clock = clock
        self._lease_ms = round(settings.lease_days * 86_400_000)
        self._most = settings.max_subscriptions
        self._monitored = monitored

    def check(self, sender: str, purpose: int, body: bytes, now_ms: int) -> None:
        """See `gateway.post.letters.Handler`.

        Raises:
            RefusedError: the change is malformed, or too large.
        """
        read_change(body, purpose)

    async def handle(self, delivery: Received) -> Handled:
        """Take the subscriptions in or out, and answer. A refusal is an answer."""
        change = read_change(delivery.body, delivery.purpose)
        now_ms = self._clock.now_ms()
        if delivery.progress >= _TAKEN_IN:
            given = _registration(delivery.sender, change, change.until_ms)
            gone = frozenset(await self._watches.unknown(given, now_ms))
            return self._looked_at(delivery, change, [], gone, now_ms)
        refused: RefusedError | None = None
        until_ms = min(change.until_ms, now_ms + self._lease_ms) if change.until_ms else 0
        if until_ms:
            refused = await self._refusal(delivery.sender, change, now_ms)
        effects: list[Effect] = []
        given = _registration(delivery.sender, change, until_ms)
        unknown = await self._watches.unknown(given, now_ms + _SOON_MS) if change.until_ms else []
        if refused is None:
            effects.append(self._watches.registering(given))
        if change.until_ms:
            effects.append(self._post.effect(self._reply(delivery, refused, until_ms, unknown, now_ms)))
        if change.until_ms and change.look_at:
            effects += await self._resuming(given, change, now_ms)
        effects.append(self._audit.effect(_event(delivery, change, refused, until_ms, now_ms)))
        if change.until_ms and change.look_at:
            gone = frozenset() if refused is None else frozenset(unknown)
            return self._looked_at(delivery, change, effects, gone, now_ms)
        return Handled(effects)

    def _looked_at(
        self,
        delivery: Received,
        change: notices_pb2.SubscriptionChange,
        effects: Sequence[Effect],
        gone: frozenset[bytes],
        now_ms: int,
    ) -> Handled:
        """What was done, and that people are looked at, those of some tokens left out; later, where whoever names them
        seems to go through the numbers there can be.
        """
        context, progress = change.context, max(delivery.progress, _TAKEN_IN)
        try:
            self._access.hold(delivery.sender, context.unit)
            if progress < _SEEN:  # once an alarm was cleared, the same people raise no other one
                progress = _SEEN
                benefits = frozenset[int](change.people.benefit)
                self._access.watch_named(delivery.sender, context, benefits, list(change.look_at))
        except AccessError as error:
            policy = self._access.policy
            why = f"throttled: a harvesting alarm stands; policy {0 if policy is None else policy.version}"
            event = _event(delivery, change, error, change.until_ms, now_ms)
            held = self._audit.effect(event._replace(decision=f"{error.en} [{why}]"))
            again_ms = now_ms + error.retry_after_ms
            if again_ms < delivery.expires_at_ms:
                return Handled([*effects, held], again_ms, progress)
            _log.warning("people who had been lost are not looked at", member=delivery.sender, why=error.code)
            return Handled([*effects, held])
        return Handled([*effects, *self._looking(change, gone, now_ms)])

    async def _refusal(self, sender: str, change: notices_pb2.SubscriptionChange, now_ms: int) -> RefusedError | None:
        """Why the member may not subscribe so; None: it may."""
        if change.until_ms <= now_ms:
            return _wrong("until_ms", "the time is over", "有效期已过")
        if not self._monitored():
            return RefusedError(
                "no department of this member tells of changes; check these people from time to time instead",
                "本方没有可推送变更的部门，请定期查询",
                reason=words.REFUSAL_REASON_NOT_SERVED,
            )
        policy, context = self._access.policy, change.context
        if policy is None:
            return AccessError(
                "this gateway cannot read its access policy; ask again later",
                "本网关暂时无法读取授权策略，请稍后重试",
                retryable=True,
            )
        found, refused = policy.find(sender, context.unit, context.purpose, frozenset(change.people.benefit), now_ms)
        if refused is not None:
            return refused
        rosters = [entry.roster for entry in found]
        most = self._most if not all(rosters) else min(self._most, int(max(rosters) * _ROSTER_FACTOR))
        known = await self._watches.known(cut(change.people.tokens, TOKEN_BYTES), now_ms)
        if await self._watches.count(sender) + len(change.people.benefit) - len(known) > most:
            return RefusedError(
                "more people than the grant expects; ask the answering member's administrator",
                "订阅人数超出授权约定的规模，请联系答复方管理员",
                reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
                field="people",
            )
        return None

    async def _resuming(self, given: Registration, change: notices_pb2.SubscriptionChange, now_ms: int) -> list[Effect]:
        """What lets subscriptions of which nothing was told since they are here go on from what was told before."""
        rows = zip(given.people, change.told, strict=False)
        told = {(person.token, person.benefit): each for person, each in rows if each.sequence}
        if not told:
            return []
        own = (given.member, given.unit, given.key_id)
        groups = {each.number for each in await self._watches.groups() if (each.member, each.unit, each.key_id) == own}
        effects = []
        for watched in await self._watches.find({token for token, _ in told}, now_ms):
            before = told.get((watched.token, watched.benefit))
            if before is not None and watched.group in groups and not watched.sequence:
                advance = Advance(watched, before.sequence, _read(before).packed())
                effects.append(self._watches.advancing(advance))
        return effects

    def _looking(self, change: notices_pb2.SubscriptionChange, but: frozenset[bytes], now_ms: int) -> list[Effect]:
        """What notes that people are to be looked at, those of some tokens left out. Whether their subscriber may be
        told of them is decided then, time and again if need be, whatever came of this change.
        """
        tokens = cut(change.people.tokens, TOKEN_BYTES)
        people = [
            ChangedPerson(number, "", (), "", whole=False)
            for token, number in zip(tokens, change.look_at, strict=True)
            if token not in but
        ]
        if not people:
            return []
        _log.info("people to be looked at who had been lost", people=len(people))
        return [self._changes.taking(Taken("", None, people, now_ms))._replace(after=self._found)]

    def _reply(
        self, delivery: Received, refused: RefusedError | None, until_ms: int, unknown: Sequence[bytes], now_ms: int
    ) -> Letter:
        reply = notices_pb2.SubscriptionReply(answers_to=delivery.delivery_id)
        if refused is None:
            reply.until_ms = until_ms
            reply.unknown = b"".join(unknown)
            reply.monitored.extend(sorted(set(self._monitored())))  # type: ignore[arg-type]  # numbers of the contract
        else:
            reply.refusal.reason = refused.reason
            reply.refusal.field = refused.field
            reply.refusal.message_zh, reply.refusal.message_en = refused.zh, refused.en
            reply.refusal.retryable = refused.retryable
        return letter(
            delivery.sender,
            delivery_pb2.DELIVERY_KIND_SUBSCRIPTION_REPLY,
            reply.SerializeToString(),
            purpose=delivery.purpose,
            now_ms=now_ms,
            expires_at_ms=now_ms + REPLY_MS,
        )


def read_change(body: bytes, purpose: int) -> notices_pb2.SubscriptionChange:
    """A change whose columns fit each other.

    Raises:
        RefusedError: INVALID_ARGUMENT or TOO_LARGE, `field` naming the part.
    """
    change = notices_pb2.SubscriptionChange()
    try:
        change.ParseFromString(body)
    except DecodeError as error:
        raise _wrong("body", "it does not parse", "无法解析") from error
    check_context(change.context)
    if change.context.purpose != adapter_words.PURPOSE_CHANGE_MONITORING or purpose != change.context.purpose:
        raise _wrong("context.purpose", "subscriptions are for change monitoring", "订阅仅用于动态监测")
    people = change.people
    count = len(people.benefit)
    if not 0 < count <= MAX_PEOPLE:
        raise RefusedError(
            f"people: name 1 to {MAX_PEOPLE}",
            f"people：每次 1 至 {MAX_PEOPLE} 人",
            reason=words.REFUSAL_REASON_TOO_LARGE,
            field="people",
        )
    if len(change.key.key_id) != KEY_ID_BYTES or len(change.key.secret) != SECRET_BYTES:
        raise _wrong("key", "a key has 16 and 32 bytes", "密钥长度有误")
    if len(people.tokens) != count * TOKEN_BYTES or len(people.name_checks) != count * CHECK_BYTES:
        raise _wrong("people", "send columns of equal length", "各列长度必须一致")
    if not _BENEFITS.issuperset(people.benefit):
        raise RefusedError(
            "name a type of benefit of the contract for every person",
            "险种代码无效，请填写约定的险种",
            reason=words.REFUSAL_REASON_UNKNOWN_BENEFIT,
            field="people.benefit",
        )
    if not 0 <= change.until_ms < 1 << 52:
        raise _wrong("until_ms", "it is out of range", "超出范围")
    if change.look_at:
        _check_numbers(change)
    if change.told and not (len(change.told) == len(change.look_at) and all(map(_fits, change.told))):
        raise _wrong("told", "it does not fit those to be looked at", "与需要核对的人员不符")
    return change


def _fits(told: notices_pb2.ToldBefore) -> bool:
    since = (told.gone_since, told.lasting_since, told.judged_since)
    last = told.sequence
    return 0 <= min(since) <= max(since) <= last < 1 << 62 and told.status in _STATUSES


def _read(told: notices_pb2.ToldBefore) -> Told:
    return Told(*(getattr(told, name) for name in Told._fields))


def _check_numbers(change: notices_pb2.SubscriptionChange) -> None:
    """That those to be looked at are those subscribed for.

    Raises:
        RefusedError: INVALID_ARGUMENT.
    """
    given = list(change.look_at)
    numbers, _ = normalise_numbers(given)
    key = PairKey(change.key.key_id, change.key.secret)
    if numbers != given or key.tokens(numbers) != cut(change.people.tokens, TOKEN_BYTES):
        raise _wrong("look_at", "give the number of every token, normalised", "须与各令牌逐一对应，且为规范号码")


def _registration(sender: str, change: notices_pb2.SubscriptionChange, until_ms: int) -> Registration:
    people = change.people
    columns = zip(cut(people.tokens, TOKEN_BYTES), cut(people.name_checks, CHECK_BYTES), people.benefit, strict=True)
    return Registration(
        sender,
        change.context.unit,
        change.key.key_id,
        change.key.secret,
        change.context.SerializeToString(),
        [Person(*row) for row in columns],
        until_ms,
    )


def _event(
    delivery: Received,
    change: notices_pb2.SubscriptionChange,
    refused: RefusedError | None,
    until_ms: int,
    now_ms: int,
) -> AuditEvent:
    done = "subscribed to notices" if until_ms else "subscriptions to notices ended"
    return AuditEvent.of(
        change.context,
        at_ms=now_ms,
        direction="in",
        counterpart=delivery.sender,
        message_id=delivery.delivery_id,
        digest=delivery_digest(delivery.delivery_id, delivery.body),
        subjects=len(change.people.benefit),
        outcome=0 if refused is None else refused.reason,
        decision=done if refused is None else refused.en,
    )


def _wrong(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(f"{field}: {en}", f"{field}：{zh}", field=field)
