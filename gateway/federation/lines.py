"""The channels to partners' gateways, and changing them without losing a call.

A gRPC client cannot take another certificate (grpc#41779). So after a change of own TLS certificate a second channel is
opened beside the one in use; new calls go over it as soon as it is connected, and the old one is closed after its last
call. The same is done with a channel over which nothing comes any more: a connection that died without a word is found
out in half a minute by the library, and until then every try over it would be in vain. And with one that waits before
it connects again, when its partner calls: the partner is there, and the library cannot be told not to wait.

Owns: the channels. Refuses: knowing what goes over them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import grpc

from gateway.channels import FLOW, RECONNECTING
from wugan.federation.v1 import exchange_pb2_grpc

ChannelFactory = Callable[[str, str], grpc.aio.Channel]
"""(address, TLS name the server must prove) → channel, with own credentials of the moment."""

CONNECT_S: Final = 5.0
"""How long a new channel has to connect before calls move to it all the same."""

APART_S: Final = 1.0
"""A partner that calls has channels to it looked at so often at most; it calls often, and may not be reached at all."""

_Key = tuple[str, str]


@dataclass(slots=True, eq=False)
class Line:
    """A channel, when something came over it last, or the one before was dropped; how many calls it has, and whether no
    more go over it.
    """

    channel: grpc.aio.Channel
    stub: exchange_pb2_grpc.FederationServiceAsyncStub
    heard_at: float
    calls: int = 0
    leaving: bool = False


class _Use:
    """A channel for the length of one call; a class, because a generator takes longer, and every envelope needs one."""

    __slots__ = ("_address", "_line", "_lines", "_tls_name")

    def __init__(self, lines: Lines, address: str, tls_name: str) -> None:
        self._lines = lines
        self._address = address
        self._tls_name = tls_name

    def __enter__(self) -> exchange_pb2_grpc.FederationServiceAsyncStub:
        self._line = self._lines.begin(self._address, self._tls_name)
        return self._line.stub

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        if kind is None:
            self._line.heard_at = asyncio.get_running_loop().time()
        self._lines.end(self._line)


class Lines:
    """One channel for each gateway called, and those that are being emptied."""

    def __init__(self, channel: ChannelFactory) -> None:
        self._channel = channel
        self._open: dict[_Key, Line] = {}
        self._leaving: set[Line] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._renewing = asyncio.Lock()
        self._looked_at: dict[str, float] = {}

    def use(self, address: str, tls_name: str) -> _Use:
        """The stub of a gateway, for one call: the length of a block."""
        return _Use(self, address, tls_name)

    @contextlib.contextmanager
    def hold(self, address: str, tls_name: str) -> Iterator[Line]:
        """The channel to a gateway, for a call that takes long: it sees when it should end, and tells what it hears."""
        line = self.begin(address, tls_name)
        try:
            yield line
        finally:
            self.end(line)

    def begin(self, address: str, tls_name: str) -> Line:
        """The channel to a gateway, with one call more; to be given back by `end`."""
        line = self._open.get((address, tls_name))
        if line is None:
            line = self._open[address, tls_name] = self._new(address, tls_name)
        line.calls += 1
        return line

    def end(self, line: Line) -> None:
        """A call is over."""
        line.calls -= 1
        if line.leaving and not line.calls:
            self._close(line)

    def drop_silent(self, address: str, tls_name: str, since: float) -> bool:
        """Let new calls to a gateway go over a new channel if no call was answered since then; whether that is so.

        Calls that began before one channel was dropped went over that one, and say nothing of the next.

        Args:
            address: of the gateway.
            tls_name: of the gateway.
            since: time of the event loop.
        """
        line = self._open.get((address, tls_name))
        if line is None or line.heard_at >= since:
            return False
        self._open[address, tls_name] = self._new(address, tls_name, asyncio.get_running_loop().time())
        self._retire(line)
        return True

    def heard_from(self, tls_name: str) -> None:
        """Let new calls to the gateways of this name go over new channels where those there are wait after a failure.

        Args:
            tls_name: of a partner, which was proven to be it and was understood.
        """
        now = asyncio.get_running_loop().time()
        if now < self._looked_at.get(tls_name, now):
            return
        self._looked_at[tls_name] = now + APART_S
        for key, line in list(self._open.items()):
            if key[1] == tls_name and line.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                del self._open[key]
                self._retire(line)

    async def renew(self) -> None:
        """Move new calls to new channels; returns when they all go there. Calls in flight end where they are."""
        async with self._renewing:
            await asyncio.gather(*(self._replace(key, line) for key, line in list(self._open.items())))

    async def close(self) -> None:
        """Close every channel; calls in flight are cancelled."""
        lines = [*self._open.values(), *self._leaving]
        self._open.clear()
        self._leaving.clear()
        await asyncio.gather(*(line.channel.close() for line in lines), *self._closing)

    def _new(self, address: str, tls_name: str, heard_at: float = 0.0) -> Line:
        channel = self._channel(address, tls_name)
        return Line(channel, exchange_pb2_grpc.FederationServiceStub(channel), heard_at)

    async def _replace(self, key: _Key, old: Line) -> None:
        new = self._new(*key)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_S):
                    await new.channel.channel_ready()
        except BaseException:
            await new.channel.close()
            raise
        if self._open.get(key) is not old:  # closed meanwhile
            await new.channel.close()
            return
        self._open[key] = new
        self._retire(old)

    def _retire(self, line: Line) -> None:
        line.leaving = True
        if line.calls:
            self._leaving.add(line)
        else:
            self._close(line)

    def _close(self, line: Line) -> None:
        self._leaving.discard(line)
        task = asyncio.get_running_loop().create_task(line.channel.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def channel_limits(max_message_bytes: int, keepalive_s: float) -> list[tuple[str, int]]:
    """Channel options: how much, how soon a dead connection is noticed, and how often one is tried."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", round(keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", 10_000),
        *FLOW,
        *RECONNECTING,
        # Retrying is decided in one place, ours; the library's own would multiply with it.
        ("grpc.enable_retries", 0),
        # A channel opened because another is dead must not be given the dead one's connection.
        ("grpc.use_local_subchannel_pool", 1),
    ]
