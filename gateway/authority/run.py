"""The authority as a process: directory, enrolment (EST) and revocation over HTTPS, revocation over plain HTTP too.

Owns: the order in which it is opened and closed. Refuses: deciding anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import structlog
import uvloop
from aiohttp import web

from certs.enrolment import Enrolment
from certs.errors import CertsError, EnrolmentError
from certs.est_client import WELL_KNOWN
from certs.est_server import STATUS, Refused, est_app
from certs.ocsp_responder import OcspResponder
from certs.revocation import Revocation
from certs.revocation_server import revocation_app, revocation_routes
from certs.server_tls import ServerTls
from certs.tls_context import HandshakeFailed
from gateway.authority.lock import serving
from gateway.authority.office import Office
from gateway.authority.peer import member_of
from gateway.authority.refusals import Refusal, Refusals
from gateway.authority.service import authority_app
from gateway.clock import Clock, SystemClock
from gateway.errors import ConfigError
from gateway.log import configure
from gateway.scheduling import settle_scheduling

RENEW_S: Final = 60.0
PRUNE_S: Final = 86_400.0
NO_TLS: Final = "no TLS connection came about"
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bound:
    """Where it listens, "host:port".

    Args:
        https: everything.
        plain: revocation lists and OCSP over plain HTTP; "" where that is not served.
    """

    https: str
    plain: str


def run(folder: Path, passphrase: bytes | None, listen: str | None, ready_file: Path | None, level: str) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        WuganError: the folder, a key or the address cannot be used.
    """
    configure(level)
    settle_scheduling()
    uvloop.run(_serve(folder, passphrase, listen, ready_file, SystemClock()))


async def _serve(
    folder: Path, passphrase: bytes | None, listen: str | None, ready_file: Path | None, clock: Clock
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with authority(folder, clock, passphrase, listen, ready_file) as bound:
        _log.info("ready", **asdict(bound))
        await stop.wait()
    _log.info("stopped")


@contextlib.asynccontextmanager
async def authority(
    folder: Path,
    clock: Clock,
    passphrase: bytes | None = None,
    listen: str | None = None,
    ready_file: Path | None = None,
) -> AsyncIterator[Bound]:
    """A running authority for the length of the block; yields the addresses it is bound to.

    Raises:
        WuganError: the folder, a key or the address cannot be used, or another service runs on the folder.
    """

    def now() -> dt.datetime:
        return _now(clock)

    async with contextlib.AsyncExitStack() as stack:
        office = Office(folder, clock, passphrase)
        stack.callback(office.close)
        stack.enter_context(serving(folder))
        service, certificates = office.settings.service, office.authority
        try:
            if certificates.public_url != service.public_url:
                # Said in authority.toml alone; the ledger keeps it for whatever is issued from now on.
                certificates.set_public_url(service.public_url)
                _log.info("public address changed", public_url=service.public_url)
            tls = await asyncio.to_thread(ServerTls, certificates, now(), _untold(Refusals(clock, NO_TLS)))
        except CertsError as error:
            raise ConfigError(error.en, error.zh) from error
        about = Revocation(certificates), OcspResponder(certificates), now, _fault
        app = await stack.enter_async_context(
            authority_app(
                office,
                clock,
                parts={WELL_KNOWN: est_app(Enrolment(certificates), now, _fault, _counting(Refusals(clock)))},
                routes=revocation_routes(*about),
            )
        )
        https = await _listen(stack, app, listen or service.listen, "service.listen", tls.context)
        plain = ""
        if service.plain_listen is not None:
            plain = await _listen(stack, revocation_app(*about), service.plain_listen, "service.plain_listen")
        for name, every_s, work in (
            ("certificate of the service renewed", RENEW_S, lambda: tls.renew_if_due(now())),
            ("retired issuing CAs destroyed", PRUNE_S, lambda: certificates.issuing.prune(now())),
        ):
            task = asyncio.create_task(_every(every_s, name, work))
            stack.callback(task.cancel)
        bound = Bound(https, plain)
        ready = ready_file or service.ready_file
        if ready is not None:
            await asyncio.to_thread(_write_ready, ready, bound)
            stack.push_async_callback(asyncio.to_thread, ready.unlink, missing_ok=True)
        yield bound


async def _listen(
    stack: contextlib.AsyncExitStack,
    app: web.Application,
    address: str,
    setting: str,
    context: ssl.SSLContext | None = None,
) -> str:
    """Serve an application until the stack ends; where it is bound."""
    app.on_response_prepare.append(_without_versions)
    # No body is unpacked: compressed ones are refused (`certs.web`), and what strangers compress must not be looked at.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0, auto_decompress=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    host, _, port = address.rpartition(":")
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=context).start()
    except OSError as error:
        raise ConfigError(
            f"{setting}: cannot listen on {address}; is the port taken, or the address elsewhere?",
            f"{setting}：无法监听 {address}，端口可能已被占用，或该地址不属于本机",
            field=setting,
        ) from error
    return f"{host}:{runner.addresses[0][1]}"


async def _without_versions(_: web.Request, response: web.StreamResponse) -> None:
    """Whoever asks need not know which versions of Python and aiohttp run here."""
    response.headers.popall("Server", None)


async def _every(seconds: float, done: str, work: Callable[[], object]) -> None:
    """Do work in a thread again and again; say so when there was something to do, and when it failed."""
    while True:
        await asyncio.sleep(seconds)
        try:
            if await asyncio.to_thread(work):
                _log.info(done)
        except CertsError as error:
            _fault(error)
        except Exception as error:  # noqa: BLE001  it is tried again
            _log.error("authority out of order", error=type(error).__name__)


def _fault(error: CertsError) -> None:
    """What is out of order with the authority itself; clients are told only that something is."""
    _log.error("authority out of order", error=type(error).__name__, reason=error.en)


def _counting(refusals: Refusals) -> Refused:
    """What EST clients are refused for goes into the log, once and then by number."""

    def refused(path: str, error: EnrolmentError, shown: bytes | None) -> None:
        status = STATUS[error.refusal]
        # Of whoever shows no certificate the reason names a token's holder or nothing; those are counted by kind alone.
        refusals.note(Refusal(path, type(error).__name__, status, member_of(shown), error.en if shown else ""))

    return refused


def _untold(refusals: Refusals) -> HandshakeFailed:
    """Handshakes that fail go into the log likewise: anybody who reaches the port may have them fail."""

    def failed(why: str, about: str) -> None:
        refusals.note(Refusal("", why, 0, "", about))

    return failed


def _now(clock: Clock) -> dt.datetime:
    return dt.datetime.fromtimestamp(clock.now_ms() / 1000, dt.UTC)


def _write_ready(path: Path, bound: Bound) -> None:
    scratch = path.with_suffix(path.suffix + ".part")
    scratch.write_text(json.dumps({**asdict(bound), "pid": os.getpid()}), "utf-8")
    scratch.replace(path)
