"""Running an adapter as a service until it is told to stop.

Owns: the order in which things are opened and closed, SIGTERM and SIGINT, and the file that tells that calls are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from adapters import tls
from adapters.contract import Adapter
from adapters.revoked import RevocationLists
from adapters.serving.server import AdapterServer
from adapters.serving.servicer import ServingLimits

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """Where and for whom an adapter is served.

    Args:
        listen: host:port; port 0 takes a free one.
        files: own certificate, key, and the roots under which the caller's lies.
        caller: URI name in the certificate of the one gateway that may call; "": the gateway of the member that own
            certificate belongs to.
        limits: how much is done at once.
        ready_file: holds the address exactly as long as calls are taken.
        crl: files of revocation lists; a caller on one of them is refused.
    """

    listen: str
    files: tls.TlsFiles
    caller: str = ""
    limits: ServingLimits = field(default_factory=ServingLimits)
    ready_file: Path | None = None
    crl: tuple[Path, ...] = ()


@contextlib.asynccontextmanager
async def served(adapter: Adapter, options: ServingOptions) -> AsyncIterator[str]:
    """An adapter that is served for the length of the block; yields the address bound. The adapter is closed after it.

    Raises:
        AdapterError: a file cannot be used, or names no member and no caller was named; the address cannot be bound.
    """
    try:
        caller = options.caller or tls.own_gateway(options.files)
        shown = tls.server_certificate(options.files)
        may_call = tls.called_by(caller)
        if options.crl:
            lists = RevocationLists(options.crl, (options.files.certificate, options.files.roots))
            may_call = tls.called_by(caller, lists.revoked)
        server = AdapterServer(adapter, shown.credentials, may_call, options.limits)
        address = await server.start(options.listen)
        try:
            async with tls.following(options.files, shown, address):
                _log.info("serving", adapter=adapter.describe().adapter_id, address=address, caller=caller)
                with _ready(options.ready_file, address):
                    yield address
        finally:
            await server.stop()
    finally:
        await adapter.close()


async def run(adapter: Adapter, options: ServingOptions) -> None:
    """Serve until SIGTERM or SIGINT, then let lookups under way end. Raises as `served`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with served(adapter, options):
        await stop.wait()
    _log.info("stopped")


@contextlib.contextmanager
def _ready(path: Path | None, address: str) -> Iterator[None]:
    if path is not None:
        scratch = path.with_suffix(path.suffix + ".part")
        scratch.write_text(json.dumps({"adapter": address, "pid": os.getpid()}), "utf-8")
        scratch.replace(path)
    try:
        yield
    finally:
        if path is not None:
            path.unlink(missing_ok=True)
