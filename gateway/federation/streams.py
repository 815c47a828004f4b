"""Asking another member about a whole roster: many large questions one after another, with flow control.

Owns: how many chunks of a roster are on their way to a member at once, sending one again whose answer was lost, and the
record of what left. Refuses: cutting rosters into chunks, deciding whom to ask, merging, and keeping answers.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from gateway.clock import Clock
from gateway.errors import WuganError
from gateway.exchange.envelope import Sealed
from gateway.exchange.question import QUESTION_ID_BYTES
from gateway.federation.partners import PartnerAnswer, Partners, answer_in
from gateway.federation.trying import Asking
from gateway.store.audit import AuditEvent, AuditLog
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a roster.

    Args:
        number: of the chunk; what its outcome is known by.
        question: about its people. Without an id it gets one; with an id, which its sender keeps, its people count once
            even where it is asked again after a restart.
    """

    number: int
    question: exchange_pb2.Question


@dataclass(frozen=True, slots=True)
class ChunkOutcome:
    """What came of a chunk: an answer, or why there is none.

    Args:
        number: of the chunk.
        answer: verified, and fitting its question.
        error: why there is none; `error.retryable` says whether asking later may help.
        sent: every message that it left in, in order, the last one that was answered; empty where none left.
    """

    number: int
    answer: PartnerAnswer | None = None
    error: WuganError | None = None
    sent: tuple[Sealed, ...] = field(default=(), repr=False)


class Streams:
    """Asks members about rosters.

    Args:
        partners: the other members' gateways.
        audit: where what left is recorded.
        clock: dates the records.
        window: chunks on their way to a member at once.
    """

    def __init__(self, partners: Partners, audit: AuditLog, clock: Clock, *, window: int) -> None:
        self._partners = partners
        self._audit = audit
        self._clock = clock
        self._window = window

    async def ask(
        self, member_id: str, chunks: AsyncIterator[Chunk], *, chunk_s: float
    ) -> AsyncGenerator[ChunkOutcome, None]:
        """The outcome of every chunk, in the order in which they come; close it (`contextlib.aclosing`) to give up.

        A chunk is taken from `chunks` when there is room for it among those on their way, and not before the outcomes
        that are there have been taken. What left is on record before its outcome is yielded.

        Args:
            member_id: whom to ask.
            chunks: what; taken one after another.
            chunk_s: seconds for each chunk, from when it was taken, with all tries.

        Raises:
            StoreError: the exchange could not be recorded.
        """
        tasks: set[asyncio.Task[ChunkOutcome]] = set()
        more = True
        try:
            while True:
                while more and len(tasks) < self._window:
                    chunk = await anext(chunks, None)
                    if chunk is None:
                        more = False
                    else:
                        tasks.add(asyncio.create_task(self._chunk(member_id, chunk, chunk_s)))
                if not tasks:
                    return
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _chunk(self, member_id: str, chunk: Chunk, chunk_s: float) -> ChunkOutcome:
        question = chunk.question
        if not question.question_id:
            question = exchange_pb2.Question(question_id=os.urandom(QUESTION_ID_BYTES))
            question.MergeFrom(chunk.question)
        sent: list[Sealed] = []
        asking = Asking(question, sent.append)
        asking.payload = question.SerializeToString()
        asking.end = asyncio.get_running_loop().time() + chunk_s
        outcome: PartnerAnswer | WuganError
        try:
            opened = await self._partners.tries.ask(member_id, question.context.purpose, [asking])
            outcome = answer_in(member_id, question, opened.header.message_id, opened.proofs()[0])
        except WuganError as error:
            outcome = error
        except asyncio.CancelledError:
            self._record(question, sent, words.REFUSAL_REASON_DEADLINE_EXCEEDED, "given up by the agency")
            raise
        if isinstance(outcome, WuganError):
            recorded = self._record(question, sent, outcome.reason, outcome.en)
        else:
            recorded = self._record(question, sent, 0, "")
        for written in recorded:
            await written
        if isinstance(outcome, WuganError):
            return ChunkOutcome(chunk.number, error=outcome, sent=tuple(sent))
        return ChunkOutcome(chunk.number, answer=outcome, sent=tuple(sent))

    def _record(
        self, question: exchange_pb2.Question, sent: list[Sealed], outcome: int, decision: str
    ) -> list[asyncio.Future[object]]:
        context = question.context
        return [
            self._audit.submit(  # type: ignore[misc]
                AuditEvent(
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
                    outcome=outcome,
                    decision=decision,
                )
            )
            for sealed in sent
        ]
