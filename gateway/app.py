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

import grpc
import structlog
import uvloop

from adapters.build import build, load_manifest
from adapters.contract import Adapter
from adapters.errors import AdapterError
from certs.errors import CertsError
from certs.files import read_public
from certs.grpc_credentials import channel_credentials, channel_options, server_credentials
from certs.keys import PrivateKey, load_private_key, load_signing_key, load_xwing_seed
from gateway.access.terms import thresholds
from gateway.clock import Clock, SystemClock
from gateway.config import GatewaySettings
from gateway.errors import ConfigError, DirectoryError, StoreError
from gateway.exchange.keys import DecryptionKey, OwnKeys, SigningKey
from gateway.federation.check import Checks
from gateway.federation.directory import DirectorySource
from gateway.federation.directory_file import DirectoryFile
from gateway.federation.directory_trust import DirectoryTrust
from gateway.federation.partners import Partners
from gateway.inquiry.access import Access
from gateway.inquiry.administering import Administration, PolicyWatch
from gateway.inquiry.answering import Inquiry
from gateway.inquiry.asking import Departments
from gateway.inquiry.exchange import Exchange
from gateway.inquiry.harvest import Harvest
from gateway.inquiry.quotas import Quotas
from gateway.log import configure
from gateway.rules import RULES_FILE
from gateway.rules.book import RuleBook
from gateway.services.agency import AgencyServicer
from gateway.services.federation import FederationServicer
from gateway.services.server import Server, ServerOptions, serving
from gateway.services.serving import Desk
from gateway.store.alarms import Alarm
from gateway.store.engine import Store

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
        book = RuleBook.parse(_read(settings.inquiry.rules or RULES_FILE), str(settings.inquiry.rules or "rules.yaml"))
        own, key, chain, roots = _load_keys(settings)
        directory = DirectoryFile(
            settings.directory.file,
            DirectoryTrust.of(
                settings.directory.federation, roots, settings.directory.signers, settings.directory.threshold
            ),
            clock,
            settings.state_dir / "directory.seen",
        )
        await directory.refresh()
        desk = Desk(clock, federation=settings.directory.federation, limit=settings.server.max_concurrent_calls)
        store = await stack.enter_async_context(
            Store.open(
                settings.state_dir / "gateway.db",
                key=settings.state_dir / "store.key",
                clock=clock,
                alone=lambda: desk.in_flight <= 1,
            )
        )
        departments = Departments(_adapters(settings), book.names_match)
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
            own,
            directory.current,
            store.replay,
            inquiry,
            store.audit,
            clock,
            lifetime_ms=settings.messages.lifetime_ms,
            reserve_s=settings.inquiry.reserve_ms / 1000,
            default_s=settings.inquiry.deadline_ms / 1000,
        )
        credentials = channel_credentials(key, chain, roots)

        def channel(address: str, tls_name: str) -> grpc.aio.Channel:
            options = [*channel_options(tls_name), *_channel_limits(settings)]
            return grpc.aio.secure_channel(address, credentials, options=options)

        partners = Partners(own, directory, channel, clock, lifetime_ms=settings.messages.lifetime_ms)
        stack.push_async_callback(partners.close)
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
        server = Server(
            server_credentials(key, chain, roots),
            desk,
            FederationServicer(desk, exchange),
            AgencyServicer(desk, checks, book, directory, settings.member_id),
            ServerOptions(
                max_message_bytes=settings.server.max_message_bytes,
                max_concurrent_calls=settings.server.max_concurrent_calls,
                drain_s=settings.server.drain_s,
                connection_age_s=settings.server.connection_age_s,
            ),
        )
        refreshing = asyncio.create_task(_keep_fresh(directory, settings.directory.refresh_s))
        stack.callback(refreshing.cancel)
        addresses = (settings.server.federation, settings.server.agency)
        yield await stack.enter_async_context(serving(server, *addresses, settings.server.ready_file))


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


async def _keep_fresh(directory: DirectorySource, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await directory.refresh()
        except DirectoryError as error:
            _log.error("directory not refreshed", error=error.code)


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


def _load_keys(settings: GatewaySettings) -> tuple[OwnKeys, PrivateKey, bytes, bytes]:
    """Own keys for messages; TLS key, certificate chain and roots."""
    try:
        signer = load_signing_key(settings.messages.signing_key).private_bytes_raw()
        seeds = [load_xwing_seed(path) for path in settings.messages.encryption_keys]
        own = OwnKeys.of(
            settings.member_id, SigningKey.from_seed(signer), *(DecryptionKey.from_seed(seed) for seed in seeds)
        )
        tls = settings.tls
        return own, load_private_key(tls.private_key), read_public(tls.certificate), read_public(tls.roots)
    except CertsError as error:
        raise ConfigError(error.en, error.zh) from error


def _channel_limits(settings: GatewaySettings) -> list[tuple[str, int]]:
    keepalive_ms = round(settings.federation.keepalive_s * 1000)
    return [
        ("grpc.max_receive_message_length", settings.server.max_message_bytes),
        ("grpc.max_send_message_length", settings.server.max_message_bytes),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A partner that restarts is found again within a second or so, not within two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # Retrying is decided in one place, ours; the library's own would multiply with it.
        ("grpc.enable_retries", 0),
    ]


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"state_dir: {folder} cannot be made ({error.strerror})",
            f"state_dir：无法创建 {folder}（{error.strerror}）",
            field="state_dir",
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror})", f"{path}：无法读取（{error.strerror}）", field="inquiry.rules"
        ) from error
