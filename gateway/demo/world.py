"""The demo world: provinces, their people, and what their departments have on the as-of day. Made whole from a seed.

Owns: putting people, histories, registers and number changes together, and the recipients as their agencies have them.
Refuses: writing anything to disk; `gateway.demo.truth` and `gateway.demo.systems` do.

The same seed, provinces, number of people and as-of day give the same world, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gateway.demo import calendar, spoiling
from gateway.demo.calendar import Days
from gateway.demo.cases import CASES, SHOWCASE, Case, as_far_as_read
from gateway.demo.histories import OTHER, PRESENT, Events, Ledger
from gateway.demo.lives import write_lives
from gateway.demo.people import BENEFITS, People, build_people
from gateway.demo.regions import PROVINCES, Agency, Province
from gateway.demo.starts import starts_of
from gateway.demo.truth import Recipient
from gateway.errors import ConfigError
from wugan.adapter.v1 import vocabulary_pb2 as words

DEATHS = (
    words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH,
    words.EVIDENCE_KIND_DEATH_CERTIFICATE,
    words.EVIDENCE_KIND_CREMATION,
    words.EVIDENCE_KIND_BURIAL,
    words.EVIDENCE_KIND_DEATH_SETTLEMENT,
    words.EVIDENCE_KIND_VISIT_FOUND_DEAD,
    words.EVIDENCE_KIND_DEATH_REPORT,
    words.EVIDENCE_KIND_DECLARED_DEAD,
)
"""Kinds of record that say that somebody is dead."""
MAX_PEOPLE = 5_000_000
"""More would not fit the memory of an ordinary machine."""


@dataclass(frozen=True, slots=True)
class Registers:
    """Who stands in which province's population register (人口库), under which number. One row an entry.

    Args:
        person: row of People.
        province: index of the province.
        held: PRESENT or OTHER number.
    """

    person: NDArray[np.int32]
    province: NDArray[np.int16]
    held: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class NumberChanges:
    """Pairs of numbers that a province's police know to belong together; the person's other number is the older one.

    Args:
        person: row of People; the pair is its `other_number` and `number`.
        province: index of the province.
        changed_on: the day the present number was issued.
    """

    person: NDArray[np.int32]
    province: NDArray[np.int16]
    changed_on: Days


@dataclass(frozen=True)
class World:
    """Everything there is.

    Args:
        seed: from which it was made.
        as_of_on: civil day that is "today" in it.
        provinces: its provinces.
        people: its people, nearly all recipients of benefits in another province than their own.
        events: what departments have.
        registers: the population registers.
        changes: changed numbers.
    """

    seed: int
    as_of_on: int
    provinces: tuple[Province, ...]
    people: People
    events: Events
    registers: Registers
    changes: NumberChanges

    @cached_property
    def told_dead(self) -> NDArray[np.bool_]:
        """Of which people a department says, or has heard, that they are dead, in a record that is told."""
        events = self.events
        untold = np.isin(events.kind, spoiling.DEATHS) & self.unread[events.person]
        found = np.zeros(len(self.people), np.bool_)
        found[events.person[np.isin(events.kind, DEATHS) & ~untold]] = True
        return found

    @cached_property
    def unread(self) -> NDArray[np.bool_]:
        """About which people civil affairs, where they live, hold a row that does not read."""
        found = np.zeros(len(self.people), np.bool_)
        found[self.events.person[spoiling.unread_events(self.events)]] = True
        return found

    def province(self, code: int) -> Province:
        """The province with this GB/T 2260 code.

        Raises:
            ConfigError: it is not part of this world.
        """
        for province in self.provinces:
            if province.code == code:
                return province
        raise ConfigError(f"province {code} is not part of this world", f"演示环境中没有省份 {code}", field="province")

    def index(self, code: int) -> int:
        """The place of this province in `provinces`; raises as `province`."""
        return self.provinces.index(self.province(code))

    def recipients(self, province: int | None = None) -> Iterator[Recipient]:
        """Every roster row with the truth behind it, in order of people; of one paying province if its code is
        given.
        """
        people = self.people
        wanted = None if province is None else self.index(province)
        columns = (people.case, people.pay, people.pay_unit, people.home_province, people.home)
        for row, (kind, *payer, home_province, home) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            case = CASES[kind]
            payers = [tuple(payer)]
            if case.label == "duplicate_benefit":
                payers.append((home_province, home))
            if case.label == "twice_in_roster":
                payers *= 2
            for again, (pay, unit) in enumerate(payers):
                if wanted is None or wanted == pay:
                    yield self._recipient(row, case, pay, unit, again)

    def showcase(self) -> list[Recipient]:
        """One recipient for each kind of answer, in the order in which they are best told; for `make demo`."""
        first: dict[str, Recipient] = {}
        rows = [int(self.people.of(label)[0]) for label in SHOWCASE if self.people.of(label).size]
        for row in rows:
            case = CASES[int(self.people.case[row])]
            pay, unit = int(self.people.pay[row]), int(self.people.pay_unit[row])
            first[case.label] = self._recipient(row, case, pay, unit, 0)
        return [first[label] for label in SHOWCASE if label in first]

    def agency(self, region: int) -> Agency:
        """The paying agency of a prefecture.

        Raises:
            ConfigError: no agency of this world pays there.
        """
        for province in self.provinces:
            for agency in province.agencies:
                if agency.region == region:
                    return agency
        raise ConfigError(f"no agency pays in region {region}", f"区划 {region} 没有经办机构", field="region")

    def _recipient(self, row: int, case: Case, pay: int, unit: int, again: int) -> Recipient:
        people = self.people
        flags: Sequence[str] = case.flags
        if case.label == "dependant_born_29_february" and self._of_age(int(people.birth_on[row])):
            flags = (*flags, "AGED_OUT")
        unread, death_known = bool(self.unread[row]), not case.alive and bool(self.told_dead[row])
        expected, right = case.expected, case.right
        if unread:
            flags = spoiling.flags_told(flags)
            expected, *_ = right = as_far_as_read(case, death_known=death_known)
        return Recipient(
            person=row,
            again=again,
            case=case.label,
            alive=case.alive,
            died_on=calendar.iso(int(people.died_on[row])),
            death_known=death_known,
            expected=expected,
            right=right,
            flags=tuple(flags),
            unread=unread,
            paying_province=self.provinces[pay].code,
            unit=str(unit),
            id_number=people.roster_number[row],
            name=people.roster_name[row],
            benefit=BENEFITS[int(people.benefit[row])],
            benefit_since=calendar.iso(int(starts_of(people, np.array([row]), self.as_of_on)[0])),
            residence_region=int(people.roster_region[row]),
            monthly_cents=int(people.monthly_cents[row]),
            lives_in=self.provinces[int(people.home_province[row])].code,
            present_number=people.number[row],
        )

    def _of_age(self, birth_on: int) -> bool:
        """Whether 18 was attained by the as-of day; on 1 March, in common years, by who was born on 29 February."""
        born, today = calendar.to_date(birth_on), calendar.to_date(self.as_of_on)
        return (today.year - born.year - ((today.month, today.day) < (born.month, born.day))) >= 18


def _provinces(wanted: int | Sequence[int]) -> tuple[Province, ...]:
    if isinstance(wanted, int):
        if not 2 <= wanted <= len(PROVINCES):
            raise ConfigError(
                f"a federation has 2 to {len(PROVINCES)} provinces",
                f"省份数应为 2 至 {len(PROVINCES)}",
                field="provinces",
            )
        return PROVINCES[:wanted]
    known = {province.code: province for province in PROVINCES}
    codes = list(dict.fromkeys(wanted))
    if len(codes) < 2 or any(code not in known for code in codes):
        raise ConfigError(
            "give two or more different GB/T 2260 codes of provinces, e.g. 330000 and 420000",
            "请给出至少两个不同的省级区划代码，如 330000、420000",
            field="provinces",
        )
    return tuple(known[code] for code in codes)


def _registers(people: People) -> Registers:
    """Everyone is registered where they live; movers also where they came from; two people of one number in both
    places.
    """
    known = np.setdiff1d(np.arange(len(people)), people.of("unknown_person"))
    moved = np.flatnonzero(people.moved_on)
    paired = people.of("number_shared")
    twofold = people.of("several_registrations")
    person = np.concatenate([known, moved, paired, twofold])
    province = np.concatenate(
        [
            people.home_province[known],
            people.earlier_province[moved],
            people.home_province[people.partner[paired]],
            people.home_province[twofold],
        ]
    )
    held = np.full(person.size, PRESENT, np.int8)
    held[person.size - twofold.size :] = OTHER
    order = np.lexsort((held, person, province))
    return Registers(person[order].astype(np.int32), province[order].astype(np.int16), held[order])


def _changes(rng: np.random.Generator, people: People, as_of_on: int) -> NumberChanges:
    person = np.array(sorted(people.other_number), np.int32)
    return NumberChanges(
        person=person,
        province=people.home_province[person],
        changed_on=(as_of_on - rng.integers(800, 6_000, person.size)).astype(np.int32),
    )


def build_world(seed: int, provinces: int | Sequence[int], people: int, as_of_on: int) -> World:
    """The world of a seed.

    Args:
        seed: 0 or more; another seed, other people.
        provinces: how many, 2 to 31, or their GB/T 2260 codes, at least two.
        people: how many; with fewer than `cases.SMALLEST_COMPLETE_WORLD` some cases do not occur.
        as_of_on: civil day in Asia/Shanghai that is "today"; no record is younger.

    Raises:
        ConfigError: a setting out of bounds; `field` names it.
    """
    if seed < 0:
        raise ConfigError("a seed is 0 or more", "种子应为不小于 0 的整数", field="seed")
    if not 1 <= people <= MAX_PEOPLE:
        raise ConfigError(f"1 to {MAX_PEOPLE:,} people, please", f"人数应为 1 至 {MAX_PEOPLE:,}", field="people")
    chosen = _provinces(provinces)
    rng = np.random.Generator(np.random.PCG64(seed))
    everyone = build_people(rng, chosen, people, as_of_on)
    ledger = Ledger(rng, everyone, chosen, as_of_on)
    write_lives(ledger)
    return World(
        seed=seed,
        as_of_on=as_of_on,
        provinces=chosen,
        people=everyone,
        events=ledger.finish(),
        registers=_registers(everyone),
        changes=_changes(rng, everyone, as_of_on),
    )
