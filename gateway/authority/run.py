"""The authority as a process.

Owns: the order in which it is opened and closed. Refuses: deciding anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from aiohttp import web

from certs.authority import Authority
from certs.errors import CertsError
from gateway.authority.office import Office
from gateway.authority.service import authority_app
from gateway.authority.tls import ServerTls
from gateway.clock import Clock, SystemClock
from gateway.errors import ConfigError
from gateway.log import configure

RENEW_S = 3600.0
_log = structlog.stdlib.get_logger(__name__)


def run(folder: Path, passphrase: bytes | None, listen: str | None, ready_file: Path | None, level: str) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        WuganError: the folder, a key or the address cannot be used.
    """
    configure(level)
    asyncio.run(_serve(folder, passphrase, listen, ready_file, SystemClock()))


async def _serve(
    folder: Path, passphrase: bytes | None, listen: str | None, ready_file: Path | None, clock: Clock
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with authority(folder, clock, passphrase, listen, ready_file) as bound:
        _log.info("ready", https=bound)
        await stop.wait()
    _log.info("stopped")


@contextlib.asynccontextmanager
async def authority(
    folder: Path,
    clock: Clock,
    passphrase: bytes | None = None,
    listen: str | None = None,
    ready_file: Path | None = None,
) -> AsyncIterator[str]:
    """A running authority for the length of the block; yields the address it is bound to."""
    try:
        certificates = Authority.load(folder, passphrase=passphrase)
    except CertsError as error:
        raise ConfigError(error.en, error.zh) from error
    tls = ServerTls(folder, certificates, passphrase)
    tls.renew(_now(clock))
    async with contextlib.AsyncExitStack() as stack:
        office = Office(folder, clock, passphrase)
        stack.callback(office.close)
        # Enrolment (EST), revocation lists and OCSP are put in here, by path: see `authority_app`.
        app = await stack.enter_async_context(authority_app(office, clock, parts={}))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        bound = await _listen(runner, listen or office.settings.service.listen, tls)
        renewing = asyncio.create_task(_keep_certificate(tls, clock))
        stack.callback(renewing.cancel)
        ready = ready_file or office.settings.service.ready_file
        if ready is not None:
            await asyncio.to_thread(_write_ready, ready, bound)
            stack.push_async_callback(asyncio.to_thread, ready.unlink, missing_ok=True)
        yield bound


async def _listen(runner: web.AppRunner, address: str, tls: ServerTls) -> str:
    host, _, port = address.rpartition(":")
    site = web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=tls.context)
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(
            f"service.listen: cannot listen on {address}; is the port taken?",
            f"service.listen：无法监听 {address}，端口可能已被占用",
            field="service.listen",
        ) from error
    return f"{host}:{runner.addresses[0][1]}"


async def _keep_certificate(tls: ServerTls, clock: Clock) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        try:
            if await asyncio.to_thread(tls.renew, _now(clock)):
                _log.info("certificate of the service renewed")
        except ConfigError as error:
            _log.error("certificate of the service not renewed", reason=error.en)


def _now(clock: Clock) -> dt.datetime:
    return dt.datetime.fromtimestamp(clock.now_ms() / 1000, dt.UTC)


def _write_ready(path: Path, bound: str) -> None:
    scratch = path.with_suffix(path.suffix + ".part")
    scratch.write_text(json.dumps({"https": bound, "pid": os.getpid()}), "utf-8")
    scratch.replace(path)
