"""The composition root: the only place that builds the gateway's objects, and the only module that knows them all.

Owns: the order in which things are opened and closed. Refuses: deciding anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import grpc
import structlog
import uvloop
from tuf.ngclient.fetcher import FetcherInterface

from adapters.build import build, load_manifest
from adapters.contract import Adapter
from adapters.errors import AdapterError
from certs.errors import CertsError
from certs.files import read_public
from certs.grpc_credentials import channel_options
from certs.server_certificate import ServerCertificate
from certs.slots import KeySlots
from gateway.access.terms import thresholds
from gateway.clock import Clock, SystemClock
from gateway.config import GatewaySettings
from gateway.errors import ConfigError, StoreError
from gateway.federation.authority_client import AuthorityClient, Partnership
from gateway.federation.authority_link import AuthorityLink
from gateway.federation.carrier import DeliveryCarrier
from gateway.federation.check import Checks
from gateway.federation.directory import DirectorySource
from gateway.federation.directory_fetch import FolderFetcher, HttpsFetcher, https_context, https_session
from gateway.federation.directory_stream import DirectoryStream
from gateway.federation.directory_trust import DirectoryTrust
from gateway.federation.directory_tuf import DirectoryTuf
from gateway.federation.directory_updater import DirectoryPlace
from gateway.federation.enrolling import EstEnroller, ca_certificates
from gateway.federation.issuer_watch import IssuerWatch
from gateway.federation.late import LateChecks
from gateway.federation.lines import ChannelFactory, channel_limits
from gateway.federation.live_keys import LiveKeys, TlsIdentity, open_slots
from gateway.federation.partner_memory import PartnerMemory
from gateway.federation.partners import Partners
from gateway.federation.renewal import Renewal, log_event, make_rotator, policy_of
from gateway.inquiry.access import Access
from gateway.inquiry.administering import Administration, PolicyWatch
from gateway.inquiry.answering import Inquiry
from gateway.inquiry.asking import Departments
from gateway.inquiry.deferred import ANSWER_LIFE_MS, DeferredQuestions
from gateway.inquiry.exchange import Exchange
from gateway.inquiry.harvest import Harvest
from gateway.inquiry.quotas import Quotas
from gateway.log import configure
from gateway.post.door import Door
from gateway.post.inbox import Inbox
from gateway.post.outbox import Outbox
from gateway.rules import RULES_FILE
from gateway.rules.book import RuleBook
from gateway.services.agency import AgencyServicer
from gateway.services.federation import FederationServicer
from gateway.services.server import Server, ServerOptions, serving
from gateway.services.serving import Desk
from gateway.store.alarms import Alarm
from gateway.store.engine import Store
from wugan.federation.v1 import delivery_pb2

_log = structlog.stdlib.get_logger(__name__)


def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Raises:
        WuganError: the configuration, a key, the directory, a manifest or the store cannot be used.
    """
    configure(settings.log.level, settings.log.format)
    uvloop.run(_serve(settings, SystemClock()))


async def _serve(settings: GatewaySettings, clock: Clock) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with gateway(settings, clock) as bound:
        _settle_garbage_collector()
        _log.info("ready", **bound)
        await stop.wait()
    _log.info("stopped")


def _settle_garbage_collector() -> None:
    """Keep the collector from walking, again and again, what lives as long as the process.

    A call makes hundreds of short-lived objects and hardly a cycle; with the usual thresholds every few calls would pay
    for a look at all modules, tables and key objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@contextlib.asynccontextmanager
async def gateway(settings: GatewaySettings, clock: Clock) -> AsyncIterator[dict[str, str]]:
    """A running gateway for the length of the block; yields the addresses it is bound to, by name."""
    async with contextlib.AsyncExitStack() as stack:
        _make_private(settings.state_dir)
        book = RuleBook.parse(
            _read(settings.inquiry.rules or RULES_FILE, "inquiry.rules"), str(settings.inquiry.rules or "rules.yaml")
        )
        slots, live, roots = await _load_keys(settings)
        stack.callback(slots.close)
        directory, stream = await _directory(stack, settings, clock, roots)
        desk = Desk(
            clock,
            directory.current,
            federation=settings.directory.federation,
            limit=settings.server.max_concurrent_calls,
            shed_s=settings.server.shed_ms / 1000,
        )
        directory.subscribe(desk.recheck)
        store = await stack.enter_async_context(
            Store.open(
                settings.state_dir / "gateway.db",
                key=settings.state_dir / "store.key",
                clock=clock,
                alone=lambda: desk.in_flight <= 1,
            )
        )
        departments = Departments(_adapters(settings), book.names_match, clock, settings.inquiry.breaker)
        stack.push_async_callback(departments.close)
        access = await _access(settings, store, clock, stack)
        inquiry = Inquiry(
            book,
            departments,
            access,
            clock,
            max_subjects=settings.inquiry.max_subjects,
            max_evidence=settings.inquiry.max_evidence,
        )
        exchange = Exchange(
            live.own,
            directory.current,
            store.replay,
            inquiry,
            store.audit,
            clock,
            lifetime_ms=settings.messages.lifetime_ms,
            reserve_s=settings.inquiry.reserve_ms / 1000,
            default_s=settings.inquiry.deadline_ms / 1000,
        )

        limits = channel_limits(settings.server.max_message_bytes, settings.federation.keepalive_s)

        def channel(address: str, tls_name: str) -> grpc.aio.Channel:
            options = [*channel_options(tls_name), *limits]
            return grpc.aio.secure_channel(address, live.channel_credentials(), options=options)

        partners = await stack.enter_async_context(_partners(settings, live, directory, channel, store, clock))
        post = _post(settings, live, directory, store, inquiry, channel, clock)
        stack.push_async_callback(post.carrier.close)
        checks = Checks(
            settings.member_id,
            partners,
            directory,
            clock,
            store,
            max_members=settings.federation.max_members,
            default_s=settings.federation.deadline_ms / 1000,
            reserve_s=settings.federation.reserve_ms / 1000,
        )
        agency = AgencyServicer(desk, checks, book, directory, settings.member_id, post.late)
        server = Server(
            lambda: ServerCertificate(live.tls().key, live.tls().chain_pem, roots),
            desk,
            FederationServicer(desk, exchange, post.door),
            agency,
            ServerOptions(
                max_message_bytes=settings.server.max_message_bytes,
                max_concurrent_calls=settings.server.max_concurrent_calls,
                drain_s=settings.server.drain_s,
                connection_age_s=settings.server.connection_age_s,
            ),
        )
        following = asyncio.create_task(directory.follow(settings.directory.refresh_s, stream))
        stack.callback(following.cancel)
        await stack.enter_async_context(post.running())
        addresses = (settings.server.federation, settings.server.agency)
        bound = await stack.enter_async_context(serving(server, *addresses, settings.server.ready_file))

        async def renewed(tls: TlsIdentity) -> None:
            await asyncio.gather(server.renew(tls.key, tls.chain_pem), partners.renew(), post.carrier.renew())

        stack.callback(agency.late.close)  # who watches must not hold up the drain
        live.follow(renewed)
        await stack.enter_async_context(_renewing(settings, slots, live, roots, directory, clock))
        yield bound


class _Post(NamedTuple):
    """What is left with others and by others, joined."""

    carrier: DeliveryCarrier
    outbox: Outbox
    inbox: Inbox
    door: Door
    late: LateChecks

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Letters are sent, and deliveries dealt with, for the length of the block."""
        tasks = [asyncio.create_task(part.run()) for part in (self.outbox, self.inbox, self.late)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _post(
    settings: GatewaySettings,
    live: LiveKeys,
    directory: DirectoryTuf,
    store: Store,
    inquiry: Inquiry,
    channel: ChannelFactory,
    clock: Clock,
) -> _Post:
    given, lifetime_ms = settings.outbox, settings.messages.lifetime_ms
    longest_ms = round(given.longest_days * 86_400_000)
    carrier = DeliveryCarrier(directory, channel)
    outbox = Outbox(live.own, directory.current, store.outbox, carrier, clock, given, lifetime_ms=lifetime_ms)
    inbox = Inbox(store.inbox, clock, given)
    late = LateChecks(store, outbox, clock, longest_ms=longest_ms, poll_s=given.poll_s)
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
    return _Post(carrier, outbox, inbox, door, late)


async def _access(settings: GatewaySettings, store: Store, clock: Clock, stack: contextlib.AsyncExitStack) -> Access:
    """Decides by the policy in the store, and follows it as long as the gateway runs."""
    harvest = Harvest(settings.access.harvest, functools.partial(_keep_alarm, store))
    access = Access(clock, Quotas(store.usage), digest=store.protected_digest, harvest=harvest)
    administration = Administration(store, settings.member_id, thresholds(settings.access), clock)
    watch = PolicyWatch(administration, access.use, clock, settings.access.poll_s)
    await watch.look(first=True)
    harvest.restore(await store.alarms.read())
    watching = asyncio.create_task(watch.run())
    stack.callback(watching.cancel)
    return access


def _keep_alarm(store: Store, alarm: Alarm, numbered: Callable[[int], None]) -> None:
    """Log an alarm, and have it written down; it stands whether or not that works."""
    _log.warning(
        "harvesting suspected", member=alarm.member, signal=alarm.signal, seen=alarm.seen, allowed=alarm.allowed
    )

    def kept(future: asyncio.Future[int]) -> None:
        if future.cancelled() or future.exception() is not None:
            _log.error("alarm not written", member=alarm.member, signal=alarm.signal)
        else:
            numbered(future.result())

    try:
        store.alarms.submit(alarm).add_done_callback(kept)
    except StoreError:
        _log.error("alarm not written", member=alarm.member, signal=alarm.signal)


@contextlib.asynccontextmanager
async def _partners(
    settings: GatewaySettings,
    live: LiveKeys,
    directory: DirectorySource,
    channel: ChannelFactory,
    store: Store,
    clock: Clock,
) -> AsyncIterator[Partners]:
    """The partners for the length of the block; which of them fail is remembered."""
    given = settings.federation
    partners = Partners(
        live.own,
        directory,
        channel,
        clock,
        lifetime_ms=settings.messages.lifetime_ms,
        retry=given.retry,
        breaker=given.breaker,
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
async def _renewing(
    settings: GatewaySettings,
    slots: KeySlots,
    live: LiveKeys,
    roots: bytes,
    directory: DirectorySource,
    clock: Clock,
) -> AsyncIterator[None]:
    """Own keys are renewed for the length of the block."""
    client = rotator = watch = None
    link = AuthorityLink(live.tls, roots)
    if settings.authority is not None:
        client = AuthorityClient(settings.authority, settings.member_id, link)
        issues = EstEnroller(settings.authority, link, roots)
        try:
            witness = Partnership(client, directory, settings.member_id)
            rotator = make_rotator(
                settings, slots, roots, client, witness, issues, clock, changed=live.refresh, tell=log_event
            )
            ask = ca_certificates(settings.authority, roots)
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
        await link.close()


async def _directory(
    stack: contextlib.AsyncExitStack, settings: GatewaySettings, clock: Clock, roots: bytes
) -> tuple[DirectoryTuf, DirectoryStream | None]:
    """Where the directory comes from, with one in force, and the stream that tells of newer ones.

    Raises:
        DirectoryError: none is held, and none could be taken.
    """
    given, authority = settings.directory, settings.authority
    trust = DirectoryTrust.of(given.federation, roots)
    place = DirectoryPlace(str(given.source), _read(given.root, "directory.root"), settings.state_dir / "directory")
    stream: DirectoryStream | None = None
    fetcher: FetcherInterface = FolderFetcher()
    if not isinstance(given.source, Path) or authority is not None:
        session = await stack.enter_async_context(https_session(https_context(roots)))
        if authority is not None:
            stream = DirectoryStream(session, f"{authority.url}/directory/events", authority.tls_name)
        if not isinstance(given.source, Path):
            host = urlsplit(given.source).hostname or ""
            name = authority.tls_name if authority is not None else host
            fetcher = HttpsFetcher(session, asyncio.get_running_loop(), name)
    directory = DirectoryTuf(place, fetcher, trust, clock)
    await directory.refresh()
    return directory, stream


def _adapters(settings: GatewaySettings) -> list[Adapter]:
    built: list[Adapter] = []
    for path in settings.inquiry.adapters:
        try:
            built.append(build(load_manifest(path), settings.state_dir / "adapters"))
        except AdapterError as error:
            raise ConfigError(error.en, error.zh, field="inquiry.adapters") from error
    names = [adapter.describe().adapter_id for adapter in built]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        listed = ", ".join(sorted(twice))
        raise ConfigError(
            f"inquiry.adapters: adapter ids must differ; more than one manifest says {listed}",
            f"inquiry.adapters：接入标识重复：{listed}",
            field="inquiry.adapters",
        )
    return built


async def _load_keys(settings: GatewaySettings) -> tuple[KeySlots, LiveKeys, bytes]:
    """The folder of own keys, what it holds, and the federation root."""
    slots = await asyncio.to_thread(open_slots, settings)
    try:
        roots = read_public(settings.tls.roots)
        live = LiveKeys(settings.member_id, slots, roots)
        await live.refresh()
    except CertsError as error:
        slots.close()
        raise ConfigError(error.en, error.zh, field="keys") from error
    except BaseException:
        slots.close()
        raise
    return slots, live, roots


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"state_dir: {folder} cannot be made ({error.strerror})",
            f"state_dir：无法创建 {folder}（{error.strerror}）",
            field="state_dir",
        ) from error


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror})", f"{path}：无法读取（{error.strerror}）", field=setting
        ) from error
