"""Asking another member's gateway: one sealed question, one verified answer.

Owns: the channels to partners, sealing and opening of what goes over them, and the checks that an answer fits its
question. Refuses: deciding whom to ask, merging, retrying. Every failure comes out as an error of our tree: what the
partner refused as a RefusedError, what it did wrong as PARTNER_FAULTY, what did not come as PARTNER_UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError

from gateway.clock import Clock
from gateway.errors import EnvelopeError, PartnerError, RefusedError
from gateway.exchange.envelope import Opened, Sealed, open_answer, seal
from gateway.exchange.keys import OwnKeys
from gateway.federation.directory import DirectorySource
from gateway.status import from_rpc_error
from wugan.federation.v1 import envelope_pb2, exchange_pb2, exchange_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

ChannelFactory = Callable[[str, str], grpc.aio.Channel]
"""(address, TLS name the server must prove) → channel."""

_INT32_MAX = (1 << 31) - 1
_STATUSES = frozenset(words.SurvivalStatus.values())
_REFUSALS = frozenset(words.RefusalReason.values()) - {words.REFUSAL_REASON_UNSPECIFIED}


@dataclass(frozen=True, slots=True)
class PartnerAnswer:
    """A member's findings, and what proves later that it gave them."""

    member_id: str
    findings: exchange_pb2.Findings
    opened: Opened


class Partners:
    """The other members' gateways, as the directory of the moment names them."""

    def __init__(
        self, own: OwnKeys, directory: DirectorySource, channel: ChannelFactory, clock: Clock, *, lifetime_ms: int
    ) -> None:
        self._own = own
        self._directory = directory
        self._channel = channel
        self._clock = clock
        self._lifetime_ms = lifetime_ms
        self._open: dict[tuple[str, str], tuple[grpc.aio.Channel, exchange_pb2_grpc.FederationServiceAsyncStub]] = {}

    def seal(self, member_id: str, question: exchange_pb2.Question) -> Sealed:
        """The question, sealed for a member.

        Raises:
            EnvelopeError: the directory has no key of the member, or the question is too large.
            DirectoryError: the directory has expired.
        """
        now_ms = self._clock.now_ms()
        directory = self._directory.current()
        return seal(
            self._own,
            member_id,
            directory.encryption_key(member_id, now_ms),
            kind=envelope_pb2.MESSAGE_KIND_QUESTION,
            purpose=question.context.purpose,
            payload=question.SerializeToString(),
            now_ms=now_ms,
            lifetime_ms=self._lifetime_ms,
        )

    async def ask(self, question: exchange_pb2.Question, sealed: Sealed, timeout_s: float) -> PartnerAnswer:
        """Send a sealed question to its recipient; the verified answer within `timeout_s` seconds.

        Raises:
            RefusedError: the member refused the question; reason and texts are the member's.
            PartnerError: it could not be reached in time, or its answer does not verify or does not fit.
            DirectoryError: the directory has expired.
        """
        directory = self._directory.current()
        member_id = sealed.header.recipient
        gateway = directory.gateway_of(member_id)
        envelope = await self._exchange(gateway.address, gateway.tls_name, sealed.envelope, timeout_s)
        directory = self._directory.current()  # of this moment: whoever was taken out of it meanwhile is not believed
        try:
            opened = open_answer(envelope, self._own, directory, now_ms=self._clock.now_ms(), question=sealed)
            answer = exchange_pb2.Answer.FromString(opened.payload)
        except (EnvelopeError, DecodeError) as error:
            raise _faulty("does not open, verify or parse") from error
        if answer.context != question.context:
            raise _faulty("is for another context")
        if answer.HasField("refusal"):
            raise _refused(answer.refusal)
        findings, people = answer.findings, len(question.subjects.id_number)
        check_findings(findings, people)
        if question.as_of_on and findings.as_of_on != question.as_of_on:
            raise _faulty("is as of another day")
        if len(findings.evidence.subject) > question.evidence_limit * people:
            raise _faulty("holds more evidence than was asked for")
        return PartnerAnswer(member_id, findings, opened)

    async def _exchange(
        self, address: str, tls_name: str, envelope: envelope_pb2.Envelope, timeout_s: float
    ) -> envelope_pb2.Envelope:
        try:
            return await self._stub(address, tls_name).Exchange(envelope, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            ours = from_rpc_error(error)
            if ours is not None:
                raise RefusedError(
                    ours.en,
                    ours.zh,
                    reason=ours.reason,
                    field=ours.field,
                    retryable=ours.retryable,
                    retry_after_ms=ours.retry_after_ms,
                ) from error
            late = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            raise PartnerError(
                "the other province did not answer in time; ask again with a longer deadline"
                if late
                else "the other province's gateway cannot be reached; ask again later",
                "对方省份未在时限内答复，请延长时限后重试" if late else "暂时无法连接对方省份网关，请稍后重试",
                reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED if late else words.REFUSAL_REASON_PARTNER_UNAVAILABLE,
            ) from error

    def _stub(self, address: str, tls_name: str) -> exchange_pb2_grpc.FederationServiceAsyncStub:
        key = (address, tls_name)
        held = self._open.get(key)
        if held is None:
            channel = self._channel(address, tls_name)
            held = channel, exchange_pb2_grpc.FederationServiceStub(channel)
            self._open[key] = held
        return held[1]

    async def close(self) -> None:
        """Close every channel; calls in flight are cancelled."""
        channels = [channel for channel, _ in self._open.values()]
        self._open.clear()
        await asyncio.gather(*(channel.close() for channel in channels))


def check_findings(findings: exchange_pb2.Findings, subjects: int) -> None:
    """Check that findings fit a question about so many people: column lengths, row numbers, known words.

    Raises:
        PartnerError: PARTNER_FAULTY; nothing of the findings may be used.
    """
    dense = (
        findings.status,
        findings.flags,
        findings.decided_on,
        findings.last_trace_on,
        findings.valid_until_on,
    )
    if any(len(column) != subjects for column in dense):
        raise _faulty("has columns of a wrong length")
    reasons, evidence, links, refused = findings.reasons, findings.evidence, findings.links, findings.refused
    groups = (
        (reasons.subject, (reasons.code, reasons.department, reasons.kind, reasons.on, reasons.number)),
        (
            evidence.subject,
            (
                evidence.kind,
                evidence.department,
                evidence.region,
                evidence.observed_on,
                evidence.available_on,
                evidence.strength,
                evidence.source_reference,
                evidence.detail,
                evidence.from_on,
                evidence.until_on,
            ),
        ),
        (links.subject, (links.id_number, links.since_on)),
        (refused.subject, (refused.reason,)),
    )
    for rows, columns in groups:
        count = len(rows)
        if any(len(column) != count for column in columns):
            raise _faulty("has columns of a wrong length")
        if count and max(rows) >= subjects:
            raise _faulty("speaks of people who were not asked about")
    if not {text.code for text in findings.reason_texts}.issuperset(reasons.code):
        raise _faulty("gives reasons without their texts")
    if max(reasons.code, default=0) > _INT32_MAX or max(reasons.number, default=0) > _INT32_MAX:
        raise _faulty("gives reasons out of range")
    if not _STATUSES.issuperset(findings.status):
        raise _faulty("uses a status this version does not know")
    if not _REFUSALS.issuperset(refused.reason):
        raise _faulty("refuses for a reason this version does not know")
    if {row for row, status in enumerate(findings.status) if not status} != set(refused.subject):
        raise _faulty("leaves people without status or refusal, or gives both")


def _refused(refusal: exchange_pb2.Refusal) -> RefusedError:
    if refusal.reason not in _REFUSALS:
        raise _faulty("refuses for a reason this version does not know")
    return RefusedError(
        refusal.message_en[:500] or "the other province refused the question and did not say why; ask it",
        refusal.message_zh[:500] or "对方省份拒绝了查询但未说明原因，请联系对方",
        reason=refusal.reason,
        field=refusal.field[:200],
        retryable=refusal.retryable,
        retry_after_ms=refusal.retry_after_ms,
    )


def _faulty(what: str) -> PartnerError:
    return PartnerError(
        f"the other province's answer {what}; it was not used. Report this to its administrator",
        "对方省份的答复未通过校验，未予采用，请联系对方管理员",
        reason=words.REFUSAL_REASON_PARTNER_FAULTY,
        retryable=False,
    )
