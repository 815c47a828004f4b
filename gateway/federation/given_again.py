"""Accounting for answers that are given again: a disclosure like any other, though nobody was asked.

Owns: what the audit trail says of one: who got it, why, by which case, and which signed answer it was. Refuses:
deciding that an answer may be given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from gateway.clock import Clock
from gateway.federation.kept import Held
from gateway.store.audit import AuditEvent, AuditLog, recorded_words
from gateway.store.chain import Content
from gateway.store.disclosures import Disclosures
from gateway.store.tables import WORDS_CHARS
from wugan.federation.v1 import exchange_pb2

_AGAIN: Final = "given again without asking"
_OUTDATED: Final = "shown as outdated: the member could not be reached"


class GivenAgain:
    """See the module."""

    def __init__(self, audit: AuditLog, disclosures: Disclosures, clock: Clock) -> None:
        self._audit = audit
        self._disclosures = disclosures
        self._clock = clock

    def record(self, held: Held, context: exchange_pb2.Context, *, outdated: bool = False) -> asyncio.Future[None]:
        """Record that an answer is given again in the context of a question. Await it before it is.

        Raises:
            StoreError: the future does, when it could not be written.
        """
        return self._disclosures.submit([self.content(held, context, outdated=outdated)])

    def content(self, held: Held, context: exchange_pb2.Context, *, outdated: bool = False) -> Content:
        """What is recorded, to be used once more with `record_more`."""
        answer = held.answer
        return self._audit.content(
            AuditEvent.of(
                context,
                at_ms=self._clock.now_ms(),
                direction="again",
                counterpart=answer.member_id,
                message_id=answer.message_id,
                digest=answer.proof.question_digest,
                subjects=len(answer.findings.status),
                decision=_OUTDATED if outdated else _AGAIN,
            )
        )

    def record_more(
        self, contents: Iterable[Content], at_ms: int, official: bytes, case_reference: str
    ) -> asyncio.Future[None]:
        """Record the same disclosures at another time, to another official of the unit, for another case."""
        case = recorded_words(case_reference, WORDS_CHARS)
        return self._disclosures.submit(
            [content._replace(at_ms=at_ms, official=official, case_reference=case) for content in contents]
        )
