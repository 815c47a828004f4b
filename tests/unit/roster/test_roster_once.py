"""A run's certifications at the once-only gate: who is refused is a doubt and a finding, wherever it is broken off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_world import roster as result_chunks
from running_world import TODAY, UNIT, World, findings, line, roster

from gateway.once.gate import Gate
from gateway.roster.certifying import name_keys, texts
from gateway.roster.drawing import DrawnByRosters
from gateway.roster.giving import messages
from gateway.roster.results.writing import Options, write
from gateway.store.engine import Store
from gateway.store.tagging import Texts
from tests.unit.adapters.adapters_world import number
from tests.unit.once.test_once_gate import FACE as OTHER_FACE
from tests.unit.once.test_once_gate import FACE_1, FACE_2, FACE_3, NAME, NUMBER, PENSION, certified, refused
from tests.unit.once.test_once_gate import UNIT as OTHER_UNIT
from tests.unit.rules.rules_world import BOOK
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import duplicates_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

CERTIFIED, SUSPECT = words.CERTIFICATION_STATUS_CERTIFIED, words.CERTIFICATION_STATUS_SUSPECT
ELSEWHERE = "330700"


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("gateway.once.claiming.MANY_FROM", 1)
    made = World(tmp_path)
    async with Store.open(tmp_path / "w.db", key=tmp_path / "key", clock=made.clock) as store:
        made.gate = Gate(BOOK, store, made.clock)
        yield made


def gate(world: World) -> Gate:
    assert world.gate is not None
    return world.gate


async def held_elsewhere(world: World, *serials: int) -> None:
    claims = certified(*((number(serial), "某人", PENSION) for serial in serials), unit=ELSEWHERE, on=TODAY - 10)
    assert not refused(await gate(world).claim(claims))


def stands(tables: dict[str, pl.DataFrame]) -> list[tuple[int, int, int]]:
    return tables["people"].select("row", "certification", "verify_by_on").rows()


async def test_who_is_certified_at_another_agency_is_a_doubt_and_a_finding_of_this_one(world: World) -> None:
    await held_elsewhere(world, 13)
    async with world.running():
        kept = await world.done(roster(*(line(serial) for serial in range(25))))
        tables = await world.tables(kept)
    verify_by = TODAY + BOOK.verify_within_days
    assert stands(tables) == [(n, SUSPECT, verify_by) if n == 14 else (n, CERTIFIED, 0) for n in range(1, 26)]
    assert tables["duplicates"].rows() == [(14, OTHER_UNIT, ELSEWHERE, "", TODAY - 10)]
    (found,) = await gate(world)._store.duplicates.list(UNIT, 0, 10, settled=False)
    assert duplicates_pb2.Duplicate.FromString(found.body).id_number == number(13)


async def test_who_was_certified_by_a_roster_is_not_certified_anywhere_else_and_by_the_next_one_again(
    world: World,
) -> None:
    data = roster(*(line(serial) for serial in range(12)))
    async with world.running():
        for _ in range(2):
            assert not (await world.tables(await world.done(data)))["duplicates"].height
    claimed = await gate(world).claim(certified((number(3), "某人"), (number(30), "某人"), unit=ELSEWHERE))
    assert refused(claimed) == [(0, OTHER_UNIT)]


async def test_a_roster_of_nobody_claims_nothing(world: World) -> None:
    async with world.running():
        assert not (await world.tables(await world.done(roster())))["people"].height


async def test_who_is_not_certified_claims_nothing(world: World) -> None:
    weak = words.SURVIVAL_STATUS_ALIVE_WEAK
    world.members.reply = lambda _, question: findings(question, weak)
    async with world.running():
        await world.done(roster(line(1)))
    assert not refused(await gate(world).claim(certified((number(1), "某人"), unit=ELSEWHERE)))


@pytest.mark.parametrize("changed", [{"purpose": v.PURPOSE_AUDIT}, {"as_of": True}])
async def test_a_run_for_another_purpose_or_as_of_a_past_day_claims_nothing(
    world: World, changed: dict[str, int | bool]
) -> None:
    await held_elsewhere(world, 1)
    async with world.running():
        if changed.pop("as_of", False):
            world.as_of_on = TODAY - 30
        tables = await world.tables(await world.done(roster(line(1), line(2)), **changed))
    assert not tables["duplicates"].height
    assert not refused(await gate(world).claim(certified((number(2), "某人"), unit=ELSEWHERE)))


async def test_an_old_number_of_the_file_is_the_person(world: World) -> None:
    await held_elsewhere(world, 50)
    head, *rows = roster(line(1), line(2)).decode().splitlines()
    data = "\n".join([f"{head},曾用号码", f"{rows[0]},{number(50)}", f"{rows[1]},"]) + "\n"
    async with world.running():
        tables = await world.tables(await world.done(data.encode()))
    assert tables["duplicates"].select("row", "kind").rows() == [(1, OTHER_UNIT)]
    assert refused(
        await gate(world).claim(
            certified(
                (number(2), "另人"),
            )
        )
    ) == [(0, OTHER_UNIT)]


def shown(world: World, faces: dict[int, bytes]) -> None:
    """Members have checked these people under these faces."""

    def reply(_: str, question: exchange_pb2.Question) -> exchange_pb2.Findings:
        row_of = {each: row for row, each in enumerate(question.subjects.id_number)}
        there = [(row_of[number(serial)], face) for serial, face in faces.items() if number(serial) in row_of]
        told = exchange_pb2.FaceTokens(subject=[row for row, _ in there], token=[face for _, face in there])
        found: exchange_pb2.Findings = findings(question, faces=told)
        return found

    world.members.reply = reply


async def test_one_face_is_certified_for_one_person_of_a_roster_and_of_all_rosters_of_the_member(world: World) -> None:
    shown(world, {2: FACE_1, 14: FACE_1, 5: FACE_2, 21: FACE_3})
    claimed = await gate(world).claim(certified((number(90),), unit=ELSEWHERE, faces=[(0, FACE_2)], on=TODAY - 10))
    assert not refused(claimed)
    async with world.running():
        tables = await world.tables(await world.done(roster(*(line(serial) for serial in range(25)))))
        assert [row for row, proposal, _ in stands(tables) if proposal == SUSPECT] == [6, 15]
        assert tables["duplicates"].rows() == [
            (6, OTHER_FACE, ELSEWHERE, "", TODAY - 10),
            (15, OTHER_FACE, UNIT, "", TODAY),
        ]
        shown(world, {30: FACE_3, 31: FACE_1})
        tables = await world.tables(await world.done(roster(line(30), line(31)), file_name="another.csv"))
        assert tables["duplicates"].select("row", "kind").rows() == [(1, OTHER_FACE), (2, OTHER_FACE)]
    kept = await gate(world)._store.duplicates.list(UNIT, 0, 10, settled=False)
    assert [each.kind for each in kept] == [OTHER_FACE] * 4


async def test_faces_stay_in_the_gateway_and_are_taken_over_by_a_live_roster(world: World) -> None:
    shown(world, {2: FACE_1})
    async with world.running():
        first = await world.done(roster(*(line(serial) for serial in range(5))), live=True)
        data = roster(*(line(serial) for serial in range(6)))
        kept = await world.done(data, live=True, continues=first.submitted.run_id)
        packed = [each async for _, _, each in world.rosters.results(kept, 0)]
        assert not any(FACE_1 in message.SerializeToString() for each in packed for message in messages(0, 1, each))
        parts = [part async for part in DrawnByRosters(world.rosters).parts()]
    assert [(part.id_number[at], face) for part in parts for at, face in part.faces] == [(number(2), FACE_1)]


async def test_a_run_that_is_broken_off_anywhere_refuses_the_same_and_gives_the_same_bytes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held_elsewhere(world, 3, 17)
    shown(world, {2: FACE_1, 14: FACE_1, 22: FACE_1})
    data = roster(*(line(serial) for serial in range(25)))
    async with world.running():
        wanted = [packed async for _, _, packed in world.rosters.results(await world.done(data), 0)]
    async with world.running():
        pass
    kept = await world.submit(data)
    fail_at = await world.resumed_after_each_write(kept, monkeypatch, 40)
    assert fail_at > 5
    async with world.running() as rosters:
        again = rosters.find(UNIT, kept.submitted.run_id)
        await again.over.wait()
        found = [packed async for _, _, packed in rosters.results(again, 0)]
    assert len(found) == len(wanted)
    for name in ("people", "duplicates", "reasons"):
        assert [_table(packed, name) for packed in found] == [_table(packed, name) for packed in wanted]


def _table(packed: bytes, name: str) -> bytes:
    from gateway.roster.packing import unpack

    return unpack(packed).get(name, b"")


async def test_a_live_roster_keeps_who_was_refused_among_those_it_takes_over(world: World) -> None:
    await held_elsewhere(world, 3)
    async with world.running():
        first = await world.done(roster(*(line(serial) for serial in range(5))), live=True)
        data = roster(*(line(serial) for serial in range(6)))
        second = await world.done(data, live=True, continues=first.submitted.run_id)
        tables = await world.tables(second)
    assert [row for row, proposal, _ in stands(tables) if proposal == SUSPECT] == [4]
    assert tables["duplicates"]["row"].to_list() == [4]


def test_findings_name_with_whom_it_collides(tmp_path: Path) -> None:
    chunks = list(result_chunks(30, 10))
    row = chunks[1].people["row"][2]
    refusals = [
        (row, OTHER_UNIT, ELSEWHERE, "", 20_000),
        (row + 1, NAME, UNIT, "", 20_001),
        (row + 2, NUMBER, UNIT, "", 0),
        (row + 3, OTHER_FACE, "", "11330000002482285J", 0),
    ]
    schema = chunks[1].duplicates.schema
    chunks[1] = chunks[1].__class__(
        **{**chunks[1].tables(), "chunk": 1, "duplicates": pl.DataFrame(refusals, schema=schema, orient="row")}
    )
    counted = write(chunks, tmp_path / "out", Options(as_of_on=TODAY)).counts
    assert counted.findings["CERTIFIED_TWICE"] == 4
    text = (tmp_path / "out" / "findings.csv").read_text("utf-8-sig")
    assert "其他经办机构已认证（330700，2024-10-04）" in text
    assert "一张脸对应多人（11330000002482285J" in text
    assert "重复认证" in (tmp_path / "out" / "summary.html").read_text("utf-8")


odd = st.text(alphabet="王小明·•．. aAＡ髙ｴ\u3000\ue816", min_size=0, max_size=6)


@settings(deadline=None)
@given(st.lists(odd | st.text(max_size=5), max_size=20))
def test_names_in_columns_are_compared_as_names_one_by_one(names: list[str]) -> None:
    column = pl.Series(names, dtype=pl.String)
    assert name_keys(BOOK, column).to_list() == [BOOK.name_key(name) for name in names]
    made, wanted = texts(column), Texts.of(names)
    assert (made.data, made.length.tolist()) == (wanted.data, wanted.length.tolist())
