"""The composition root: the only place that builds the gateway's objects, and the only module that knows them all.

Owns: the order in which things are opened and closed. Refuses: deciding anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Final

import grpc
import structlog
import uvloop

from certs.grpc_credentials import channel_options
from certs.server_certificate import ServerCertificate
from gateway.app.heap import settle_heap
from gateway.app.opening import (
    OwnChannels,
    load_keys,
    make_private,
    open_access,
    open_cache,
    open_departments,
    open_directory,
    open_quality,
    read,
)
from gateway.app.working import (
    AtATime,
    build_duplicates,
    build_notices,
    build_post,
    open_partners,
    open_rosters,
    renewing,
    running_all,
)
from gateway.aside import Aside
from gateway.clock import Clock, SystemClock
from gateway.config import GatewaySettings
from gateway.errors import StoreError
from gateway.federation.check import Checks
from gateway.federation.kept import Invalidate
from gateway.federation.lines import channel_limits
from gateway.federation.live_keys import TlsIdentity
from gateway.federation.shown import Shown
from gateway.inquiry.answering import Inquiry
from gateway.inquiry.applying import Applying
from gateway.inquiry.exchange import Exchange
from gateway.log import configure
from gateway.observing import metrics
from gateway.rules import RULES_FILE
from gateway.rules.book import RuleBook
from gateway.scheduling import Turns
from gateway.services.agency import AgencyServicer
from gateway.services.federation import FederationServicer
from gateway.services.finished import FinishedAnswers
from gateway.services.registry import RegistryServicer
from gateway.services.rosters import RosterService
from gateway.services.server import Server, ServerOptions, serving
from gateway.services.serving import Desk
from gateway.store.place import open_store
from gateway.vitals.changes import ChangeVitals
from gateway.vitals.letters import LetterVitals
from gateway.vitals.opening import Seen, visible

SWITCH_S: Final = 0.000_05
"""Longest time for which a thread keeps the interpreter while another waits for it, seconds. A thread that begins or
ends a write needs it for an instant, and the answer waits for the disk all that while."""

_log = structlog.stdlib.get_logger(__name__)


def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Raises:
        WuganError: the configuration, a key, the directory, a manifest or the store cannot be used; or another gateway
            took the database.
    """
    configure(settings.log.level, settings.log.format)
    settle_heap()
    uvloop.run(_serve(settings, SystemClock()))


async def _serve(settings: GatewaySettings, clock: Clock) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ended_by: list[StoreError] = []

    def replaced(error: StoreError) -> None:
        ended_by.append(error)
        loop.call_soon_threadsafe(stop.set)

    async with gateway(settings, clock, replaced) as bound:
        _settle_interpreter()
        _log.info("ready", **bound)
        await stop.wait()
    if ended_by:
        raise ended_by[0]
    _log.info("stopped")


def _settle_interpreter() -> None:
    """Keep the collector and other threads from holding up calls.

    A call makes hundreds of short-lived objects, of which five are in a cycle, the library's. Little is looked through
    at a time, so that nobody waits: 2,000 objects take 2 ms, ten times as many 20 ms, in which ten calls may stand in
    line. Modules, tables and key objects are not looked through at all, and what came later seldom.

    What waits for a disk or reckons long runs in threads: the store, a new directory, new keys. The loop gives the
    interpreter away at every signature, and has it back only when the other thread lets go or the switch interval is
    over: with the usual 5 ms a call that signs and verifies four times would wait 20 ms beside a busy thread.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(2_000, 10, 500)
    sys.setswitchinterval(SWITCH_S)


@contextlib.asynccontextmanager
async def gateway(
    settings: GatewaySettings, clock: Clock, replaced: Callable[[StoreError], None] = lambda _error: None
) -> AsyncIterator[dict[str, str]]:
    """A running gateway for the length of the block; yields the addresses it is bound to, by name.

    Args:
        settings: of gateway.toml.
        clock: the time.
        replaced: called, from any thread, when another gateway took the database: the block is to be left.
    """
    async with contextlib.AsyncExitStack() as stack:
        make_private(settings.state_dir)
        book = RuleBook.parse(
            read(settings.inquiry.rules or RULES_FILE, "inquiry.rules"), str(settings.inquiry.rules or "rules.yaml")
        )
        slots, live, roots = await load_keys(settings)
        stack.callback(slots.close)
        directory, stream = await open_directory(stack, settings, clock, roots)
        desk = Desk(
            clock,
            directory.current,
            federation=settings.directory.federation,
            limit=settings.server.max_concurrent_calls,
            shed_s=settings.server.shed_ms / 1000,
        )
        directory.subscribe(desk.recheck)
        store = await stack.enter_async_context(
            open_store(
                settings,
                clock,
                alone=lambda: desk.busy_with <= 1,
                calls=lambda: desk.busy_with,
                waited_s=lambda: desk.calls_wait_s,
                replaced=replaced,
            )
        )
        departments, enlisting, shadowing = open_departments(
            settings, book, store, clock, OwnChannels(live, Shown(directory.current, roots, clock))
        )
        stack.push_async_callback(departments.close)
        access = await open_access(settings, store, clock, stack, enlisting, shadowing)
        aside = Aside()
        stack.callback(aside.close)
        inquiry = Inquiry(
            book,
            departments,
            access,
            clock,
            max_subjects=settings.inquiry.max_subjects,
            max_evidence=settings.inquiry.max_evidence,
            aside=aside,
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
            aside=aside,
        )

        limits = channel_limits(settings.server.max_message_bytes, settings.federation.keepalive_s)

        def channel(address: str, tls_name: str) -> grpc.aio.Channel:
            options = [*channel_options(tls_name), *limits]
            return grpc.aio.secure_channel(address, live.channel_credentials(), options=options)

        partners = await stack.enter_async_context(
            open_partners(settings, live, directory, channel, store, clock, lambda: desk.calls_wait_s)
        )
        cache = await open_cache(settings, store, directory, clock, stack)
        forget: Invalidate = cache.forget if cache is not None else lambda _member, _people: None
        post = build_post(settings, live, directory, store, inquiry, channel, clock, cache, partners)
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
            cache=cache,
            follow_moves=settings.federation.follow_moves,
        )
        monitoring = Inquiry(
            book,
            departments,
            access.unwatched(),
            clock,
            max_subjects=settings.inquiry.max_subjects,
            max_evidence=settings.inquiry.max_evidence,
        )
        notices = build_notices(
            settings,
            book,
            departments,
            access,
            monitoring,
            directory,
            store,
            post,
            checks,
            clock,
            forget,
            lambda: enlisting.gone,
        )
        finished = (
            FinishedAnswers(cache, checks.again, checks.questions, clock, settings.cache.response_bytes)
            if cache is not None
            else None
        )
        rosters = await stack.enter_async_context(
            open_rosters(settings, book, directory, store, partners, checks, notices.subscribing, clock, cache)
        )
        twice = build_duplicates(settings, book, access, directory, store, post, rosters, checks, clock)
        roster_service = RosterService(rosters, directory, round(settings.roster.keep_days * 86_400_000))
        agency = AgencyServicer(
            desk,
            checks,
            book,
            directory,
            settings.member_id,
            post.late,
            notices.service,
            roster_service,
            finished,
            twice.service,
            most_bytes=settings.server.max_message_bytes,
        )
        stack.push_async_callback(agency.carrying.finish)
        server = Server(
            lambda: ServerCertificate(live.tls().key, live.tls().chain_pem, roots, begun=metrics.CONNECTIONS.add),
            desk,
            FederationServicer(desk, exchange, post.door, settings.inquiry, partners.heard_from),
            agency,
            ServerOptions(
                max_message_bytes=settings.server.max_message_bytes,
                max_concurrent_calls=settings.server.max_concurrent_calls,
                drain_s=settings.server.drain_s,
                connection_age_s=settings.server.connection_age_s,
            ),
            RegistryServicer(
                desk,
                settings.member_id,
                Applying(enlisting, store.adapters, clock),
                store.adapters,
                notices.following,
            ),
        )
        seen = Seen(
            directory=directory,
            slots=slots,
            waiting=lambda: store.waiting,
            store_size=store.size,
            closed_until=lambda: store.replay.closed_until_ms,
            in_flight=lambda: desk.in_flight,
            refusals=desk.refusals,
            departments=departments,
            faults=enlisting.faults,
            partners=partners,
            letters=LetterVitals(store.outbox, store.inbox, directory),
            changes=ChangeVitals(store.changes, directory, overdue_days=settings.notices.overdue_days),
            alarms=access.alarms,
            behind=lambda: notices.following.behind,
            unsigned=lambda: live.unsigned,
        )
        # Others register with `health` what they know of their own.
        _health, beside = await stack.enter_async_context(visible(settings, seen, clock))
        following = asyncio.create_task(directory.follow(settings.directory.refresh_s, stream))
        stack.callback(following.cancel)
        await stack.enter_async_context(
            running_all(
                *post.loops,
                *notices.loops,
                *open_quality(settings, book, departments, store, clock, aside),
                rosters.run,
                twice.nightly.run,
                Turns(AtATime(lambda: desk.busy_with, exchange), clock.monotonic).run,
            )
        )
        addresses = (settings.server.federation, settings.server.agency)
        bound = await stack.enter_async_context(serving(server, *addresses, settings.server.ready_file, beside))

        async def renewed(tls: TlsIdentity) -> None:
            await asyncio.gather(server.renew(tls.key, tls.chain_pem), partners.renew(), post.carrier.renew())

        stack.callback(agency.late.close)  # who watches must not hold up the drain
        stack.callback(agency.notices.close)
        stack.callback(agency.rosters.close)
        live.follow(renewed)
        await stack.enter_async_context(renewing(settings, slots, live, roots, directory, clock))
        yield bound
