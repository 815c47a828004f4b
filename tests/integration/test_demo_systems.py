"""The departments of one demo province, really running, asked through adapters of the manifests they come with."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from adapters.build import build
from adapters.contract import Adapter, Found, Lookup, Subjects
from adapters.faces import face_token
from adapters.manifest import load_manifest
from gateway.demo.cases import ALIVE
from gateway.demo.histories import OTHER
from gateway.demo.processes import Started, start, stop, wait_ready
from gateway.demo.systems import SystemsConfig, materialise, write_manifests
from gateway.demo.systems.face_authentication import PLATFORM
from gateway.demo.world import World, build_world
from gateway.inquiry.asking import Departments
from gateway.rules.book import RuleBook
from gateway.rules.grading import grade
from gateway.rules.identity import birth_on, normalise_numbers
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

AS_OF = 20_780
HERE = 330000
WITHOUT_PLACE = {"justice": HERE, "health-insurance": HERE}
"""Departments some of whose records name no place: these count for the province."""

Fact = tuple[str, int, int, int, int, int, int]


@dataclass(frozen=True)
class Running:
    world: World
    config: SystemsConfig
    process: Started
    endpoints: dict[str, str]
    manifests: list[Path]

    def subjects(self) -> Subjects:
        """Everyone the province could know anything about, under every number."""
        people = self.world.people
        numbers = dict(zip(people.number, people.name, strict=True))
        numbers.update({number: people.name[row] for row, number in people.other_number.items()})
        return Subjects(list(numbers), list(numbers.values()))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("province")
    world = build_world(seed=3, provinces=2, people=600, as_of_on=AS_OF)
    config = materialise(world, HERE, folder / "systems", postgres=False)
    process = start("departments", ("gateway.demo.systems", "--config", str(config.path)), folder / "departments.log")
    try:
        endpoints = wait_ready([(process, config.ready_file)])[0]
        manifests = write_manifests(world.province(HERE), config, endpoints)
        yield Running(world, config, process, endpoints, manifests)
    finally:
        stop([process])


@pytest.fixture
async def adapters(running: Running, tmp_path: Path) -> AsyncIterator[dict[str, Adapter]]:
    built = {path.stem: build(load_manifest(path), tmp_path) for path in running.manifests}
    yield built
    await asyncio.gather(*(adapter.close() for adapter in built.values()))


async def test_every_adapter_reaches_its_department(adapters: dict[str, Adapter]) -> None:
    for adapter in adapters.values():
        await adapter.check()


async def test_departments_serve_exactly_what_the_histories_say(running: Running, adapters: dict[str, Adapter]) -> None:
    subjects = running.subjects()
    served: Counter[Fact] = Counter()
    for adapter in adapters.values():
        found = await adapter.lookup(Lookup(subjects, deadline_s=30))
        served.update(facts(found, subjects))
    told = Counter(histories(running.world))
    assert sorted((told - served).elements()) == []
    assert sorted((served - told).elements()) == []


def facts(found: Found, subjects: Subjects) -> Iterator[Fact]:
    evidence = found.evidence
    columns = (evidence.kind, evidence.observed_on, evidence.available_on, evidence.detail)
    spans = (evidence.from_on, evidence.until_on)
    for subject, *rest in zip(*(c.tolist() for c in (evidence.subject, *columns, *spans)), strict=True):
        kind, observed_on, available_on, detail, from_on, until_on = rest
        yield (subjects.id_number[subject], kind, observed_on, available_on, detail, from_on, until_on)


def histories(world: World) -> Iterator[Fact]:
    events, people = world.events, world.people
    for row in range(*events.of_province(world.index(HERE))):
        person = int(events.person[row])
        number = people.other_number[person] if events.held[row] == OTHER else people.number[person]
        columns = (events.kind, events.observed_on, events.available_on, events.detail, events.from_on, events.until_on)
        kind, observed_on, available_on, detail, from_on, until_on = (int(column[row]) for column in columns)
        yield (number, kind, observed_on, available_on, detail, from_on, until_on)


async def test_one_face_under_two_numbers_is_the_same_token_in_both_provinces(
    running: Running, adapters: dict[str, Adapter]
) -> None:
    people = running.world.people
    pairs = [(row, int(people.partner[row])) for row in people.of("face_shared").tolist()]
    here = running.world.index(HERE)
    checked = [(row, partner) for row, partner in pairs if people.home_province[row] == here]
    assert checked
    subjects = Subjects([people.number[row] for row, _ in checked], [people.name[row] for row, _ in checked])
    found = await adapters["face-authentication"].lookup(Lookup(subjects, deadline_s=30, faces=True))
    tokens = dict(zip(found.faces.subject.tolist(), found.faces.token, strict=True))
    for at, (_, partner) in enumerate(checked):
        assert people.home_province[partner] != here
        assert tokens[at] == face_token(PLATFORM, people.template(partner))


async def test_places_and_names_come_through(running: Running, adapters: dict[str, Adapter]) -> None:
    subjects = running.subjects()
    ours = set(running.world.province(HERE).prefectures)
    for name, adapter in adapters.items():
        found = await adapter.lookup(Lookup(subjects, deadline_s=30))
        places = set(found.evidence.region.tolist())
        assert places <= ours | ({WITHOUT_PLACE[name]} if name in WITHOUT_PLACE else set()), name
        assert found.holders.held_name
        named = [held for held in found.holders.held_name if held]
        assert set(named) <= set(running.world.people.name)


async def test_the_police_know_changed_numbers_from_either_side(running: Running, adapters: dict[str, Adapter]) -> None:
    world = running.world
    here = world.index(HERE)
    changed = [int(p) for p, at in zip(world.changes.person, world.changes.province, strict=True) if at == here]
    assert changed
    for person in changed:
        pair = (world.people.other_number[person], world.people.number[person])
        for asked, other in (pair, pair[::-1]):
            question = Lookup(Subjects([asked], [world.people.name[person]]), deadline_s=10)
            found = await adapters["public-security"].lookup(question)
            assert list(found.links.id_number) == [other]


async def test_the_rules_answer_rightly_from_what_the_departments_serve(
    running: Running, adapters: dict[str, Adapter]
) -> None:
    """The truth was written from the field's rules, not from the grading code: here the two meet."""
    book = RuleBook.parse(files("gateway.rules").joinpath("rules.yaml").read_bytes(), "rules.yaml")
    departments = Departments(list(adapters.values()), book.names_match)
    rows = [r for r in running.world.recipients() if r.lives_in == HERE and r.case != "moved_within_cycle"]
    numbers, refused = normalise_numbers([row.id_number for row in rows])
    wrong = {row for row, _ in refused}
    assert {rows[row].case for row in wrong} == {"number_wrong_check"}
    rows = [row for index, row in enumerate(rows) if index not in wrong]
    numbers = [number for number in numbers if number]
    gathered = await departments.ask(Lookup(Subjects(numbers, [row.name for row in rows]), deadline_s=30))
    assert not gathered.partial
    grades = grade(
        book,
        subjects=len(rows),
        evidence=gathered.evidence,
        known=gathered.known,
        identity_conflict=gathered.identity_conflict,
        linked=gathered.linked,
        benefit=np.array([words.BenefitType.Value(f"BENEFIT_TYPE_{row.benefit}") for row in rows], np.int32),
        birth_on=birth_on(numbers),
        as_of_on=AS_OF,
    )
    for row, status, flags in zip(rows, grades.status.tolist(), grades.flags.tolist(), strict=True):
        name = words.SurvivalStatus.Name(status).removeprefix("SURVIVAL_STATUS_")
        assert not row.is_intolerable(name), row.case
        assert row.is_right(name), (row.case, name)
        for flag in row.flags:
            assert flags >> words.EntitlementFlag.Value(f"ENTITLEMENT_FLAG_{flag}") & 1, (row.case, flag)
    met = Counter(row.expected for row in rows)
    assert all(met[status] for status in (*ALIVE, "DECEASED", "DECEASED_SUSPECTED", "CONFLICT", "MISSING", "UNKNOWN"))


@pytest.mark.parametrize(
    ("department", "path", "header"),
    [
        ("public-security", "/rkgl/v1/ryjbxx", "X-Api-Key"),
        ("health", "/share/v1/encounters", "Authorization"),
        ("face-authentication", "/openapi/authlog/query", "X-App-Secret"),
    ],
)
async def test_a_department_answers_nobody_without_its_credential(
    running: Running, department: str, path: str, header: str
) -> None:
    method = "GET" if department == "health" else "POST"
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {header: "guess"}):
            async with session.request(method, running.endpoints[department] + path, headers=headers) as answer:
                body = await answer.json()
                assert answer.status == 401 or body["code"] == "90"
                assert "data" not in body or body["data"] is None


@pytest.mark.parametrize(
    ("department", "path", "body"),
    [
        ("public-security", "/kkxt/v1/gjxx", {"sfzhList": ["1"] * 201}),
        ("public-security", "/kkxt/v1/gjxx", {"sfzhList": "1"}),
        ("public-security", "/kkxt/v1/gjxx", {"sfzhList": ["1"], "pageSize": 100_000}),
        ("public-security", "/kkxt/v1/gjxx", [1]),
        ("face-authentication", "/openapi/authlog/query", {"certNos": []}),
        ("face-authentication", "/openapi/authlog/query", {"certNos": ["1"], "cursor": "x"}),
    ],
)
async def test_a_department_refuses_what_it_cannot_read(
    running: Running, department: str, path: str, body: object
) -> None:
    credential = (running.config.folder / "secrets" / department).read_text(encoding="utf-8")
    header = {"public-security": "X-Api-Key", "face-authentication": "X-App-Secret"}[department]
    async with (
        aiohttp.ClientSession() as session,
        session.post(running.endpoints[department] + path, json=body, headers={header: credential}) as answer,
    ):
        told = await answer.json()
        assert told.get("code") == "91" or told.get("result") == 400


async def test_the_health_interface_has_pages_and_a_total(running: Running) -> None:
    people = running.world.people
    events = running.world.events
    here = events.province == running.world.index(HERE)
    busy = Counter(events.person[here & (events.kind == adapter_words.EVIDENCE_KIND_VACCINATION)].tolist())
    person = busy.most_common(1)[0][0]
    credential = (running.config.folder / "secrets" / "health").read_text(encoding="utf-8")
    url = running.endpoints["health"] + "/share/v1/encounters"
    seen: list[str] = []
    total, page = 1, 1
    async with aiohttp.ClientSession(headers={"Authorization": credential}) as session:
        while len(seen) < total:
            query = {"idCards": people.number[person], "page": str(page), "size": "1"}
            async with session.get(url, params=query) as answer:
                told = await answer.json()
            total, page = told["total"], page + 1
            assert len(told["items"]) == 1
            seen += [item["id"] for item in told["items"]]
        async with session.get(url, params={"idCards": ""}) as answer:
            assert answer.status == 400
    assert len(set(seen)) == total >= 1


async def test_the_log_tells_nothing_of_anyone(running: Running, adapters: dict[str, Adapter]) -> None:
    people = running.world.people
    await adapters["public-security"].lookup(Lookup(Subjects(people.number[:20], people.name[:20]), deadline_s=10))
    log = running.process.log.read_text(encoding="utf-8")
    assert "ready" in log
    assert not [number for number in people.number if number in log]


def test_asked_to_end_it_ends_and_says_so(tmp_path: Path) -> None:
    world = build_world(seed=4, provinces=2, people=15, as_of_on=AS_OF)
    config = materialise(world, HERE, tmp_path / "systems", postgres=False)
    process = start("departments", ("gateway.demo.systems", "--config", str(config.path)), tmp_path / "log")
    wait_ready([(process, config.ready_file)])
    assert stop([process]) == []
    assert not config.ready_file.exists()
    assert "ending" in process.log.read_text(encoding="utf-8")


async def test_a_slow_department_is_slow(tmp_path: Path) -> None:
    world = build_world(seed=4, provinces=2, people=15, as_of_on=AS_OF)
    config = materialise(world, HERE, tmp_path / "systems", postgres=False, delays_ms={"health": 30_000})
    process = start("departments", ("gateway.demo.systems", "--config", str(config.path)), tmp_path / "log")
    try:
        endpoints = wait_ready([(process, config.ready_file)])[0]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3)) as session:
            with pytest.raises(TimeoutError):
                await session.get(endpoints["health"] + "/share/v1/encounters")
            async with session.post(endpoints["public-security"] + "/rkgl/v1/ryjbxx") as answer:
                assert (await answer.json())["code"] == "90"
    finally:
        stop([process])


async def test_wrong_settings_end_it_with_code_2(tmp_path: Path) -> None:
    (tmp_path / "systems.json").write_text(json.dumps({"province": 330000}), encoding="utf-8")
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.demo.systems",
        "--config",
        str(tmp_path / "systems.json"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await child.communicate()
    assert child.returncode == 2
    assert b"make the demo world anew" in told
