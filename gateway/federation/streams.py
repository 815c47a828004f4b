"""Asking another member about a whole roster: many large questions one after another, with flow control.

Owns: how many chunks of a roster are on their way to a member at once, the time of each, and the record of what left.
What becomes of a stream is said by `stream_run`. Refuses: cutting rosters into chunks, deciding whom to ask, merging,
and keeping answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.clock import Clock
from gateway.errors import PartnerError, WuganError
from gateway.exchange.envelope import Sealed
from gateway.federation.answers import PartnerAnswer
from gateway.federation.kept import Answered, ForgetNumbers, spoken_against
from gateway.federation.partners import Partners
from gateway.federation.stream_parts import Way
from gateway.federation.stream_run import StreamRun
from gateway.store.audit import AuditEvent, AuditLog
from gateway.store.ended import EVERY_MEMBER
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a roster.

    Args:
        number: of the chunk; what its outcome is known by.
        question: about its people; not to be changed any more. Without an id it gets one. With an id, which its sender
            keeps, its people count once even where it is asked again after a restart.
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
        window: chunks on their way to a member at once, for each `ask`.
        forget: told of whom an answer says that they are not just alive, so that a cache forgets what anybody said of
            them before.
        answered: told what was answered.
    """

    def __init__(
        self,
        partners: Partners,
        audit: AuditLog,
        clock: Clock,
        *,
        window: int,
        forget: ForgetNumbers = lambda _member, _numbers: None,
        answered: Answered = lambda _member, _findings: None,
    ) -> None:
        self._forget = forget
        self._answered = answered
        self._partners = partners
        self._audit = audit
        self._clock = clock
        self._window = window

    async def ask(
        self, member_id: str, chunks: AsyncIterator[Chunk], *, chunk_s: float
    ) -> AsyncGenerator[ChunkOutcome, None]:
        """The outcome of every chunk, in the order in which they come; close it (`contextlib.aclosing`) to give up.

        No more than `window` chunks are on their way, and no more than as many outcomes wait to be taken: only then is
        the next chunk taken from `chunks`. What left is on record before its outcome is yielded.

        Args:
            member_id: whom to ask.
            chunks: what; taken one after another.
            chunk_s: seconds for each chunk, from when it was taken, with all tries.

        Raises:
            StoreError: the exchange could not be recorded.
            Exception: what `chunks` raises.
        """
        run = StreamRun(self._partners.outward, member_id, self._window)
        tasks = [asyncio.ensure_future(self._feed(run, chunks, chunk_s)), asyncio.ensure_future(run.drive())]
        try:
            while True:
                way = await run.landed()
                if way is None:
                    return
                error = way.outcome if isinstance(way.outcome, WuganError) else None
                answer = way.outcome if isinstance(way.outcome, PartnerAnswer) else None
                if answer is not None:
                    self._answered(member_id, answer.findings)
                    if against := spoken_against(way.question, answer.findings):
                        self._forget(EVERY_MEMBER, against)  # on the disk with the record, or before it
                for written in self._record(way):
                    await written
                run.taken()
                yield ChunkOutcome(way.number, answer, error, tuple(way.sent))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            left = [each for way in run.give_up(_given_up()) for each in self._record(way)]
            await asyncio.gather(*left, return_exceptions=True)

    async def _feed(self, run: StreamRun, chunks: AsyncIterator[Chunk], chunk_s: float) -> None:
        """Hand over chunks as there is room for them."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await run.room()
                chunk = await anext(chunks, None)
                if chunk is None:
                    break
                run.add(Way(chunk.number, chunk.question, loop.time() + chunk_s))
        except Exception as error:  # noqa: BLE001  whoever asks is told
            run.no_more(error)
        else:
            run.no_more()

    def _record(self, way: Way) -> Sequence[asyncio.Future[Any]]:
        """Record every message in which a chunk left (records of processing: 个人信息保护法 第五十五条)."""
        outcome = way.outcome
        written = []
        for sealed in way.sent:
            reason, said = 0, ""
            if isinstance(outcome, WuganError):
                reason, said = outcome.reason, outcome.en
            elif outcome is not None and sealed.digest != outcome.proof.question_digest:
                reason, said = (
                    words.REFUSAL_REASON_PARTNER_UNAVAILABLE,
                    "not answered; asked in another message",
                )
            event = AuditEvent.of(
                way.question.context,
                at_ms=self._clock.now_ms(),
                direction="out",
                counterpart=sealed.header.recipient,
                message_id=sealed.message_id,
                digest=sealed.digest,
                subjects=len(way.question.subjects.id_number),
                outcome=reason,
                decision=said,
            )
            written.append(self._audit.submit(event))
        return written


def _given_up() -> PartnerError:
    return PartnerError("given up by the agency", "查询方已放弃", reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED)
