"""The channel to one remote adapter, and changing it without losing a call.

A gRPC client cannot take another certificate (grpc#41779), and finds out late that a connection is dead over which
nothing comes any more. In both cases new calls go over a new channel, and the old one is closed after its last call.
Keep-alive is not used: servers in other languages take frequent pings for abuse.

Owns: the channel. Refuses: knowing what goes over it, and whose credentials it has: whoever opens it knows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import grpc


class LineClosedError(Exception):
    """The line was closed for good."""


class Channels(Protocol):
    """Opens channels to remote adapters with credentials of its own."""

    def open(self, address: str, tls_name: str) -> grpc.aio.Channel:
        """A channel to an address where this name must be proven."""
        ...

    def version(self) -> object:
        """Tells the credentials of the moment apart from others."""
        ...

    async def vouch(self, address: str, tls_name: str) -> None:
        """Return when nothing speaks against whoever answers at an address.

        Raises:
            AdapterError: its certificate was revoked.
        """
        ...


OPTIONS: Final = (
    # What an adapter in any language sends by default at most.
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 4 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    # An adapter that restarts is found again within a second or so.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Whether to ask again is decided by the gateway; the library's own tries would multiply with its.
    ("grpc.enable_retries", 0),
    # A channel opened because another is dead must not be given the dead one's connection.
    ("grpc.use_local_subchannel_pool", 1),
    # No proxy of the environment stands between a gateway and its department.
    ("grpc.enable_http_proxy", 0),
)
"""Channel options, whoever opens it."""


@dataclass(slots=True, eq=False)
class Held:
    """A channel, how many calls it has, whether no more go over it, and when something came over it last."""

    channel: grpc.aio.Channel
    calls: int = 0
    leaving: bool = False
    heard_at: float = 0.0

    def heard(self) -> None:
        """Something came over it just now."""
        self.heard_at = asyncio.get_running_loop().time()


class Line:
    """See the module.

    Args:
        open_channel: makes a channel, with the credentials of the moment; called within a running event loop.
        version: tells these credentials apart from others; when it changes, new calls go over a new channel.
        vouch: returns when nothing speaks against whoever answers; awaited before every call.
    """

    def __init__(
        self,
        open_channel: Callable[[], grpc.aio.Channel],
        version: Callable[[], object] = lambda: None,
        vouch: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._vouch = vouch
        self._open_channel = open_channel
        self._version = version
        self._opened_with: object = None
        self._closed = False
        self._held: Held | None = None
        self._leaving: set[Held] = set()
        self._closing: set[asyncio.Task[None]] = set()

    @classmethod
    def over(cls, channel: grpc.aio.Channel) -> Line:
        """A line over a channel that is there, which it closes; it cannot be renewed."""
        return cls(lambda: channel)

    async def vouched(self) -> None:
        """Return when nothing speaks against whoever answers.

        Raises:
            AdapterError: something does.
        """
        if self._vouch is not None:
            await self._vouch()

    @contextlib.contextmanager
    def call(self) -> Iterator[Held]:
        """The channel, for one call, which tells it what it hears.

        Raises:
            LineClosedError: see the class.
        """
        if self._closed:
            raise LineClosedError
        version = self._version()
        if version != self._opened_with:
            self.renew()
        held = self._held
        if held is None:
            held = self._held = Held(self._open_channel())
            self._opened_with = version
        held.calls += 1
        try:
            yield held
        finally:
            held.calls -= 1
            if held.leaving and not held.calls:
                self._close(held)

    def drop_silent(self, since: float) -> None:
        """Let new calls go over a new channel if none was answered over the present one since then (loop time)."""
        if self._held is not None and self._held.heard_at < since:
            self.renew()

    def renew(self) -> None:
        """Let new calls go over a new channel; calls in flight end where they are."""
        held, self._held = self._held, None
        if held is None:
            return
        held.leaving = True
        if held.calls:
            self._leaving.add(held)
        else:
            self._close(held)

    async def close(self) -> None:
        """Close every channel; calls in flight are cancelled."""
        self._closed = True
        held = [*self._leaving, *([self._held] if self._held else [])]
        self._held = None
        self._leaving.clear()
        await asyncio.gather(*(each.channel.close() for each in held), *self._closing)

    def _close(self, held: Held) -> None:
        self._leaving.discard(held)
        task = asyncio.get_running_loop().create_task(held.channel.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
