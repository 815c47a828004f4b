"""The kind `api` and pages that do not add up: part of an answer is never taken for the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from adapters.errors import SourceFaultError
from tests.integration.test_adapter_api import Department, adapter, department
from tests.unit.adapters.adapters_world import ANNA, ask, rows

pytestmark = pytest.mark.integration
__all__ = ["department"]

ENDPOINT = "{path: /v, body: {ids: $ids, page: $page, size: $size, cursor: $cursor}, rows: list, paging: PAGING}"
TOTAL, PAGES, MORE = (f"{{style: page, size: 2, {setting}: told}}" for setting in ("total", "pages", "more"))
Told = Callable[[int], dict[str, Any]]


def paged(department: Department, visits: int, told: Told, *, stuck: bool = False, end: int = 99) -> None:
    """Pages of two visits each, with what is told beside; from the page `end` on the interface knows nobody."""
    department.known = {ANNA: visits}

    async def answer(_: web.Request) -> web.StreamResponse:
        body = department.asked[-1]
        assert isinstance(body, dict)
        page = int(body["cursor"] or 1) if body["page"] is None else body["page"]
        if page >= end:
            raise web.HTTPNotFound
        start = 0 if stuck else 2 * (page - 1)
        return web.json_response({"list": department.visits(ANNA)[start : start + 2], **told(page)})

    department.answer = answer


async def visits(department: Department, folder: Path, paging: str, endpoint: str = ENDPOINT) -> int:
    async with adapter(department, folder, endpoint.replace("PAGING", paging)) as api:
        return len(rows(await api.lookup(ask(ANNA))))


@pytest.mark.parametrize("total", [None, "", -1, "5 条", "1e1", 0, 1, [5], 10**12])
async def test_a_full_page_beside_a_total_that_cannot_be_is_a_fault(
    department: Department, tmp_path: Path, total: object
) -> None:
    paged(department, 5, lambda _: {"told": total})
    with pytest.raises(SourceFaultError):
        await visits(department, tmp_path, TOTAL)


@pytest.mark.parametrize(
    ("paging", "told"),
    [
        (TOTAL, lambda _: {"told": 7}),  # 5 come, and then nothing
        (PAGES, lambda _: {}),
        (PAGES, lambda _: {"told": -1}),
        (MORE, lambda page: {"told": "maybe"}),
    ],
)
async def test_an_answer_that_does_not_come_to_what_was_told_is_a_fault(
    department: Department, tmp_path: Path, paging: str, told: Told
) -> None:
    paged(department, 5, told)
    with pytest.raises(SourceFaultError):
        await visits(department, tmp_path, paging)


@pytest.mark.parametrize("paging", [TOTAL, PAGES, "{style: page, size: 2}"])
async def test_the_same_page_again_is_a_fault(department: Department, tmp_path: Path, paging: str) -> None:
    paged(department, 5, lambda _: {"told": 3}, stuck=True)
    with pytest.raises(SourceFaultError, match="page"):
        await visits(department, tmp_path, paging)
    assert len(department.asked) == 2


@pytest.mark.parametrize(
    ("paging", "told"),
    [
        (TOTAL, lambda _: {"told": 5}),
        (PAGES, lambda _: {"told": 3}),
        (MORE, lambda page: {"told": page < 3}),
        ("{style: cursor, size: 2, next: told}", lambda page: {"told": page + 1 if page < 3 else None}),
    ],
)
async def test_nobody_where_more_was_told_of_is_a_fault(
    department: Department, tmp_path: Path, paging: str, told: Told
) -> None:
    endpoint = ENDPOINT.replace("rows: list", "not_found_is_nobody: true, rows: list")
    if "cursor" in paging:
        endpoint = endpoint.replace("page: $page, ", "page: null, ")
    paged(department, 5, told)
    assert await visits(department, tmp_path, paging, endpoint) == 5
    paged(department, 5, told, end=2)
    with pytest.raises(SourceFaultError):
        await visits(department, tmp_path, paging, endpoint)


@pytest.mark.parametrize(
    ("paging", "told", "known"),
    [
        (TOTAL, lambda page: {"told": "5" if page == 1 else None}, 5),  # told once
        (TOTAL, lambda page: {"told": 6 if page == 1 else 5}, 5),  # one was deleted meanwhile
        (TOTAL, lambda _: {}, 1),
        (TOTAL, lambda _: {"told": 0}, 0),
        (PAGES, lambda _: {"told": 3.0}, 5),
        (PAGES, lambda _: {}, 0),
        (MORE, lambda page: {"told": "Y" if page < 3 else "N"}, 5),
        (MORE, lambda page: {"told": True} if page < 3 else {}, 5),  # left out where it is false
        (MORE, lambda page: {"told": 1}, 4),  # always said: a page without rows is the end
        ("{style: page, size: 2}", lambda _: {}, 4),
    ],
)
async def test_pages_that_add_up_are_the_answer(
    department: Department, tmp_path: Path, paging: str, told: Told, known: int
) -> None:
    paged(department, known, told)
    assert await visits(department, tmp_path, paging) == known


async def test_a_page_after_the_last_that_knows_nobody_is_the_end_where_nothing_was_told(
    department: Department, tmp_path: Path
) -> None:
    paged(department, 4, lambda _: {}, end=3)
    endpoint = ENDPOINT.replace("rows: list", "not_found_is_nobody: true, rows: list")
    assert await visits(department, tmp_path, "{style: page, size: 2}", endpoint) == 4


async def test_a_page_without_rows_is_not_the_end_where_more_pages_were_told(
    department: Department, tmp_path: Path
) -> None:
    department.known = {ANNA: 4}

    async def answer(_: web.Request) -> web.StreamResponse:
        body = department.asked[-1]
        assert isinstance(body, dict)
        found = department.visits(ANNA)
        return web.json_response({"list": {1: found[:2], 2: [], 3: found[2:]}[body["page"]], "told": 3})

    department.answer = answer
    assert await visits(department, tmp_path, PAGES) == 4
