"""A process's calls to itself, which stand in line with everybody's: how long they take says how long all wait.

They go over a socket in a folder that nobody else may enter, to a method that there is not: whoever calls over it shows
no certificate, and is let in nowhere. They are made while calls come, more often while there is much to do, and one at
a time.

Owns: when one is made, and the socket. Refuses: saying what follows (`gateway.resilience.backlog`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
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
AT_LEAST_EVERY_S: Final = 1.0
"""While calls come at all: a thread that is not given the processor, or waits for another, has not worked either."""
BUSY: Final = 0.7
"""Part of its time that a thread must have worked lately to be looked after more often."""
PAUSE_S: Final = 0.05
"""After a call that was dropped."""

LONGEST_S: Final = 30.0
"""For a call of its own to be taken up."""
_DROPPED: Final = frozenset(
    (grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
)

_METHOD: Final = "/wugan.None/Own"
_PREFIX: Final = "wugan-own-"
_NAME: Final = "s"

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
        self._made_at = float("-inf")
        self._waits_since: float | None = None
        self._failing = False

    def begin(self, call: Callable[[], Awaitable[object]]) -> None:
        """Make them by this from now on."""
        self._call = call

    async def end(self) -> None:
        """Make none any more."""
        self._call = None
        if self._calling is not None:
            self._calling.cancel()
            await asyncio.wait({self._calling})

    @property
    def wait_s(self) -> float:
        """How long calls wait, seconds: as the last ones did, or as the one that is under way does already."""
        waits_s = 0.0 if self._waits_since is None else self._clock.monotonic() - self._waits_since
        return max(self._backlog.waited_s, waits_s)

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
        much = many or worked - worked_before >= BUSY * (now - before)
        if much or now - self._made_at >= AT_LEAST_EVERY_S:
            self._made_at = now
            self._calling = asyncio.get_running_loop().create_task(self._until_in_time(self._call))

    async def _until_in_time(self, call: Callable[[], Awaitable[object]]) -> None:
        late = True
        try:
            while late and self._call is not None:
                began = self._waits_since = self._clock.monotonic()
                dropped = await self._dropped(call)
                now = self._clock.monotonic()
                self._waits_since = None
                late = self._backlog.saw(now, now - began, dropped=dropped)
                if dropped:
                    await asyncio.sleep(PAUSE_S)
            if self._failing:
                self._failing = False
                _log.info("own calls are answered again")
        except (grpc.aio.AioRpcError, grpc.aio.UsageError) as error:  # the socket has gone, or there is no file handle
            if not self._failing and self._call is not None:
                self._failing = True
                _log.warning("own calls fail: too much to do is not noticed", fault=described(error))
        finally:
            self._calling = self._waits_since = None
            if late:  # whatever ended it: nobody is refused because of what nobody looks after
                self._backlog.forget()

    async def _dropped(self, call: Callable[[], Awaitable[object]]) -> bool:
        """Make a call; whether the library dropped it, as it does where far too many wait, or it was never taken up.

        Raises:
            grpc.aio.AioRpcError: it never got there.
        """
        try:
            await call()
        except grpc.aio.AioRpcError as error:
            if error.code() in _DROPPED:
                return True
            raise
        return False


class OwnSocket:
    """The socket, in a folder of its own among the temporary ones, and the channel to it.

    It does not lie with what the gateway keeps: that is copied and backed up, and a socket cannot be.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        """None while there is none."""
        self._channel: grpc.aio.Channel | None = None

    def listen(self, server: grpc.aio.Server) -> bool:
        """Have a server take calls there, too, before it starts; whether it does."""
        _sweep()
        try:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX)) / _NAME
            server.add_secure_port(f"unix:{self.path}", grpc.local_server_credentials(grpc.LocalConnectionType.UDS))
        except (OSError, RuntimeError) as error:  # RuntimeError: its path is too long
            _log.warning("no socket for own calls: too much to do is not noticed", fault=described(error))
            return False
        return True

    async def call(self) -> None:
        """Make a call; it is over once somebody took it up.

        Raises:
            grpc.aio.AioRpcError: it never got there, or nobody took it up for long.
        """
        if self._channel is None:
            credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
            self._channel = grpc.aio.secure_channel(f"unix:{self.path}", credentials)
        try:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_METHOD)
            await method(b"", timeout=LONGEST_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise

    async def close(self) -> None:
        """Remove it."""
        if self._channel is not None:
            await self._channel.close()
        if self.path is not None:
            await asyncio.to_thread(shutil.rmtree, self.path.parent, ignore_errors=True)


def _sweep() -> None:
    """Remove what processes left behind that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if folder.stat().st_uid != os.geteuid():
                continue
            probe.setblocking(False)  # one that is stuck takes no connection; it is not waited for
            try:
                probe.connect(str(folder / _NAME))
            except ConnectionRefusedError:  # nobody listens any more; where no socket is yet, somebody is about to
                shutil.rmtree(folder, ignore_errors=True)
