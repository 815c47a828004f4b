"""How each partner is doing: what its gateways said lately, who waits for it, and what may still be tried.

Owns: a breaker and usual times for each gateway of a partner, a bulkhead and budgets for each partner, and the choice
which gateway is asked. Refuses: asking. Everything is a partner's own, so that one that is stuck takes nothing from
another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from adapters.budget import Budget
from gateway.clock import Clock
from gateway.federation.directory import Gateway
from gateway.resilience.backoff import Outage, Random, chance
from gateway.resilience.breaker import Breaker, Limits, Pass, State
from gateway.resilience.bulkhead import Bulkhead
from gateway.resilience.elsewhere import Elsewhere
from gateway.resilience.quantile import Quantile
from gateway.sections.resilience import BreakerSettings, RetrySettings


class Door:
    """One gateway of a partner."""

    __slots__ = ("breaker", "usual")

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.usual = Quantile(0.95)
        """The time within which 95 in 100 of its answers came."""


class Chosen(NamedTuple):
    """A gateway that is to be asked, and that it was let through; to be settled with its breaker.

    Args:
        gateway: it.
        door: how it does.
        given: the pass.
        place: which of the partner's it is, in the directory's order, from 1.
    """

    gateway: Gateway
    door: Door
    given: Pass
    place: int


class DoorState(NamedTuple):
    """How a gateway of a partner does, for people and metrics.

    Args:
        member: whose.
        address: where.
        state: of its breaker.
        outage: since when it fails, and when it is tried next; None: it does well.
        usual_s: the time within which 95 in 100 of its answers come, seconds; None: not known yet.
    """

    member: str
    address: str
    state: State
    outage: Outage | None
    usual_s: float | None


class PartnerUse(NamedTuple):
    """How a partner is used, for people and metrics: places, those refused one, and tries since the start."""

    member: str
    in_use: int
    in_line: int
    shed: int
    questions: int
    retries: int
    hedges: int


class Standing:
    """One partner."""

    def __init__(
        self,
        retry: RetrySettings,
        breaker: BreakerSettings,
        clock: Clock,
        changed: Callable[[str], None],
        drawn: Random,
    ) -> None:
        self._limits = Limits.of(breaker)
        self._clock = clock
        self._changed = changed
        self._drawn = drawn
        self.bulkhead = Bulkhead(clock, breaker.at_once, breaker.waiting)
        self.retries = Budget(retry.retry_share, reserve=1.0)
        """Earned by what is asked."""
        self.hedges = Budget(retry.hedge_share)
        """Earned by what is answered: where nobody answers there is no time within which answers come."""
        self.elsewhere = Elsewhere()
        self.doors: dict[str, Door] = {}

    def door(self, address: str) -> Door:
        """The gateway at an address."""
        door = self.doors.get(address)
        if door is None:
            breaker = Breaker(self._limits, self._clock, changed=lambda: self._changed(address), drawn=self._drawn)
            door = self.doors[address] = Door(breaker)
        return door

    def refuses(self, gateways: Sequence[Gateway]) -> bool:
        """Whether none of the gateways would be asked just now."""
        for gateway in gateways:  # noqa: SIM110  a generator takes longer than one look
            if not self.door(gateway.address).breaker.refuses:
                return False
        return True

    def retry_after_ms(self, gateways: Sequence[Gateway]) -> int:
        """When one of the gateways will be asked again."""
        return min((self.door(gateway.address).breaker.retry_after_ms for gateway in gateways), default=0)

    def others(self, gateways: Sequence[Gateway], tried: Collection[str]) -> bool:
        """Whether there is a gateway that was not tried and may be."""
        return any(
            gateway.address not in tried and not self.door(gateway.address).breaker.refuses for gateway in gateways
        )

    def answered(self, count: int) -> None:
        """So many questions were answered, or refused, by one of the gateways: the partner is there."""
        self.hedges.earn(count)
        self.elsewhere.earn(count)

    def choose(self, gateways: Sequence[Gateway], tried: Collection[str] = (), *, again: bool = True) -> Chosen | None:
        """The gateway to ask: the first in the directory's order that was not tried and that is let through.

        Args:
            gateways: as the directory lists them.
            tried: addresses that come last.
            again: whether they come at all.
        """
        for last in (False, True) if again else (False,):
            for place, gateway in enumerate(gateways, 1):
                if (gateway.address in tried) is last:
                    door = self.door(gateway.address)
                    given = door.breaker.admit()
                    if given is not None:
                        return Chosen(gateway, door, given, place)
        return None


class Standings:
    """All partners.

    Args:
        retry: budgets.
        breaker: limits of each gateway and places for each partner.
        clock: for them.
        drawn: the chance that jitters intervals.
    """

    def __init__(self, retry: RetrySettings, breaker: BreakerSettings, clock: Clock, drawn: Random = chance) -> None:
        self._retry = retry
        self._breaker = breaker
        self._clock = clock
        self._drawn = drawn
        self._members: dict[str, Standing] = {}
        self.changed: Callable[[str, str], None] | None = None
        """Called with member and address after a gateway's outage became another."""

    def of(self, member_id: str) -> Standing:
        """How a partner is doing."""
        standing = self._members.get(member_id)
        if standing is None:
            standing = self._members[member_id] = Standing(
                self._retry, self._breaker, self._clock, lambda address: self._tell(member_id, address), self._drawn
            )
        return standing

    def doors(self) -> list[DoorState]:
        """Every gateway that was asked, or failed before a restart."""
        return [
            DoorState(member, address, door.breaker.state, door.breaker.outage, door.usual.value())
            for member, standing in self._members.items()
            for address, door in standing.doors.items()
        ]

    def uses(self) -> list[PartnerUse]:
        """Every partner that was asked."""
        return [
            PartnerUse(
                member,
                standing.bulkhead.in_use,
                standing.bulkhead.in_line,
                standing.bulkhead.shed,
                standing.retries.earned,
                standing.retries.spent + standing.elsewhere.spent,
                standing.hedges.spent,
            )
            for member, standing in self._members.items()
        ]

    def outage(self, member_id: str, address: str) -> Outage | None:
        """How a gateway fails; None: it does not."""
        standing = self._members.get(member_id)
        door = standing.doors.get(address) if standing is not None else None
        return None if door is None else door.breaker.outage

    def keep_only(self, listed: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
        """Forget gateways that are not listed any more; those that were failing."""
        gone = []
        for member, standing in list(self._members.items()):
            for address in [address for address in standing.doors if (member, address) not in listed]:
                if standing.doors.pop(address).breaker.outage is not None:
                    gone.append((member, address))
            if not standing.doors and not standing.bulkhead.in_use:
                del self._members[member]
        return gone

    def _tell(self, member_id: str, address: str) -> None:
        if self.changed is not None:
            self.changed(member_id, address)
