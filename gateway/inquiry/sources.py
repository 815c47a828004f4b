"""The adapters that are asked, as an immutable hand that is exchanged for another while questions are under way.

The rule. A question takes the hand of the moment, and asks from it until its end, whatever is exchanged meanwhile. A
source that is in no hand any more is closed after the last question that began with it, and after its last lookup:
never while somebody asks it, and never twice.

Owns: that rule, and what is known of a source besides its adapter: how it is doing, and how many may wait for it.
Refuses: asking anybody, and knowing why a source came or went.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Self

import structlog

from adapters.contract import Adapter, Description
from gateway.clock import Clock
from gateway.resilience.breaker import Breaker, Limits
from gateway.resilience.bulkhead import Bulkhead
from gateway.sections.resilience import DepartmentBreakerSettings

CLOSE_S: Final = 10.0
"""How long an adapter may take to close; then it is left to itself."""
REMEMBERED: Final = 512
"""Breakers remembered of sources that went, so that one which comes back the same is as it was."""

_log = structlog.stdlib.get_logger(__name__)


class _Used:
    """What is used in `with` blocks, and told when nobody uses it any more."""

    __slots__ = ("uses",)
    uses: int

    def __enter__(self) -> Self:
        self.uses += 1
        return self

    def __exit__(self, *_error: object) -> None:
        self.uses -= 1
        if not self.uses:
            self.unused()

    leave = __exit__
    """One use less, of what is used otherwise than in a block."""

    def unused(self) -> None:
        """Nobody uses it any more."""
        raise NotImplementedError


class Source(_Used):
    """One adapter, what it offers, and how it is doing. A lookup in it is a `with` block of it, and may outlive the
    question that it was made for.

    Args:
        adapter: asked through it.
        about: what it offers.
        digest: of what it was made from, b"" for one of the configuration.
        breaker: leaves it alone while it keeps failing.
        bulkhead: places for those who ask it.
        close: told when it is in no hand, and nobody asks it any more.
    """

    __slots__ = ("_close", "about", "adapter", "breaker", "bulkhead", "digest")

    def __init__(
        self,
        adapter: Adapter,
        about: Description,
        digest: bytes,
        breaker: Breaker,
        bulkhead: Bulkhead,
        close: Callable[[Source], None],
    ) -> None:
        self._close = close
        self.adapter = adapter
        self.about = about
        self.digest = digest
        self.breaker = breaker
        self.bulkhead = bulkhead
        self.uses = 0
        """Hands it is in, and lookups under way in it."""

    def unused(self) -> None:
        """It is closed."""
        self._close(self)


class Hand(_Used):
    """Sources asked together, and those tried beside them; never changed. A question is a `with` block of the hand that
    it began with: none of its sources is closed before the end.

    Args:
        live: what they say counts.
        shadow: asked beside; what they say is compared, and counts for nothing.
    """

    __slots__ = ("descriptions", "live", "shadow")

    def __init__(self, live: Sequence[Source] = (), shadow: Sequence[Source] = ()) -> None:
        self.live = tuple(live)
        self.shadow = tuple(shadow)
        self.descriptions: Sequence[Description] = tuple(source.about for source in live)
        """What each live source offers."""
        self.uses = 1
        """Questions that began with it, and one while it is the hand of the moment."""

    def unused(self) -> None:
        """Its sources are in one hand less."""
        for source in (*self.live, *self.shadow):
            source.leave()


class Sources:
    """The hand of the moment. Used from one event loop.

    Args:
        clock: measures how a source does.
        settings: when one is left alone, and how many may wait for it.
    """

    def __init__(self, clock: Clock, settings: DepartmentBreakerSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._limits = Limits.of(settings)
        self._known: dict[tuple[str, bytes], Breaker] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._open: set[Source] = set()
        self.hand = Hand()
        """The hand of the moment."""
        self._listening: list[Callable[[], None]] = []

    def listen(self, exchanged: Callable[[], None]) -> None:
        """Be told whenever the hand became another."""
        self._listening.append(exchanged)

    def source(self, adapter: Adapter, digest: bytes = b"") -> Source:
        """A source of an adapter; `use` takes it.

        Args:
            adapter: of a department.
            digest: of what it was made from, b"" for one that never comes back. One that comes back unchanged is left
                alone if it was before; one that was changed begins anew, because the change may be the cure.
        """
        about = adapter.describe()
        key = about.adapter_id, digest
        breaker = self._known.pop(key, None)
        if breaker is None:
            told = _Told(about.adapter_id)
            breaker = told.breaker = Breaker(self._limits, self._clock, changed=told.changed)
        if digest:
            self._known[key] = breaker
            while len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        bulkhead = Bulkhead(self._clock, self._settings.at_once, self._settings.waiting)
        return Source(adapter, about, digest, breaker, bulkhead, self._let_go)

    def use(self, live: Sequence[Source], shadow: Sequence[Source] = ()) -> None:
        """Ask these from now on. Questions under way go on with those that they began with."""
        before, self.hand = self.hand, Hand(live, shadow)
        for source in (*live, *shadow):
            source.uses += 1
            self._open.add(source)
        before.leave()
        for exchanged in self._listening:
            exchanged()

    def is_open(self, source: Source) -> bool:
        """Whether a source was not closed yet: it is in a hand, or somebody still asks it."""
        return source in self._open

    async def settled(self) -> None:
        """Return when what is being closed now is closed."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def close(self) -> None:
        """Close every source, also those that somebody still asks, whatever the others do."""
        self.hand = Hand()
        still, self._open = list(self._open), set()
        await asyncio.gather(*(source.adapter.close() for source in still), *self._closing, return_exceptions=True)

    def _let_go(self, source: Source) -> None:
        if source not in self._open:
            return
        self._open.discard(source)
        task = asyncio.get_running_loop().create_task(_closed(source))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _closed(source: Source) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await source.adapter.close()
    except Exception as error:  # noqa: BLE001  an adapter is foreign code: whatever it raises harms only itself
        _log.warning("source not closed", adapter=source.about.adapter_id, error=type(error).__name__)


class _Told:
    """Logs what becomes of a breaker."""

    __slots__ = ("_adapter_id", "breaker")

    def __init__(self, adapter_id: str) -> None:
        self._adapter_id = adapter_id
        self.breaker: Breaker

    def changed(self) -> None:
        outage = self.breaker.outage
        if outage is None:
            _log.info("source is well again", adapter=self._adapter_id)
        else:
            told = {"failures": outage.failures, "seconds": round(outage.interval_ms / 1000, 1)}
            _log.warning("source left alone", adapter=self._adapter_id, error=outage.reason, **told)
