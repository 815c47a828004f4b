"""The part of the composition root that makes a gateway visible: its sources of health, its admin server, its tracer.

Owns: building these from the settings, for the length of a block. Refuses: knowing what they say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certs.errors import CertsError
from certs.slots import KeySlots
from gateway.clock import Clock
from gateway.config import GatewaySettings
from gateway.errors import ConfigError, DirectoryError, RefusedError
from gateway.federation.directory import DirectorySource
from gateway.federation.own_standing import Objection, objections
from gateway.federation.partners import Partners
from gateway.inquiry.asking import Departments
from gateway.inquiry.following import Behind
from gateway.observing import calls, clocks, metrics, tracing
from gateway.observing.admin import serving_admin
from gateway.observing.health import NO_NAMES, Health, Names
from gateway.observing.refusals import Refusals
from gateway.store.engine import QUEUE_LIMIT
from gateway.store.place import database_file
from gateway.vitals.adapters import AdapterVitals
from gateway.vitals.changes import ChangeVitals
from gateway.vitals.letters import LetterVitals
from gateway.vitals.overload import OverloadVitals
from gateway.vitals.peers import AlarmVitals, DepartmentVitals, PartnerVitals
from gateway.vitals.sources import SourceVitals
from gateway.vitals.standing import count_try, shown
from gateway.vitals.storage import StorageVitals
from gateway.vitals.trust import DirectoryVitals, KeyVitals

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter


@dataclass(frozen=True, slots=True)
class Seen:
    """What a gateway is looked at for.

    Args:
        directory: the directory in force.
        slots: own keys.
        waiting: writes of the store under way.
        store_size: bytes of a store that is on a server; raises StoreError when it cannot be reached.
        closed_until: until when questions are refused because a clock was ahead, Unix milliseconds.
        in_flight: calls being worked on.
        refusals: of callers, because there is too much to do.
        departments: the adapters.
        faults: registered adapters that cannot be asked, and why.
        partners: the other members' gateways.
        letters: outbox and inbox.
        changes: changed people who wait.
        alarms: members whose questions raised an alarm, and the signals.
        behind: departments whose changes cannot be read.
        unsigned: why the last message could not be signed; None: it was.
    """

    directory: DirectorySource
    slots: KeySlots
    waiting: Callable[[], int]
    store_size: Callable[[], Awaitable[int]]
    closed_until: Callable[[], int]
    in_flight: Callable[[], int]
    refusals: Refusals
    departments: Departments
    faults: Callable[[], Mapping[str, tuple[str, str]]]
    partners: Partners
    letters: LetterVitals
    changes: ChangeVitals
    alarms: Callable[[], Mapping[str, Sequence[str]]]
    behind: Callable[[], Mapping[str, Behind]]
    unsigned: Callable[[], CertsError | None]


def health_of(settings: GatewaySettings, seen: Seen, clock: Clock) -> Health:
    """Everything known of a gateway's health; others may register more."""

    def refused() -> tuple[Objection, ...]:
        try:
            directory = seen.directory.current()
            return objections(directory, settings.member_id, seen.slots.journal, seen.slots.chain)
        except (CertsError, DirectoryError):  # told of by others; a key may have been destroyed this very moment
            return ()

    def names() -> Names:
        try:
            own = seen.directory.current().member(settings.member_id)
        except (DirectoryError, RefusedError):  # told of by others
            return NO_NAMES
        return Names(own.name_en, own.name_zh)

    given = settings.observability
    health = Health(settings.member_id, clock, names)
    health.register("directory", DirectoryVitals(seen.directory, given.directory_left_s))
    renewed = settings.authority is not None
    health.register("keys", KeyVitals(seen.slots, renewed=renewed, refused=refused, unsigned=seen.unsigned))
    health.register(
        "store",
        StorageVitals(
            settings.state_dir,
            database_file(settings),
            seen.waiting,
            limit=QUEUE_LIMIT,
            free_bytes=given.disk_free_bytes,
            size=seen.store_size,
            closed_until=seen.closed_until,
        ),
    )
    health.register("overload", OverloadVitals(seen.refusals))
    health.register(
        "partners",
        PartnerVitals(seen.directory, given.slow_s, seen.partners.standings.doors, lambda: seen.letters.undelivered),
    )
    health.register("departments", DepartmentVitals(lambda: seen.departments.descriptions, given.slow_s))
    health.register("sources", SourceVitals(seen.departments, seen.behind))
    health.register("adapters", AdapterVitals(seen.faults))
    health.register("letters", seen.letters)
    health.register("changes", seen.changes)
    health.register("alarms", AlarmVitals(seen.alarms, seen.directory))
    return health


@contextlib.asynccontextmanager
async def visible(settings: GatewaySettings, seen: Seen, clock: Clock) -> AsyncIterator[tuple[Health, dict[str, str]]]:
    """A gateway that can be looked at for the length of the block; where to register, and the addresses bound.

    Raises:
        ConfigError: the address cannot be bound, or the exporter is not installed.
    """
    calls.use_clock(clock)
    for memory in (calls.PARTNERS, calls.DEPARTMENTS, clocks.OFFSETS):
        memory.clear()
    health = health_of(settings, seen, clock)
    seen.partners.tries.tell = count_try
    with _in_flight(seen.in_flight), shown(seen.partners.standings, seen.departments):
        async with _tracing(settings, clock), contextlib.AsyncExitStack() as stack:
            bound: dict[str, str] = {}
            if (listen := settings.observability.listen) is not None:
                bound["observability"] = await stack.enter_async_context(serving_admin(health, listen))
            yield health, bound


@contextlib.contextmanager
def _in_flight(count: Callable[[], int]) -> Iterator[None]:
    unfollow = metrics.CALLS_IN_FLIGHT.follow(lambda: {(): count()})
    try:
        yield
    finally:
        unfollow()


@contextlib.asynccontextmanager
async def _tracing(settings: GatewaySettings, clock: Clock) -> AsyncIterator[None]:
    """Traces are made for the length of the block, if they go anywhere."""
    given = settings.observability.tracing
    if not given.on:
        yield
        return
    # Only now: a gateway that traces nothing does not load the SDK.
    from gateway.observing.trace_file import TraceFile
    from gateway.observing.tracer import SdkTracer

    exporters: list[SpanExporter] = []
    if given.file is not None:
        exporters.append(TraceFile(given.file, given.file_max_bytes))
    if given.otlp is not None:
        exporters.append(_otlp(given.otlp))
    tracer = SdkTracer(
        settings.member_id, exporters, clock, sample=given.sample, followed_a_second=given.followed_a_second
    )
    tracing.use(tracer)
    try:
        yield
    finally:
        tracing.use(None)
        await asyncio.to_thread(tracer.close)


def _otlp(collector: str) -> SpanExporter:
    """Sends spans to a collector, by OTLP over gRPC; what it does not take within five seconds is lost."""
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ConfigError(
            "observability.tracing.otlp: the exporter is not installed; install wugan with the extra “otlp”",
            "observability.tracing.otlp：未安装导出组件，请安装 wugan 的 otlp 附加依赖",
            field="observability.tracing.otlp",
        ) from error
    return OTLPSpanExporter(endpoint=collector, insecure=collector.startswith("http://"), timeout=5)
