"""A TCP proxy that brings trouble on whatever is behind it, changed while it runs.

    async with FaultProxy("127.0.0.1:7443") as proxy:
        ...                                   # connect to proxy.address: all is well
        await proxy.suffer(BLACK_HOLE)        # from now on, open connections included
        ...
        await proxy.heal()                    # what was held up passes now

Owns: connections, and when which of their bytes go on. Bytes are never thrown away while a connection lives, as TCP
throws none away: a fault holds them up, changes them or ends the connection. Refuses: knowing what the bytes mean.

A change takes effect at once: what waits under one trouble is judged anew under the next. What is held up for a
connection is bounded; then its sender is not read from any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, cast

from tests.faults.trouble import CALM, DEAD, GIVE_UP_AFTER, NOTHING, Door, Fault, Trouble

HELD_AT_MOST = 1 << 20
"""Bytes held up for one direction of a connection; then its sender is not read from."""
DRIP_S = 0.02
"""Seconds between two drops of a trickle."""
BACKLOG = 512
RESETTING = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing resets."""


class FaultProxy:
    """Passes TCP connections on to a target, under the trouble of the moment.

    Args:
        target: "host:port" of what is behind it, or the path of its socket; may be changed, for new connections.
        seed: of jitter, loss and corruption.
        kernel_bytes: what the kernel may hold of each of its connections, about; 0: as much as it likes, which on
            loopback may be tens of megabytes.
    """

    def __init__(self, target: str = "", *, seed: int = 0, kernel_bytes: int = 0) -> None:
        self.target = target
        self.kernel_bytes = kernel_bytes
        self.accepted = 0
        """Connections that were accepted, those reset at once included."""
        self.passed_up = 0
        """Bytes that reached the target."""
        self.passed_down = 0
        """Bytes that reached who connected."""
        self.luck = random.Random(seed)
        self._trouble = CALM
        self._open: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._news = asyncio.Event()
        # Bound and never listening: keeps the port ours while connections are refused.
        self._place = _bound(0)
        self._port = int(self._place.getsockname()[1])

    @property
    def address(self) -> str:
        """ "host:port" to connect to; known before it is started."""
        return f"127.0.0.1:{self._port}"

    @property
    def trouble(self) -> Trouble:
        """The trouble of the moment."""
        return self._trouble

    @property
    def connections(self) -> int:
        """Connections that at least one end has not left."""
        return len(self._open)

    @property
    def held_down(self) -> int:
        """Bytes that are held up on their way to who connected."""
        return sum(connection.held_down for connection in self._open)

    async def start(self) -> None:
        """Take connections."""
        await self._open_door()

    async def close(self) -> None:
        """Refuse connections for good, and reset those that are open."""
        self._close_door()

        def left() -> bool:
            self.reset()  # one that was on its way when the door closed, too
            return not self._open

        await self.until(left)
        self._place.close()

    async def __aenter__(self) -> FaultProxy:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def suffer(self, trouble: Trouble) -> None:
        """Bring a trouble about, in place of the one before."""
        self._trouble = trouble
        if trouble.door is Door.REFUSING:
            self._close_door()
            await asyncio.sleep(0)  # uvloop closes the socket in its next round
        else:
            await self._open_door()
        if trouble.cut:
            for connection in list(self._open):
                connection.reset()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def heal(self) -> None:
        """End the trouble; connections that outlived it go on."""
        await self.suffer(CALM)

    @contextlib.asynccontextmanager
    async def suffering(self, trouble: Trouble) -> AsyncIterator[None]:
        """A trouble for the length of the block."""
        await self.suffer(trouble)
        try:
            yield
        finally:
            await self.heal()

    def reset(self) -> None:
        """Reset every open connection, once."""
        for connection in list(self._open):
            connection.reset()

    def freeze(self) -> None:
        """Leave what is open dead for good, as an end does that lost its power; new connections are not concerned."""
        for connection in self._open:
            connection.frozen = True

    async def until(self, holds: Callable[[], bool], within_s: float = 60.0) -> None:
        """Return once something holds of the connections or counts.

        Raises:
            TimeoutError: it did not within so many seconds.
        """
        async with asyncio.timeout(within_s):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def change(self, within_s: float | None = None) -> None:
        """Return when another trouble was brought about, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._changed.wait()

    def note(self, passed: int = 0, *, up: bool = True) -> None:
        """Count bytes that passed, and wake those that watch."""
        if up:
            self.passed_up += passed
        else:
            self.passed_down += passed
        self._news.set()

    def entered(self, connection: _Connection) -> None:
        """Somebody has connected."""
        self.accepted += 1
        self._open.add(connection)
        self.note()

    def left(self, connection: _Connection) -> None:
        """A connection is over."""
        self._open.discard(connection)
        self.note()

    async def _open_door(self) -> None:
        if self._server is None:
            listening = _bound(self._port)
            self._server = await asyncio.get_running_loop().create_server(self._accept, sock=listening, backlog=BACKLOG)

    def _close_door(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _accept(self) -> _Side:
        # Whoever hangs up at this moment never comes any further: the event loop drops what is returned here.
        return _Connection(self).front


class _End(enum.Enum):
    """How a side stopped sending."""

    EOF = "sends no more"
    CLOSED = "hung up"
    RESET = "reset the connection"


class _Held(NamedTuple):
    """Bytes held up, or the end of them; since when, and the luck they have."""

    since: float
    luck: float
    what: bytes | _End


class _Way:
    """One direction of a connection."""

    def __init__(self, connection: _Connection, *, up: bool) -> None:
        self._proxy = connection.proxy
        self._connection = connection
        self._up = up
        self._held: deque[_Held] = deque()
        self.size = 0
        """Bytes held up."""
        self._passed = 0
        self._pouring: asyncio.Task[None] | None = None
        self._sink_full = False
        self._choked = False
        self.ended = False
        """Whether the receiver was told that nothing more comes."""
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None

    @property
    def fault(self) -> Fault:
        if self._connection.frozen:
            return DEAD
        trouble = self._proxy.trouble
        return trouble.up if self._up else trouble.down

    def take(self, what: bytes | _End) -> None:
        """Pass on, now or when the fault allows it."""
        if self.sink is not None and self.sink.is_closing():
            return
        if self._pouring is None and self.sink is not None and self.fault == NOTHING:
            self._deliver(what, NOTHING)
            return
        self._held.append(_Held(asyncio.get_running_loop().time(), self._proxy.luck.random(), what))
        self.size += len(what) if isinstance(what, bytes) else 0
        self._press()
        self.pour()
        self._proxy.note()

    def pour(self) -> None:
        """See to it that what is held up goes on in time."""
        if self._pouring is None and self.sink is not None and self._held:
            self._pouring = asyncio.get_running_loop().create_task(self._pour())

    def close(self) -> None:
        """Nobody is left to send to."""
        self._held.clear()
        self.size = 0
        self._press()
        if self._pouring is not None:
            self._pouring.cancel()
            self._pouring = None

    def full(self, full: bool) -> None:
        """Whether the other end has more than it takes just now."""
        self._sink_full = full
        self._press()

    def _press(self) -> None:
        """Read from the sender or do not, as there is room."""
        choked = self._sink_full or self.size > HELD_AT_MOST
        if choked is self._choked or self.source is None or self.source.is_closing():
            return
        self._choked = choked
        if choked:
            self.source.pause_reading()
        else:
            self.source.resume_reading()

    async def _pour(self) -> None:
        loop = asyncio.get_running_loop()
        while self._held:
            fault, held = self.fault, self._held[0]
            wait_s = held.since + fault.delay_s(held.luck) - loop.time()
            if fault.dead:
                await self._proxy.change()
            elif wait_s > 0:
                await self._proxy.change(wait_s)
            elif fault.bytes_per_s and isinstance(held.what, bytes):
                drop = max(1, round(fault.bytes_per_s * DRIP_S))
                self._held[0] = held._replace(what=held.what[drop:])
                if len(held.what) <= drop:
                    self._held.popleft()
                self._free(len(held.what[:drop]))
                self._deliver(held.what[:drop], fault)
                await self._proxy.change(drop / fault.bytes_per_s)
            else:
                self._held.popleft()
                self._free(len(held.what) if isinstance(held.what, bytes) else 0)
                if fault.times_lost(held.luck) > GIVE_UP_AFTER:
                    self._connection.reset()
                    return
                self._deliver(held.what, fault)
        self._pouring = None

    def _free(self, size: int) -> None:
        self.size -= size
        self._press()

    def _deliver(self, what: bytes | _End, fault: Fault) -> None:
        sink = self.sink
        assert sink is not None
        if sink.is_closing():
            return
        if isinstance(what, _End):
            if what is _End.RESET:
                reset(sink)
            elif what is _End.CLOSED:
                sink.close()
            else:
                sink.write_eof()
                self.ended = True
                self._connection.ended()
            return
        room = len(what) if fault.cut_after is None else max(0, fault.cut_after - self._passed)
        data = _spoilt(what[:room], fault.corrupt, self._proxy.luck)
        self._passed += len(data)
        sink.write(data)
        self._proxy.note(len(data), up=self._up)
        if room < len(what):
            self._connection.reset()


class _Side(asyncio.Protocol):
    """One end of a connection: what it sends goes one way, what it gets comes the other."""

    def __init__(self, connection: _Connection, out: _Way, into: _Way) -> None:
        self._connection = connection
        self._out = out
        self._into = into
        self.transport: asyncio.Transport | None = None
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        hold_little(self.transport, self._connection.proxy.kernel_bytes)
        self._out.source = self._into.sink = self.transport
        self._connection.made(self)
        self._into.pour()

    def data_received(self, data: bytes) -> None:
        self._out.take(bytes(data))

    def eof_received(self) -> bool:
        self._out.take(_End.EOF)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._into.close()
        self._out.take(_End.CLOSED if exc is None else _End.RESET)
        self._connection.lost()

    def pause_writing(self) -> None:
        self._into.full(True)

    def resume_writing(self) -> None:
        self._into.full(False)

    def reset(self) -> None:
        """End it so that the other side of it sees a reset."""
        if self.transport is not None:
            reset(self.transport)


class _Connection:
    """Who connected, and the connection to the target made for it."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.frozen = False
        up, down = _Way(self, up=True), _Way(self, up=False)
        self._ways = up, down
        self.front = _Side(self, up, down)
        self._back = _Side(self, down, up)
        self._onward: asyncio.Task[None] | None = None

    @property
    def held_down(self) -> int:
        """Bytes that are held up on their way to who connected."""
        return self._ways[1].size

    def made(self, side: _Side) -> None:
        """One of both is there."""
        if side is self._back:
            if side.gone or (self.front.gone and not self.proxy.trouble.up.dead):
                side.reset()
            return
        self.proxy.entered(self)
        if self.proxy.trouble.door is Door.RESETTING:
            side.reset()
        else:
            self._onward = asyncio.get_running_loop().create_task(self._connect())

    def lost(self) -> None:
        """One of both is gone; the other hears of it when the bytes before that have arrived."""
        if self.front.gone and self._onward is not None and self._back.transport is None:
            self._onward.cancel()
            self._onward = None
        if self.front.gone and (self._back.gone or (self._onward is None and self._back.transport is None)):
            for way in self._ways:
                way.close()
            self.proxy.left(self)

    def ended(self) -> None:
        """Close once neither side sends any more."""
        if all(way.ended for way in self._ways):
            for side in (self.front, self._back):
                if side.transport is not None:
                    side.transport.close()

    def reset(self) -> None:
        """Reset both ends."""
        if self._onward is not None:
            if not self._onward.done():
                # It may have connected in this very round: uvloop then closes it and tells nobody.
                self._onward.cancel()
                self._back.gone = True
            self._onward = None
        for way in self._ways:
            way.close()
        for side in (self.front, self._back):
            if not side.gone:
                side.reset()
        if self.front.gone and self._back.gone:
            self.proxy.left(self)

    async def _connect(self) -> None:
        """Connect to the target; in a black hole, not before it is over."""
        while self.frozen or self.proxy.trouble.up.dead:
            await self.proxy.change()
        target, loop = self.proxy.target, asyncio.get_running_loop()
        try:
            if target.startswith("/"):
                await loop.create_unix_connection(lambda: self._back, target)
            else:
                host, _, port = target.rpartition(":")
                await loop.create_connection(lambda: self._back, host, int(port))
        except OSError:
            self._onward = None
            self.front.reset()


def _spoilt(data: bytes, probability: float, luck: random.Random) -> bytes:
    """The data, one bit of it flipped with a probability."""
    if not data or not probability or luck.random() >= probability:
        return data
    changed = bytearray(data)
    changed[luck.randrange(len(changed))] ^= 1 << luck.randrange(8)
    return bytes(changed)


def _bound(port: int) -> socket.socket:
    """A socket of loopback, of any free port where none is given."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setblocking(False)
    bound.bind(("127.0.0.1", port))
    return bound


def hold_little(transport: asyncio.BaseTransport, kernel_bytes: int) -> None:
    """Have the kernel hold no more than about so many bytes in each direction of a connection; 0: as it likes."""
    if kernel_bytes:
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, kernel_bytes)


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that the other side of it sees a reset."""
    found: Any = transport.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError, ValueError):  # of a closed one, as the event loop at hand says it
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
    transport.abort()
