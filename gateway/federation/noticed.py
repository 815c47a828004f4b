"""Notices that other members send: whose they are, kept for the unit, and what they make out of date.

Owns: what of a notice is believed (it fits a subscription of ours and its findings fit one person), the record of it,
waking those who watch, and the word to the cache. Refuses: deciding anything about a person, and telling a unit of
another unit's people.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

import structlog
from google.protobuf.message import DecodeError

from gateway.clock import Clock, civil_day
from gateway.errors import PartnerError, RefusedError
from gateway.exchange.envelope import Proof
from gateway.exchange.tokens import KEY_ID_BYTES, TOKEN_BYTES
from gateway.federation.answers import PartnerAnswer, check_findings
from gateway.federation.checked import Checked, MemberResult
from gateway.federation.kept import Invalidate, spoken_against
from gateway.post.inbox import keep, kept_proof
from gateway.post.letters import Handled, Received, delivery_digest
from gateway.store.audit import AuditEvent
from gateway.store.ended import EVERY_MEMBER
from gateway.store.engine import Store
from gateway.store.notices import KeptNotice
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import delivery_pb2, envelope_pb2, exchange_pb2, notices_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)

MAX_EVIDENCE: Final = 10_000
_POLL_S: Final = 5.0
_PAGE: Final = 100


class Told(NamedTuple):
    """A notice as it is told to its unit; `checked` is what it says, as if it had been asked.

    Args:
        kept: the notice at rest; its number is what the unit goes on from.
        id_number, name: of the person, as the unit gave them.
        case_reference: of the subscription.
        checked: what it says, as the answer to a check.
    """

    kept: KeptNotice
    id_number: str
    name: str
    case_reference: str
    checked: Checked

    def __repr__(self) -> str:
        """Nothing of the person, whoever logs it."""
        return f"<Told {self.kept.number}>"


class Noticed:
    """See the module; deals with deliveries of kind NOTICE.

    Args:
        keep_ms: how long a notice is kept for its unit.
        invalidate: told whom a notice is about, so that a cache forgets what its sender said of them before, and what
            everybody did where it speaks against them.
        received: called for each notice that was kept, with the member, for metrics.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        keep_ms: int,
        invalidate: Invalidate = lambda _member, _people: None,
        received: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._keep_ms = keep_ms
        self._invalidate = invalidate
        self._received = received
        self._bells: set[asyncio.Event] = set()

    def check(self, sender: str, purpose: int, body: bytes, now_ms: int) -> None:
        """See `gateway.post.letters.Handler`.

        Raises:
            RefusedError: the notice is malformed, or does not fit one person.
        """
        read_notice(body, purpose)

    async def handle(self, delivery: Received) -> Handled:
        """Keep a notice for its unit; one that fits no subscription any more is recorded, and nothing else."""
        notice = read_notice(delivery.body, delivery.purpose)
        now_ms = self._clock.now_ms()
        context = notice.context
        found = await self._store.subscriptions.by_token(delivery.sender, notice.token, context.unit, notice.benefit)
        decision = "no such subscription any more" if found is None else f"notice {notice.sequence} received"
        record = self._store.audit.effect(
            AuditEvent.of(
                context,
                at_ms=now_ms,
                direction="out",
                counterpart=delivery.sender,
                message_id=delivery.delivery_id,
                digest=delivery_digest(delivery.delivery_id, delivery.body),
                subjects=1,
                decision=decision,
            )
        )
        if found is None:
            _log.info("notice without subscription", member=delivery.sender)
            return Handled([record])
        person = "\x00".join((found.id_number, found.name)).encode()
        kept = KeptNotice(
            found.unit,
            found.member,
            found.benefit,
            found.blind_index,
            notice.sequence,
            notice.retracts_from,
            now_ms,
            now_ms + self._keep_ms,
            len(person).to_bytes(4) + person + keep(delivery.proof),
        )

        asked = exchange_pb2.Question(subjects=columns_pb2.SubjectColumns(id_number=[found.id_number]))
        against = spoken_against(asked, notice.findings)
        whose = EVERY_MEMBER if against else delivery.sender
        people = list({found.blind_index, *map(self._store.reusable.blind_index, against)})

        def after() -> None:
            self._invalidate(whose, people)
            self._received(delivery.sender)
            self.ring()

        # A dead letter that is sent again, or a dead delivery dealt with after all, comes after what corrected it.
        behind = [each for each in await self._store.notices.beyond(kept) if _takes_back(each, kept, delivery)]
        keeping = self._store.notices.keeping(kept._replace(retracted=bool(behind)))._replace(after=after)
        # Also in this commit, and not only by `after`: after a crash in between the cache would not know of the notice.
        ending = self._store.reusable.dropping(whose, people)
        return Handled([keeping, record, ending])

    def ring(self) -> None:
        """Something came: those who watch look again."""
        for bell in self._bells:
            bell.set()

    async def watch(self, unit: str, after: int, *, only_present: bool) -> AsyncIterator[Told]:
        """A unit's notices after a number, in order, as they come; ends only if those present are all that is wanted.

        Raises:
            StoreError: they cannot be read.
        """
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            while True:
                bell.clear()
                page = await self._store.notices.after(unit, after, _PAGE)
                for kept in page:
                    after = kept.number
                    yield told(kept)
                if len(page) == _PAGE:
                    continue
                if only_present:
                    return
                try:
                    async with asyncio.timeout(_POLL_S):  # another instance may have put some there
                        await bell.wait()
                except TimeoutError:
                    pass
        finally:
            self._bells.discard(bell)


def _takes_back(later: KeptNotice, kept: KeptNotice, delivery: Received) -> bool:
    """Whether a notice that came before takes this one back; not one of an earlier subscription, made before it was."""
    return 0 < later.retracts_from <= kept.sequence and delivery_of(later).delivery_id > delivery.delivery_id


class PeopleNoticed:
    """Of whom notices came, for whoever asks about all of them anyway."""

    def __init__(self, store: Store) -> None:
        self._notices = store.notices

    async def since(self, unit: str, number: int) -> tuple[list[str], int]:
        """Numbers of people, and of the last notice; see `gateway.roster.around.News`.

        Raises:
            StoreError: they cannot be read.
        """
        if number < 0:
            return [], await self._notices.latest(unit)
        people: dict[str, None] = {}
        while page := await self._notices.after(unit, number):
            number = page[-1].number
            people.update((told(kept).id_number, None) for kept in page)
        return list(people), number


def told(kept: KeptNotice) -> Told:
    """A notice as it is told."""
    number, name = kept.body[4 : _person_end(kept)].decode().split("\x00", 1)
    proof = _proof_of(kept)
    notice = notices_pb2.Notice.FromString(delivery_pb2.Delivery.FromString(proof.payload).body)
    message_id = envelope_pb2.Header.FromString(proof.header).message_id
    answer = PartnerAnswer(kept.member, notice.findings, message_id, proof).with_columns()
    as_of_on = notice.findings.as_of_on or civil_day(kept.at_ms)
    checked = Checked(as_of_on, kept.at_ms, (MemberResult(kept.member, (), answer=answer),))
    return Told(kept, number, name, notice.context.case_reference, checked)


def _person_end(kept: KeptNotice) -> int:
    return 4 + int.from_bytes(kept.body[:4])


def _proof_of(kept: KeptNotice) -> Proof:
    return kept_proof(kept.body[_person_end(kept) :])


def delivery_of(kept: KeptNotice) -> delivery_pb2.Delivery:
    """What a notice came as."""
    return delivery_pb2.Delivery.FromString(_proof_of(kept).payload)


def read_notice(body: bytes, purpose: int) -> notices_pb2.Notice:
    """A notice that fits one person.

    Raises:
        RefusedError: it does not; nothing of it may be used.
    """
    notice = notices_pb2.Notice()
    try:
        notice.ParseFromString(body)
        check_findings(notice.findings, 1)
    except DecodeError as error:
        raise _malformed("does not parse") from error
    except PartnerError as error:
        raise _malformed("does not fit one person") from error
    if purpose != adapter_words.PURPOSE_CHANGE_MONITORING or notice.context.purpose != purpose:
        raise _malformed("is for another purpose")
    if len(notice.key_id) != KEY_ID_BYTES or len(notice.token) != TOKEN_BYTES:
        raise _malformed("names nobody")
    if not 0 <= notice.retracts_from < notice.sequence < 1 << 62:
        raise _malformed("has a wrong number")
    if not notice.findings.status[0] or len(notice.findings.evidence.subject) > MAX_EVIDENCE:
        raise _malformed("has no finding")
    return notice


def _malformed(what: str) -> RefusedError:
    return RefusedError(
        f"the notice {what}",
        "通知内容有误，未予采用",
        reason=words.REFUSAL_REASON_INVALID_ARGUMENT,
        field="notice",
    )
