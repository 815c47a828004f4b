"""The people of the demo world: who they are, who pays them and where they live. What happens to them is in histories.

Owns: one column a fact, one row a person, all drawn from one random generator in a fixed order, so that the same seed
gives the same people. Refuses: events, and everything that departments know.

Nearly everyone lives in another province than the one that pays: that is whom the federation exists for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gateway.demo import calendar, names, numbers
from gateway.demo.calendar import Days
from gateway.demo.cases import CASES, INDEX
from gateway.demo.regions import ISSUING_COUNTIES, Province

BENEFITS = (
    "EMPLOYEE_PENSION",
    "PUBLIC_INSTITUTION_PENSION",
    "RESIDENT_PENSION",
    "UNEMPLOYMENT",
    "WORK_INJURY",
    "WORK_DEATH_DEPENDANT",
    "NON_WORK_DEATH_DEPENDANT",
)
"""BenefitType without prefix; `People.benefit` indexes it."""

_SHARES = {
    "any": (0.47, 0.1, 0.2, 0.02, 0.12, 0.06, 0.03),
    "pension": (0.65, 0.15, 0.2, 0, 0, 0, 0),
    "spouse": (0, 0, 0, 0, 0, 0.75, 0.25),
    "child": (0, 0, 0, 0, 0, 0.75, 0.25),
    "unemployment": (0, 0, 0, 1, 0, 0, 0),
}
_AGES = ((55, 96), (60, 95), (60, 98), (25, 55), (30, 80), (35, 85), (35, 85))
"""Years of age by benefit, first and one past the last; dependent children are drawn apart."""
_CENTS = (
    (180_000, 620_000),
    (350_000, 900_000),
    (15_000, 60_000),
    (140_000, 240_000),
    (200_000, 700_000),
    (120_000, 260_000),
    (80_000, 160_000),
)
"""Monthly amounts by benefit, in fen."""

_COUNTIES = np.array(ISSUING_COUNTIES, np.int64)


@dataclass(frozen=True, slots=True)
class People:
    """One row a person.

    Args:
        case: index into CASES.
        pay: index of the paying province.
        pay_unit: region of the paying agency, which is also its unit id.
        home: GB/T 2260 code of the prefecture where the person lives, or lived last.
        home_province: index of its province.
        earlier_home: the prefecture before a move between provinces within the cycle; `home` for everyone else.
        earlier_province: index of its province.
        moved_on: day of that move, 0: none.
        benefit: index into BENEFITS.
        birth_on: date of birth.
        female: registered sex.
        died_on: day of death, 0: alive. Set by the histories.
        monthly_cents: paid each month, in fen.
        number: the present identity number, as departments hold it.
        name: as departments hold it.
        other_number: a further number of the same person: the old one, or a second registration; sparse by row.
        roster_number: as the paying agency wrote it.
        roster_name: as the paying agency wrote it.
        roster_region: where the agency thinks the person lives, 0: it does not know.
        partner: row of the other person of a paired case, -1: none.
    """

    case: NDArray[np.int16]
    pay: NDArray[np.int16]
    pay_unit: NDArray[np.int32]
    home: NDArray[np.int32]
    home_province: NDArray[np.int16]
    earlier_home: NDArray[np.int32]
    earlier_province: NDArray[np.int16]
    moved_on: Days
    benefit: NDArray[np.int8]
    birth_on: Days
    female: NDArray[np.bool_]
    died_on: Days
    monthly_cents: NDArray[np.int32]
    number: list[str]
    name: list[str]
    other_number: dict[int, str]
    roster_number: list[str]
    roster_name: list[str]
    roster_region: NDArray[np.int32]
    partner: NDArray[np.int32] = field(repr=False)

    def __len__(self) -> int:
        return len(self.case)

    def template(self, row: int) -> str:
        """The face platform's template of a person, in all provinces; two people of one face have one."""
        shared = self.case[row] == INDEX["face_shared"]
        return f"FT{min(row, int(self.partner[row])) if shared else row:08d}"

    def of(self, *labels: str) -> NDArray[np.int64]:
        """Rows of these cases."""
        return np.flatnonzero(np.isin(self.case, [INDEX[label] for label in labels]))


def _cases(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """A case for every row, every case at least once if there is room, and who is whose partner."""
    chosen: list[int] = []
    for index, case in enumerate(CASES):
        chosen += [index] * case.people
    weights = np.array([case.weight / case.people for case in CASES])
    more = rng.choice(len(CASES), max(0, count - len(chosen)), p=weights / weights.sum())
    people = np.array([case.people for case in CASES])
    rows = np.concatenate([np.array(chosen), np.repeat(more, people[more])])[:count]
    partner = np.full(count, -1, np.int32)
    for index in np.flatnonzero(people == 2).tolist():
        members = np.flatnonzero(rows == index)
        if members.size % 2:  # the cut at `count` fell between two partners
            rows[members[-1]] = INDEX["active"]
            members = members[:-1]
        partner[members[::2]], partner[members[1::2]] = members[1::2], members[::2]
    order = rng.permutation(count)
    place = np.argsort(order)
    moved = partner[order]
    return rows[order].astype(np.int16), np.where(moved >= 0, place[moved], -1).astype(np.int32)


def _places(rng: np.random.Generator, provinces: Sequence[Province], province: NDArray[np.int64]) -> NDArray[np.int32]:
    """A prefecture of each row's province."""
    width = max(len(p.prefectures) for p in provinces)
    table = np.array([(p.prefectures * width)[:width] for p in provinces], np.int32)
    counts = np.array([len(p.prefectures) for p in provinces])
    places: NDArray[np.int32] = table[province, (rng.random(len(province)) * counts[province]).astype(np.int64)]
    return places


def _births(rng: np.random.Generator, case: NDArray[np.int16], benefit: NDArray[np.int8], as_of_on: int) -> Days:
    """Dates of birth that fit benefit and case."""
    low, high = np.array(_AGES)[benefit].T
    birth: Days = (as_of_on - (low + rng.random(len(case)) * (high - low)) * 365.2425).astype(np.int32)
    year = calendar.parts(np.array([as_of_on], np.int32))[0][0]

    def rows(label: str) -> NDArray[np.int64]:
        return np.flatnonzero(case == INDEX[label])

    def days(size: int, youngest: int, oldest: int) -> Days:
        return (as_of_on - rng.integers(youngest, oldest, size)).astype(np.int32)

    for label in ("dependant_minor", "adopted_dependant"):
        birth[rows(label)] = days(rows(label).size, 5 * 365, 17 * 365)
    eighteen = as_of_on - calendar.years_before(as_of_on, 18)
    turned = rows("dependant_turned_18")
    birth[turned] = days(turned.size, eighteen + 20, eighteen + 330)
    at_end = rows("dependant_turned_18_month_end")
    birth[at_end] = calendar.month_end(days(at_end.size, eighteen + 70, eighteen + 330))
    leap = rows("dependant_born_29_february")
    leap_year = next(y for y in range(int(year) - 17, int(year) - 30, -1) if y % 4 == 0 and (y % 100 or y % 400 == 0))
    birth[leap] = calendar.from_parts(np.array([leap_year]), np.array([2]), np.array([29]))[0]
    legacy = rows("number_fifteen_digits")
    turn_of_century = calendar.from_parts(np.array([1999]), np.array([12]), np.array([31]))[0]
    birth[legacy] = np.minimum(birth[legacy], turn_of_century)
    birth[birth == 0] = 1  # day 0 means "not given" everywhere else
    return birth


def _write_roster(rng: np.random.Generator, people: People) -> None:
    """The roster's own spellings: how clerks and old systems wrote numbers and names."""
    spellings = {
        "number_fifteen_digits": numbers.fifteen_digits,
        "number_lower_x": numbers.lower_x,
        "number_full_width": numbers.full_width,
        "number_blanks": numbers.with_blanks,
        "number_wrong_check": numbers.wrong_check,
    }
    for label, spelling in spellings.items():
        for row in people.of(label).tolist():
            people.roster_number[row] = spelling(people.number[row])
    for row in people.of("number_changed", "number_changed_died").tolist():
        people.roster_number[row] = people.other_number[row]
    for row in people.of("name_rare").tolist():
        people.name[row] = people.roster_name[row] = names.RARE[int(rng.integers(len(names.RARE)))]
    for label, table in (("name_variant", names.VARIANTS), ("name_minority", names.MINORITY)):
        rows = people.of(label)
        for row, (written, held) in zip(rows.tolist(), names.pick(rng, table, rows.size), strict=True):
            people.roster_name[row], people.name[row] = written, held
    people.roster_region[people.of("residence_unknown")] = 0


def build_people(rng: np.random.Generator, provinces: Sequence[Province], count: int, as_of_on: int) -> People:
    """`count` people of at least two provinces; see `People`."""
    here = len(provinces)
    case, partner = _cases(rng, count)
    pay = rng.integers(0, here, count)
    home_province = (pay + rng.integers(1, here, count)) % here
    local = case == INDEX["local_resident"]
    home_province[local] = pay[local]
    paired = np.flatnonzero(partner > np.arange(count))
    # Two people of one number, or one face, live in different provinces and are paid by different ones, if there are
    # three or more.
    home_province[partner[paired]] = pay[paired]
    pay[partner[paired]] = home_province[paired]

    benefit = np.zeros(count, np.int8)
    for group, shares in _SHARES.items():
        rows = np.flatnonzero(np.isin(case, [i for i, c in enumerate(CASES) if c.group == group]))
        benefit[rows] = rng.choice(len(BENEFITS), rows.size, p=shares)
    birth_on = _births(rng, case, benefit, as_of_on)
    female = rng.random(count) < 0.5
    same_face = paired[case[paired] == INDEX["face_shared"]]
    birth_on[partner[same_face]], female[partner[same_face]] = birth_on[same_face], female[same_face]
    several = np.flatnonzero(
        np.isin(case, [INDEX["number_changed"], INDEX["number_changed_died"], INDEX["several_registrations"]])
    )
    owner = np.concatenate([np.arange(count), several])
    number = numbers.resident_numbers(
        rng, rng.choice(_COUNTIES, owner.size), birth_on[owner], female[owner], (case == INDEX["number_lower_x"])[owner]
    )
    present, further = number[:count], number[count:]
    for row in paired[case[paired] == INDEX["number_shared"]].tolist():
        present[int(partner[row])] = present[row]

    low, high = np.array(_CENTS)[benefit].T
    home = _places(rng, provinces, home_province)
    moved = np.isin(case, [INDEX["moved_within_cycle"], INDEX["residence_unknown"]])
    earlier_province, earlier_home = home_province.copy(), home.copy()
    # Two provinces leave only the paying one to have come from.
    earlier_province[moved] = (home_province + rng.integers(1, here, count))[moved] % here
    earlier_home[moved] = _places(rng, provinces, earlier_province)[moved]
    moved_on = np.where(moved, as_of_on - rng.integers(80, 240, count), 0).astype(np.int32)
    name = names.ordinary(rng, count)
    people = People(
        case=case,
        pay=pay.astype(np.int16),
        pay_unit=_places(rng, provinces, pay),
        home=home,
        home_province=home_province.astype(np.int16),
        earlier_home=earlier_home,
        earlier_province=earlier_province.astype(np.int16),
        moved_on=moved_on,
        benefit=benefit,
        birth_on=birth_on,
        female=female,
        died_on=np.zeros(count, np.int32),
        monthly_cents=(rng.integers(low, high) // 1000 * 1000).astype(np.int32),
        number=present,
        name=name,
        other_number=dict(zip(several.tolist(), further, strict=True)),
        roster_number=list(present),
        roster_name=list(name),
        roster_region=earlier_home.copy(),
        partner=partner,
    )
    _write_roster(rng, people)
    return people
