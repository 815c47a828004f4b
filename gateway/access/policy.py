"""The policy as a table for the hot path: member × purpose → grants, the widest first.

Owns: which grants may allow a question, and why none does. A look-up is two dictionaries once a member has asked.
Refuses: counting (gateway/inquiry/quotas.py), time other than as an argument, and looking at people but for whether
their digests are protected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.access.adapters import Version
from gateway.access.ledger import Ledger
from gateway.access.terms import Quotas, Scope, Terms
from gateway.errors import AccessError
from gateway.sections.values import ANY
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_MERGED: Final = 4096
"""Pairs of member and purpose whose grants are kept merged; there are some 40 members and 5 purposes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A grant as the hot path needs it.

    Args:
        grant: its name, g7.
        number: of the grant.
        units, benefits, scope, quotas, roster, from_ms, until_ms: of its terms.
        alone_day: people in a day under all grants of the member together that one person made; 0: it is none of them.
    """

    grant: str
    number: int
    units: frozenset[str] | None
    benefits: frozenset[int]
    scope: Scope
    quotas: Quotas
    roster: int
    from_ms: int
    until_ms: int
    alone_day: int = 0


class Policy:
    """What is allowed. Nothing is that no grant allows.

    Args:
        grants: number and terms of each grant that counts.
        protected: digests of people about whom nobody is told.
        cleared: alarms that an administrator cleared.
        version: number of the last act.
        adapters: versions of departments' adapters that administrators decided on.
        alone: those grants that nobody but who proposed them decided on.
        alone_day: people in a day that a member may be granted so, however many grants it is.
    """

    def __init__(
        self,
        grants: Iterable[tuple[int, Terms]],
        *,
        protected: frozenset[bytes] = frozenset(),
        cleared: frozenset[int] = frozenset(),
        version: int = 0,
        adapters: tuple[Version, ...] = (),
        alone: frozenset[int] = frozenset(),
        alone_day: int = 0,
    ) -> None:
        self.adapters = adapters
        self.protected = protected
        self.cleared = cleared
        self.version = version
        self._table: dict[tuple[str, int], list[Entry]] = {}
        self._members: set[str] = set()
        for number, terms in grants:
            entry = Entry(
                f"g{number}",
                number,
                terms.units,
                terms.benefits,
                terms.scope,
                terms.quotas,
                terms.roster,
                terms.from_ms,
                terms.until_ms,
                alone_day if number in alone else 0,
            )
            self._members.add(terms.member)
            for purpose in terms.purposes:
                self._table.setdefault((terms.member, purpose), []).append(entry)
        self._merged: dict[tuple[str, int], tuple[Entry, ...]] = {}

    @classmethod
    def of(cls, ledger: Ledger) -> Policy:
        """The policy that a ledger's acts add up to."""
        counting = [grant for grant in ledger.grants.values() if ledger.counts(grant)]
        return cls(
            [(grant.number, grant.terms) for grant in counting],
            protected=frozenset(ledger.protected),
            cleared=frozenset(ledger.cleared),
            version=ledger.number,
            adapters=tuple(ledger.adapters),
            alone=frozenset(grant.number for grant in counting if not grant.approved_by),
            alone_day=ledger.thresholds.people_a_day,
        )

    def find(
        self, member: str, unit: str, purpose: int, benefits: frozenset[int], now_ms: int
    ) -> tuple[list[Entry], AccessError | None]:
        """The grants in force that allow all of these benefits, the widest first; or why there are none."""
        entries = self._merged.get((member, purpose))
        if entries is None:
            entries = self._merge(member, purpose)
        found = []
        for entry in entries:
            in_force = entry.from_ms <= now_ms < entry.until_ms
            if in_force and (entry.units is None or unit in entry.units) and benefits <= entry.benefits:
                found.append(entry)  # mostly one: a comprehension takes longer than they
        return found, None if found else self._why_not(member, unit, entries, now_ms)

    def open_to(self, member: str, purpose: int, now_ms: int) -> list[Entry]:
        """The grants in force that a member has for a purpose, whichever of its units they are for."""
        entries = self._merged.get((member, purpose))
        if entries is None:
            entries = self._merge(member, purpose)
        return [entry for entry in entries if entry.from_ms <= now_ms < entry.until_ms]

    def open_everywhere(self, member: str, purpose: int, now_ms: int) -> list[Entry]:
        """Those of them that are not for some regions only. Nobody can see where a blinded person lives."""
        return [entry for entry in self.open_to(member, purpose, now_ms) if not entry.scope.regions]

    def _merge(self, member: str, purpose: int) -> tuple[Entry, ...]:
        both = self._table.get((member, purpose), []) + self._table.get((ANY, purpose), [])
        both.sort(key=_narrowness)
        if len(self._merged) >= MAX_MERGED:
            self._merged.clear()
        self._merged[member, purpose] = merged = tuple(both)
        return merged

    def _why_not(self, member: str, unit: str, entries: tuple[Entry, ...], now_ms: int) -> AccessError:
        """The first that applies: the member, the purpose, the time, the unit, the benefits."""
        if not self._members & {member, ANY}:
            return AccessError(
                "this member has no access here; ask the answering member's administrator for a grant",
                "贵单位尚未获得本方授权，请联系答复方管理员开通",
                reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED,
            )
        if not any(entry.from_ms <= now_ms < entry.until_ms for entry in entries):
            return AccessError(
                "no grant in force allows this purpose; use a purpose that was agreed, or ask for a grant",
                "该查询目的没有有效授权，请使用已约定的目的或申请授权",
                reason=words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED,
                field="context.purpose",
            )
        if not any(entry.units is None or unit in entry.units for entry in entries):
            return AccessError(
                "no grant allows this unit (agency) to ask for this purpose; ask for a grant that names it",
                "该经办机构在此目的下未获授权，请申请包含该机构的授权",
                reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED,
                field="context.unit",
            )
        return AccessError(
            "no single grant allows all types of benefit of this question; ask about each alone, or for a grant",
            "没有一项授权涵盖本次查询的全部险种，请按险种分别查询或申请授权",
            reason=words.REFUSAL_REASON_BENEFIT_NOT_PERMITTED,
            field="benefit",
        )


def _narrowness(entry: Entry) -> tuple[bool, int, bool, int, int]:
    """Widest first: all kinds before some, all regions before some; of equals the older one."""
    kinds, regions = entry.scope
    return (kinds is not None, -len(kinds or ()), bool(regions), -len(regions), entry.number)
