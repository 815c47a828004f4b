"""What one province's departments are filled from: the world's events of the province, as plain rows.

Owns: reading the world's columns into rows with number, name and times of day. Refuses: a department's own codes and
formats, and the truth: nothing here knows who is really alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gateway.demo import calendar
from gateway.demo.histories import OTHER
from gateway.demo.regions import Province
from gateway.demo.world import World

_CHUNK = 50_000


class Row(NamedTuple):
    """One record of a department.

    Args:
        serial: its number within the world; references are made of it.
        kind: EvidenceKind.
        number: identity number under which the department holds it, 18 characters.
        name: name under which it does.
        region: GB/T 2260 code of the place.
        on: day it happened.
        known_on: day the department had it.
        second: second of that day (civil time in Asia/Shanghai) at which it happened; by day, and before 23 o'clock.
        detail: as in EvidenceKind.
        from_on: as in EvidenceKind, 0: none.
        until_on: as in EvidenceKind, 0: none.
        template: of the person's face, as the face platform has it.
    """

    serial: int
    kind: int
    number: str
    name: str
    region: int
    on: int
    known_on: int
    second: int
    detail: int
    from_on: int
    until_on: int
    template: str

    def at(self, pattern: str = "%Y-%m-%d", between: str = " ") -> str:
        """When it happened, civil time: the day by its pattern, then HH:MM:SS."""
        return day_as(self.on, pattern) + between + clock(self.second)

    def known_at(self, pattern: str = "%Y-%m-%d", between: str = " ") -> str:
        """When the department had it, never before it happened."""
        return day_as(self.known_on, pattern) + between + clock(self.second + 1_800)


@dataclass(frozen=True, slots=True)
class Registered:
    """One entry of the population register."""

    serial: int
    number: str
    name: str
    birth_on: int
    female: bool
    region: int


@dataclass(frozen=True, slots=True)
class Changed:
    """One changed number."""

    serial: int
    old: str
    new: str
    name: str
    on: int


class Source:
    """One province of a world.

    Args:
        world: the world.
        province: one of its provinces.
    """

    def __init__(self, world: World, province: Province) -> None:
        self.world = world
        self.province = province
        self._index = world.index(province.code)
        self._first, last = world.events.of_province(self._index)
        self._kinds = world.events.kind[self._first : last]

    @property
    def as_of_on(self) -> int:
        """The world's "today"."""
        return self.world.as_of_on

    def rows(self, *kinds: int) -> Iterator[Row]:
        """The province's records of these kinds, kind by kind."""
        for kind in kinds:
            first, last = np.searchsorted(self._kinds, [kind, kind + 1]) + self._first
            for start in range(int(first), int(last), _CHUNK):
                yield from self._slice(start, min(start + _CHUNK, int(last)))

    def registered(self) -> Iterator[Registered]:
        """The province's population register."""
        world = self.world
        first, last = np.searchsorted(world.registers.province, [self._index, self._index + 1])
        people = world.people
        persons = world.registers.person[first:last].tolist()
        held = world.registers.held[first:last].tolist()
        for serial, (person, which) in enumerate(zip(persons, held, strict=True), start=int(first)):
            number = people.other_number[person] if which == OTHER else people.number[person]
            lives_here = people.home_province[person] == self._index
            region = people.home[person] if lives_here else self.province.prefectures[0]
            birth_on, female = int(people.birth_on[person]), bool(people.female[person])
            yield Registered(serial, number, people.name[person], birth_on, female, int(region))

    def changed(self) -> Iterator[Changed]:
        """Changed numbers that the province's police know."""
        world = self.world
        for serial in np.flatnonzero(world.changes.province == self._index).tolist():
            person = int(world.changes.person[serial])
            people, on = world.people, int(world.changes.changed_on[serial])
            yield Changed(serial, people.other_number[person], people.number[person], people.name[person], on)

    def _slice(self, start: int, stop: int) -> Iterator[Row]:
        events, people = self.world.events, self.world.people
        columns = (
            events.person,
            events.kind,
            events.region,
            events.observed_on,
            events.available_on,
            events.detail,
            events.from_on,
            events.until_on,
            events.held,
        )
        rows = zip(*(column[start:stop].tolist() for column in columns), strict=True)
        for serial, row in enumerate(rows, start=start):
            person, kind, region, on, known_on, detail, from_on, until_on, held = row
            number = people.other_number[person] if held == OTHER else people.number[person]
            # Spread over the day from six in the morning to six in the evening, the same for the same world.
            second = 21_600 + serial * 7_919 % 43_200
            name = people.name[person]
            told = (region, on, known_on, second, detail, from_on, until_on)
            yield Row(serial, kind, number, name, *told, people.template(person))


@lru_cache(100_000)
def day_as(day: int, pattern: str, none: str = "") -> str:
    """A day in a department's own format, or its word for "none"."""
    return calendar.to_date(day).strftime(pattern) if day else none


@lru_cache(100_000)
def clock(second: int) -> str:
    """A second of the day as HH:MM:SS."""
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
