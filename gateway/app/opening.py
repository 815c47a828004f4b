"""What a gateway opens from its settings before it serves: folders, keys, directory, adapters, policy, kept answers.

Owns: turning settings into open things, or into an error that names the setting. Refuses: the order in which they are
opened, which is the composition root's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import structlog
from tuf.ngclient.fetcher import FetcherInterface

from adapters.build import build, load_manifest
from adapters.contract import Adapter
from adapters.errors import AdapterError
from adapters.line import OPTIONS, Channels
from adapters.manifest import manifest_of
from certs.errors import CertsError, TokenAwayError
from certs.files import read_public
from certs.grpc_credentials import channel_options
from certs.slots import KeySlots
from certs.system_words import cause
from gateway.access.adapters import DEPARTMENT, Version
from gateway.access.policy import Policy
from gateway.access.terms import thresholds
from gateway.aside import Aside
from gateway.clock import Clock
from gateway.config import GatewaySettings
from gateway.errors import ConfigError, StoreError
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.directory import DirectorySource
from gateway.federation.directory_fetch import FolderFetcher, HttpsFetcher, https_context, https_session
from gateway.federation.directory_stream import DirectoryStream
from gateway.federation.directory_trust import DirectoryTrust
from gateway.federation.directory_tuf import DirectoryTuf
from gateway.federation.directory_updater import DirectoryPlace
from gateway.federation.ended_elsewhere import EndedElsewhere
from gateway.federation.kept import CacheOptions
from gateway.federation.live_keys import LiveKeys, open_slots
from gateway.federation.shown import Shown
from gateway.inquiry.access import Access
from gateway.inquiry.administering import Administration, PolicyWatch
from gateway.inquiry.applying import unfit
from gateway.inquiry.asking import Departments
from gateway.inquiry.enlisting import Build, Enlisting
from gateway.inquiry.harvest import Harvest
from gateway.inquiry.quotas import Quotas
from gateway.inquiry.shadowing import Shadowing
from gateway.quality import QUALITY_FILE
from gateway.quality.judging import Thresholds
from gateway.quality.recorder import Recorder
from gateway.rules.book import RuleBook
from gateway.store.alarms import Alarm
from gateway.store.engine import Store

_log = structlog.stdlib.get_logger(__name__)


async def open_directory(
    stack: contextlib.AsyncExitStack, settings: GatewaySettings, clock: Clock, roots: bytes
) -> tuple[DirectoryTuf, DirectoryStream | None]:
    """Where the directory comes from, with one in force, and the stream that tells of newer ones.

    Raises:
        DirectoryError: none is held, and none could be taken.
    """
    given, authority = settings.directory, settings.authority
    trust = DirectoryTrust.of(given.federation, roots)
    place = DirectoryPlace(str(given.source), read(given.root, "directory.root"), settings.state_dir / "directory")
    stream: DirectoryStream | None = None
    fetcher: FetcherInterface = FolderFetcher()
    if not isinstance(given.source, Path) or authority is not None:
        session = await stack.enter_async_context(https_session(https_context(roots)))
        if authority is not None:
            url = f"{authority.url}/directory/events"
            stream = DirectoryStream(session, url, authority.tls_name, files=not isinstance(given.source, Path))
        if not isinstance(given.source, Path):
            host = urlsplit(given.source).hostname or ""
            name = authority.tls_name if authority is not None else host
            fetcher = HttpsFetcher(session, asyncio.get_running_loop(), name)
    directory = DirectoryTuf(place, fetcher, trust, clock)
    await directory.refresh()
    return directory, stream


class OwnChannels:
    """Channels to remote adapters, with this gateway's own certificate as it is at the moment.

    Args:
        live: own keys.
        shown: what adapters show of themselves.
    """

    def __init__(self, live: LiveKeys, shown: Shown) -> None:
        self._live = live
        self._shown = shown

    def open(self, address: str, tls_name: str) -> grpc.aio.Channel:
        """A channel to an address where this name must be proven."""
        options = [*channel_options(tls_name), *OPTIONS]
        return grpc.aio.secure_channel(address, self._live.channel_credentials(), options=options)

    async def vouch(self, address: str, tls_name: str) -> None:
        """See `Channels`."""
        await self._shown.require_not_revoked(address, tls_name)

    def version(self) -> object:
        """Which of the gateway's certificates that is."""
        return self._live.tls().name


def build_adapters(settings: GatewaySettings, channels: Channels | None = None) -> list[Adapter]:
    """The adapters of this member's departments.

    Args:
        settings: name the manifests.
        channels: opens channels to remote adapters.

    Raises:
        ConfigError: a manifest is wrong, or two have one id.
    """
    built: list[Adapter] = []
    for path in settings.inquiry.adapters:
        try:
            built.append(build(load_manifest(path), settings.state_dir / "adapters", channels=channels))
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


def open_departments(
    settings: GatewaySettings, book: RuleBook, store: Store, clock: Clock, channels: Channels
) -> tuple[Departments, Enlisting, Shadowing]:
    """The departments of the configuration, what brings registered ones among them and out again, and what tries them.

    Raises:
        ConfigError: a manifest of the configuration is wrong.
    """
    departments = Departments(build_adapters(settings, channels), book.names_match, clock, settings.inquiry.breaker)
    enlisting = Enlisting(
        departments.sources,
        departments.sources.hand.live,
        store.adapters,
        build_registered(settings, channels),
        clock,
        poll_s=settings.access.poll_s,
        forget=forget_registered(settings),
    )
    shadowing = Shadowing(departments, store.adapters, clock, settings.inquiry.shadow)
    departments.beside = shadowing
    return departments, enlisting, shadowing


def build_registered(settings: GatewaySettings, channels: Channels | None = None) -> Build:
    """Makes the adapter of a registered version.

    A manifest that came over the network is of a department, and may name nothing of this machine: no kind but `remote`
    is built from one.
    """

    def read_manifest(version: Version, text: bytes) -> Callable[[], Adapter]:
        manifest = manifest_of(text, str(Path(version.folder) / f"{version.adapter}.yaml"))
        if manifest.adapter_id != version.adapter or hashlib.sha256(text).digest() != version.digest:
            raise AdapterError(
                "its manifest is not the one that was approved; register it again", "清单与批准时不一致，请重新登记"
            )
        if version.origin == DEPARTMENT and (problem := unfit(manifest)) is not None:
            raise AdapterError(*problem[1:])
        return lambda: build(manifest, registered_state(settings, version), channels=channels)

    return read_manifest


def forget_registered(settings: GatewaySettings) -> Callable[[Sequence[Version]], None]:
    """Deletes what adapters of removed versions have read; it is made again from the source where it is needed."""

    def forget(versions: Sequence[Version]) -> None:
        for version in versions:
            shutil.rmtree(registered_state(settings, version), ignore_errors=True)

    return forget


def registered_state(settings: GatewaySettings, version: Version) -> Path:
    """A folder of each version's own: two of one adapter may be in use at the same time."""
    return settings.state_dir / "adapters" / "registered" / version.digest.hex()[:32]


async def load_keys(settings: GatewaySettings) -> tuple[KeySlots, LiveKeys, bytes]:
    """The folder of own keys, what it holds, and the federation root."""
    slots = await asyncio.to_thread(open_slots, settings)
    try:
        roots = read_public(settings.tls.roots)
        live = LiveKeys(settings.member_id, slots, roots)
        await live.refresh()
    except CertsError as error:
        slots.close()
        raise ConfigError(error.en, error.zh, field="keys", retryable=isinstance(error, TokenAwayError)) from error
    except BaseException:
        slots.close()
        raise
    return slots, live, roots


async def open_access(
    settings: GatewaySettings,
    store: Store,
    clock: Clock,
    stack: contextlib.AsyncExitStack,
    enlisting: Enlisting,
    shadowing: Shadowing,
) -> Access:
    """Decides by the policy in the store, and follows it as long as the gateway runs; so do registered adapters."""
    harvest = Harvest(settings.access.harvest, functools.partial(keep_alarm, store))
    quotas = Quotas(store.usage)
    access = Access(clock, quotas, digest=store.protected_digest, harvest=harvest)
    administration = Administration(store, settings.member_id, thresholds(settings.access), clock)

    def use(policy: Policy | None) -> None:
        access.use(policy)
        enlisting.take(policy)

    watch = PolicyWatch(administration, use, clock, settings.access.poll_s)
    await watch.look(first=True)
    harvest.restore(await store.alarms.read())
    await quotas.restore(clock.now_ms())
    await enlisting.once()
    for loop in (watch.run, enlisting.run, shadowing.run):
        stack.callback(asyncio.create_task(loop()).cancel)
    return access


def keep_alarm(store: Store, alarm: Alarm, numbered: Callable[[int], None]) -> None:
    """Log an alarm, and have it written down; it stands whether or not that works."""
    _log.warning(
        "harvesting suspected",
        member=alarm.member,
        unit=alarm.unit,
        signal=alarm.signal,
        seen=alarm.seen,
        allowed=alarm.allowed,
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


async def open_cache(
    settings: GatewaySettings, store: Store, directory: DirectorySource, clock: Clock, stack: contextlib.AsyncExitStack
) -> AnswerCache | None:
    """Answers that may be given again, those on the disk included; None where the settings want none."""
    given = settings.cache
    if not given.enabled:
        return None
    options = CacheOptions(given.max_answers, given.memory_bytes, given.stale_if_unreachable, given.flush_s)
    cache = AnswerCache(store.reusable, store.answers, directory, clock, options)
    elsewhere = EndedElsewhere(store.ended, cache, clock)
    await elsewhere.open()
    stack.push_async_callback(elsewhere.close)
    await cache.open()
    stack.push_async_callback(cache.close)
    return cache


def open_quality(
    settings: GatewaySettings, book: RuleBook, departments: Departments, store: Store, clock: Clock, aside: Aside
) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """What measures the quality of the departments' data as long as the gateway runs; nothing where none is wanted.

    Raises:
        ConfigError: the file of thresholds is wrong.
    """
    given = settings.quality
    path = given.thresholds or QUALITY_FILE
    thresholds = Thresholds.parse(read(path, "quality.thresholds"), str(path))
    if not given.enabled:
        return []
    recorder = Recorder(
        book,
        store.quality,
        clock,
        aside,
        sample=given.sample,
        every_s=given.every_s,
        differ_days=thresholds.dates_differ_days,
    )
    departments.noted = recorder.note
    return [recorder.run]


def make_private(folder: Path) -> None:
    """Make the folder, for this user alone, where there is none.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"state_dir: {folder} cannot be made ({cause(error).en})",
            f"state_dir：无法创建 {folder}（{cause(error).zh}）",
            field="state_dir",
        ) from error


def read(path: Path, setting: str) -> bytes:
    """A file that a setting names.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({cause(error).en})", f"{path}：无法读取（{cause(error).zh}）", field=setting
        ) from error
