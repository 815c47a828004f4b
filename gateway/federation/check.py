"""Asking about one recipient: whom to ask, asking them all at once, and what each of them said.

Owns: making the question, routing by region, the fan-out within the deadline. Refuses: grading (the answering side does
that), merging (the rules do) and deciding (an official does).
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.clock import Clock, civil_day
from gateway.errors import PartnerError, RefusedError, WuganError
from gateway.exchange.envelope import Sealed
from gateway.exchange.question import check_question
from gateway.federation.directory import Directory, DirectorySource
from gateway.federation.partners import Asking, PartnerAnswer, Partners
from gateway.federation.regions import is_region
from gateway.observing import tracing
from gateway.rules.identity import normalise_number
from gateway.store.answers import SignedAnswer
from gateway.store.audit import AuditEvent
from gateway.store.chain import Content
from gateway.store.engine import Store
from wugan.adapter.v1 import columns_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_REGIONS = 10
"""Regions that may be named for one recipient."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """The person asked about, as the agency's register has them; regions most likely first, empty: not known."""

    id_number: str
    name: str
    document_kind: int
    alias_id_numbers: tuple[str, ...]
    benefit: int
    regions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """Who asks and why; `official` is the agency's own name for the official and leaves only as a pseudonym."""

    unit: str
    official: str
    purpose: int
    legal_basis: str
    case_reference: str
    as_of_on: int = 0
    evidence_limit: int = 0


@dataclass(frozen=True, slots=True)
class MemberResult:
    """What one member said, or why it said nothing; `recorded` are the writes that account for it."""

    member_id: str
    recorded: tuple[asyncio.Future[Any], ...]
    answer: PartnerAnswer | None = None
    error: WuganError | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check.

    Args:
        as_of_on: the day asked about.
        made_at_ms: Unix time in milliseconds.
        results: every member's, in the order of routing.
        question: as it was asked; None in what was put together later.
    """

    as_of_on: int
    made_at_ms: int
    results: tuple[MemberResult, ...]
    question: exchange_pb2.Question | None = None

    async def recorded(self) -> None:
        """Return when the answers and the record of the exchanges are on the disk.

        To be awaited before anything of this leaves the gateway.

        Raises:
            StoreError: they could not be written.
        """
        for result in self.results:
            for written in result.recorded:
                await written


class Checks:
    """Asks the right members about one recipient.

    Args:
        store: where answers and the record of processing are kept, and the key under which officials become
            pseudonyms: stable for audits, meaningless elsewhere.
        default_s: time for an answer where the agency set no deadline; reserve_s is kept back for the way home.
    """

    def __init__(
        self,
        member_id: str,
        partners: Partners,
        directory: DirectorySource,
        clock: Clock,
        store: Store,
        *,
        max_members: int,
        default_s: float,
        reserve_s: float,
    ) -> None:
        self._member_id = member_id
        self._partners = partners
        self._directory = directory
        self._clock = clock
        self._store = store
        self._max_members = max_members
        self._default_s = default_s
        self._reserve_s = reserve_s
        self._pseudonym = functools.lru_cache(maxsize=4096)(self._pseudonym_of)

    async def check(
        self, recipient: Recipient, case: Case, remaining_s: float | None, *, may_be_left: bool = False
    ) -> Checked:
        """Ask; at least one member answered when this returns, or may still answer if the question `may_be_left`.

        Raises:
            RefusedError: the question is wrong, no other member serves the region, or every member asked refused.
            PartnerError: none of the members asked answered in time.
            DirectoryError: the directory has expired.
        """
        today = civil_day(self._clock.now_ms())
        if case.as_of_on > today:
            raise _wrong("as_of", "give today or a day in the past", "请填写今天或以前的日期")
        question = self._question(recipient, case)
        members = self._route(self._directory.current(), recipient.regions)
        time_s = self._default_s if remaining_s is None else min(remaining_s, self._default_s * 10)
        time_s -= self._reserve_s
        if time_s <= 0:
            raise PartnerError(
                "the deadline is too short to ask anybody; allow more time",
                "时限过短，来不及查询，请延长时限",
                reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED,
            )
        if len(members) == 1:
            results = [await self._one(members[0], question, time_s)]
        else:
            results = await asyncio.gather(*(self._one(member, question, time_s) for member in members))
        later = may_be_left and any(result.error is not None and result.error.retryable for result in results)
        if not later and all(result.answer is None for result in results):
            await Checked(today, self._clock.now_ms(), tuple(results)).recorded()
            raise next(result.error for result in results if result.error is not None)
        return Checked(case.as_of_on or today, self._clock.now_ms(), tuple(results), question)

    def unasked(self, recipient: Recipient, case: Case) -> Checked:
        """A check of which nobody was asked yet, to be left with all whom it is for.

        Raises:
            RefusedError: as `check`.
            DirectoryError: the directory has expired.
        """
        today = civil_day(self._clock.now_ms())
        if case.as_of_on > today:
            raise _wrong("as_of", "give today or a day in the past", "请填写今天或以前的日期")
        question = self._question(recipient, case)
        members = self._route(self._directory.current(), recipient.regions)
        error = PartnerError("not asked yet; the question was left with this province", "尚未询问，已留置该省")
        results = tuple(MemberResult(member, (), error=error) for member in members)
        return Checked(case.as_of_on or today, self._clock.now_ms(), results, question)

    async def _one(self, member_id: str, question: exchange_pb2.Question, time_s: float) -> MemberResult:
        """Ask one member; whatever comes of it is recorded from the moment that a question left."""
        with tracing.span("ask", partner=member_id):
            return await self._ask(member_id, question, time_s)

    async def _ask(self, member_id: str, question: exchange_pb2.Question, time_s: float) -> MemberResult:
        left: list[AuditEvent] = []
        ready: list[Content] = []

        def leaves(sealed: Sealed) -> None:  # while it is on its way, so that the answer need not wait for it
            left.append(self._event(question, sealed))
            ready.append(self._store.audit.content(left[-1]))

        try:
            answer = await self._partners.ask(member_id, Asking(question, leaves), time_s)
            if not answer.findings.status[0]:
                reason = answer.findings.refused.reason[0]
                raise RefusedError("the other province refused this person", "对方省份拒绝查询此人", reason=reason)
        except WuganError as error:
            recorded = self._record(left, error.reason, error.en)
            return MemberResult(member_id, tuple(recorded), error=error)
        except asyncio.CancelledError:  # the agency gave up, but the question may have been dealt with
            self._record(left, words.REFUSAL_REASON_DEADLINE_EXCEEDED, "given up by the agency")
            raise
        written: list[asyncio.Future[Any]] = []
        for event, content in zip(left, ready, strict=True):
            if event.digest == answer.proof.question_digest:
                written.append(self._store.audit.submit_content(content, more=True))
            else:  # an earlier try, or another at the same time
                unanswered = event._replace(
                    outcome=words.REFUSAL_REASON_PARTNER_UNAVAILABLE, decision="not answered; asked in another message"
                )
                written.append(self._store.audit.submit(unanswered, more=True))
        return MemberResult(member_id, (*written, self._keep(question, answer)), answer=answer)

    def _record(self, left: Sequence[AuditEvent], outcome: int, decision: str) -> list[asyncio.Future[Any]]:
        """Record exchanges of which no answer came."""
        return [self._store.audit.submit(event._replace(outcome=outcome, decision=decision)) for event in left]

    def _event(self, question: exchange_pb2.Question, sealed: Sealed) -> AuditEvent:
        """An exchange as it is recorded (records of processing: 个人信息保护法 第五十五条)."""
        context = question.context
        return AuditEvent(
            at_ms=self._clock.now_ms(),
            direction="out",
            counterpart=sealed.header.recipient,
            unit=context.unit,
            official=context.official_pseudonym,
            purpose=context.purpose,
            legal_basis=context.legal_basis,
            case_reference=context.case_reference,
            message_id=sealed.message_id,
            digest=sealed.digest,
            subjects=len(question.subjects.id_number),
            outcome=0,
        )

    def _keep(self, question: exchange_pb2.Question, answer: PartnerAnswer) -> asyncio.Future[Any]:
        """Keep what proves the answer, to be found by the numbers it is about."""
        signed = SignedAnswer(answer.member_id, answer.message_id, *answer.proof, self._clock.now_ms())
        subjects = question.subjects
        return self._store.answers.submit(signed, [*subjects.id_number, *subjects.alias_id_number])

    def _question(self, recipient: Recipient, case: Case) -> exchange_pb2.Question:
        if not case.official.strip() or len(case.official) > 100:
            raise _wrong(
                "official", "say which official asks, at most 100 characters", "请填写经办人（至多 100 个字符）"
            )
        question = exchange_pb2.Question(
            context=exchange_pb2.Context(
                unit=case.unit,
                official_pseudonym=self._pseudonym(case.unit, case.official),
                purpose=case.purpose,  # type: ignore[arg-type]  # checked below
                legal_basis=case.legal_basis,
                case_reference=case.case_reference,
            ),
            subjects=columns_pb2.SubjectColumns(
                id_number=[recipient.id_number],
                name=[recipient.name.strip()],
                alias_subject=[0] * len(recipient.alias_id_numbers),
                alias_id_number=recipient.alias_id_numbers,
            ),
            benefit=[recipient.benefit],  # type: ignore[list-item]  # checked below
            region=recipient.regions[:1],
            as_of_on=case.as_of_on,
            evidence_limit=case.evidence_limit,
        )
        subjects = question.subjects
        if recipient.document_kind:
            subjects.document_kind.append(recipient.document_kind)  # type: ignore[arg-type]  # checked below
        check_question(question, max_subjects=1)
        subjects.id_number[0] = normalise_number(recipient.id_number, recipient.document_kind)
        subjects.alias_id_number[:] = [normalise_number(number) for number in recipient.alias_id_numbers]
        return question

    def pseudonym(self, unit: str, official: str) -> bytes:
        """What stands for a unit's official elsewhere."""
        return self._pseudonym(unit, official)

    def _pseudonym_of(self, unit: str, official: str) -> bytes:
        parts = [part.encode() for part in (unit, official.strip())]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._store.pseudonym_key, message, hashlib.sha256)

    def _route(self, directory: Directory, regions: tuple[int, ...]) -> list[str]:
        """The members to ask: those serving the regions named, or every other member where none is named.

        The first six digits of an identity number tell where it was first issued, not where someone lives: they are
        never looked at here.
        """
        if len(regions) > MAX_REGIONS:
            raise _wrong("regions", f"name at most {MAX_REGIONS} regions", f"最多填写 {MAX_REGIONS} 个地区")
        members: list[str] = []
        for position, region in enumerate(regions):
            if not is_region(region):
                raise RefusedError(
                    f"regions[{position}]: not a GB/T 2260 code; give six digits, for example 330700",
                    f"regions[{position}]：不是有效的行政区划代码，请填写六位数字，例如 330700",
                    reason=words.REFUSAL_REASON_UNKNOWN_REGION,
                    field=f"regions[{position}]",
                )
            serving = directory.members_serving(region)
            if not serving:
                raise RefusedError(
                    f"regions[{position}]: no member of the federation serves this region",
                    f"regions[{position}]：该地区尚无联盟成员提供服务",
                    reason=words.REFUSAL_REASON_UNKNOWN_REGION,
                    field=f"regions[{position}]",
                )
            members.extend(member for member in serving if member not in members and member != self._member_id)
        if not regions:
            members = [member for member in directory.member_ids() if member != self._member_id]
        if not members:
            raise RefusedError(
                "only your own province serves this region; this gateway asks other provinces",
                "该地区由本省负责，本网关仅用于向外省查询",
                reason=words.REFUSAL_REASON_NOT_SERVED,
                field="regions",
            )
        if len(members) > self._max_members:
            raise _wrong("regions", "too many provinces would be asked; name regions", "需查询的省份过多，请指定地区")
        return members


def _wrong(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(f"{field}: {en}", f"{field}：{zh}", field=field)
