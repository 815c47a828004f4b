"""The answering side's door: envelope in, envelope out.

Owns the order in which a sealed question is dealt with: open and verify; the TLS peer is the sender; accepted once;
parsed; answered; recorded; sealed. Refuses: unsealed refusals for anything that opened and verified, because a refusal
is an answer and is signed like one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from google.protobuf.message import DecodeError

from certs.identity import ROLE_GATEWAY, Identity
from gateway.clock import Clock
from gateway.errors import EnvelopeError, RefusedError, WuganError
from gateway.exchange.envelope import Opened, open_question, seal
from gateway.exchange.header import LIMITS
from gateway.exchange.keys import Keyring, OwnKeys
from gateway.exchange.replay import ReplayGuard, admit
from gateway.inquiry.answering import Account, Inquiry
from gateway.store.audit import AuditEvent, AuditLog
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


class Exchange:
    """Answers sealed questions of other members.

    Args:
        directory: gives the keys of the moment; raises DirectoryError once they have expired.
        reserve_s: kept back from the asker's deadline for grading, sealing and the way home.
        default_s: time for an answer where the asker set no deadline.
    """

    def __init__(
        self,
        own: OwnKeys,
        directory: Callable[[], Keyring],
        guard: ReplayGuard,
        inquiry: Inquiry,
        audit: AuditLog,
        clock: Clock,
        *,
        lifetime_ms: int,
        reserve_s: float,
        default_s: float,
    ) -> None:
        self._own = own
        self._directory = directory
        self._guard = guard
        self._inquiry = inquiry
        self._audit = audit
        self._clock = clock
        self._lifetime_ms = lifetime_ms
        self._reserve_s = reserve_s
        self._default_s = default_s
        self._under_way = 0

    async def answer(
        self, envelope: envelope_pb2.Envelope, peer: Identity, remaining_s: float | None
    ) -> envelope_pb2.Envelope:
        """Deal with one sealed question; `remaining_s` is what is left of the asker's deadline.

        Raises:
            EnvelopeError: it cannot be opened, verified or accepted.
            DirectoryError: the directory has expired.
            StoreError: the replay guard or the audit log cannot be written; nothing was answered.
        """
        directory = self._directory()
        now_ms = self._clock.now_ms()
        if peer.role != ROLE_GATEWAY:
            raise _not_the_sender()
        opened = open_question(envelope, self._own, directory, now_ms=now_ms, expect_sender=peer.member_id)
        header = opened.header
        time_s = self._default_s if remaining_s is None else min(remaining_s, self._default_s * 10)
        question, wrong = _question(opened)
        account = Account()
        self._under_way += 1
        try:
            answer = await self._admitted(opened, question, wrong, account, now_ms, max(0.0, time_s - self._reserve_s))
        except asyncio.CancelledError:
            # Departments may have been asked already: that is processing, and is accounted for.
            given_up = words.REFUSAL_REASON_DEADLINE_EXCEEDED
            self._audit.submit(self._event(opened, question, given_up, account.of("given up by the asker")))
            raise
        finally:
            self._under_way -= 1
        payload = answer.SerializeToString()
        if len(payload) > LIMITS.max_payload_bytes:
            _refuse(answer, _too_large())
            payload = answer.SerializeToString()
        refusal = answer.refusal
        recorded = self._audit.submit(self._event(opened, question, refusal.reason, account.of(refusal.message_en)))
        sealed = seal(
            self._own,
            header.sender,
            directory.encryption_key(header.sender, now_ms),
            kind=envelope_pb2.MESSAGE_KIND_ANSWER,
            purpose=header.purpose,
            payload=payload,
            now_ms=self._clock.now_ms(),
            lifetime_ms=self._lifetime_ms,
            question=opened,
        )
        await recorded  # what leaves is accounted for, on the disk
        return sealed.envelope

    async def _admitted(
        self,
        opened: Opened,
        question: exchange_pb2.Question,
        wrong: RefusedError | None,
        account: Account,
        now_ms: int,
        time_s: float,
    ) -> exchange_pb2.Answer:
        """The answer to a question, once the replay guard has accepted it.

        The guard writes to the disk while the departments are asked; what it knows to be a replay without looking there
        is refused before anybody is asked, and nothing is answered before it has accepted.
        """
        admission = asyncio.ensure_future(admit(self._guard, opened, now_ms))
        await asyncio.sleep(0)
        if admission.done():
            admission.result()
        try:
            answer = await self._answer(opened.header.sender, question, wrong, account, time_s)
            await admission
        finally:
            admission.cancel()
        return answer

    async def _answer(
        self,
        sender: str,
        question: exchange_pb2.Question,
        wrong: RefusedError | None,
        account: Account,
        time_s: float,
    ) -> exchange_pb2.Answer:
        """The answer to a verified question; a refusal is one too."""
        answer = exchange_pb2.Answer(context=question.context)
        try:
            if wrong is not None:
                raise wrong
            alone = self._under_way == 1
            answer.findings.CopyFrom(await self._inquiry.answer(sender, question, time_s, account, alone=alone))
        except WuganError as error:
            _refuse(answer, error)
        return answer

    def _event(self, opened: Opened, question: exchange_pb2.Question, outcome: int, decision: str) -> AuditEvent:
        context = question.context
        return AuditEvent(
            at_ms=self._clock.now_ms(),
            direction="in",
            counterpart=opened.header.sender,
            unit=context.unit,
            official=context.official_pseudonym,
            purpose=context.purpose,
            legal_basis=context.legal_basis,
            case_reference=context.case_reference,
            message_id=opened.header.message_id,
            digest=opened.digest,
            subjects=len(question.subjects.id_number),
            outcome=outcome,
            decision=decision,
        )


def _question(opened: Opened) -> tuple[exchange_pb2.Question, RefusedError | None]:
    """The question of an envelope, and what is wrong with it as the payload of that envelope."""
    question = exchange_pb2.Question()
    try:
        question.ParseFromString(opened.payload)
    except DecodeError:
        return exchange_pb2.Question(), RefusedError(
            "the payload is not a Question; check the versions of both gateways",
            "载荷不是有效的查询消息，请核对双方网关版本",
        )
    if question.context.purpose != opened.header.purpose:
        return question, RefusedError(
            "the purpose of the question differs from that of its envelope",
            "查询目的与信封不一致",
            field="context.purpose",
        )
    return question, None


def _refuse(answer: exchange_pb2.Answer, error: WuganError) -> None:
    answer.refusal.CopyFrom(
        exchange_pb2.Refusal(
            reason=error.reason,
            field=error.field,
            message_zh=error.zh,
            message_en=error.en,
            retryable=error.retryable,
            retry_after_ms=error.retry_after_ms,
        )
    )


def _too_large() -> RefusedError:
    return RefusedError(
        "the answer is too large for one envelope; ask about fewer people, or for less evidence",
        "答复过大，请减少查询人数或证据条数",
        reason=words.REFUSAL_REASON_TOO_LARGE,
    )


def _not_the_sender() -> EnvelopeError:
    return EnvelopeError(
        "the TLS certificate is not that of a member's gateway; connect with the sender's own certificate",
        "TLS 证书不属于成员网关，请使用发送方自己的证书连接",
        reason=words.REFUSAL_REASON_PEER_MISMATCH,
    )
