"""Comparing rosters with other members: sessions begun, steps dealt with, findings noted.

Owns: dealing with deliveries of kind MATCHING: each step is decided on, recorded, and answered in one commit with what
is known of the session from then on; beginning sessions and rounds. Refuses: the rules of the exchange (`session`),
what a step does (`rounds`), and stopping anybody: who is found is a finding for an official.

One step at a time is dealt with, whichever member it is of: it reckons for seconds. What it reckons does so in threads.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Final

import structlog

from gateway.clock import Clock, civil_day
from gateway.errors import RefusedError, StoreError, WuganError
from gateway.exchange.header import is_member_id
from gateway.inquiry.access import Access, Decision
from gateway.matching import blinding
from gateway.matching.findings import Findings
from gateway.matching.rounds import Rounds
from gateway.matching.session import DONE, MAX_SESSIONS, RUNNING, STOPPED, Session, begins, epoch_of
from gateway.matching.steps import PURPOSE, read_step, refusal_of, wrong
from gateway.post.leaving import Post, commit
from gateway.post.letters import Handled, Received, delivery_digest, letter
from gateway.sections.lasting import DuplicatesSettings
from gateway.store.audit import AuditEvent
from gateway.store.engine import Store
from gateway.store.letters import Effect
from wugan.federation.v1 import delivery_pb2, exchange_pb2, matching_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

LETTER_MS: Final = 7 * 86_400_000
"""A step is delivered for so long."""
_DAY_MS: Final = 86_400_000

_log = structlog.stdlib.get_logger(__name__)


class Matching:
    """See the module.

    Args:
        member_id: this member.
        access: decides who may compare, and how many.
        rounds: what steps do.
        findings: what becomes of those who were found.
        official: what stands for whoever is responsible.
    """

    def __init__(
        self,
        member_id: str,
        store: Store,
        post: Post,
        access: Access,
        rounds: Rounds,
        findings: Findings,
        clock: Clock,
        settings: DuplicatesSettings,
        official: bytes,
    ) -> None:
        self._member_id = member_id
        self._store = store
        self._post = post
        self._access = access
        self._rounds = rounds
        self._findings = findings
        self._clock = clock
        self._settings = settings
        self._official = official
        self._lock = asyncio.Lock()

    # beginning

    async def begin(self, member: str) -> bool:
        """Begin a session or a round with a member, or ask it to; whether there was something to begin.

        Raises:
            StoreError: something could not be read or written.
        """
        async with self._lock:
            return await self._begin(member)

    async def _begin(self, member: str) -> bool:
        benefits = self._access.comparable(member, PURPOSE)
        served = self._store.matchings.served(member)
        if not self._settings.matching or not benefits or self._access.is_stopped(member) or not is_member_id(member):
            await commit(self._store, [served])
            return False
        now_ms = self._clock.now_ms()
        session = await self.session(member)
        if session is not None and self._is_on_its_way(session, now_ms):
            await commit(self._store, [served])
            return False
        if not begins(self._member_id, member):
            step = matching_pb2.MatchingStep(context=self._context(now_ms))
            await commit(self._store, [served, *self._leave(member, step, now_ms)])
            return True
        before = session
        if session is None or session.state != DONE or session.epoch != _epoch(now_ms):
            session = self._fresh(member, blinding.random_session(), now_ms, before, began=True)
            if session.sessions >= MAX_SESSIONS:
                _log.warning("matching not begun: too many sessions this month", member=member)
                await commit(self._store, [served])
                return False
        await self._rounds.open(session, benefits, self._access.comparable_faces(member, PURPOSE), now_ms)
        effects = await self._outcome(
            session, await self._rounds.reply(session, self._context(now_ms), always=True), now_ms
        )
        await commit(self._store, [served, *effects, self._keep(before, session)])
        return True

    def _is_on_its_way(self, session: Session, now_ms: int) -> bool:
        patience_ms = round(self._settings.give_up_days * _DAY_MS)
        return session.state == RUNNING and now_ms - session.changed_at_ms < patience_ms

    # dealing with steps

    def check(self, sender: str, purpose: int, body: bytes, now_ms: int) -> None:
        """Refuse what is no step, before it is accepted. See `Handler.check`."""
        read_step(body, purpose)

    async def handle(self, delivery: Received) -> Handled:
        """Deal with a step. See `Handler.handle`."""
        async with self._lock:
            return await self._handle(delivery, read_step(delivery.body, delivery.purpose))

    async def _handle(self, delivery: Received, step: matching_pb2.MatchingStep) -> Handled:
        member, now_ms = delivery.sender, self._clock.now_ms()
        if not step.number:
            if begins(self._member_id, member):
                await self._begin(member)
            return Handled([self._record_in(delivery, step, "asked to begin matching")])
        before = session = await self.session(member)
        if step.HasField("refusal"):
            return self._ended_by_them(delivery, step, session)
        decision: Decision | None = None
        try:
            self._require_on()
            session = self._due(session, member, step, now_ms)
            if session is None:
                return Handled([self._record_in(delivery, step, "matching: not the next step; left alone")])
            decision = self._access.compare(member, step.context, len(step.column) // blinding.POINT_BYTES)
            if decision.refused is not None:
                again_ms = now_ms + decision.refused.retry_after_ms
                if decision.refused.retryable and again_ms < delivery.expires_at_ms:
                    said = _said(decision.refused, decision)
                    return Handled([self._record_in(delivery, step, said, decision.refused.reason)], again_ms)
                raise decision.refused
            await self._access.settle(decision)
            opened = session.state == DONE or not session.round
            if opened:
                comparable = (self._access.comparable(member, PURPOSE), self._access.comparable_faces(member, PURPOSE))
                await self._rounds.open(session, *comparable, now_ms)
            await self._rounds.take_in(session, step)
            reply = await self._rounds.reply(session, self._context(now_ms), always=opened)
        except StoreError:
            raise
        except WuganError as error:
            return self._ended_by_us(delivery, step, session, error, _said(error, decision))
        effects = [self._record_in(delivery, step, f"{decision.explanation}; matching step {step.number}")]
        effects += await self._outcome(session, reply, now_ms)
        return Handled([*effects, self._keep(before, session)])

    def _require_on(self) -> None:
        if not self._settings.matching:
            raise RefusedError(
                "this member compares no rosters", "本方未开通名册比对", reason=words.REFUSAL_REASON_NOT_SERVED
            )

    def _due(
        self, session: Session | None, member: str, step: matching_pb2.MatchingStep, now_ms: int
    ) -> Session | None:
        """The session that a step belongs to, a new one where it begins one; None: it is over, nothing is said.

        Raises:
            RefusedError: it is not its turn, or the two sides do not compare the same.
        """
        if step.terms != self._rounds.terms:
            raise wrong(
                "terms",
                "the two members do not agree which benefits exclude each other; compare the rule files",
                "双方对互斥险种的规定不一致，请核对规则文件",
            )
        if session is None or session.session != step.session:
            if step.number != 1 or begins(self._member_id, member):
                if session is not None and session.state == RUNNING and session.begun_at_ms:
                    return None
                raise wrong("session", "there is no such session; begin a new one", "会话不存在，请重新开始")
            if abs(step.epoch - _epoch(now_ms)) > 1:
                raise wrong("epoch", "check the clocks of both gateways", "请核对双方网关时钟")
            session = self._fresh(member, step.session, now_ms, session, began=False)
            if session.sessions >= MAX_SESSIONS:
                raise RefusedError(
                    f"session: there were {MAX_SESSIONS} this month already; talk to each other's administrators",
                    f"session：本月比对会话已达 {MAX_SESSIONS} 次，请双方管理员联系核实",
                    reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
                    field="session",
                )
            session.epoch, session.their_key = step.epoch, step.key
        if session.state == STOPPED or step.number <= session.number:
            return None
        if step.number != session.number + 1 or not session.may_hear or step.epoch != session.epoch:
            raise wrong("number", "it is not the next step", "步骤序号有误")
        if session.their_key and session.their_key != step.key:
            raise wrong("key", "the secret of the other side changed; begin anew", "对方密钥已变更，请重新开始")
        session.their_key = step.key
        return session

    async def _outcome(self, session: Session, step: matching_pb2.MatchingStep | None, now_ms: int) -> list[Effect]:
        """What is committed: the step on its way, the record of it, and findings where the round is over."""
        effects: list[Effect] = []
        if step is not None:
            session.number, session.ours = step.number, True
            effects += self._leave(session.member, step, now_ms)
        session.changed_at_ms = now_ms
        if session.over and session.state == RUNNING:
            tags = await self._rounds.common(session)
            session.found, found = await self._findings.of(session.member, tags, now_ms)
            session.state, session.done_at_ms = DONE, now_ms
            effects += found
        return effects

    def _leave(self, member: str, step: matching_pb2.MatchingStep, now_ms: int) -> list[Effect]:
        left = letter(
            member,
            delivery_pb2.DELIVERY_KIND_MATCHING,
            step.SerializeToString(),
            purpose=PURPOSE,
            now_ms=now_ms,
            expires_at_ms=now_ms + LETTER_MS,
            order_key=step.session,
        )
        rows, told = len(step.column) // blinding.POINT_BYTES, len(step.tokens) // blinding.TOKEN_BYTES
        if step.HasField("refusal"):
            decision = step.refusal.message_en
        else:
            decision = f"matching step {step.number}: {rows} blinded rows, tokens for {told}"
        event = _event(
            now_ms,
            "out",
            member,
            step,
            left.delivery_id,
            delivery_digest(left.delivery_id, left.body),
            decision,
        )
        return [self._post.effect(left), self._store.audit.effect(event)]

    def _record_in(
        self, delivery: Received, step: matching_pb2.MatchingStep, decision: str, outcome: int = 0
    ) -> Effect:
        digest = delivery_digest(delivery.delivery_id, delivery.body)
        now_ms = self._clock.now_ms()
        event = _event(now_ms, "in", delivery.sender, step, delivery.delivery_id, digest, decision, outcome)
        return self._store.audit.effect(event)

    # ending

    def _ended_by_them(self, delivery: Received, step: matching_pb2.MatchingStep, session: Session | None) -> Handled:
        decision = f"matching ended by the other side: {step.refusal.message_en[:300]}"
        effects = [self._record_in(delivery, step, decision, step.refusal.reason)]
        if session is not None and session.session == step.session and session.state != STOPPED:
            session.stop(step.refusal.reason, by_us=False)
            session.changed_at_ms = self._clock.now_ms()
            effects.append(self._keep(session, session))
            _log.warning("matching ended by the other side", member=session.member, reason=step.refusal.reason)
        return Handled(effects)

    def _ended_by_us(
        self,
        delivery: Received,
        step: matching_pb2.MatchingStep,
        session: Session | None,
        error: WuganError,
        decided: str,
    ) -> Handled:
        now_ms, member = self._clock.now_ms(), delivery.sender
        _log.warning("matching ended", member=member, why=error.code, part=error.field)
        said = matching_pb2.MatchingStep(
            context=self._context(now_ms),
            session=step.session,
            epoch=step.epoch,
            number=step.number + 1,
            terms=self._rounds.terms,
            key=step.key,
            refusal=refusal_of(error),
        )
        effects = [self._record_in(delivery, step, decided, error.reason), *self._leave(member, said, now_ms)]
        if session is not None and session.session == step.session:
            session.stop(error.reason, by_us=True)
            session.changed_at_ms = now_ms
            effects.append(self._keep(session, session))
        return Handled(effects)

    # what is kept

    async def tidy(self) -> None:
        """Delete what a crash left of sessions that are no more.

        Raises:
            StoreError: sessions cannot be read.
        """
        async with self._lock:
            kept = [Session.from_json(each.body) for each in await self._store.matchings.read() if each.body]
            await self._rounds.tidy(kept)

    async def session(self, member: str) -> Session | None:
        """The session with a member, whether it runs or not.

        Raises:
            StoreError: it cannot be read.
        """
        for standing in await self._store.matchings.read(member):
            if standing.body:
                return Session.from_json(standing.body)
        return None

    def _fresh(self, member: str, session: bytes, now_ms: int, before: Session | None, *, began: bool) -> Session:
        epoch, sessions = _epoch(now_ms), 0
        # By when it began, not by its own epoch, which may be the one that the other side named.
        if before is not None and _epoch(before.begun_at_ms) == epoch:
            sessions = before.sessions + bool(before.theirs)
        return Session(
            session,
            member,
            began,
            epoch,
            blinding.fresh_secret(),
            sessions=sessions,
            begun_at_ms=now_ms,
            changed_at_ms=now_ms,
        )

    def _keep(self, before: Session | None, session: Session) -> Effect:
        """Keeping a session; once it is kept, what is needed no more is deleted."""
        effect = self._store.matchings.keeping(session.member, session.to_json())
        return effect._replace(after=functools.partial(self._rounds.clear, before, session))

    def _context(self, now_ms: int) -> exchange_pb2.Context:
        year, month = divmod(_epoch(now_ms), 12)
        return exchange_pb2.Context(
            unit=self._settings.unit,
            official_pseudonym=self._official,
            purpose=PURPOSE,
            legal_basis=self._settings.legal_basis,
            case_reference=f"MATCHING-{1970 + year}-{month + 1:02d}",
        )


def _epoch(now_ms: int) -> int:
    return epoch_of(civil_day(now_ms))


def _said(error: WuganError, decision: Decision | None) -> str:
    """Why a step is not taken, and how access was decided, where it was."""
    return error.en if decision is None else f"{error.en} [{decision.explanation}]"


def _event(
    now_ms: int,
    direction: str,
    member: str,
    step: matching_pb2.MatchingStep,
    message_id: bytes,
    digest: bytes,
    decision: str,
    outcome: int = 0,
) -> AuditEvent:
    return AuditEvent.of(
        step.context,
        at_ms=now_ms,
        direction=direction,  # type: ignore[arg-type]  # "in" or "out"
        counterpart=member,
        message_id=message_id,
        digest=digest,
        subjects=len(step.column) // blinding.POINT_BYTES,
        outcome=outcome,
        decision=decision,
    )
