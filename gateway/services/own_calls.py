"""A process's calls to itself, which stand in line with everybody's: how long they take says how long all wait.

They go over a socket in a folder that nobody else may enter, to a method that there is not: whoever calls over it shows
no certificate, and is let in nowhere. They are made only while there is much to do, and one at a time.

Owns: when one is made, and the socket. Refuses: saying what follows (`gateway.resilience.backlog`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import grpc
import structlog

from gateway.clock import Clock
from gateway.log import described
from gateway.resilience.backlog import Backlog

EVERY_S: Final = 0.1
BUSY: Final = 0.7
"""Part of its time that a thread must have worked lately to be looked after."""

_METHOD: Final = "/wugan.None/Own"
_NAME: Final = "own.sock"
_LONGEST_BYTES: Final = 100
"""Longest path of a socket; the system has room for 107."""

_log = structlog.stdlib.get_logger(__name__)


class OwnCalls:
    """See the module.

    Args:
        backlog: is told how long they took.
        worked_s: how long this thread has worked, seconds.
    """

    def __init__(self, clock: Clock, backlog: Backlog, worked_s: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._backlog = backlog
        self._worked_s = worked_s
        self._call: Callable[[], Awaitable[object]] | None = None
        self._calling: asyncio.Task[None] | None = None
        self._looked = clock.monotonic(), worked_s()

    def begin(self, call: Callable[[], Awaitable[object]]) -> None:
        """Make them by this from now on."""
        self._call = call

    async def end(self) -> None:
        """Make none any more."""
        self._call = None
        if self._calling is not None:
            self._calling.cancel()
            await asyncio.wait({self._calling})

    def look(self, now: float, *, many: bool) -> None:
        """Make one if it is time, and there is much to do; to be called with every call that comes.

        Args:
            now: of the clock.
            many: many calls are under way.
        """
        if self._call is None or self._calling is not None or not self._backlog.watched:
            return
        if now - self._looked[0] < EVERY_S:
            return
        (before, worked_before), worked = self._looked, self._worked_s()
        self._looked = now, worked
        if many or worked - worked_before >= BUSY * (now - before):
            self._calling = asyncio.get_running_loop().create_task(self._until_in_time(self._call))

    async def _until_in_time(self, call: Callable[[], Awaitable[object]]) -> None:
        try:
            late = True
            while late:
                began = self._clock.monotonic()
                await call()
                now = self._clock.monotonic()
                late = self._backlog.saw(now, now - began)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError) as error:  # at the end, or for want of a file handle
            self._backlog.forget()
            _log.debug("own call failed", fault=described(error))
        finally:
            self._calling = None


class OwnSocket:
    """The socket, and the channel to it.

    Args:
        folder: where it is to lie; nobody else may enter it. None: in one of its own, which goes with it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._given = folder
        self._made: Path | None = None
        self.path: Path | None = None
        """None while there is none."""
        self._channel: grpc.aio.Channel | None = None

    def listen(self, server: grpc.aio.Server) -> bool:
        """Have a server take calls there, too, before it starts; whether it does."""
        try:
            path = None if self._given is None else self._given / _NAME
            if path is None or len(os.fsencode(path)) > _LONGEST_BYTES:
                self._made = Path(tempfile.mkdtemp(prefix="wugan-"))
                path = self._made / _NAME
            server.add_secure_port(f"unix:{path}", grpc.local_server_credentials(grpc.LocalConnectionType.UDS))
        except (OSError, RuntimeError) as error:
            _log.warning("no socket for own calls: too much to do is not noticed", fault=described(error))
            return False
        self.path = path
        return True

    async def call(self) -> None:
        """Make a call; it is over once somebody took it up.

        Raises:
            grpc.aio.AioRpcError: it never got there.
        """
        if self._channel is None:
            credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
            self._channel = grpc.aio.secure_channel(f"unix:{self.path}", credentials)
        try:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_METHOD)
            await method(b"")
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise

    async def close(self) -> None:
        """Remove it."""
        if self._channel is not None:
            await self._channel.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        if self._made is not None:
            await asyncio.to_thread(shutil.rmtree, self._made, ignore_errors=True)
