"""Subscriptions of other members: what they leave here is looked at, decided on, and answered.

Owns: the bounds of a SubscriptionChange, the decision whether the member may be told of changes at all, and until when.
Refuses: counting people (nobody is told anything yet: that is counted notice by notice), and learning who they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from google.protobuf.message import DecodeError

from gateway.access.policy import Policy
from gateway.clock import Clock
from gateway.errors import AccessError, RefusedError
from gateway.exchange.question import check_context
from gateway.exchange.tokens import CHECK_BYTES, KEY_ID_BYTES, SECRET_BYTES, TOKEN_BYTES, cut
from gateway.post.leaving import Post
from gateway.post.letters import Handled, Received, delivery_digest, letter
from gateway.sections.lasting import NoticesSettings
from gateway.store.audit import AuditEvent, AuditLog
from gateway.store.letters import Effect, Letter
from gateway.store.watches import Person, Registration, Watches
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import delivery_pb2, notices_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_PEOPLE: Final = 5_000
"""People in one change at most."""
AT_ONCE: Final = 1
"""Changes dealt with at once: how many people a member subscribed for is counted before those of a change are taken in,
so that the next one is to be looked at when they are."""
REPLY_MS: Final = 7 * 86_400_000
_BENEFITS: Final = frozenset(words.BenefitType.DESCRIPTOR.values_by_number) - {0}
_ROSTER_FACTOR: Final = 1.5


class Registering:
    """Deals with deliveries of kind SUBSCRIPTION.

    Args:
        policy: what is allowed at the moment; None: nothing.
        monitored: departments here that tell of changes, of the moment.
    """

    def __init__(
        self,
        policy: Callable[[], Policy | None],
        watches: Watches,
        audit: AuditLog,
        post: Post,
        clock: Clock,
        settings: NoticesSettings,
        monitored: Callable[[], Sequence[int]],
    ) -> None:
        self._policy = policy
        self._watches = watches
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
        refused: RefusedError | None = None
        until_ms = min(change.until_ms, now_ms + self._lease_ms) if change.until_ms else 0
        if until_ms:
            refused = await self._refusal(delivery.sender, change, now_ms)
        effects: list[Effect] = []
        if refused is None:
            effects.append(self._watches.registering(_registration(delivery.sender, change, until_ms)))
        if change.until_ms:
            effects.append(self._post.effect(self._reply(delivery, refused, until_ms, now_ms)))
        effects.append(self._audit.effect(_event(delivery, change, refused, until_ms, now_ms)))
        return Handled(effects)

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
        policy, context = self._policy(), change.context
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

    def _reply(self, delivery: Received, refused: RefusedError | None, until_ms: int, now_ms: int) -> Letter:
        reply = notices_pb2.SubscriptionReply(answers_to=delivery.delivery_id)
        if refused is None:
            reply.until_ms = until_ms
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
    return change


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
