"""One of a thousand people has a row that cannot be read: the others are certified, and this one is told why not."""

from __future__ import annotations

import contextlib
import csv
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from aiohttp import web

from adapters.asked import normal
from adapters.build import build
from adapters.contract import Adapter
from adapters.errors import SourceFaultError
from adapters.kinds.remote import RemoteAdapter
from adapters.serving.servicer import Servicer, ServingLimits
from gateway.federation.answers import check_findings
from gateway.rules.certification import flag_days, propose
from gateway.rules.reasons import ReasonCode, Reasons
from gateway.rules.wording import fill
from tests.unit.adapters.adapters_world import NOW_MS, ask, manifest_in, rows
from tests.unit.rules.rules_world import BOOK, row
from tests.unit.services.gateways_world import Register, findings_for, inquiry, question
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

PEOPLE = [normal(f"3307025001{day:02d}{serial:03d}") for day in (3, 4) for serial in range(1, 501)]
ILL = 437
HEAD = """\
manifest: 1
adapter_id: civil-affairs
version: 1
department: CIVIL_AFFAIRS
regions: [330000]
kind: KIND
source: SOURCE
identity: {column: id}
timeout_s: 30
records:
  - name: registered
    WHERE
    evidence: {column: kind, codes: {M: MARRIAGE, D: CREMATION}}
    observed_on: {column: at, formats: ["%Y%m%d"]}
    strength: REAL_NAME
"""
ROWS = [(each, "M", "19750301") for each in PEOPLE]
ROWS[ILL] = PEOPLE[ILL], "D", "20261399"
"""A cremation of which nobody can say when it was."""


def manifest(kind: str, source: str, where: str) -> str:
    return HEAD.replace("KIND", kind).replace("SOURCE", source).replace("WHERE", where)


async def over_a_table(folder: Path) -> AsyncIterator[Adapter]:
    with contextlib.closing(sqlite3.connect(folder / "ca.db")) as db, db:
        db.execute("CREATE TABLE registered (id TEXT PRIMARY KEY, kind TEXT, at TEXT)")
        db.executemany("INSERT INTO registered VALUES (?, ?, ?)", ROWS)
    text = manifest("table", '{url: "sqlite:///ca.db"}', "table: registered")
    yield build(manifest_in(folder, text), folder / "state", lambda: NOW_MS)


async def over_a_dropped_file(folder: Path) -> AsyncIterator[Adapter]:
    (folder / "drop").mkdir()
    with (folder / "drop" / "r_1.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "kind", "at"), *ROWS])
    text = manifest("file", "{folder: drop, settle_s: 0, scan_every_s: 0}", 'files: {pattern: "r_*", mode: snapshot}')
    built = build(manifest_in(folder, text), folder / "state", lambda: NOW_MS * 2)
    await built.check()
    yield built


async def over_an_interface(folder: Path) -> AsyncIterator[Adapter]:
    held = {each[0]: dict(zip(("id", "kind", "at"), each, strict=True)) for each in ROWS}

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"data": [held[each] for each in (await request.json())["ids"] if each in held]})

    app = web.Application()
    app.router.add_post("/of", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    where = "endpoint: {path: /of, ids_per_request: 50, body: {ids: $ids}, rows: data}"
    source = f"{{base_url: 'http://127.0.0.1:{runner.addresses[0][1]}', retries: 0}}"
    try:
        yield build(manifest_in(folder, manifest("api", source, where)), folder, lambda: NOW_MS)
    finally:
        await runner.cleanup()


async def over_a_remote_one(folder: Path) -> AsyncIterator[Adapter]:
    """The table, served at the department."""
    async with contextlib.asynccontextmanager(over_a_table)(folder) as local:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Servicer(local, lambda _: True, ServingLimits()).handlers,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield await RemoteAdapter.over(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        finally:
            await server.stop(0)
            await local.close()


@pytest.fixture(params=[over_a_table, over_a_dropped_file, over_an_interface, over_a_remote_one])
async def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Adapter]:
    async with contextlib.asynccontextmanager(request.param)(tmp_path) as built:
        yield built
        await built.close()


async def answered(adapter: Adapter, people: list[str]) -> exchange_pb2.Findings:
    """By the adapter and two departments that saw everybody lately."""
    names = dict.fromkeys(PEOPLE, "无名")
    seen = [
        Register(
            {each: [row(kind, 5, name, region=330702)] for each in PEOPLE},
            names=names,
            department=v.Department.Value(f"DEPARTMENT_{name}"),
        )
        for kind, name in (("OUTPATIENT", "HEALTH_INSURANCE"), ("RAIL_TRAVEL", "TRANSPORT"))
    ]
    findings = await findings_for(inquiry(adapter, *seen, max_subjects=1_000), question(*people), 30.0)
    check_findings(findings, len(people))
    return findings


def certified(findings: exchange_pb2.Findings) -> list[int]:
    count = len(findings.status)
    none = Reasons()
    proposals = propose(
        BOOK,
        benefit=np.full(count, words.BENEFIT_TYPE_EMPLOYEE_PENSION, np.int32),
        status=np.array(findings.status, np.int32),
        flags=np.array(findings.flags, np.uint32),
        decided_on=np.array(findings.decided_on, np.int32),
        flag_on=flag_days(BOOK, none, np.zeros(count, np.int32)),
        as_of_on=findings.as_of_on,
    )
    return np.flatnonzero(proposals.status == words.CERTIFICATION_STATUS_CERTIFIED).tolist()


def told_of(findings: exchange_pb2.Findings, person: int) -> list[tuple[int, int]]:
    reasons = findings.reasons
    found = zip(reasons.subject, reasons.code, reasons.department, strict=True)
    return [(code, department) for subject, code, department in found if subject == person]


async def test_all_others_are_certified_and_one_is_told_with_the_department_named(adapter: Adapter) -> None:
    findings = await answered(adapter, PEOPLE)
    assert certified(findings) == [at for at in range(len(PEOPLE)) if at != ILL]
    about = findings.sources[0]
    assert (about.adapter_id, about.outcome) == ("civil-affairs", words.SOURCE_OUTCOME_FAULTY)
    assert list(about.unreadable_subject) == [ILL]
    assert [source.outcome for source in findings.sources[1:]] == [words.SOURCE_OUTCOME_ANSWERED] * 2
    assert findings.partial, "who does not read the rows takes all for partial"
    told = told_of(findings, ILL)
    assert (ReasonCode.SOURCE_SILENT, v.DEPARTMENT_CIVIL_AFFAIRS) in told
    assert ReasonCode.CAPPED_BY_SILENCE in [code for code, _ in told]
    silent_of = [
        subject
        for subject, code in zip(findings.reasons.subject, findings.reasons.code, strict=True)
        if code == ReasonCode.SOURCE_SILENT
    ]
    assert silent_of == [ILL], "others are told nothing of it"
    (text,) = [text for text in findings.reason_texts if text.code == ReasonCode.SOURCE_SILENT]
    values = {"department": v.DEPARTMENT_CIVIL_AFFAIRS, "kind": 0, "on": 0, "number": 0}
    assert "civil affairs" in fill(BOOK, text.en, "en", **values).lower()
    assert "民政" in fill(BOOK, text.zh, "zh", **values)
    others = [day for at, day in enumerate(findings.valid_until_on) if at != ILL]
    assert findings.valid_until_on[ILL] < min(others)
    assert ILL not in [
        at for at, kind in zip(findings.evidence.subject, findings.evidence.kind, strict=True) if kind >= 100
    ]


async def test_who_is_asked_about_alone_is_answered_as_ever(adapter: Adapter) -> None:
    findings = await answered(adapter, [PEOPLE[ILL]])
    assert (findings.sources[0].outcome, list(findings.sources[0].unreadable_subject)) == (
        words.SOURCE_OUTCOME_FAULTY,
        [],
    )
    assert findings.partial
    assert certified(findings) == []
    whole = await answered(adapter, [PEOPLE[ILL + 1]])
    assert not whole.partial
    assert certified(whole) == [0]


async def test_who_takes_no_answer_without_somebody_gets_none(adapter: Adapter) -> None:
    with pytest.raises(SourceFaultError):
        await adapter.lookup(ask(*PEOPLE))
    found = await adapter.lookup(ask(*PEOPLE, takes_unreadable=True))
    assert found.unreadable.tolist() == [ILL]
    assert len(rows(found)) == len(PEOPLE) - 1
    assert ILL not in found.holders.subject
