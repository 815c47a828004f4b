"""One successful certification per person, benefit and cycle: who is let through, who is not, what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.faces import face_token
from gateway.clock import FakeClock, civil_day
from gateway.errors import RefusedError
from gateway.once.claiming import Claiming
from gateway.once.gate import Claimed, Gate
from gateway.once.keyed import Certified
from gateway.store.duplicates import Duplicates, Finding
from gateway.store.engine import Store
from gateway.store.jumps import SETTLE_S
from gateway.store.reader import Reader
from tests.unit.post.post_world import Jumping, open_store, reading_steps
from tests.unit.rules.rules_world import BOOK
from wugan.agency.v1 import duplicates_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

PENSION = words.BENEFIT_TYPE_EMPLOYEE_PENSION
RESIDENT = words.BENEFIT_TYPE_RESIDENT_PENSION
INJURY = words.BENEFIT_TYPE_WORK_INJURY
ANNA, BO, CHEN = "330702195001011234", "330702195202022345", "330702196003033456"
NOW_MS = FakeClock().now_ms()
TODAY = civil_day(NOW_MS)
TWICE, NUMBER, NAME, FACE, UNIT, MEMBER = range(1, 7)
FACE_1, FACE_2, FACE_3 = (face_token("a.platform", f"T-{each}") for each in "123")


def certified(*people: tuple[Any, ...], unit: str = "330700", run: str = "r1", **more: Any) -> Certified:
    """(number, name, benefit, reference), as many of them as are given; rows from 1."""
    plain = ("", "安娜", PENSION, "")
    rows = [(*each, *plain[len(each) :]) for each in people]
    columns: list[Sequence[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    return Certified(
        unit,
        run.encode().ljust(16, b"."),
        np.array(more.pop("row", range(1, len(rows) + 1)), np.int64),
        columns[0],
        columns[1],
        np.array(columns[2], np.int32),
        columns[3],
        np.full(len(rows), more.pop("on", TODAY), np.int32),
        **more,
    )


def refused(claimed: Claimed) -> list[tuple[int, int]]:
    assert (~claimed.accepted).nonzero()[0].tolist() == sorted(set(claimed.place.tolist()))
    return list(zip(claimed.place.tolist(), claimed.kind.tolist(), strict=True))


async def found(store: Store, unit: str = "330700") -> list[tuple[int, str, str]]:
    kept = await store.duplicates.list(unit, 0, 100, settled=False)
    bodies = [duplicates_pb2.Duplicate.FromString(each.body) for each in kept]
    return [(each.kind, body.id_number, body.other_unit) for each, body in zip(kept, bodies, strict=True)]


async def test_a_person_is_certified_once_and_again_by_the_same_registration(gate: Gate, store: Store) -> None:
    assert refused(await gate.claim(certified((ANNA,), (BO,)))) == []
    assert refused(await gate.claim(certified((ANNA,), (BO,)))) == []  # the run goes on after an interruption
    assert refused(await gate.claim(certified((BO,), (ANNA,), run="r2"))) == []
    assert await found(store) == []


async def test_another_agency_is_refused_and_told_which(gate: Gate, store: Store) -> None:
    await gate.claim(certified((ANNA,)))
    again = await gate.claim(certified((BO,), (ANNA,), unit="330100", run="r2"))
    assert refused(again) == [(1, UNIT)]
    assert (again.unit, again.certified_on.tolist(), again.member) == (["330700"], [TODAY], [""])
    assert await found(store, "330100") == [(UNIT, ANNA, "330700")]
    assert await found(store) == []


async def test_benefits_that_exclude_each_other_are_one_and_others_are_not(gate: Gate) -> None:
    await gate.claim(certified((ANNA, "安娜", PENSION)))
    later = certified((ANNA, "安娜", INJURY), (ANNA, "安娜", RESIDENT), unit="330100", run="r2")
    assert refused(await gate.claim(later)) == [(1, UNIT)]


async def test_of_two_rows_of_a_roster_the_first_stands_however_often_it_is_run(gate: Gate) -> None:
    roster = ((ANNA,), (BO,), (ANNA,))
    for run in ("r1", "r1", "r2"):
        assert refused(await gate.claim(certified(*roster, run=run))) == [(2, TWICE)]
    assert refused(await gate.claim(certified((ANNA,), run="r2", row=[7]))) == [(0, TWICE)]


async def test_two_registrations_of_an_agency_are_two_whatever_the_roster(gate: Gate) -> None:
    await gate.claim(certified((ANNA, "安娜", PENSION, "Y-1"), (BO, "", PENSION, "Y-3")))
    second = certified((ANNA, "安娜", PENSION, "Y-2"), (BO, "", RESIDENT), run="r2")
    assert refused(await gate.claim(second)) == [(0, TWICE), (1, TWICE)]


async def test_another_name_under_the_number_is_refused_and_another_spelling_is_not(gate: Gate) -> None:
    await gate.claim(certified((ANNA, "闫 娜"), (BO, ""), (CHEN, "陈一")))
    later = certified((ANNA, "阎娜"), (BO, "薄"), (CHEN, "陈二"), run="r2")
    assert refused(await gate.claim(later)) == [(2, NAME)]


async def test_old_and_new_number_are_one_person(gate: Gate) -> None:
    await gate.claim(certified((ANNA,), linked=[(0, BO)]))
    assert refused(await gate.claim(certified((BO,), run="r2"))) == [(0, NUMBER)]
    assert refused(await gate.claim(certified((CHEN,), run="r2", linked=[(0, BO)]))) == [(0, NUMBER)]
    assert refused(await gate.claim(certified((BO,), run="r2", unit="330100"))) == [(0, UNIT)]


async def test_an_agency_may_correct_number_and_name_of_its_own_registration(gate: Gate) -> None:
    await gate.claim(certified((ANNA, "安娜", PENSION, "Y-1")))
    assert refused(await gate.claim(certified((BO, "安那", PENSION, "Y-1"), run="r2", linked=[(0, ANNA)]))) == []


async def test_one_face_passes_for_one_person_only(gate: Gate) -> None:
    await gate.claim(certified((ANNA,), faces=[(0, FACE_1)]))
    later = certified((BO,), (ANNA, "安娜", INJURY), (CHEN,), run="r2", faces=[(0, FACE_1), (1, FACE_1), (2, b"")])
    assert refused(await gate.claim(later)) == [(0, FACE)]


async def test_a_cycle_ends(gate: Gate) -> None:
    cycle = BOOK.grading.cycle_days
    await gate.claim(certified((ANNA,)))
    assert refused(await gate.claim(certified((ANNA,), unit="330100", on=TODAY + cycle))) == [(0, UNIT)]
    assert refused(await gate.claim(certified((ANNA,), unit="330100", on=TODAY + cycle + 1))) == []
    assert refused(await gate.claim(certified((ANNA,), on=TODAY + cycle + 1))) == [(0, UNIT)]


async def test_what_an_agency_gives_up_another_may_take(gate: Gate) -> None:
    await gate.claim(certified((ANNA,), linked=[(0, BO)], faces=[(0, FACE_1)]))
    assert await gate.release("330100", ANNA, PENSION) == 0
    assert await gate.release("330700", ANNA, RESIDENT) == 3
    assert refused(await gate.claim(certified((BO,), unit="330100", faces=[(0, FACE_1)]))) == []


async def test_who_draws_in_another_province_is_refused_until_that_is_settled(gate: Gate, store: Store) -> None:
    from gateway.store.duplicates import Finding

    tag = gate.keying.tags([ANNA], np.array([PENSION], np.int32))[0]
    now_ms = FakeClock().now_ms()
    await store.duplicates.note([Finding(tag, "330700", MEMBER, "M", now_ms, now_ms + 1, b"")])
    claimed = await gate.claim(certified((BO,), (ANNA,)))
    assert (refused(claimed), claimed.member) == ([(1, MEMBER)], ["M"])
    number = (await store.duplicates.list("330700", 0, 9, settled=False))[0].number
    assert await store.duplicates.settle("330700", number, now_ms, lambda kept: kept.body) is not None
    assert refused(await gate.claim(certified((BO,), (ANNA,)))) == []


async def test_a_finding_is_there_once_however_often_it_is_found(gate: Gate, store: Store, clock: FakeClock) -> None:
    await gate.claim(certified((ANNA,)))
    for run in ("r2", "r3"):
        await gate.claim(certified((ANNA,), unit="330100", run=run))
        clock.advance(3600)
    kept = await store.duplicates.list("330100", 0, 9, settled=False)
    assert [each.last_at_ms - each.first_at_ms for each in kept] == [3_600_000]


async def test_what_is_over_for_long_is_forgotten(gate: Gate, store: Store, clock: FakeClock) -> None:
    await gate.claim(certified((ANNA,)))
    await gate.claim(certified((ANNA,), unit="330100"))
    assert await gate.tidy() == 0
    clock.advance(86_400 * 450)
    assert await gate.tidy() == 2
    assert await store.duplicates.list("330100", 0, 9, settled=True) == []


async def test_nothing_is_forgotten_by_a_clock_that_is_a_year_ahead_for_a_moment(store: Store) -> None:
    clock = Jumping()
    gate = Gate(BOOK, store, clock)
    await gate.claim(certified((ANNA,)))
    clock.advance(SETTLE_S)
    assert await gate.tidy() == 0
    clock.ahead_ms = 800 * 86_400_000
    assert await gate.tidy() == 0
    clock.ahead_ms = 0
    assert refused(await gate.claim(certified((ANNA,), unit="330100"))) == [(0, UNIT)]


async def test_nobody_is_claimed_for_and_columns_must_fit(gate: Gate) -> None:
    assert refused(await gate.claim(certified())) == []
    short = certified((ANNA,), (BO,))
    with pytest.raises(RefusedError, match="name"):
        await gate.claim(Certified(short.unit, short.run, short.row, short.id_number, ["x"], *_rest(short)))


def _rest(of: Certified) -> tuple[Any, ...]:
    return of.benefit, of.reference, of.certified_on


async def test_nothing_of_a_person_is_on_the_disk_in_clear(gate: Gate, tmp_path: Path) -> None:
    await gate.claim(certified((ANNA, "安娜乌尔汗", PENSION, "REF-77"), faces=[(0, FACE_1)]))
    await gate.claim(certified((ANNA, "安娜乌尔汗", PENSION, "REF-78"), unit="330100"))
    files = list(tmp_path.glob("wugan.db*"))
    assert files
    for file in files:
        data = file.read_bytes()
        for text in (ANNA, "安娜乌尔汗", "REF-77", "REF-78", FACE_1.hex()):
            assert text.encode() not in data
        assert FACE_1 not in data


claims = st.lists(
    st.tuples(st.sampled_from(["u1", "u2"]), st.lists(st.integers(0, 5), max_size=6)), min_size=1, max_size=6
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(claims)
async def test_whatever_is_claimed_nobody_is_certified_at_two_agencies(
    tmp_path_factory: pytest.TempPathFactory, order: list[tuple[str, list[int]]]
) -> None:
    folder = tmp_path_factory.mktemp("gate")
    async with Store.open(folder / "wugan.db", key=folder / "store.key", clock=FakeClock()) as store:
        gate = Gate(BOOK, store, FakeClock())
        holder: dict[int, str] = {}
        for at, (unit, people) in enumerate(order):
            claimed = await gate.claim(certified(*((f"N{each}",) for each in people), unit=unit, run=f"run{at}"))
            seen: set[int] = set()
            for person, accepted in zip(people, claimed.accepted.tolist(), strict=True):
                assert accepted == (person not in seen and holder.get(person, unit) == unit)
                seen.add(person)
                holder.setdefault(person, unit)


async def of_roster(gate: Gate, folder: Path, chunks: Sequence[Certified]) -> list[tuple[int, int]]:
    def people(rows: np.ndarray) -> Certified:
        every = [
            (int(row), number, name, int(benefit), reference)
            for chunk in chunks
            for row, number, name, benefit, reference in zip(
                chunk.row, chunk.id_number, chunk.name, chunk.benefit, chunk.reference, strict=True
            )
        ]
        by_row = {row: rest for row, *rest in every}
        return certified(*(tuple(by_row[int(row)]) for row in rows), unit=chunks[0].unit, row=rows)

    refused: list[tuple[int, int]] = []
    async with Claiming(gate, chunks[0].unit, chunks[0].run, folder) as claiming:
        for chunk in chunks:
            await claiming.add(chunk)
        async for part in claiming.finish(people):
            refused += [(row, each.kind) for row, each in part]
    assert list(folder.glob("claims-*")) == []
    return sorted(refused)


@pytest.mark.parametrize("many_from", [1, 10_000])
async def test_a_whole_roster_is_claimed_and_refuses_the_same_rows_however_often(
    gate: Gate, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many_from: int
) -> None:
    monkeypatch.setattr("gateway.once.claiming.MANY_FROM", many_from)
    numbers = [f"{each:018d}" for each in range(700)]
    numbers[400], numbers[650] = numbers[3], numbers[3]
    await gate.claim(certified((numbers[10],), unit="330100"))
    chunks = [
        certified(*((number,) for number in numbers[start : start + 300]), row=range(start, min(700, start + 300)))
        for start in range(0, 700, 300)
    ]
    chunks[2] = certified(
        *((number,) for number in numbers[600:]),
        row=range(600, 700),
        linked=[(5, numbers[20])],
        faces=[(6, FACE_1), (7, FACE_1)],
    )
    expected = [(10, UNIT), (20, NUMBER), (400, TWICE), (607, FACE), (650, TWICE)]
    assert await of_roster(gate, tmp_path, chunks) == expected
    assert await of_roster(gate, tmp_path, chunks) == expected
    told = [kind for kind, *_ in await found(store)]
    assert sorted(told) == [TWICE, NUMBER, FACE, UNIT]  # who stands there three times is one finding


async def test_what_a_roster_claimed_binds_single_claims_is_given_up_and_forgotten(
    gate: Gate, store: Store, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.once.claiming.MANY_FROM", 1)
    numbers = [f"{each:018d}" for each in range(300)]
    await gate.claim(certified((numbers[0],), linked=[(0, ANNA)]))
    await of_roster(gate, tmp_path, [certified(*((number,) for number in numbers[1:]))])
    assert refused(await gate.claim(certified((numbers[7],), unit="330100"))) == [(0, UNIT)]
    assert refused(await gate.claim(certified((BO,), unit="330100", linked=[(0, numbers[8])]))) == [(0, UNIT)]
    assert refused(await gate.claim(certified((ANNA,), run="r2"))) == [(0, NUMBER)]
    assert await gate.release("330700", numbers[7], PENSION) == 1
    assert await gate.release("330100", numbers[8], PENSION) == 0
    assert refused(await gate.claim(certified((numbers[7],), unit="330100"))) == []
    assert refused(await gate.claim(certified((numbers[8],), unit="330100"))) == [(0, UNIT)]
    clock.advance(500 * 86_400)
    gone = 0
    while done := await gate.tidy():
        gone += done
    assert gone >= 300
    assert refused(await gate.claim(certified((numbers[8],), unit="330100", on=TODAY))) == []


@pytest.mark.parametrize("many_from", [1, 10_000])
async def test_one_face_is_refused_in_a_roster_in_the_next_and_at_another_agency(
    gate: Gate, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many_from: int
) -> None:
    monkeypatch.setattr("gateway.once.claiming.MANY_FROM", many_from)
    numbers = [f"{each:018d}" for each in range(90)]

    def roster(of: range, unit: str, run: str, faces: list[tuple[int, bytes]], **more: Any) -> list[Certified]:
        people = [(numbers[each],) for each in of]
        return [certified(*people, unit=unit, run=run, row=of, faces=faces, **more)]

    mine = roster(range(30), "330700", "r1", [(3, FACE_1), (20, FACE_1), (5, FACE_2), (6, FACE_2), (7, FACE_3)])
    for _ in range(2):
        assert await of_roster(gate, tmp_path, mine) == [(6, FACE), (20, FACE)]
    again = roster(range(25, 60), "330700", "r2", [(0, FACE_1), (1, FACE_3)], linked=[(1, numbers[7])])
    assert await of_roster(gate, tmp_path, again) == [(25, FACE), (26, NUMBER)]
    other = roster(range(60, 90), "330100", "r3", [(0, FACE_1), (29, FACE_2)])
    assert await of_roster(gate, tmp_path, other) == [(60, FACE), (89, FACE)]
    assert [(kind, unit) for kind, _, unit in await found(store, "330100")] == [(FACE, "330700")] * 2
    assert refused(await gate.claim(certified(("X",), faces=[(0, FACE_3)]))) == [(0, FACE)]


faced = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=9)


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(faced, min_size=1, max_size=3), st.booleans())
async def test_a_face_is_held_by_the_person_who_was_certified_with_it_first(
    tmp_path_factory: pytest.TempPathFactory, rosters: list[list[tuple[int, int]]], columns: bool
) -> None:
    """Rosters of different agencies; of each person a benefit of their own, so that nothing but faces collides."""
    folder = tmp_path_factory.mktemp("faces")
    async with Store.open(folder / "wugan.db", key=folder / "store.key", clock=FakeClock()) as store:
        gate = Gate(BOOK, store, FakeClock())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateway.once.claiming.MANY_FROM", 1 if columns else 10_000)
            holder: dict[int, int] = {}
            for at, roster in enumerate(rosters):
                whose = dict(roster)  # each person stands in a roster once
                people = list(whose.items())
                given_ = certified(
                    *((f"N{person}", "安娜", PENSION, f"R{person}") for person, _ in people),
                    run=f"run{at}",
                    faces=[(place, b"%016d" % face) for place, (_, face) in enumerate(people)],
                )
                expected = []
                for row, (person, face) in enumerate(people, start=1):
                    if holder.setdefault(face, person) != person:
                        expected.append((row, FACE))
                assert await of_roster(gate, folder, [given_]) == expected


async def test_a_claim_costs_no_more_the_more_was_found_that_is_settled_or_nobody_elses(tmp_path: Path) -> None:
    async with open_store(tmp_path, FakeClock()) as store:
        gate = Gate(BOOK, store, FakeClock())

        async def find(first: int, count: int) -> None:
            tags = [number.to_bytes(16) for number in range(first, first + count)]
            await store.duplicates.note([Finding(tag, "330700", UNIT, "", NOW_MS, NOW_MS + 1, b"") for tag in tags])

        async def claim(reader: Reader) -> None:
            store.duplicates = Duplicates(store._writer, reader, store._keys)
            assert refused(await gate.claim(certified((ANNA,), (BO,)))) == []

        await find(0, 20)
        few = await reading_steps(tmp_path, claim)
        await find(20, 1_500)
        assert await reading_steps(tmp_path, claim) <= few + 1
