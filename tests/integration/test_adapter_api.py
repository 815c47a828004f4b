"""The kind `api` against a real HTTP server on loopback: paging, batches, faults, deadlines, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gzip
import ipaddress
import json
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters import retries
from adapters.build import build
from adapters.contract import Adapter
from adapters.errors import ManifestError, SourceDownError, SourceFaultError
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ask, day, holders, manifest_in, now_ms, number, rows

pytestmark = pytest.mark.integration

TEXT = """\
manifest: 1
adapter_id: health
version: 1
department: HEALTH
regions: [330000]
kind: api
source:
  base_url: BASE/api
  retries: 2
identity: {column: idCard, name: person.name}
timeout_s: 5
records:
  - name: visits
    endpoint: ENDPOINT
    evidence: {column: type, codes: {REG: MEDICAL_REGISTRATION, VAC: VACCINATION}}
    observed_on: {column: at, formats: [iso]}
    strength: REAL_NAME
    source_reference: ref
"""
BATCH = "{path: /visits, ids_per_request: 2, body: {ids: $ids, limit: 50}, rows: data.list}"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Department:
    """A department's server: answers as the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Handler = self.usual
        self.asked: list[object] = []
        self.headers: list[dict[str, str]] = []
        self.base = ""
        self.known = {ANNA: 3, BO: 1}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.asked.append(await request.json() if request.can_read_body else dict(request.query))
        return await self.answer(request)

    def visits(self, person: str) -> list[dict[str, object]]:
        return [
            {
                "idCard": person,
                "person": {"name": "某"},
                "type": "REG",
                "at": f"2026-03-0{i + 1}T08:00:00+08:00",
                "ref": f"{i}",
            }
            for i in range(self.known.get(person, 0))
        ]

    async def usual(self, request: web.Request) -> web.StreamResponse:
        body = self.asked[-1]
        assert isinstance(body, dict)
        return web.json_response({"data": {"list": [row for person in body["ids"] for row in self.visits(person)]}})


@contextlib.asynccontextmanager
async def serving(department: Department, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{rest:.*}", department.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def department() -> AsyncIterator[Department]:
    served = Department()
    async with serving(served) as base:
        served.base = base
        yield served


@contextlib.asynccontextmanager
async def adapter(
    department: Department, folder: Path, endpoint: str = BATCH, old: str = "", new: str = ""
) -> AsyncIterator[Adapter]:
    text = TEXT.replace(old, new) if old else TEXT
    built = build(
        manifest_in(folder, text.replace("BASE", department.base).replace("ENDPOINT", endpoint)), folder, now_ms
    )
    try:
        yield built
    finally:
        await built.close()


async def test_a_batch_takes_as_many_requests_as_it_needs_and_no_more(department: Department, tmp_path: Path) -> None:
    people = [ANNA, BO, CHEN, number(4), number(5)]
    async with adapter(department, tmp_path) as api:
        answer = await api.lookup(ask(*people))
    assert rows(answer) == [
        (0, "MEDICAL_REGISTRATION", "2026-03-01", "0"),
        (0, "MEDICAL_REGISTRATION", "2026-03-02", "1"),
        (0, "MEDICAL_REGISTRATION", "2026-03-03", "2"),
        (1, "MEDICAL_REGISTRATION", "2026-03-01", "0"),
    ]
    assert holders(answer) == [(0, ANNA, "某"), (1, BO, "某")]
    asked = sorted(
        (body["ids"] for body in department.asked if isinstance(body, dict)), key=people.index.__call__ and len
    )
    assert sorted(map(len, asked)) == [1, 2, 2]
    assert all(isinstance(body, dict) and body["limit"] == 50 for body in department.asked), "a number must stay one"


async def test_numbered_pages_are_read_to_the_last(department: Department, tmp_path: Path) -> None:
    department.known = {ANNA: 5}

    async def paged(request: web.Request) -> web.StreamResponse:
        body = department.asked[-1]
        assert isinstance(body, dict)
        start = (body["page"] - 1) * body["size"]
        every = department.visits(ANNA)
        return web.json_response({"data": {"list": every[start : start + body["size"]], "total": 5, "pages": 3}})

    department.answer = paged
    for end in ("total: data.total, ", "pages: data.pages, ", ""):
        department.asked.clear()
        endpoint = (
            "{path: /visits, body: {ids: $ids, page: $page, size: $size}, rows: data.list,"
            f" paging: {{style: page, {end}size: 2}}}}"
        )
        async with adapter(department, tmp_path, endpoint) as api:
            assert len(rows(await api.lookup(ask(ANNA)))) == 5
        assert [body["page"] for body in department.asked if isinstance(body, dict)] == [1, 2, 3]


async def test_cursors_and_links_are_followed(department: Department, tmp_path: Path) -> None:
    async def cursor(request: web.Request) -> web.StreamResponse:
        at = int(request.query.get("cursor") or 0)
        following = {"next": str(at + 1)} if at < 2 else {}
        return web.json_response({"list": department.visits(ANNA)[at : at + 1], **following})

    department.answer = cursor
    endpoint = (
        "{path: /v, method: GET, query: {id: $ids, cursor: $cursor}, rows: list, paging: {style: cursor, next: next}}"
    )
    async with adapter(department, tmp_path, endpoint) as api:
        assert len(rows(await api.lookup(ask(ANNA)))) == 3
    assert department.asked[0] == {"id": ANNA}, "the first page has no cursor"

    async def links(request: web.Request) -> web.StreamResponse:
        at = int(request.query.get("at") or 0)
        headers = {"Link": f'<{request.path}?at={at + 1}>; rel="next"'} if at < 2 else {}
        return web.json_response(department.visits(ANNA)[at : at + 1], headers=headers)

    department.answer = links
    endpoint = "{path: /v, method: GET, query: {ids: $ids}, rows: ., paging: {style: link, next: header}}"
    async with adapter(department, tmp_path, endpoint) as api:
        assert len(rows(await api.lookup(ask(ANNA)))) == 3


@pytest.mark.parametrize(
    "paging",
    [
        "{style: page, size: 1, max_pages: 5}",
        "{style: page, more: more, max_pages: 5}",
        "{style: cursor, next: again, max_pages: 5}",
        "{style: link, next: away}",
        "{style: link, next: self, max_pages: 5}",
    ],
)
async def test_paging_that_never_ends_or_leads_elsewhere_is_a_fault(
    department: Department, tmp_path: Path, paging: str
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        more = {"more": True, "again": "same", "away": "http://example.com/x", "self": "/api/v"}
        return web.json_response({"list": department.visits(BO), **more})

    department.answer = endless
    endpoint = f"{{path: /v, body: {{ids: $ids, p: $page, c: $cursor}}, rows: list, paging: {paging}}}"
    async with adapter(department, tmp_path, endpoint) as api:
        with pytest.raises(SourceFaultError):
            await api.lookup(ask(BO))
    assert len(department.asked) <= 6


async def test_answers_grouped_by_person_are_unfolded(department: Department, tmp_path: Path) -> None:
    async def grouped(request: web.Request) -> web.StreamResponse:
        people = [
            {"no": ANNA, "name": "安娜", "events": department.visits(ANNA)},
            {"no": BO, "name": "博", "events": None},
        ]
        return web.json_response({"people": people})

    department.answer = grouped
    endpoint = "{path: /v, body: {ids: $ids}, rows: 'people[].events'}"
    columns = "identity: {column: ^no, name: ^name}"
    async with adapter(department, tmp_path, endpoint, "identity: {column: idCard, name: person.name}", columns) as api:
        answer = await api.lookup(ask(ANNA, BO))
    assert len(rows(answer)) == 3
    assert holders(answer) == [(0, ANNA, "安娜")]


async def test_one_person_a_request_in_the_path(department: Department, tmp_path: Path) -> None:
    paths: list[str] = []

    async def single(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        person = request.path.split("/")[3]
        return web.json_response(department.visits(person)) if person != CHEN else web.Response(status=404)

    department.answer = single
    endpoint = "{path: /people/$id/visits, method: GET, ids_per_request: 1, rows: ., not_found_is_nobody: true}"
    async with adapter(department, tmp_path, endpoint) as api:
        assert len(rows(await api.lookup(ask(ANNA, BO, CHEN)))) == 4
    assert sorted(paths) == sorted(f"/api/people/{person}/visits" for person in (ANNA, BO, CHEN))
    async with adapter(department, tmp_path, endpoint.replace(", not_found_is_nobody: true", "")) as api:
        with pytest.raises(SourceFaultError, match="404"):
            await api.lookup(ask(CHEN))


async def test_the_result_code_in_the_body_decides(department: Department, tmp_path: Path) -> None:
    codes = iter(["503", "0", "404", "7", "503", "503", "503"])

    async def coded(request: web.Request) -> web.StreamResponse:
        code = next(codes)
        data = {"list": department.visits(ANNA)} if code == "0" else None
        return web.json_response({"head": {"code": int(code)}, "data": data})

    department.answer = coded
    result = "retries: 2\n  result: {field: head.code, ok: [0], nobody: [404], busy: [503]}"
    async with adapter(department, tmp_path, BATCH, "retries: 2", result) as api:
        assert len(rows(await api.lookup(ask(ANNA)))) == 3, "busy, then answered"
        assert holders(await api.lookup(ask(ANNA))) == []
        with pytest.raises(SourceFaultError, match="result code"):
            await api.lookup(ask(ANNA))
        with pytest.raises(SourceDownError, match="busy"):
            await api.lookup(ask(ANNA))
    assert len(department.asked) == 2 + 1 + 1 + 3


async def test_somebody_elses_record_spoils_the_answer(department: Department, tmp_path: Path) -> None:
    async def wrong(request: web.Request) -> web.StreamResponse:
        return web.json_response({"data": {"list": department.visits(ANNA) + department.visits(BO)}})

    department.answer = wrong
    async with adapter(department, tmp_path) as api:
        with pytest.raises(SourceFaultError, match="not asked") as caught:
            await api.lookup(ask(ANNA))
    assert BO not in caught.value.en + caught.value.zh


def _stream(data: bytes, content_type: str = "application/json", status: int = 200, **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=data, content_type=content_type, status=status, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (_stream(b"<html>error</html>", "text/html"), "not application/json"),
        (_stream(b"{nonsense"), "not JSON"),
        (_stream(b"\xff\xfe\x00"), "not JSON"),
        (_stream(b'{"data": {"list": [' + b"[" * 90_000), "not JSON"),
        (_stream(b'{"data": {"list": [{"at": NaN}]}}'), "not JSON"),
        (_stream(b'{"data": {"list": [' + b"1" * 5000 + b"]}}"), "not JSON"),
        (_stream(b'{"data": {"list": 17}}'), "shape"),
        (_stream(b'{"data": {"list": [17]}}'), "shape"),
        (_stream(b'{"data": {}}'), "shape"),
        (_stream(b"[]"), "shape"),
        (_stream(json.dumps({"data": {"list": [{"idCard": ANNA, "type": ["REG"]}]}}).encode()), "shape"),
        (_stream(json.dumps({"data": {"list": [{"idCard": ANNA, "type": "NEW"}]}}).encode()), "cannot be mapped"),
        (_stream(json.dumps({"data": {"list": [{"idCard": None}]}}).encode()), "not asked"),
        (_stream(b" " * 200_000), "larger than"),
        (_stream(gzip.compress(b" " * 50_000_000), **{"Content-Encoding": "gzip"}), "larger than"),
        (_stream(b"", status=302, Location="http://127.0.0.1:1/"), "302"),
        (_stream(b"{}", status=401), "401"),
        (_stream(b"{}", status=404), "404"),
    ],
)
async def test_nonsense_is_a_fault(department: Department, tmp_path: Path, answer: Handler, says: str) -> None:
    department.answer = answer
    async with adapter(department, tmp_path, BATCH, "retries: 2", "max_response_bytes: 100000") as api:
        with pytest.raises(SourceFaultError, match=says):
            await api.lookup(ask(ANNA))
    assert len(department.asked) == 1, "nonsense is not asked for again"


@pytest.mark.parametrize(
    ("rows_found", "column", "setting"),
    [
        ([{"type": "REG", "at": "2026-03-01", "ref": "1"}], "idCard", "identity.column"),
        ([{"idCard": ANNA, "type": "REG", "ref": "1"}], "at", "observed_on.column"),
        ([{"idCard": ANNA, "at": "2026-03-01"}], "type", "evidence.column"),
        ([{"idCard": ANNA, "type": "REG", "at": ["2026-03-01"], "ref": "1"}], "at", "observed_on.column"),
        (17, "data.list", "endpoint.rows"),
    ],
)
async def test_a_field_that_is_missing_or_is_none_is_named_and_what_wants_it(
    department: Department, tmp_path: Path, rows_found: object, column: str, setting: str
) -> None:
    department.answer = _stream(json.dumps({"data": {"list": rows_found}}).encode())
    async with adapter(department, tmp_path) as api:
        with pytest.raises(SourceFaultError) as caught:
            await api.lookup(ask(ANNA))
    assert f"{column!r} (wanted by {setting})" in caught.value.en
    assert f"{column!r}（清单 {setting} 所用）" in caught.value.zh
    assert ANNA not in caught.value.en + caught.value.zh
    assert "2026-03" not in caught.value.en + caught.value.zh


async def test_a_field_that_stands_there_empty_is_not_told_as_missing(department: Department, tmp_path: Path) -> None:
    department.answer = _stream(
        json.dumps(
            {"data": {"list": [{"idCard": ANNA, "person": {}, "type": "NEW", "at": None, "ref": None}]}}
        ).encode()
    )
    async with adapter(department, tmp_path) as api:
        with pytest.raises(SourceFaultError, match="cannot be mapped") as caught:
            await api.lookup(ask(ANNA))
    assert "no row has 'person.name' (wanted by identity.name)" in caught.value.en
    assert "'at'" not in caught.value.en


async def test_half_a_character_harms_only_the_text_it_stands_in(department: Department, tmp_path: Path) -> None:
    visit = {**department.visits(BO)[0], "ref": "7\ud83d", "person": {"name": "\udbb4博\U00020bb7"}}
    fine = {**visit, "ref": "\\ud83d \U0001f600", "at": "2026-03-02"}
    department.answer = _stream(json.dumps({"data": {"list": [visit, fine]}, "half\ud800": 1}).encode())
    async with adapter(department, tmp_path) as api:
        answer = await api.lookup(ask(BO))
    assert [row[3] for row in rows(answer)] == ["7\ufffd", "\\ud83d \U0001f600"]
    assert holders(answer) == [(0, BO, "\ufffd博\U00020bb7")]
    answer.evidence.to_message()  # what cannot be written would spoil the answers of all departments


async def test_a_null_list_is_nobody(department: Department, tmp_path: Path) -> None:
    department.answer = _stream(b'{"data": {"list": null}}')
    async with adapter(department, tmp_path) as api:
        assert holders(await api.lookup(ask(ANNA))) == []


@pytest.mark.parametrize(("status", "tries"), [(503, 3), (429, 3), (500, 1)])
async def test_a_server_in_trouble_is_down(department: Department, tmp_path: Path, status: int, tries: int) -> None:
    department.answer = _stream(b"{}", status=status)
    async with adapter(department, tmp_path) as api:
        with pytest.raises(SourceDownError):
            await api.lookup(ask(ANNA))
    assert len(department.asked) == tries


@pytest.fixture
def further() -> Iterator[list[str]]:
    """Whose further tries were told."""
    told: list[str] = []
    retries.use(told.append)
    yield told
    retries.use(None)


async def test_every_further_request_is_told_with_whose_it_is_and_nobody_need_listen(
    department: Department, tmp_path: Path, further: list[str]
) -> None:
    async with adapter(department, tmp_path) as api:
        assert rows(await api.lookup(ask(ANNA)))
        assert further == [], "a first try is none"
        department.answer = _stream(b"{}", status=503)
        with pytest.raises(SourceDownError):
            await api.lookup(ask(ANNA))
        assert further == ["health"] * 2
        assert len(department.asked) == 1 + 3
        retries.use(None)
        with pytest.raises(SourceDownError):
            await api.lookup(ask(ANNA))
    assert further == ["health"] * 2


async def test_where_no_budget_is_left_for_a_further_request_none_is_told(
    department: Department, tmp_path: Path, further: list[str]
) -> None:
    department.answer = _stream(b"{}", status=503)
    async with adapter(department, tmp_path) as api:
        for _ in range(20):
            with pytest.raises(SourceDownError):
                await api.lookup(ask(ANNA))
    assert len(department.asked) == 20 + len(further)


async def test_an_interface_that_is_all_gone_is_asked_no_more_than_eleven_times_for_ten_requests(
    department: Department, tmp_path: Path
) -> None:
    department.answer = _stream(b"{}", status=503)
    async with adapter(department, tmp_path) as api:
        for _ in range(100):
            with pytest.raises(SourceDownError):
                await api.lookup(ask(ANNA))
    assert 100 < len(department.asked) <= 110 + 4, "and what a new one may begin with"


async def test_who_names_a_time_to_come_back_is_not_asked_again_before(department: Department, tmp_path: Path) -> None:
    async def throttled(_request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=429, headers={"Retry-After": "30"})

    department.answer = throttled
    async with adapter(department, tmp_path) as api:
        with pytest.raises(SourceDownError):
            await api.lookup(ask(ANNA))
    assert len(department.asked) == 1


async def test_a_passing_trouble_is_got_over(department: Department, tmp_path: Path) -> None:
    async def breaks_once(request: web.Request) -> web.StreamResponse:
        if len(department.asked) == 1 and request.transport is not None:
            request.transport.close()
        return await department.usual(request)

    department.answer = breaks_once
    async with adapter(department, tmp_path) as api:
        assert len(rows(await api.lookup(ask(ANNA)))) == 3


async def test_nobody_listening_is_down(department: Department, tmp_path: Path) -> None:
    department.base = "http://127.0.0.1:1"
    async with adapter(department, tmp_path) as api:
        with pytest.raises(SourceDownError, match="connection refused"):
            await api.check()


async def test_a_server_that_never_answers_is_left_at_the_deadline(department: Department, tmp_path: Path) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        raise AssertionError

    department.answer = never
    async with adapter(department, tmp_path) as api:
        with pytest.raises(SourceDownError, match="in time"):
            await api.lookup(ask(ANNA, deadline_s=0.1))
        arrived.clear()
        asking = asyncio.ensure_future(api.lookup(ask(ANNA)))
        await asyncio.wait_for(arrived.wait(), 5)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_many_people_may_take_a_lookup_s_time_for_each_round_of_requests(
    department: Department, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[float] = []
    timeout = asyncio.timeout

    def noting(seconds: float) -> asyncio.Timeout:
        allowed.append(seconds)
        return timeout(seconds)

    monkeypatch.setattr("adapters.kinds.api.asyncio", SimpleNamespace(**{**vars(asyncio), "timeout": noting}))
    endpoint = BATCH.replace("ids_per_request: 2", "ids_per_request: 50")
    async with adapter(department, tmp_path, endpoint, "timeout_s: 5", "timeout_s: 5\nconcurrency: 2") as api:
        await api.lookup(replace(ask(ANNA, BO), deadline_s=120.0))
        many = ask(*(number(serial) for serial in range(1_000, 1_300)))
        await api.lookup(replace(many, deadline_s=120.0))
        await api.lookup(replace(many, deadline_s=7.0))
    assert allowed == [5.0, 15.0, 7.0]


async def test_headers_carry_the_secret_and_a_broken_one_is_refused(
    department: Department, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEALTH_TOKEN", "s3cret")
    headers = 'retries: 2\n  headers: {Authorization: "Bearer ${HEALTH_TOKEN}"}'
    async with adapter(department, tmp_path, BATCH, "retries: 2", headers) as api:
        await api.check()
    assert department.headers[0]["Authorization"] == "Bearer s3cret"
    monkeypatch.setenv("HEALTH_TOKEN", "a\r\nX-Evil: 1")
    with pytest.raises(ManifestError, match=r"source\.headers\.Authorization") as caught:
        async with adapter(department, tmp_path, BATCH, "retries: 2", headers):
            pass
    assert "Evil" not in str(caught.value)


async def test_the_day_of_completeness_comes_from_the_answer(department: Department, tmp_path: Path) -> None:
    async def told(request: web.Request) -> web.StreamResponse:
        body = department.asked[-1]
        assert isinstance(body, dict)
        until = "20260301" if ANNA in body["ids"] else "21260401" if number(7) in body["ids"] else "20260401"
        return web.json_response({"data": {"list": []}, "meta": {"until": until}})

    department.answer = told
    complete = 'timeout_s: 5\ncomplete_until: {date: {column: meta.until, formats: ["%Y%m%d"]}, of: visits}'
    async with adapter(department, tmp_path, BATCH, "timeout_s: 5", complete) as api:
        assert (await api.lookup(ask(BO, CHEN, ANNA))).complete_until_on == day("2026-03-01"), "the earliest counts"
        assert (await api.lookup(ask(number(7)))).complete_until_on == 0, "a day to come does not tell"
    async with adapter(department, tmp_path, BATCH, "timeout_s: 5", "complete_until: {lag_days: 2}") as api:
        assert (await api.lookup(ask(BO))).complete_until_on == day("2026-11-16")


async def test_links_are_asked_like_any_record_set(department: Department, tmp_path: Path) -> None:
    async def both(request: web.Request) -> web.StreamResponse:
        pairs = [{"old": BO, "new": ANNA, "on": "20200101"}] if request.path == "/api/links" else None
        return web.json_response({"data": {"list": pairs}})

    department.answer = both
    links = (
        "links:\n  endpoint: {path: /links, body: {ids: $ids}, rows: data.list}\n"
        '  identity: {column: old}\n  linked: new\n  since: {column: on, formats: ["%Y%m%d"]}\nrecords:'
    )
    async with adapter(department, tmp_path, BATCH, "records:", links) as api:
        answer = await api.lookup(ask(ANNA))
    assert list(answer.links.id_number) == [BO]
    assert answer.links.since_on.tolist() == [day("2020-01-01")]


def _certificate(
    folder: Path, name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signer = issuer or (None, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer[0] else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer[1].public_key()), critical=False)
    )
    if issuer is None:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    certificate = builder.sign(signer[1], hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open"),
        )
    )
    (folder / f"{name}.key").chmod(0o600)
    return certificate, key


async def test_mutual_tls_and_the_refusal_of_an_unknown_server(tmp_path: Path) -> None:
    authority = _certificate(tmp_path, "ca", None)
    _certificate(tmp_path, "server", authority)
    _certificate(tmp_path, "client", authority)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key", "open")
    department = Department()
    own = "client_certificate: {certificate: client.pem, key: client.key, passphrase: open}"
    async with serving(department, tls) as base:
        department.base = base
        async with adapter(department, tmp_path, BATCH, "retries: 2", f"ca: ca.pem\n  {own}") as api:
            assert len(rows(await api.lookup(ask(ANNA)))) == 3
        for half in (own, "ca: ca.pem"):  # the server is not trusted; the server does not trust us
            async with adapter(department, tmp_path, BATCH, "retries: 2", f"{half}\n  retries: 0") as api:
                with pytest.raises(SourceDownError):
                    await api.lookup(ask(ANNA))
    shutil.copyfile(tmp_path / "client.key", tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o644)
    others = own.replace("client.key", "open.key"), own.replace("client.key", "server.key")
    for wrong in (own.replace("passphrase: open", "passphrase: wrong"), *others, "ca: none.pem"):
        with pytest.raises(ManifestError, match=r"source\."):
            async with adapter(department, tmp_path, BATCH, "retries: 2", wrong):
                pass
