"""Departments that answer nonsense over real HTTP: the answer names them, uses the others, shows nothing of theirs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from adapters.build import build
from adapters.contract import Adapter
from gateway.federation.answers import check_findings
from tests.patient_loop import PatientLoop
from tests.unit.adapters.adapters_world import manifest_in, now_ms
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import ANNA, BO, NAMES, Register, findings_for, inquiry, question
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

MANIFEST = """\
manifest: 1
adapter_id: health
version: 1
department: HEALTH
regions: [340000]
kind: api
source: {base_url: BASE, retries: 1, max_response_bytes: 1000000}
identity: {column: idCard, name: name}
timeout_s: 60
records:
  - name: visits
    endpoint: {path: /visits, ids_per_request: 10, body: {ids: $ids}, rows: list}
    evidence: {column: type, codes: {REG: MEDICAL_REGISTRATION}}
    observed_on: {column: at, formats: [iso]}
    strength: REAL_NAME
    source_reference: ref
"""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ANSWERED, SILENT = words.SOURCE_OUTCOME_ANSWERED, words.SOURCE_OUTCOME_SILENT
DOWN, FAULTY = words.SOURCE_OUTCOME_UNAVAILABLE, words.SOURCE_OUTCOME_FAULTY
SECRET = "SECRET-OF-THE-DEPARTMENT"


def visit(person: str, **changed: object) -> dict[str, object]:
    return {"idCard": person, "name": NAMES[person], "type": "REG", "at": "2026-05-20", "ref": SECRET, **changed}


def giving(*rows: object) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"list": list(rows)})

    return handle


def saying(body: str, status: int = 200, kind: str = "application/json") -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, status=status, content_type=kind)

    return handle


async def hanging(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def dripping(request: web.Request) -> web.StreamResponse:
    """Never silent, never done: a deadline for each read would never pass."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)
    return response


def flooding(sent: list[int]) -> Handler:
    """100 MB, of which no more than the limit may be read; `sent` grows by each megabyte that was taken."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                await response.write(b" " * 1_000_000)
                sent.append(1)
        return response

    return handle


async def breaking_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "5000"})
    await response.prepare(request)
    await response.write(b'{"list": [')
    assert request.transport is not None
    request.transport.close()
    return response


@contextlib.asynccontextmanager
async def department(handler: Handler, folder: Path) -> AsyncIterator[Adapter]:
    """The real adapter before a real server."""
    app = web.Application()
    app.router.add_post("/visits", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    adapter = build(manifest_in(folder, MANIFEST.replace("BASE", base)), folder, now_ms)
    try:
        yield adapter
    finally:
        await adapter.close()
        await runner.cleanup()


async def ask(handler: Handler, folder: Path, *numbers: str, time_s: float = 60.0) -> exchange_pb2.Findings:
    """Ask this department, and one that is well and knows Anna."""
    asked = question(*(numbers or (ANNA,)))
    well = Register({ANNA: [row("OUTPATIENT", 5)]})
    async with department(handler, folder) as adapter:
        with capture_logs() as logs:
            findings = await findings_for(inquiry(adapter, well), asked, time_s)
    check_findings(findings, len(asked.subjects.id_number))
    assert findings.sources[1].outcome == ANSWERED
    for person in (*asked.subjects.id_number, *asked.subjects.name, SECRET, BO, NAMES[BO]):
        assert person not in str(logs), "personal data in the log"
    return findings


async def test_a_department_that_is_well_is_used(tmp_path: Path) -> None:
    findings = await ask(giving(visit(ANNA)), tmp_path)
    assert [source.outcome for source in findings.sources] == [ANSWERED, ANSWERED]
    assert list(findings.status) == [words.SURVIVAL_STATUS_ALIVE_STRONG]
    assert SECRET in list(findings.evidence.source_reference)


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        (giving(visit(BO)), FAULTY),
        (giving(visit(ANNA), visit(BO)), FAULTY),
        (giving(visit(ANNA, idCard="")), FAULTY),
        (giving(visit(ANNA, type="XYZ")), FAULTY),
        (giving(visit(ANNA, at="yesterday")), FAULTY),
        (giving(["a", "list"]), FAULTY),
        (giving(17, None, "text"), FAULTY),
        (saying('{"list": {"a": 1}}'), FAULTY),
        (saying('{"other": []}'), FAULTY),
        (saying("[]"), FAULTY),
        (saying('"a text"'), FAULTY),
        (saying('{"list": [{"idCard": '), FAULTY),
        (saying("[" * 100_000), FAULTY),
        (saying('{"list": [NaN]}'), FAULTY),
        (saying(f"<html>{SECRET}</html>", kind="text/html"), FAULTY),
        (saying(f"<html>{SECRET}</html>"), FAULTY),
        (saying("", kind="application/octet-stream"), FAULTY),
        (saying(SECRET, status=500, kind="text/plain"), DOWN),
        (saying(SECRET, status=503, kind="text/plain"), DOWN),
        (saying(SECRET, status=403, kind="text/plain"), FAULTY),
        (breaking_off, DOWN),
    ],
    ids=[
        "someone else's record",
        "someone else's record beside the right one",
        "a record of nobody",
        "an unknown code",
        "a day that is none",
        "rows that are lists",
        "rows that are no objects",
        "an object for the rows",
        "no rows",
        "a list for the answer",
        "a text for the answer",
        "half an answer",
        "very deep nesting",
        "NaN",
        "HTML",
        "HTML said to be JSON",
        "nothing",
        "500",
        "503",
        "403",
        "a broken connection",
    ],
)
async def test_nonsense_is_named_and_not_used(tmp_path: Path, handler: Handler, outcome: int) -> None:
    findings = await ask(handler, tmp_path)
    assert findings.sources[0].outcome == outcome
    only_the_other(findings)


def only_the_other(findings: exchange_pb2.Findings) -> None:
    """The answer rests on the department that is well, says that one is missing, and holds nothing of that one."""
    assert findings.partial
    assert list(findings.status) == [words.SURVIVAL_STATUS_ALIVE_MEDIUM]
    assert list(findings.evidence.department) == [v.DEPARTMENT_HEALTH_INSURANCE]
    silent = [text.code for text in findings.reason_texts if text.name == "SOURCE_SILENT"]
    assert len(silent) == 1
    assert findings.reasons.department[list(findings.reasons.code).index(silent[0])] == v.DEPARTMENT_HEALTH
    data = findings.SerializeToString()
    for text in (SECRET, BO, NAMES[BO], ANNA, "127.0.0.1"):
        assert text.encode() not in data


@pytest.mark.parametrize("handler", [hanging, dripping], ids=["hangs", "drips"])
def test_a_department_that_takes_too_long_is_named_when_the_time_is_over(tmp_path: Path, handler: Handler) -> None:
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        began = runner.get_loop().time()
        findings = runner.run(ask(handler, tmp_path, time_s=0.3))
        assert runner.get_loop().time() - began < 3
    assert findings.sources[0].outcome in (SILENT, DOWN)
    only_the_other(findings)


async def test_of_an_answer_without_end_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    sent: list[int] = []
    findings = await ask(flooding(sent), tmp_path)
    assert len(sent) < 50, "most of 100 MB was read"
    assert findings.sources[0].outcome == FAULTY
    only_the_other(findings)


async def test_nobody_is_listening(tmp_path: Path) -> None:
    adapter = build(manifest_in(tmp_path, MANIFEST.replace("BASE", "http://127.0.0.1:9")), tmp_path, now_ms)
    well = Register({ANNA: [row("OUTPATIENT", 5)]})
    try:
        findings = await findings_for(inquiry(adapter, well), question())
    finally:
        await adapter.close()
    assert findings.sources[0].outcome == DOWN
    only_the_other(findings)


async def test_the_source_that_lies_about_one_person_is_not_used_for_another(tmp_path: Path) -> None:
    stranger = visit(BO, idCard="330702195001010084")
    findings = await ask(giving(visit(ANNA), stranger), tmp_path, ANNA, BO)
    assert findings.sources[0].outcome == FAULTY
    assert list(findings.status) == [words.SURVIVAL_STATUS_ALIVE_MEDIUM, words.SURVIVAL_STATUS_UNKNOWN]
    assert SECRET.encode() not in findings.SerializeToString()
