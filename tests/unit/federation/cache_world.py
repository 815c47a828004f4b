"""Answers to be given again: a store, a cache over it, and answers as members sign them."""

from __future__ import annotations

import dataclasses
from typing import Any

from gateway.clock import FakeClock
from gateway.exchange.envelope import Proof, open_answer, seal
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.directory import Directory
from gateway.federation.kept import CacheOptions, linked_numbers
from gateway.federation.partners import PartnerAnswer
from gateway.store.answers import SignedAnswer
from gateway.store.engine import Store
from tests.unit.services.gateways_world import (
    ANNA,
    NOW_MS,
    A,
    B,
    C,
    Federation,
    Listed,
    Party,
    findings,
    opened_at,
    question,
    sealed_answer,
)
from wugan.federation.v1 import envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

HOUR_MS = 3_600_000
RULES = b"r" * 32


class Changing(Listed):
    """A directory source whose directory a test replaces."""

    def __init__(self, *parties: Party, clock: FakeClock) -> None:
        super().__init__(*parties, clock=clock)
        self._subscribers: list[Any] = []

    def subscribe(self, changed: Any) -> None:
        self._subscribers.append(changed)

    def replace(self, *parties: Party) -> None:
        """The next version, with these members."""
        old = self._directory
        members = tuple(party.entry() for party in parties)
        self._directory = dataclasses.replace(old, version=old.version + 1, members=members)
        for changed in self._subscribers:
            changed()

    @property
    def version(self) -> Directory:
        return self._directory


class CacheWorld:
    """One gateway's cache; answers are signed by B unless said otherwise."""

    def __init__(self, store: Store, clock: FakeClock, **options: Any) -> None:
        self.store = store
        self.clock = clock
        self.directory = Changing(A, B, C, clock=clock)
        self.federation = Federation(clock=clock)
        plain: dict[str, Any] = {
            "max_answers": 1000,
            "memory_bytes": 16 << 20,
            "stale_if_unreachable": True,
            "flush_s": 0.01,
            **options,
        }
        self.options = CacheOptions(**plain)
        self.cache = self.again()

    def again(self) -> AnswerCache:
        """Another cache over the same store, as after a restart."""
        return AnswerCache(self.store.reusable, self.store.answers, self.directory, self.clock, self.options)

    def answer(
        self, asked: exchange_pb2.Question, party: Party = B, *, for_ms: int = HOUR_MS, stale_ms: int = 0, **more: Any
    ) -> PartnerAnswer:
        """What a member answers to a question, sealed, opened and verified."""
        now_ms = self.clock.now_ms()
        made = findings(*more.pop("status", [words.SURVIVAL_STATUS_ALIVE_STRONG]), **more)
        made.made_at_ms = now_ms
        made.rules_digest = made.rules_digest or RULES
        made.cacheable_until_ms = now_ms + for_ms if for_ms else 0
        made.stale_until_ms = now_ms + for_ms + stale_ms if stale_ms else 0
        directory = self.federation.directory.current()
        sealed = seal(
            A.own,
            party.member_id,
            party.encryption,
            kind=envelope_pb2.MESSAGE_KIND_QUESTION,
            purpose=asked.context.purpose,
            payloads=[asked.SerializeToString()],
            now_ms=now_ms,
            lifetime_ms=60_000,
        )
        opened = opened_at(self.federation, party, sealed.envelope)
        payload = exchange_pb2.Answer(context=asked.context, findings=made).SerializeToString()
        envelope = sealed_answer(self.federation, party, opened, payload)
        answered = open_answer(envelope, A.own, directory, question=sealed, now_ms=now_ms)
        proof: Proof = answered.proofs()[0]
        return PartnerAnswer(party.member_id, made, answered.header.message_id, proof)

    async def take(self, asked: exchange_pb2.Question, party: Party = B, **more: Any) -> PartnerAnswer:
        """An answer comes, is kept with its proof, and taken by the cache."""
        answer = self.answer(asked, party, **more)
        await self.keep(asked, answer)
        self.cache.put(asked, answer, self.cache.mark, 5.0)
        return answer

    async def keep(self, asked: exchange_pb2.Question, answer: PartnerAnswer) -> None:
        signed = SignedAnswer(answer.member_id, answer.message_id, *answer.proof, self.clock.now_ms())
        await self.store.answers.keep(signed, [*asked.subjects.id_number, *linked_numbers(answer.findings)])

    async def found(self, asked: exchange_pb2.Question, party: Party = B, time_s: float = 5.0) -> PartnerAnswer | None:
        key = self.cache.key(party.member_id, asked)
        held = await self.cache.find(party.member_id, key, [*asked.subjects.id_number], time_s)
        return held.answer if held is not None else None

    async def outdated(self, asked: exchange_pb2.Question, party: Party = B) -> PartnerAnswer | None:
        held = await self.cache.outdated(self.cache.key(party.member_id, asked), [*asked.subjects.id_number])
        return held.answer if held is not None else None

    async def restart(self) -> None:
        """Write what waits, and go on with an empty memory."""
        await self.cache.close()
        self.cache = self.again()
        await self.cache.open()


def asked_about(id_number: str = ANNA, **context: Any) -> exchange_pb2.Question:
    return question(id_number, **context)


__all__ = ["HOUR_MS", "NOW_MS", "CacheWorld", "Changing", "asked_about"]
