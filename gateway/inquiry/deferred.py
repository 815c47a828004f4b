"""Questions that were left here: asked of the departments patiently, and answered late.

Owns: when departments that were silent are asked again, and what the asker gets meanwhile: the first answer at once if
it has a gap, and the last one when nothing is missing any more or the question's time is over. Refuses: deciding
whether the question is allowed, and answering it (`answering` does both), and sending (the answer is a letter in the
outbox, committed together with the record of it).

By a clock that is ahead for a moment nothing is the last answer: a question's time is measured by one that is believed.

People are counted in quotas once, when the question is first asked of the departments; a crash just then may count them
twice, never not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError

from gateway.clock import Clock
from gateway.errors import AccessError, RefusedError, WuganError
from gateway.exchange.keys import Keyring
from gateway.exchange.question import check_question
from gateway.inquiry.answering import Account, Inquiry
from gateway.post.leaving import Post
from gateway.post.letters import Handled, Received, delivery_digest, letter
from gateway.resilience.backoff import Backoff
from gateway.sections.lasting import OutboxSettings
from gateway.store.audit import AuditEvent, AuditLog
from gateway.store.jumps import STEP_MS, Jumps
from gateway.store.letters import Effect
from wugan.federation.v1 import delivery_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

ANSWER_LIFE_MS: Final = 7 * 86_400_000
"""How long after the question's time an answer may be on its way: the asker may have been away for a week."""

_TOLD: Final = 1
"""Progress of a question: its people were counted, and the asker has a first answer."""

_MAY_STILL_COME: Final = frozenset({words.SOURCE_OUTCOME_SILENT, words.SOURCE_OUTCOME_UNAVAILABLE})


class DeferredQuestions:
    """Deals with deliveries of kind QUESTION.

    Args:
        directory: gives the keys of the moment; who is in it no more is not answered.
        settings: what departments get at each attempt, and how long until they are asked again.
        max_subjects: people in one question at most.
    """

    def __init__(
        self,
        inquiry: Inquiry,
        directory: Callable[[], Keyring],
        post: Post,
        audit: AuditLog,
        clock: Clock,
        settings: OutboxSettings,
        *,
        max_subjects: int,
    ) -> None:
        self._inquiry = inquiry
        self._directory = directory
        self._post = post
        self._audit = audit
        self._clock = clock
        self._jumps = Jumps(clock, STEP_MS)
        self._max_subjects = max_subjects
        self._settings = settings
        self._again = Backoff(settings.again_first_s, settings.again_longest_s)

    def check(self, sender: str, purpose: int, body: bytes, now_ms: int) -> None:
        """Refuse what is no question, before it is accepted. See `Handler.check`."""
        try:
            question = exchange_pb2.Question.FromString(body)
        except DecodeError:
            raise RefusedError(
                "the delivery holds no Question; check the versions of both gateways",
                "投递内容不是有效的查询消息，请核对双方网关版本",
                field="body",
            ) from None
        if question.context.purpose != purpose:
            raise RefusedError(
                "the purpose of the question differs from that of its envelope",
                "查询目的与信封不一致",
                field="context.purpose",
            )
        check_question(question, max_subjects=self._max_subjects)

    async def handle(self, delivery: Received) -> Handled:
        """Ask the departments, and answer, or ask again later. See `Handler.handle`."""
        now_ms = self._clock.now_ms()
        self._directory().encryption_key(delivery.sender, now_ms)  # who may not be told need not be asked about
        question = exchange_pb2.Question.FromString(delivery.body)
        account = Account(counted=delivery.progress >= _TOLD)
        outcome: exchange_pb2.Findings | WuganError
        if now_ms >= self._until_ms(delivery):
            if self._jumps.at_least_ms() < delivery.expires_at_ms:  # a machine that has just started may be wrong
                return Handled(again_at_ms=now_ms + self._pause_ms(delivery.attempts), progress=delivery.progress)
            outcome = _too_late()
        else:
            prepared = self._inquiry.prepare(delivery.sender, [question], self._settings.question_patience_s, [account])
            (outcome,) = await self._inquiry.answer(prepared)
        again_ms, until_ms = self._clock.now_ms() + self._pause_ms(delivery.attempts), self._until_ms(delivery)
        answer = exchange_pb2.Answer(context=question.context)
        if isinstance(outcome, WuganError):
            again_ms = max(again_ms, now_ms + outcome.retry_after_ms)
            if outcome.retryable and again_ms < until_ms:
                # Who may ask was decided: that is on record, though nobody is told yet.
                waits = [self._record(delivery, question, account, outcome.reason, outcome.en)]
                return Handled(waits if isinstance(outcome, AccessError) else (), again_ms, delivery.progress)
            answer.refusal.CopyFrom(_refusal(outcome))
            return Handled(self._effects(delivery, question, answer, account, final=True))
        answer.findings.CopyFrom(outcome)
        missing = any(source.outcome in _MAY_STILL_COME for source in outcome.sources)
        if not missing or again_ms >= until_ms:
            return Handled(self._effects(delivery, question, answer, account, final=True))
        if delivery.progress >= _TOLD:
            return Handled(again_at_ms=again_ms, progress=_TOLD)
        return Handled(self._effects(delivery, question, answer, account, final=False), again_ms, _TOLD)

    def _until_ms(self, delivery: Received) -> int:
        """When the time of a question is over, by the clock as it goes just now."""
        return delivery.expires_at_ms + self._jumps.ahead_ms()

    def _pause_ms(self, attempts: int) -> int:
        return round(1000 * self._again.bound_s(attempts + 1))

    def _effects(
        self,
        delivery: Received,
        question: exchange_pb2.Question,
        answer: exchange_pb2.Answer,
        account: Account,
        *,
        final: bool,
    ) -> list[Effect]:
        """The answer on its way, and the record of it."""
        now_ms = self._clock.now_ms()
        digest = delivery_digest(delivery.delivery_id, delivery.body)
        late = delivery_pb2.LateAnswer(
            answers_to=delivery.delivery_id, question_digest=digest, answer=answer, final=final
        )
        reply = letter(
            delivery.sender,
            delivery_pb2.DELIVERY_KIND_ANSWER,
            late.SerializeToString(),
            purpose=delivery.purpose,
            now_ms=now_ms,
            expires_at_ms=max(now_ms, delivery.expires_at_ms) + ANSWER_LIFE_MS,
            order_key=delivery.delivery_id,  # the last answer comes last
        )
        said = answer.refusal.message_en or ("late answer" if final else "late answer, not the last")
        return [self._post.effect(reply), self._record(delivery, question, account, answer.refusal.reason, said)]

    def _record(
        self, delivery: Received, question: exchange_pb2.Question, account: Account, outcome: int, said: str
    ) -> Effect:
        """The record of what was decided on a question, and what came of it."""
        return self._audit.effect(
            AuditEvent.of(
                question.context,
                at_ms=self._clock.now_ms(),
                direction="in",
                counterpart=delivery.sender,
                message_id=delivery.delivery_id,
                digest=delivery_digest(delivery.delivery_id, delivery.body),
                subjects=len(question.subjects.id_number),
                outcome=outcome,
                decision=account.of(said),
            )
        )


def _refusal(error: WuganError) -> exchange_pb2.Refusal:
    return exchange_pb2.Refusal(
        reason=error.reason,
        field=error.field,
        message_zh=error.zh,
        message_en=error.en,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
    )


def _too_late() -> RefusedError:
    return RefusedError(
        "the question was left until a time that is over; ask again",
        "留置查询已过有效期，请重新查询",
        reason=words.REFUSAL_REASON_DELIVERY_EXPIRED,
    )
