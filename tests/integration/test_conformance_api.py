"""The kind `api` keeps every rule of the contract, over an interface with pages, batches and changes on loopback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import web
from test_adapter_api import Department, department, serving

from tests.unit.adapters import conformance_sources as sources

pytestmark = pytest.mark.integration
__all__ = ["department", "serving"]

SOURCE = """\
kind: api
source: {base_url: BASE/api, retries: 0}
links:
  endpoint: {path: /pairs, body: {ids: $ids}, rows: ., ids_per_request: 400}
  identity: {column: old}
  linked: new
changes: {path: /changes, query: {after: $cursor, n: $size}, rows: list, next: next, first: now}
records:
  - name: stays
    endpoint:
      path: /stays
      ids_per_request: 200
      body: {ids: $ids, page: $page, size: $size}
      rows: data.list
      paging: {style: page, size: 2, total: data.total}
"""


async def test_it_passes_every_case(department: Department, tmp_path: Path) -> None:
    rows = [dict(zip(sources.COLUMNS, row, strict=True)) for row in sources.ROWS]
    changed: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/changes"):
            after = request.query["after"]
            if after != "now" and not after.isdecimal():
                raise web.HTTPBadRequest
            at = len(changed) if after == "now" else int(after)
            page = changed[at : at + int(request.query["n"])]
            return web.json_response({"list": [{"id": who, "who": ""} for who in page], "next": at + len(page)})
        body = department.asked[-1]
        assert isinstance(body, dict)
        if request.path.endswith("/pairs"):
            pairs = [pair for pair in sources.PAIRS if set(pair) & set(body["ids"])]
            return web.json_response([{"old": old, "new": new} for old, new in pairs])
        found = [row for row in rows if row["id"] in body["ids"]]
        start = (body["page"] - 1) * body["size"]
        page = found[start : start + body["size"]]
        return web.json_response({"data": {"list": page, "total": len(found)}})

    async def stir() -> Sequence[str]:
        row = sources.another(len(rows) + 1)
        rows.append(dict(zip(sources.COLUMNS, row, strict=True)))
        changed.append(str(row[1]))
        return [str(row[1])]

    department.answer = answer
    text = sources.TEXT + SOURCE.replace("BASE", department.base) + sources.RECORDS
    assert sources.not_passed(await sources.report_on(tmp_path, text, stir)) == {}
