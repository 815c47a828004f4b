"""What a gateway keeps running beside its calls: partners, letters, notices, the renewal of own keys.

Owns: building each of them whole, and running it for the length of a block. Refuses: deciding anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from certs.errors import CertsError
from certs.slots import KeySlots
from gateway.access.terms import EVERYTHING
from gateway.clock import Clock
from gateway.config import GatewaySettings
from gateway.errors import ConfigError
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.authority_client import AuthorityClient, Partnership
from gateway.federation.authority_link import AuthorityLink
from gateway.federation.carrier import DeliveryCarrier
from gateway.federation.check import Checks
from gateway.federation.directory import DirectorySource
from gateway.federation.directory_tuf import DirectoryTuf
from gateway.federation.enrolling import EstEnroller, EstPlace, ca_certificates
from gateway.federation.issuer_watch import IssuerWatch
from gateway.federation.kept import Answered, ForgetNumbers, Invalidate
from gateway.federation.late import LateChecks
from gateway.federation.late_moves import Moves
from gateway.federation.lines import ChannelFactory
from gateway.federation.live_keys import LiveKeys
from gateway.federation.noticed import Noticed, PeopleNoticed
from gateway.federation.partner_memory import PartnerMemory
from gateway.federation.partners import Partners
from gateway.federation.renewal import Renewal, in_force, log_event, make_rotator, policy_of
from gateway.federation.streams import Streams
from gateway.federation.subscribing import Subscribing
from gateway.inquiry.access import Access
from gateway.inquiry.answering import Inquiry
from gateway.inquiry.asking import Departments
from gateway.inquiry.deferred import ANSWER_LIFE_MS, DeferredQuestions
from gateway.inquiry.exchange import Exchange
from gateway.inquiry.following import Following
from gateway.inquiry.noticing import Noticing
from gateway.inquiry.registering import AT_ONCE, Registering
from gateway.matching.blinding import terms_digest
from gateway.matching.findings import Findings
from gateway.matching.matching import Matching
from gateway.matching.nightly import Nightly
from gateway.matching.roll import Roll
from gateway.matching.rounds import Rounds
from gateway.observing import metrics
from gateway.once.gate import Gate
from gateway.post.door import Door
from gateway.post.inbox import Inbox
from gateway.post.outbox import Outbox
from gateway.post.tidying import Tidying
from gateway.roster.around import Around, Bounds
from gateway.roster.drawing import DrawnByRosters
from gateway.roster.rosters import Rosters
from gateway.rules.book import RuleBook
from gateway.services.duplicates import DuplicateService
from gateway.services.notices import NoticeService
from gateway.store.engine import Store
from wugan.federation.v1 import delivery_pb2


@contextlib.asynccontextmanager
async def running_all(*loops: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """These run for the length of the block."""
    tasks = [asyncio.create_task(loop()) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class AtATime:
    """How many questions there are to be dealt with at a time: in calls of their own, or in one message of a partner.

    Args:
        calls: those that are being worked on and began lately.
        exchange: what partners' questions go through.
    """

    def __init__(self, calls: Callable[[], int], exchange: Exchange) -> None:
        self._calls = calls
        self._exchange = exchange
        self._before = 0, 0

    def __call__(self) -> float:
        """As many calls as there are now, or questions as there were in each message since this was last asked."""
        (messages_before, questions_before) = self._before
        messages, questions = self._before = self._exchange.messages, self._exchange.questions
        return max(self._calls(), (questions - questions_before) / max(1, messages - messages_before))


class Post(NamedTuple):
    """What is left with others and by others, joined."""

    carrier: DeliveryCarrier
    outbox: Outbox
    inbox: Inbox
    door: Door
    late: LateChecks

    @property
    def loops(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What sends letters, and deals with deliveries, as long as it runs."""
        return [self.outbox.run, self.inbox.run, self.late.run]


def build_post(
    settings: GatewaySettings,
    live: LiveKeys,
    directory: DirectoryTuf,
    store: Store,
    inquiry: Inquiry,
    channel: ChannelFactory,
    clock: Clock,
    cache: AnswerCache | None,
    partners: Partners,
) -> Post:
    """What carries letters to and from other gateways, with those who deal with them."""
    given, lifetime_ms = settings.outbox, settings.messages.lifetime_ms
    longest_ms = round(given.longest_days * 86_400_000)
    carrier = DeliveryCarrier(directory, channel)
    outbox = Outbox(live.own, directory.current, store.outbox, carrier, clock, given, lifetime_ms=lifetime_ms)
    partners.heard = outbox.heard_of
    inbox = Inbox(store.inbox, clock, given)
    forget: Invalidate = cache.forget if cache is not None else lambda _member, _people: None
    answered: Answered = cache.answered if cache is not None else lambda _member, _findings: None
    asks = settings.federation
    late = LateChecks(
        store,
        outbox,
        clock,
        longest_ms=longest_ms,
        poll_s=given.poll_s,
        invalidate=forget,
        answered=answered,
        moves=Moves(settings.member_id, directory, asks.max_members) if asks.follow_moves else None,
    )
    most = settings.inquiry.max_subjects
    questions = DeferredQuestions(inquiry, directory.current, outbox, store.audit, clock, given, max_subjects=most)
    inbox.register(delivery_pb2.DELIVERY_KIND_QUESTION, questions, workers=given.question_workers)
    inbox.register(delivery_pb2.DELIVERY_KIND_ANSWER, late)
    door = Door(
        live.own,
        directory.current,
        store.inbox,
        inbox,
        clock,
        lifetime_ms=lifetime_ms,
        longest_ms=longest_ms + ANSWER_LIFE_MS,
    )
    return Post(carrier, outbox, inbox, door, late)


class Notices(NamedTuple):
    """Status-change notices, of both sides, joined."""

    service: NoticeService
    subscribing: Subscribing
    loops: list[Callable[[], Coroutine[Any, Any, None]]]
    following: Following


def build_notices(
    settings: GatewaySettings,
    book: RuleBook,
    departments: Departments,
    access: Access,
    monitoring: Inquiry,
    directory: DirectoryTuf,
    store: Store,
    post: Post,
    checks: Checks,
    clock: Clock,
    forget: Invalidate,
    gone: Callable[[], frozenset[int]],
) -> Notices:
    """What subscribes, follows departments, and tells and takes in notices."""
    given, deliver_ms = settings.notices, round(settings.outbox.longest_days * 86_400_000)
    outbox = post.outbox

    def monitored() -> list[int]:
        pushing = [about.department for about in departments.descriptions if about.pushes]
        return [*(source.about.department for source in departments.feeds), *pushing]

    noticing = Noticing(
        book,
        departments,
        monitoring,
        directory.current,
        store,
        outbox,
        clock,
        given,
        deliver_ms=deliver_ms,
        told=lambda count: metrics.NOTICES_SENT.add(by=count),
        gone=gone,
    )
    registering = Registering(
        access,
        store.watches,
        store.changes,
        store.audit,
        outbox,
        clock,
        given,
        monitored,
        noticing.wake,
    )
    following = Following(departments, store.watches, store.changes, clock, given, noticing.wake)
    departments.sources.listen(following.wake)
    subscribing = Subscribing(settings.member_id, book, directory, store, outbox, clock, given, deliver_ms=deliver_ms)
    noticed = Noticed(
        store,
        clock,
        keep_ms=round(given.keep_days * 86_400_000),
        invalidate=forget,
        received=metrics.NOTICES_RECEIVED.add,
    )
    post.inbox.register(delivery_pb2.DELIVERY_KIND_SUBSCRIPTION, registering, workers=AT_ONCE)
    post.inbox.register(delivery_pb2.DELIVERY_KIND_SUBSCRIPTION_REPLY, subscribing)
    post.inbox.register(delivery_pb2.DELIVERY_KIND_NOTICE, noticed)
    tidying = Tidying(store, clock, given.renew_s)
    service = NoticeService(subscribing, noticed, store.subscriptions, checks.pseudonym, directory, clock)
    loops = [following.run, noticing.run, subscribing.run, tidying.run]
    return Notices(service, subscribing, loops, following)


class Twice(NamedTuple):
    """Finding people who draw twice, joined."""

    service: DuplicateService
    nightly: Nightly


def build_duplicates(
    settings: GatewaySettings,
    book: RuleBook,
    access: Access,
    directory: DirectoryTuf,
    store: Store,
    post: Post,
    rosters: Rosters,
    checks: Checks,
    clock: Clock,
) -> Twice:
    """The once-only gate as agencies see it, and comparing rosters with other members."""
    given, member_id = settings.duplicates, settings.member_id
    gate = Gate(book, store, clock)
    roll = Roll(DrawnByRosters(rosters), gate.keying, clock, lambda: access.narrowing(EVERYTHING))
    matching = Matching(
        member_id,
        store,
        post.outbox,
        access,
        Rounds(
            terms_digest(book.exclusions.classes().items()),
            roll,
            store.parts(settings.state_dir / "matching"),
            access,
            given,
        ),
        Findings(store.duplicates, gate.keying, roll),
        clock,
        given,
        checks.pseudonym(given.unit, given.official),
    )
    post.inbox.register(delivery_pb2.DELIVERY_KIND_MATCHING, matching, workers=1)
    nightly = Nightly(member_id, matching, store.matchings, directory, gate.tidy, clock, given)
    return Twice(DuplicateService(store.duplicates, gate, directory, clock), nightly)


@contextlib.asynccontextmanager
async def open_rosters(
    settings: GatewaySettings,
    book: RuleBook,
    directory: DirectorySource,
    store: Store,
    partners: Partners,
    checks: Checks,
    subscribing: Subscribing,
    clock: Clock,
    cache: AnswerCache | None,
) -> AsyncIterator[Rosters]:
    """Whole-roster runs, those included that were left unfinished; the threads that they work in."""
    given, federation = settings.roster, settings.federation
    forget: ForgetNumbers = cache.forget_numbers if cache is not None else lambda _member, _numbers: None
    answered: Answered = cache.answered if cache is not None else lambda _member, _findings: None
    pool = ThreadPoolExecutor(given.threads, thread_name_prefix="roster")
    around = Around(
        member_id=settings.member_id,
        asks=Streams(partners, store.audit, clock, window=given.window, forget=forget, answered=answered),
        news=PeopleNoticed(store),
        directory=directory,
        book=book,
        clock=clock,
        pool=pool,
        bounds=Bounds(given.max_bytes, given.max_whole_bytes, given.max_rows),
        max_members=federation.max_members,
        chunk_s=given.chunk_s,
        departments_s=given.departments_s,
        follow_moves=federation.follow_moves,
        gate=Gate(book, store, clock),
        scratch=settings.state_dir / "once",
        subscribes=subscribing,
    )
    rosters = Rosters(store.parts(settings.state_dir / "rosters"), around, given, checks.pseudonym)
    try:
        await rosters.open()
        yield rosters
    finally:
        await asyncio.to_thread(pool.shutdown)


@contextlib.asynccontextmanager
async def open_partners(
    settings: GatewaySettings,
    live: LiveKeys,
    directory: DirectorySource,
    channel: ChannelFactory,
    store: Store,
    clock: Clock,
    waited_s: Callable[[], float],
) -> AsyncIterator[Partners]:
    """The partners for the length of the block; which of them fail is remembered. `waited_s`: see `Partners`."""
    given = settings.federation
    partners = Partners(
        live.own,
        directory,
        channel,
        clock,
        lifetime_ms=settings.messages.lifetime_ms,
        retry=given.retry,
        breaker=given.breaker,
        waited_s=waited_s,
    )
    memory = PartnerMemory(partners.standings, store.partners, directory)
    await memory.restore()
    directory.subscribe(memory.follow)
    running = asyncio.create_task(memory.run())
    try:
        yield partners
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await memory.write()
        await partners.close()


@contextlib.asynccontextmanager
async def renewing(
    settings: GatewaySettings,
    slots: KeySlots,
    live: LiveKeys,
    roots: bytes,
    directory: DirectorySource,
    clock: Clock,
) -> AsyncIterator[None]:
    """Own keys are renewed for the length of the block."""
    client = rotator = watch = place = None
    link = AuthorityLink(live.tls, roots)
    if settings.authority is not None:
        client = AuthorityClient(settings.authority, settings.member_id, link)
        try:
            place = EstPlace.of(settings, live.tls, link, roots)
            issues = EstEnroller(place)
            witness = Partnership(client, directory, settings.member_id)
            rotator = make_rotator(
                settings,
                slots,
                roots,
                client,
                witness,
                issues,
                clock,
                held=lambda: in_force(directory),
                changed=live.refresh,
                tell=log_event,
            )
            ask = ca_certificates(place)
            watch = IssuerWatch(ask, slots, rotator, roots, policy_of(settings.rotation), clock.now_ms)
        except CertsError as error:
            raise ConfigError(error.en, error.zh, field="authority") from error
    given = settings.rotation
    renewal = Renewal(
        slots,
        rotator,
        client,
        directory,
        clock,
        poll_s=given.poll_s,
        pace_s=given.pace_s,
        watch=watch,
        watch_s=given.issuer_poll_s,
    )
    directory.subscribe(renewal.wake)
    running = asyncio.create_task(renewal.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        if place is not None:
            await place.close()
        await link.close()
