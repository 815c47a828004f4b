"""The rounds of a session: people put up, a step taken in, the next one said.

Owns: what a step does to a session and its columns, and what is said next; the parts of sessions on the disk. Refuses:
deciding whether a step may be dealt with, and I/O but for these parts and the roll. What reckons does so in threads.
"""

from __future__ import annotations

import asyncio
import secrets

import numpy as np
import structlog

from gateway.errors import RefusedError, StoreError
from gateway.inquiry.access import Access
from gateway.matching import blinding
from gateway.matching.columns import NOBODY, Columns, Rows, within
from gateway.matching.roll import Roll
from gateway.matching.session import RUNNING, STOPPED, Session
from gateway.matching.sizes import sizes
from gateway.matching.steps import MAX_GONE, wrong
from gateway.sections.lasting import DuplicatesSettings
from gateway.store.parts import Parts
from wugan.federation.v1 import exchange_pb2, matching_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)


class Rounds:
    """See the module.

    Args:
        terms: digest of what is compared.
        roll: who of this member's people draws.
        parts: where sessions are kept.
        access: is told of what is implausible.
    """

    def __init__(self, terms: bytes, roll: Roll, parts: Parts, access: Access, settings: DuplicatesSettings) -> None:
        self.terms = terms
        self._roll = roll
        self._parts = parts
        self._access = access
        self._settings = settings
        self._held: tuple[bytes, Columns] | None = None

    async def open(self, session: Session, benefits: frozenset[int], of_faces: frozenset[int], now_ms: int) -> None:
        """Put up the columns of people and faces that came since the last round, and the places of those that went.

        Args:
            session: of which it is a round.
            benefits: whose recipients are compared.
            of_faces: whose recipients' faces are, too.
            now_ms: the time.
        """
        columns = self._columns(session)
        present = await self._roll.look(benefits, of_faces)
        new, gone = await asyncio.to_thread(_changes, columns, len(session.own), present)
        session.round += 1
        session.round_at_ms, session.state, session.heard = now_ms, RUNNING, False
        if gone:
            await asyncio.to_thread(columns.put_gone, session.round, gone)
            session.gone = gone
        tags, points = await self._roll.points(new)
        order = np.argsort(np.frombuffer(secrets.token_bytes(8 * len(tags)), np.uint64), kind="stable")
        start = 0
        for size in sizes(len(tags), len(session.own), self._settings.column_people):
            chosen = order[start : start + size.people]
            padded = tags[chosen].tobytes() + NOBODY * (size.rows - size.people)
            await asyncio.to_thread(columns.put_own, len(session.own), padded, points[chosen].tobytes())
            session.own.append(size)
            start += size.people

    async def take_in(self, session: Session, step: matching_pb2.MatchingStep) -> None:
        """Tokens and column of a step.

        Raises:
            RefusedError: they do not fit what was sent, are too many, or would find implausibly many people.
        """
        columns, settings = self._columns(session), self._settings
        session.number, session.more, session.ours, session.heard = step.number, step.more, False, True
        if step.tokens:
            if session.answered >= session.sent:
                raise wrong("tokens", "no column waits for them", "没有等待结果的批次")
            if len(step.tokens) != session.own[session.answered].rows * blinding.TOKEN_BYTES:
                raise wrong("tokens", "there are not as many as rows", "结果行数与发送行数不符")
            await asyncio.to_thread(columns.put_answer, session.answered, step.tokens)
            session.answered += 1
            session.common += await asyncio.to_thread(columns.newly_answered, session.answered - 1, len(session.theirs))
        if step.column:
            rows = len(step.column) // blinding.POINT_BYTES
            if sum(session.theirs) + rows > settings.max_people:
                raise RefusedError(
                    "column: more people than are compared in a month",
                    "column：超过每月比对人数上限",
                    reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
                    field="column",
                )
            made = await asyncio.to_thread(blinding.tokens, session.session, session.secret, step.column)
            await asyncio.to_thread(columns.put_theirs, len(session.theirs), made)
            session.theirs.append(rows)
            session.common += await asyncio.to_thread(columns.newly_come, len(session.theirs) - 1, session.answered)
        if step.gone:
            if max(step.gone) >= sum(session.theirs):
                raise wrong("gone", "there are not so many rows", "行号超出范围")
            await asyncio.to_thread(columns.put_their_gone, step.number, step.gone)
        self._require_plausible(session, step.context.unit)

    def _require_plausible(self, session: Session, unit: str) -> None:
        settings = self._settings
        compared = min(sum(size.people for size in session.own[: session.answered]), sum(session.theirs))
        allowed = max(settings.overlap_people, int(settings.overlap_share * compared))
        if session.common > allowed:
            self._access.implausible(session.member, unit, session.common, allowed)
            raise RefusedError(
                "far too many people in common; an alarm was raised, talk to each other's administrators",
                "重合人数异常，已触发告警，请双方管理员联系核实",
                reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
                field="column",
            )

    async def reply(
        self, session: Session, context: exchange_pb2.Context, *, always: bool
    ) -> matching_pb2.MatchingStep | None:
        """The next step of this side; None: there is nothing to say, and it need not be said."""
        columns = self._columns(session)
        step = self.step(session, context)
        if session.may_tell:
            step.tokens = await asyncio.to_thread(columns.their, session.told)
            session.told += 1
        if session.sent < len(session.own):
            size = session.own[session.sent]
            points = await asyncio.to_thread(columns.points, session.sent)
            step.column = await asyncio.to_thread(blinding.blind, session.secret, points, size.rows - size.people)
            session.sent += 1
        step.more = session.sent < len(session.own)
        if session.gone:
            step.gone.extend(session.gone)
            session.gone = []
        if always or step.tokens or step.column or step.gone or session.awaits:
            return step
        return None

    def step(self, session: Session, context: exchange_pb2.Context) -> matching_pb2.MatchingStep:
        """The next step, without anything in it."""
        return matching_pb2.MatchingStep(
            context=context,
            session=session.session,
            epoch=session.epoch,
            number=session.number + 1,
            terms=self.terms,
            key=blinding.public_of(session.secret),
        )

    async def common(self, session: Session) -> Rows:
        """Tags of own people who were found."""
        return await asyncio.to_thread(self._columns(session).common, session.answered, len(session.theirs))

    def clear(self, before: Session | None, session: Session) -> None:
        """A session was kept: delete what is needed no more, of it and of the one before."""
        try:
            if before is not None and before.session != session.session:
                self._parts.folder(before.session.hex()).destroy()
            if session.state == STOPPED:
                self._parts.folder(session.session.hex()).destroy()
            elif session.sent:
                self._columns(session).sent(session.sent - 1)
        except StoreError as error:
            _log.warning("something of a session is left", member=session.member, why=error.code)
        if session.state != RUNNING:
            self._held = None

    async def tidy(self, kept: list[Session]) -> None:
        """Delete what a crash left of sessions that are no more.

        Raises:
            StoreError: it could not be deleted.
        """
        self._roll.forget_old()
        known = {session.session.hex() for session in kept if session.state != STOPPED}
        for folder in await asyncio.to_thread(self._parts.folders):
            if folder.name not in known:
                await asyncio.to_thread(folder.destroy)

    def _columns(self, session: Session) -> Columns:
        if self._held is None or self._held[0] != session.session:
            self._held = session.session, Columns(self._parts.folder(session.session.hex()))
        return self._held[1]


def _changes(columns: Columns, count: int, present: Rows) -> tuple[Rows, list[int]]:
    """Who came since so many own columns were made, and places in them of who went."""
    known, active = columns.tags(count), columns.active(count)
    new = present[~within(present, known[active])]
    return new, (active & ~within(known, present)).nonzero()[0].tolist()[:MAX_GONE]
