"""The answering side's door: envelope in, envelope out.

Owns the order in which a sealed question is dealt with: open and verify; the TLS peer is the sender; accepted once;
parsed; decided; recorded; answered; sealed. What was decided is written down while the departments are asked, so that
an answer seldom waits for its record, and nothing leaves without it. Refuses: unsealed refusals for anything that
opened and verified, because a refusal is an answer and is signed like one.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError

from certs.identity import ROLE_GATEWAY, Identity
from gateway.clock import Clock
from gateway.errors import EnvelopeError, RefusedError, WuganError
from gateway.exchange.envelope import Opened, open_question, seal
from gateway.exchange.header import LIMITS
from gateway.exchange.keys import Keyring, OwnKeys
from gateway.exchange.refusals import not_a_gateway
from gateway.exchange.replay import ReplayGuard, claim
from gateway.inquiry.answering import Account, Inquiry
from gateway.observing import calls, clocks, metrics, tracing
from gateway.store.audit import AuditEvent, AuditLog
from gateway.store.chain import ChainHead
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_Asked = tuple[exchange_pb2.Question, RefusedError | None]
"""A question of an envelope, and what is wrong with it."""


class Exchange:
    """Answers sealed questions of other members.

    Args:
        own: gives own keys as they are at the moment.
        directory: gives the keys of the moment; raises DirectoryError once they have expired.
        reserve_s: kept back from the asker's deadline for grading, sealing and the way home.
        default_s: time for an answer where the asker set no deadline.
    """

    def __init__(
        self,
        own: Callable[[], OwnKeys],
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
        began = self._clock.monotonic()
        directory = self._directory()
        now_ms = self._clock.now_ms()
        if peer.role != ROLE_GATEWAY:
            raise not_a_gateway()
        try:
            opened = open_question(envelope, self._own(), directory, now_ms=now_ms, expect_sender=peer.member_id)
        except EnvelopeError as error:
            if error.reason == words.REFUSAL_REASON_ENVELOPE_EXPIRED:
                clocks.OFFSETS.refused(peer.member_id)
            raise
        header = opened.header
        clocks.OFFSETS.seen(header.sender, now_ms - header.issued_at_ms)
        time_s = self._default_s if remaining_s is None else min(remaining_s, self._default_s * 10)
        questions = [_question(payload, header.purpose) for payload in opened.payloads]
        with tracing.resume("answer", [question.trace for question, _ in questions]) as span:
            span.tell(partner=header.sender, questions=len(questions))
            tracing.note("open", began)
            return await self._answer_opened(opened, questions, time_s, now_ms)

    async def _answer_opened(
        self, opened: Opened, questions: Sequence[_Asked], time_s: float, now_ms: int
    ) -> envelope_pb2.Envelope:
        """The same for questions that were opened and read."""
        header = opened.header
        accounts = [Account() for _ in questions]
        held = claim(self._guard, opened, now_ms)
        record = _Record(functools.partial(self._record, opened), [question for question, _ in questions], accounts)

        def decided(outcomes: Sequence[WuganError | None]) -> None:
            # One commit for both: the message is used up, and what is done because of it is accounted for.
            held.submit()
            record.decided(outcomes)

        self._under_way += 1
        try:
            answers = await self._answers(header.sender, questions, accounts, time_s - self._reserve_s, decided)
        except asyncio.CancelledError:
            # Departments may have been asked already: that is processing, and is accounted for.
            record.all(words.REFUSAL_REASON_DEADLINE_EXCEEDED, "given up by the asker")
            raise
        finally:
            self._under_way -= 1
        payloads = _payloads(answers)
        for answer in answers:
            metrics.QUESTIONS.add(header.sender, _outcome(answer))
        try:
            # Of this moment: whoever was taken out of the directory meanwhile gets no answer.
            recipient_key = self._directory().encryption_key(header.sender, now_ms)
        except WuganError as error:
            record.all(error.reason, error.en)
            raise
        record.answered(answers)
        with tracing.span("seal"):
            sealed = seal(
                self._own(),
                header.sender,
                recipient_key,
                kind=envelope_pb2.MESSAGE_KIND_ANSWER,
                purpose=header.purpose,
                payloads=payloads,
                now_ms=self._clock.now_ms(),
                lifetime_ms=self._lifetime_ms,
                question=opened,
            )
        try:
            with tracing.span("record"):
                await record.written()
                await held.accepted()
        except EnvelopeError as error:
            # Seen before a restart, or by another instance: recorded as answered, so it is recorded that it was not.
            record.all(error.reason, error.en)
            raise
        return sealed.envelope

    async def _answers(
        self,
        sender: str,
        questions: Sequence[_Asked],
        accounts: Sequence[Account],
        time_s: float,
        decided: Callable[[Sequence[WuganError | None]], None],
    ) -> list[exchange_pb2.Answer]:
        """The answers to verified questions; a refusal is one too. Tells what was decided before anybody is asked."""
        asked = [question for question, wrong in questions if wrong is None]
        told = [account for account, (_, wrong) in zip(accounts, questions, strict=True) if wrong is None]
        prepared = self._inquiry.prepare(sender, asked, max(0.0, time_s), told)
        refused = iter(prepared.refused)
        decided([next(refused) if wrong is None else wrong for _, wrong in questions])
        outcomes = iter(await self._inquiry.answer(prepared, alone=self._under_way == 1))
        answers = []
        for question, wrong in questions:
            answer = exchange_pb2.Answer(context=question.context)
            outcome = next(outcomes) if wrong is None else wrong
            if isinstance(outcome, WuganError):
                _refuse(answer, outcome)
            else:
                answer.findings.CopyFrom(outcome)
            answers.append(answer)
        return answers

    def _record(
        self, opened: Opened, question: exchange_pb2.Question, outcome: int, decision: str
    ) -> asyncio.Future[ChainHead]:
        context = question.context
        return self._audit.submit(
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
                decision=decision,
            )
        )


class _Record:
    """The rows of the audit trail about one message, one for each question: what was decided, written before anybody
    is asked; and another row where it came to be otherwise.
    """

    def __init__(
        self,
        write: Callable[[exchange_pb2.Question, int, str], asyncio.Future[ChainHead]],
        questions: Sequence[exchange_pb2.Question],
        accounts: Sequence[Account],
    ) -> None:
        self._write = write
        self._questions = questions
        self._accounts = accounts
        self._outcomes: list[int] = []
        self._written: list[asyncio.Future[ChainHead]] = []

    def decided(self, refused: Sequence[WuganError | None]) -> None:
        """Each question will be answered (None), or is refused."""
        self._outcomes = [0 if error is None else error.reason for error in refused]
        for position, error in enumerate(refused):
            self._row(position, "" if error is None else error.en)

    def answered(self, answers: Sequence[exchange_pb2.Answer]) -> None:
        """Each question was answered so."""
        for position, answer in enumerate(answers):
            if answer.refusal.reason != self._outcomes[position]:
                self._outcomes[position] = answer.refusal.reason
                self._row(position, answer.refusal.message_en)

    def all(self, outcome: int, decision: str) -> None:
        """None of them was answered after all, for one reason."""
        self._outcomes = [outcome] * len(self._questions)
        for position in range(len(self._questions)):
            self._row(position, decision)

    async def written(self) -> None:
        """Return when it is on the disk.

        Raises:
            StoreError: it could not be written.
        """
        for row in self._written:
            await row

    def _row(self, position: int, decision: str) -> None:
        account = self._accounts[position]
        self._written.append(self._write(self._questions[position], self._outcomes[position], account.of(decision)))


def _question(payload: bytes, purpose: int) -> _Asked:
    """The question in a payload, and what is wrong with it as part of an envelope for that purpose."""
    question = exchange_pb2.Question()
    try:
        question.ParseFromString(payload)
    except DecodeError:
        return exchange_pb2.Question(), RefusedError(
            "the payload is not a Question; check the versions of both gateways",
            "载荷不是有效的查询消息，请核对双方网关版本",
        )
    if question.context.purpose != purpose:
        return question, RefusedError(
            "the purpose of the question differs from that of its envelope",
            "查询目的与信封不一致",
            field="context.purpose",
        )
    return question, None


def _outcome(answer: exchange_pb2.Answer) -> str:
    if not answer.HasField("refusal"):
        return calls.OK
    return words.RefusalReason.Name(answer.refusal.reason).removeprefix("REFUSAL_REASON_")


def _payloads(answers: Sequence[exchange_pb2.Answer]) -> list[bytes]:
    """The answers as they travel; where they are too large together, the largest are refused instead."""
    payloads = [answer.SerializeToString() for answer in answers]
    excess = sum(map(len, payloads)) - LIMITS.max_payload_bytes
    for position in sorted(range(len(payloads)), key=lambda at: -len(payloads[at])):
        if excess <= 0:
            break
        size = len(payloads[position])
        _refuse(answers[position], _too_large())
        payloads[position] = answers[position].SerializeToString()
        excess -= size - len(payloads[position])
    return payloads


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
