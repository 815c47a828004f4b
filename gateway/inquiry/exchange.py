"""The answering side's door: envelope in, envelope out.

Owns the order in which a sealed question is dealt with: open and verify; the TLS peer is the sender; accepted once;
parsed; decided; recorded; answered; sealed. What was decided is written down while the departments are asked, so that
an answer seldom waits for its record, and nothing leaves without it. Refuses: unsealed refusals for anything that
opened and verified, because a refusal is an answer and is signed like one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

from google.protobuf.message import DecodeError

from certs.identity import ROLE_GATEWAY, Identity
from gateway.aside import Aside
from gateway.clock import Clock
from gateway.errors import EnvelopeError, RefusedError, WuganError
from gateway.exchange.columns import varint
from gateway.exchange.envelope import Opened, Sealed, open_question, seal
from gateway.exchange.header import LIMITS
from gateway.exchange.keys import EncryptionKey, Keyring, OwnKeys
from gateway.exchange.refusals import not_a_gateway
from gateway.exchange.replay import ReplayGuard, claim
from gateway.inquiry.answering import Account, Inquiry, read_people
from gateway.inquiry.findings import Part
from gateway.observing import calls, clocks, metrics, tracing
from gateway.store.audit import AuditEvent, AuditLog
from gateway.store.chain import ChainHead
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_Wrong = Sequence[RefusedError | None]
"""What is wrong with each question as a part of its envelope."""
_Outcome = exchange_pb2.Findings | WuganError
_trace_of = attrgetter("trace")


class Exchange:
    """Answers sealed questions of other members.

    Args:
        own: gives own keys as they are at the moment.
        directory: gives the keys of the moment; raises DirectoryError once they have expired.
        reserve_s: kept back from the asker's deadline for grading, sealing and the way home.
        default_s: time for an answer where the asker set no deadline.
        aside: where the questions of streams are opened and their answers sealed.
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
        aside: Aside | None = None,
    ) -> None:
        self._aside = aside or Aside()
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
        self.messages = 0
        """Messages of others that were opened and read so far."""
        self.questions = 0
        """Questions in them."""

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
        now_ms = self._clock.now_ms()
        try:
            opened, questions, wrong = _read(envelope, self._own(), self._directory(), now_ms, peer)
        except EnvelopeError as error:
            _count_if_expired(error, peer)
            raise
        clocks.OFFSETS.seen(peer.member_id, now_ms - opened.header.issued_at_ms)
        time_s = self._default_s if remaining_s is None else min(remaining_s, self._default_s * 10)
        with tracing.resume("answer", map(_trace_of, questions)) as span:
            span.tell(partner=peer.member_id, questions=len(questions))
            tracing.note("open", began)
            self._under_way += 1
            try:
                return await self._answer_opened(opened, questions, wrong, time_s, now_ms)
            finally:
                self._under_way -= 1

    async def answer_batch(self, envelope: envelope_pb2.Envelope, peer: Identity) -> envelope_pb2.Envelope:
        """Deal with one sealed question of a stream, a large one: behind single questions, and beside the event loop.

        The time for the answer is the envelope's life, counted from now. Raises as `answer`.
        """
        began = self._clock.monotonic()
        now_ms = self._clock.now_ms()
        most = self._inquiry.max_subjects
        try:
            opened, questions, wrong, parts = await self._aside.do(
                _read_with_people, envelope, self._own(), self._directory(), now_ms, peer, most
            )
        except EnvelopeError as error:
            _count_if_expired(error, peer)
            raise
        header = opened.header
        clocks.OFFSETS.seen(header.sender, now_ms - header.issued_at_ms)
        time_s = (header.expires_at_ms - header.issued_at_ms) / 1000 - (self._clock.monotonic() - began)
        with tracing.resume("answer", map(_trace_of, questions)) as span:
            span.tell(partner=header.sender, questions=len(questions))
            tracing.note("open", began)
            return await self._answer_opened(opened, questions, wrong, time_s, now_ms, parts)

    async def _answer_opened(
        self,
        opened: Opened,
        questions: Sequence[exchange_pb2.Question],
        wrong: _Wrong,
        time_s: float,
        now_ms: int,
        parts: Sequence[Part | WuganError] | None = None,
    ) -> envelope_pb2.Envelope:
        """The same for questions that were opened and read; `parts`: their people too, of a question of a stream."""
        self.messages += 1
        self.questions += len(questions)
        sender = opened.header.sender
        accounts = [Account() for _ in questions]
        held = claim(self._guard, opened, now_ms)
        record = _Record(self._audit, self._clock, opened, questions, accounts)
        try:
            left_s = max(0.0, time_s - self._reserve_s)
            prepared = self._inquiry.prepare(sender, questions, left_s, accounts, parts, wrong)
            # One commit for both: the message is used up, and what is done because of it is accounted for.
            held.submit()
            record.decided(prepared.refused)
            outcomes = await self._inquiry.answer(prepared, alone=self._under_way == 1 and parts is None)
        except asyncio.CancelledError:
            # Departments may have been asked already: that is processing, and is accounted for.
            record.all(words.REFUSAL_REASON_DEADLINE_EXCEEDED, "given up by the asker")
            raise
        try:
            # Of this moment: whoever was taken out of the directory meanwhile gets no answer.
            recipient_key = self._directory().encryption_key(sender, self._clock.now_ms())
        except WuganError as error:
            record.all(error.reason, error.en)
            raise
        with tracing.span("seal"):
            if parts is None:
                sealed = self._sealed(opened, questions, outcomes, recipient_key)
            else:
                sealed = await self._aside.do(self._sealed, opened, questions, outcomes, recipient_key)
        for outcome in outcomes:
            metrics.QUESTIONS.add(sender, outcome.code if isinstance(outcome, WuganError) else calls.OK)
        record.answered(outcomes)
        self._audit.wake()  # the disk may have been quicker than the sealing
        if parts is None and not record.done:
            recipient_key.prepare()  # for the next one, while the disk is at work
        try:
            with tracing.span("record"):
                await record.written()
                await held.accepted()
        except EnvelopeError as error:
            # Seen before a restart, or by another instance: recorded as answered, so it is recorded that it was not.
            record.all(error.reason, error.en)
            raise
        if parts is None:
            asyncio.get_running_loop().call_soon(recipient_key.prepare)  # if it was not, once the answer is on its way
        return sealed.envelope

    def _sealed(
        self,
        opened: Opened,
        questions: Sequence[exchange_pb2.Question],
        outcomes: list[_Outcome],
        recipient_key: EncryptionKey,
    ) -> Sealed:
        """The answers under seal; `outcomes` become what they say where they are too large."""
        header = opened.header
        return seal(
            self._own(),
            header.sender,
            recipient_key,
            kind=envelope_pb2.MESSAGE_KIND_ANSWER,
            purpose=header.purpose,
            payloads=_payloads(questions, outcomes),
            now_ms=self._clock.now_ms(),
            lifetime_ms=self._lifetime_ms,
            question=opened,
        )


class _Record:
    """The rows of the audit trail about one message, one for each question: what was decided, written before anybody
    is asked; and another row where it came to be otherwise.
    """

    def __init__(
        self,
        audit: AuditLog,
        clock: Clock,
        opened: Opened,
        questions: Sequence[exchange_pb2.Question],
        accounts: Sequence[Account],
    ) -> None:
        self._audit = audit
        self._clock = clock
        self._opened = opened
        self._questions = questions
        self._accounts = accounts
        self._outcomes: list[int] = []
        self._written: list[asyncio.Future[ChainHead]] = []

    def decided(self, refused: Sequence[WuganError | None]) -> None:
        """Each question will be answered (None), or is refused."""
        said = []
        for position, error in enumerate(refused):
            self._outcomes.append(0 if error is None else error.reason)
            said.append((position, "" if error is None else error.en))
        self._rows(said, meanwhile=True)

    def answered(self, outcomes: Sequence[_Outcome]) -> None:
        """Each question was answered so."""
        changed = []
        for position, outcome in enumerate(outcomes):
            reason, said = (outcome.reason, outcome.en) if isinstance(outcome, WuganError) else (0, "")
            if reason != self._outcomes[position]:
                self._outcomes[position] = reason
                changed.append((position, said))
        if changed:
            self._rows(changed)

    def all(self, outcome: int, decision: str) -> None:
        """None of them was answered after all, for one reason."""
        self._outcomes = [outcome] * len(self._questions)
        self._rows([(position, decision) for position in range(len(self._questions))])

    @property
    def done(self) -> bool:
        """Whether it is on the disk, or could not be written."""
        for row in self._written:  # noqa: SIM110  a generator takes longer than the one row that there mostly is
            if not row.done():
                return False
        return True

    async def written(self) -> None:
        """Return when it is on the disk.

        Raises:
            StoreError: it could not be written.
        """
        for row in self._written:
            await row

    def _rows(self, said: Sequence[tuple[int, str]], *, meanwhile: bool = False) -> None:
        """A row for each of these questions, in one commit; `meanwhile`: they are being answered."""
        opened = self._opened
        header = opened.header
        left = len(said)
        for position, decision in said:
            left -= 1
            question = self._questions[position]
            event = AuditEvent.of(
                question.context,
                at_ms=self._clock.now_ms(),
                direction="in",
                counterpart=header.sender,
                message_id=header.message_id,
                digest=opened.digest,
                subjects=len(question.subjects.id_number),
                outcome=self._outcomes[position],
                decision=self._accounts[position].of(decision),
            )
            self._written.append(self._audit.submit(event, more=left > 0, meanwhile=meanwhile))


def _question(payload: bytes, purpose: int) -> tuple[exchange_pb2.Question, RefusedError | None]:
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


def _count_if_expired(error: EnvelopeError, peer: Identity) -> None:
    """What was refused as too old, or of a time to come, says something of the two clocks."""
    if error.reason == words.REFUSAL_REASON_ENVELOPE_EXPIRED:
        clocks.OFFSETS.refused(peer.member_id)


def _read(
    envelope: envelope_pb2.Envelope, own: OwnKeys, directory: Keyring, now_ms: int, peer: Identity
) -> tuple[Opened, list[exchange_pb2.Question], list[RefusedError | None]]:
    """A sealed question, opened and verified, the questions in it, and what is wrong with each of them."""
    if peer.role != ROLE_GATEWAY:
        raise not_a_gateway()
    opened = open_question(envelope, own, directory, now_ms=now_ms, expect_sender=peer.member_id)
    purpose = opened.header.purpose
    questions: list[exchange_pb2.Question] = []
    found: list[RefusedError | None] = []
    for payload in opened.parts.payloads:
        question, wrong = _question(payload, purpose)
        questions.append(question)
        found.append(wrong)
    return opened, questions, found


def _read_with_people(
    envelope: envelope_pb2.Envelope, own: OwnKeys, directory: Keyring, now_ms: int, peer: Identity, most: int
) -> tuple[Opened, list[exchange_pb2.Question], list[RefusedError | None], list[Part | WuganError]]:
    """The same, with the people of each question, or what is wrong with it or with them."""
    opened, questions, found = _read(envelope, own, directory, now_ms, peer)
    parts: list[Part | WuganError] = []
    for question, wrong in zip(questions, found, strict=True):
        try:
            parts.append(read_people(question, max_subjects=most) if wrong is None else wrong)
        except WuganError as error:
            parts.append(error)
    return opened, questions, found, parts


def _payloads(questions: Sequence[exchange_pb2.Question], outcomes: list[_Outcome]) -> list[bytes]:
    """The answers as they travel; where they are too large together, the largest are refused instead."""
    payloads = []
    for position, outcome in enumerate(outcomes):
        payloads.append(_payload(questions[position].context, outcome))
    excess = sum(map(len, payloads)) - LIMITS.max_payload_bytes
    if excess <= 0:  # as nearly always
        return payloads
    for position in sorted(range(len(payloads)), key=lambda at: -len(payloads[at])):
        if excess <= 0:
            break
        size = len(payloads[position])
        outcomes[position] = refusal = _too_large()
        payloads[position] = _payload(questions[position].context, refusal)
        excess -= size - len(payloads[position])
    return payloads


def _payload(context: exchange_pb2.Context, outcome: _Outcome) -> bytes:
    """An Answer, serialized."""
    if isinstance(outcome, WuganError):
        answer = exchange_pb2.Answer(context=context)
        answer.refusal.CopyFrom(
            exchange_pb2.Refusal(
                reason=outcome.reason,
                field=outcome.field,
                message_zh=outcome.zh,
                message_en=outcome.en,
                retryable=outcome.retryable,
                retry_after_ms=outcome.retry_after_ms,
            )
        )
        return answer.SerializeToString()
    # Both fields as they are serialized: copying findings of thousands into a message costs more than all else here.
    said, findings = context.SerializeToString(), outcome.SerializeToString()
    return b"".join((_CONTEXT_TAG, varint(len(said)), said, _FINDINGS_TAG, varint(len(findings)), findings))


_CONTEXT_TAG: Final = bytes([exchange_pb2.Answer.CONTEXT_FIELD_NUMBER << 3 | 2])
_FINDINGS_TAG: Final = bytes([exchange_pb2.Answer.FINDINGS_FIELD_NUMBER << 3 | 2])


def _too_large() -> RefusedError:
    return RefusedError(
        "the answer is too large for one envelope; ask about fewer people, or for less evidence",
        "答复过大，请减少查询人数或证据条数",
        reason=words.REFUSAL_REASON_TOO_LARGE,
    )
