"""Following an interface on loopback: by its cursor or since a time, page by page, over restarts."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web
from test_adapter_api import BATCH, Department, department, serving

from adapters.build import build
from adapters.errors import ManifestError, SourceFaultError
from adapters.kinds.api import ApiAdapter
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, NOW_MS, manifest_in, number

pytestmark = pytest.mark.integration
__all__ = ["department", "serving"]

TEXT = """\
manifest: 1
adapter_id: health
version: 1
department: HEALTH
regions: [330000]
kind: api
source: {base_url: BASE/api, retries: 0}
identity: {column: idCard, name: person.name}
records:
  - name: certificates
    endpoint: ENDPOINT
    evidence: DEATH_CERTIFICATE
    observed_on: at
    strength: REAL_NAME
changes: CHANGES
"""
BY_CURSOR = "{path: /changes, query: {after: $cursor, n: $size}, rows: list, next: next, first: now, size: 2}"
SINCE = (
    "{path: /changes, method: POST, body: {from: $since, page: $page, n: $size}, rows: list, style: since,"
    " form: epoch_s, overlap_s: 60, size: 2}"
)


class Log:
    """Changes as an interface keeps them: one after another, each at its second."""

    def __init__(self) -> None:
        self.people: list[tuple[int, str]] = []
        self.now_s = NOW_MS // 1000
        self.behind_s = 0

    def clock(self) -> int:
        return self.now_s * 1000

    def add(self, *people: str) -> None:
        self.now_s += 1
        self.people += [(self.now_s - self.behind_s, person) for person in people]

    def by_cursor(self, after: str, size: int) -> dict[str, object]:
        start = len(self.people) if after == "now" else int(after)
        page = self.people[start : start + size]
        return {"list": [_row(*each) for each in page], "next": start + len(page)}

    def since(self, second: int, page: int, size: int) -> dict[str, object]:
        rows = [each for each in self.people if each[0] >= second]
        return {"list": [_row(*each) for each in rows[(page - 1) * size : page * size]]}


def _row(at: int, person: str) -> dict[str, object]:
    return {"idCard": person, "person": {"name": "某"}, "at": at}


@pytest.fixture
def log(department: Department) -> Log:
    kept = Log()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = department.asked[-1]
        assert isinstance(asked, dict)
        if "ids" in asked:
            return web.json_response({"data": {"list": []}})
        if "after" in asked:
            return web.json_response(kept.by_cursor(asked["after"], int(asked["n"])))
        told = kept.since(asked["from"], asked["page"], asked["n"])
        return web.json_response(told, headers={"Date": formatdate(kept.now_s - kept.behind_s, usegmt=True)})

    department.answer = answer
    return kept


def over(department: Department, folder: Path, log: Log, changes: str) -> ApiAdapter:
    text = TEXT.replace("BASE", department.base).replace("ENDPOINT", BATCH).replace("CHANGES", changes)
    built = build(manifest_in(folder, text), folder, log.clock)
    assert isinstance(built, ApiAdapter)
    assert built.describe().changes
    return built


async def all_of(adapter: ApiAdapter, cursor: bytes) -> tuple[list[str], bytes]:
    people: list[str] = []
    more = True
    while more:
        changed = await adapter.changes(cursor, 100)
        assert set(changed.name) <= {"某"}
        people += changed.id_number
        cursor, more = changed.cursor, changed.more
    return people, cursor


@pytest.mark.parametrize("changes", [BY_CURSOR, SINCE])
async def test_it_begins_with_nobody_and_tells_everybody_after_that_once(
    department: Department, tmp_path: Path, log: Log, changes: str
) -> None:
    adapter = over(department, tmp_path, log, changes)
    log.add(ANNA)
    log.now_s += 100
    people, cursor = await all_of(adapter, b"")
    assert people == []
    log.add(BO, CHEN, number(7))
    people, cursor = await all_of(adapter, cursor)
    assert people == [BO, CHEN, number(7)]
    people, cursor = await all_of(adapter, cursor)
    assert people == []
    log.add(BO)
    people, cursor = await all_of(adapter, cursor)
    assert people == [BO]
    await adapter.close()


@pytest.mark.parametrize("changes", [BY_CURSOR, SINCE])
async def test_a_restarted_adapter_leaves_nobody_out(
    department: Department, tmp_path: Path, log: Log, changes: str
) -> None:
    first = over(department, tmp_path, log, changes)
    _, cursor = await all_of(first, b"")
    log.add(BO, CHEN, ANNA)
    half = await first.changes(cursor, 100)
    assert half.more
    await first.close()
    second = over(department, tmp_path, log, changes)
    rest, _ = await all_of(second, half.cursor)
    assert {*half.id_number, *rest} == {BO, CHEN, ANNA}
    await second.close()


@pytest.mark.parametrize("changes", [BY_CURSOR, SINCE])
async def test_the_check_tries_the_operation(department: Department, tmp_path: Path, log: Log, changes: str) -> None:
    adapter = over(department, tmp_path, log, changes)
    await adapter.check()
    assert department.asked
    await adapter.close()


async def test_an_answer_of_another_shape_is_a_fault(department: Department, tmp_path: Path, log: Log) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"nothing": 1})

    adapter = over(department, tmp_path, log, BY_CURSOR)
    _, cursor = await all_of(adapter, b"")
    department.answer = answer
    with pytest.raises(SourceFaultError):
        await adapter.changes(cursor, 10)
    await adapter.close()


@pytest.mark.parametrize("cursor", [b"x", b"s1:2", b"s1:2:x", b"c1", b"\xff"])
async def test_a_cursor_of_somebody_else_is_refused(
    department: Department, tmp_path: Path, log: Log, cursor: bytes
) -> None:
    adapter = over(department, tmp_path, log, SINCE)
    with pytest.raises(SourceFaultError):
        await adapter.changes(cursor, 10)
    await adapter.close()


@pytest.mark.parametrize(
    "changes",
    [
        "{path: /changes, query: {after: $cursor}}",
        "{path: /changes, query: {n: $size}, next: next}",
        "{path: /changes, query: {after: $cursor}, next: next, body: {a: b}}",
        "{path: /changes, query: {from: $since}, style: since, form: nothing}",
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, changes: str) -> None:
    text = TEXT.replace("BASE", "https://localhost").replace("ENDPOINT", BATCH).replace("CHANGES", changes)
    with pytest.raises(ManifestError):
        manifest_in(tmp_path, text)


async def test_whoever_asks_again_from_an_earlier_cursor_is_told_again(
    department: Department, tmp_path: Path, log: Log
) -> None:
    adapter = over(department, tmp_path, log, SINCE)
    begun = (await adapter.changes(b"", 100)).cursor
    log.add(BO)
    for _ in range(2):
        told = await adapter.changes(begun, 100)
        assert told.id_number == [BO], "they were not dealt with: the store may have failed"
    assert (await adapter.changes(told.cursor, 100)).id_number == []
    await adapter.close()


async def test_an_interface_that_gives_the_same_page_for_ever_is_a_fault(
    department: Department, tmp_path: Path, log: Log
) -> None:
    adapter = over(department, tmp_path, log, SINCE)
    _, cursor = await all_of(adapter, b"")
    log.add(BO, CHEN, ANNA)

    async def stuck(_request: web.Request) -> web.StreamResponse:
        return web.json_response(log.since(0, 1, 2))

    department.answer = stuck
    first = await adapter.changes(cursor, 100)
    assert first.id_number == [BO, CHEN]
    assert (await adapter.changes(cursor, 100)).id_number == [BO, CHEN], "asked again it may well be the same"
    with pytest.raises(SourceFaultError, match="same page"):
        await adapter.changes(first.cursor, 100)
    await adapter.close()


async def test_a_department_whose_clock_is_behind_loses_nobody(
    department: Department, tmp_path: Path, log: Log
) -> None:
    log.behind_s = 600
    adapter = over(department, tmp_path, log, SINCE)
    _, cursor = await all_of(adapter, b"")
    log.now_s += 100
    log.add(BO, CHEN, ANNA)
    half = await adapter.changes(cursor, 100)
    assert half.id_number == [BO, CHEN]
    await adapter.close()
    adapter = over(department, tmp_path, log, SINCE)  # which does not know yet how far it is behind
    people, cursor = await all_of(adapter, half.cursor)
    assert ANNA in people
    for who in (number(7), number(8)):
        log.now_s += 100
        log.add(who)
        people, cursor = await all_of(adapter, cursor)
        assert people == [who]
    await adapter.close()
