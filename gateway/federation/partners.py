"""Asking another member's gateway: a sealed question, alone or with others, and its verified answer.

Owns: which questions share an envelope, sealing and opening of what goes over the channels to partners (`lines`), and
the checks that an answer fits its question. Refuses: deciding whom to ask, merging, retrying. Every failure comes out
as an error of our tree: what the partner refused as a RefusedError, what it did wrong as PARTNER_FAULTY, what did not
come as PARTNER_UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import grpc
from google.protobuf.message import DecodeError

from gateway.clock import Clock
from gateway.coalescing import Coalescer, patience
from gateway.errors import EnvelopeError, PartnerError, RefusedError, WuganError
from gateway.exchange.envelope import Proof, Sealed, open_answer, seal
from gateway.exchange.keys import OwnKeys
from gateway.federation.directory import Directory, DirectorySource
from gateway.federation.lines import ChannelFactory, Lines
from gateway.status import from_rpc_error
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

TOGETHER_AT_MOST = 32
"""Questions in one envelope at most: as many as arrive in the time that a few of them take."""
UNDER_WAY_AT_MOST = 2
"""Envelopes to a member on the same terms before questions gather for the next: one is dealt with here, one there."""

_INT32_MAX = (1 << 31) - 1
_STATUSES = frozenset(words.SurvivalStatus.values())
_REFUSALS = frozenset(words.RefusalReason.values()) - {words.REFUSAL_REASON_UNSPECIFIED}


@dataclass(frozen=True, slots=True)
class PartnerAnswer:
    """A member's findings, and what proves later that it gave them; `message_id` is of the answer."""

    member_id: str
    findings: exchange_pb2.Findings
    message_id: bytes
    proof: Proof


class Asking:
    """A question on its way to a member.

    Args:
        question: it.
        left: called with the envelope that it left in, while that is on its way.
    """

    __slots__ = ("left", "question")

    def __init__(self, question: exchange_pb2.Question, left: Callable[[Sealed], None]) -> None:
        self.question = question
        self.left = left


class _Terms(NamedTuple):
    """What questions must have in common to share an envelope."""

    member_id: str
    purpose: int
    patience: int


class Partners:
    """The other members' gateways, as the directory of the moment names them.

    Questions to the same member for the same purpose that come while the gateway is busy share an envelope: one seal,
    one call, one commit, one lookup and grading on the other side. Each keeps its own context, answer and proof.
    """

    def __init__(
        self,
        own: Callable[[], OwnKeys],
        directory: DirectorySource,
        channel: ChannelFactory,
        clock: Clock,
        *,
        lifetime_ms: int,
    ) -> None:
        self._own = own
        self._directory = directory
        self._lines = Lines(channel)
        self._clock = clock
        self._lifetime_ms = lifetime_ms
        self._together: Coalescer[_Terms, Asking, PartnerAnswer | WuganError] = Coalescer(
            self._ask_together, clock, limit=TOGETHER_AT_MOST, under_way=UNDER_WAY_AT_MOST
        )
        self._under_way = 0

    async def ask(self, member_id: str, asking: Asking, timeout_s: float) -> PartnerAnswer:
        """Send a question to a member; the verified answer within `timeout_s` seconds.

        Raises:
            RefusedError: the member refused the question; reason and texts are the member's.
            PartnerError: it could not be reached in time, or its answer does not verify or does not fit.
            EnvelopeError: the directory has no key of the member, or the question is too large.
            DirectoryError: the directory has expired.
        """
        terms = _Terms(member_id, asking.question.context.purpose, patience(timeout_s))
        self._under_way += 1
        try:
            outcome = await self._together.join(terms, asking, timeout_s, alone=self._under_way == 1)
        finally:
            self._under_way -= 1
        if isinstance(outcome, WuganError):
            raise outcome
        return outcome

    async def _ask_together(
        self, terms: _Terms, askings: Sequence[Asking], timeout_s: float
    ) -> list[PartnerAnswer | WuganError]:
        """Ask in one envelope; for each question its answer, or what became of it."""
        directory = self._directory.current()
        gateway = directory.gateway_of(terms.member_id)
        sealed = self._seal(directory, terms, [asking.question.SerializeToString() for asking in askings])
        waiting = list(askings)

        def left() -> None:
            while waiting:
                waiting.pop(0).left(sealed)

        envelope = await self._exchange(gateway.address, gateway.tls_name, sealed.envelope, timeout_s, left)
        directory = self._directory.current()  # of this moment: whoever was taken out of it meanwhile is not believed
        try:
            opened = open_answer(envelope, self._own(), directory, now_ms=self._clock.now_ms(), question=sealed)
        except EnvelopeError as error:
            raise _faulty("does not open or verify") from error
        message_id = opened.header.message_id
        return [
            _answer(terms.member_id, asking.question, message_id, proof)
            for asking, proof in zip(askings, opened.proofs(), strict=True)
        ]

    def _seal(self, directory: Directory, terms: _Terms, payloads: Sequence[bytes]) -> Sealed:
        now_ms = self._clock.now_ms()
        return seal(
            self._own(),
            terms.member_id,
            directory.encryption_key(terms.member_id, now_ms),
            kind=envelope_pb2.MESSAGE_KIND_QUESTION,
            purpose=terms.purpose,  # type: ignore[arg-type]  # sealing checks it
            payloads=payloads,
            now_ms=now_ms,
            lifetime_ms=self._lifetime_ms,
        )

    async def _exchange(
        self,
        address: str,
        tls_name: str,
        envelope: envelope_pb2.Envelope,
        timeout_s: float,
        left: Callable[[], None],
    ) -> envelope_pb2.Envelope:
        try:
            with self._lines.use(address, tls_name) as stub:
                call = stub.Exchange(envelope, timeout=timeout_s)
                # The call goes out in the next round of the loop, and what is done about it right behind it.
                asyncio.get_running_loop().call_soon(left)
                try:
                    return await call
                finally:
                    left()
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

    async def renew(self) -> None:
        """Let new calls go over new channels, made with the credentials of the moment."""
        await self._lines.renew()

    async def close(self) -> None:
        """Close every channel; calls in flight are cancelled."""
        await self._lines.close()


def _answer(
    member_id: str, question: exchange_pb2.Question, message_id: bytes, proof: Proof
) -> PartnerAnswer | WuganError:
    """The answer in a verified part, if it fits its question; else what is wrong with it."""
    try:
        findings = findings_in(exchange_pb2.Answer.FromString(proof.payload), question)
    except DecodeError:
        return _faulty("does not parse")
    except WuganError as error:
        return error
    return PartnerAnswer(member_id, findings, message_id, proof)


def findings_in(answer: exchange_pb2.Answer, question: exchange_pb2.Question) -> exchange_pb2.Findings:
    """The findings of a member's answer, which fit the question.

    Raises:
        RefusedError: the member refused the question.
        PartnerError: PARTNER_FAULTY; the answer does not fit, and nothing of it may be used.
    """
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
    return findings


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
    if {len(column) for column in dense} != {subjects}:
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
        if {len(column) for column in columns} != {count}:
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
