"""The answering side's door: envelope in, envelope out.

Owns the order in which a sealed question is dealt with: open and verify; the TLS peer is the sender; accepted once;
parsed; answered; recorded; sealed. Refuses: unsealed refusals for anything that opened and verified, because a refusal
is an answer and is signed like one.
"""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError

from certs.identity import ROLE_GATEWAY, Identity
from gateway.clock import Clock
from gateway.errors import EnvelopeError, RefusedError, WuganError
from gateway.exchange.envelope import Opened, open_question, seal
from gateway.exchange.keys import Keyring, OwnKeys
from gateway.exchange.replay import ReplayGuard, admit
from gateway.inquiry.answering import Inquiry
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
        await admit(self._guard, opened, now_ms)
        time_s = self._default_s if remaining_s is None else min(remaining_s, self._default_s * 10)
        answer = await self._answer(opened, max(0.0, time_s - self._reserve_s))
        sealed = seal(
            self._own,
            header.sender,
            directory.encryption_key(header.sender, now_ms),
            kind=envelope_pb2.MESSAGE_KIND_ANSWER,
            purpose=header.purpose,
            payload=answer.SerializeToString(),
            now_ms=self._clock.now_ms(),
            lifetime_ms=self._lifetime_ms,
            question=opened,
        )
        return sealed.envelope

    async def _answer(self, opened: Opened, time_s: float) -> exchange_pb2.Answer:
        """The answer to a verified question, recorded; a refusal is one too."""
        header = opened.header
        question = exchange_pb2.Question()
        answer = exchange_pb2.Answer()
        try:
            try:
                question.ParseFromString(opened.payload)
            except DecodeError as error:
                raise RefusedError(
                    "the payload is not a Question; check the versions of both gateways",
                    "载荷不是有效的查询消息，请核对双方网关版本",
                ) from error
            answer.context.CopyFrom(question.context)
            if question.context.purpose != header.purpose:
                raise RefusedError(
                    "the purpose of the question differs from that of its envelope",
                    "查询目的与信封不一致",
                    field="context.purpose",
                )
            findings = await self._inquiry.answer(header.sender, question, time_s)
            answer.findings.CopyFrom(findings)
            outcome = words.REFUSAL_REASON_UNSPECIFIED
        except WuganError as error:
            outcome = error.reason
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
        await self._record(opened, question, outcome)
        return answer

    async def _record(self, opened: Opened, question: exchange_pb2.Question, outcome: int) -> None:
        context = question.context
        await self._audit.record(
            AuditEvent(
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
            )
        )


def _not_the_sender() -> EnvelopeError:
    return EnvelopeError(
        "the TLS certificate is not that of a member's gateway; connect with the sender's own certificate",
        "TLS 证书不属于成员网关，请使用发送方自己的证书连接",
        reason=words.REFUSAL_REASON_PEER_MISMATCH,
    )
