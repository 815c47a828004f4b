"""The kind `api` against a real server that wants tokens or signatures, and that answers in XML."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from aiohttp import web
from test_adapter_api import BATCH, TEXT, Department, department, serving

from adapters import retries
from adapters.build import build
from adapters.contract import Adapter
from adapters.errors import ManifestError, SourceDownError, SourceFaultError
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, NOW_MS, ask, holders, manifest_in, rows

pytestmark = pytest.mark.integration
__all__ = ["department", "serving"]

OAUTH2 = "oauth2: {token_url: BASE/token, client_id: 'a b', client_secret: '${SECRET}', scope: share}"


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class Guard(Department):
    """Gives tokens and takes them, until they were taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0
        self.valid: set[str] = set()
        self.forms: list[dict[str, str]] = []
        self.authorization: list[str] = []
        self.token: object = None
        self.busy = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            self.forms.append({name: str(value) for name, value in (await request.post()).items()})
            self.authorization.append(request.headers.get("Authorization", ""))
            if self.busy:
                return web.Response(status=self.busy)
            if self.token is not None:
                return web.json_response(self.token)
            self.given += 1
            self.valid.add(f"token-{self.given}")
            return web.json_response({"access_token": f"token-{self.given}", "token_type": "Bearer", "expires_in": 600})
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.valid:
            raise web.HTTPUnauthorized
        return await super().handle(request)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def over(department: Department, folder: Path, settings: str, clock: Clock, endpoint: str = BATCH) -> Adapter:
    text = TEXT.replace("  retries: 2\n", f"  retries: 1\n  {settings}\n").replace("ENDPOINT", endpoint)
    return build(manifest_in(folder, text.replace("BASE", department.base)), folder, clock)


@pytest.fixture
async def guarded(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Guard, Adapter]]:
    monkeypatch.setenv("SECRET", "ge:heim+%")
    guard = Guard()
    async with serving(guard) as guard.base:
        built = over(guard, tmp_path, OAUTH2, clock)
        yield guard, built
        await built.close()


async def test_one_token_serves_all_requests_until_it_expires(guarded: tuple[Guard, Adapter], clock: Clock) -> None:
    guard, adapter = guarded
    assert len(rows(await adapter.lookup(ask(ANNA, BO, CHEN)))) == 4, "two requests, side by side"
    assert guard.given == 1
    assert guard.forms == [{"grant_type": "client_credentials", "scope": "share"}]
    assert base64.b64decode(guard.authorization[0].removeprefix("Basic ")) == b"a+b:ge%3Aheim%2B%25"
    clock.now_ms += 569_000
    await adapter.lookup(ask(ANNA))
    assert guard.given == 1
    clock.now_ms += 2_000
    await adapter.lookup(ask(ANNA))
    assert guard.given == 2, "another one is fetched before it expires"


async def test_a_token_that_was_taken_back_is_replaced_once(guarded: tuple[Guard, Adapter]) -> None:
    guard, adapter = guarded
    further: list[str] = []
    retries.use(further.append)
    await adapter.lookup(ask(ANNA))
    guard.valid.clear()
    assert len(rows(await adapter.lookup(ask(ANNA)))) == 3
    assert guard.given == 2
    assert further == [adapter.describe().adapter_id], "the request was made a second time"
    retries.use(None)

    async def never(request: web.Request) -> web.StreamResponse:
        raise web.HTTPUnauthorized

    guard.answer = never
    with pytest.raises(SourceFaultError, match="401"):
        await adapter.lookup(ask(ANNA))
    assert guard.given == 3


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"access_token": ""},
        {"access_token": "a b"},
        {"access_token": "x", "token_type": "mac"},
        {"access_token": "x", "expires_in": float("inf")},
        "x",
    ],
)
async def test_what_is_no_token_is_a_fault_that_tells_no_secret(guarded: tuple[Guard, Adapter], answer: object) -> None:
    guard, adapter = guarded
    guard.token = answer
    with pytest.raises(SourceFaultError) as error:
        await adapter.lookup(ask(ANNA))
    assert "heim" not in str(error.value)


async def test_a_token_server_that_is_busy_is_down_and_asked_again(guarded: tuple[Guard, Adapter]) -> None:
    guard, adapter = guarded
    guard.busy = 429
    with pytest.raises(SourceDownError):
        await adapter.lookup(ask(ANNA))
    assert len(guard.forms) == 2


async def test_where_nobody_gives_tokens_the_source_is_down(
    department: Department, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    adapter = over(department, tmp_path, OAUTH2.replace("BASE", "http://127.0.0.1:9"), clock)
    with pytest.raises(SourceDownError):
        await adapter.lookup(ask(ANNA))
    assert department.asked == []
    await adapter.close()


async def test_a_request_is_signed_as_provincial_platforms_ask(
    department: Department, tmp_path: Path, clock: Clock
) -> None:
    adapter = over(department, tmp_path, "signing: {style: tif, id: social-insurance, token: geheim}", clock)
    assert len(rows(await adapter.lookup(ask(ANNA)))) == 3
    await adapter.lookup(ask(BO))
    nonces = set()
    for headers in department.headers:
        at, nonce = headers["x-tif-timestamp"], headers["x-tif-nonce"]
        nonces.add(nonce)
        assert at == str(NOW_MS // 1000)
        assert headers["x-tif-paasid"] == "social-insurance"
        assert headers["x-tif-signature"] == hashlib.sha256(f"{at}geheim{nonce}{at}".encode()).hexdigest()
        assert "geheim" not in "".join(headers.values())
    assert len(nonces) == 2
    await adapter.close()


async def test_a_recipe_may_cover_the_body_with_an_hmac(department: Department, tmp_path: Path, clock: Clock) -> None:
    recipe = (
        "signing: {id: us, token: geheim, method: hmac-sm3, encoding: base64, timestamp: ms,"
        ' text: "$method\\n$path\\n$timestamp\\n$body_sha256",'
        ' headers: {X-At: $timestamp, X-Sign: "v1 $id:$signature"}}'
    )
    bodies: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        return await department.usual(request)

    department.answer = answer
    adapter = over(department, tmp_path, recipe, clock)
    await adapter.lookup(ask(ANNA))
    text = f"POST\n/api/visits\n{NOW_MS}\n{hashlib.sha256(bodies[0]).hexdigest()}"
    signed = base64.b64encode(hmac.new(b"geheim", text.encode(), "sm3").digest()).decode()
    assert department.headers[0]["X-Sign"] == f"v1 us:{signed}"
    await adapter.close()


@pytest.mark.parametrize(
    "settings",
    [
        "signing: {token: x}",
        "signing: {style: tif, token: x, text: $timestamp, headers: {A: $signature}}",
        "signing: {token: x, text: $timestamp, headers: {A: $signature}}",
        "signing: {token: x, text: $token, headers: {A: $signature}}",
        "signing: {token: x, text: $timestamp$token, headers: {A: $nonce}}",
        "signing: {token: x, text: $timestamp$token$typo, headers: {A: $signature}}",
        "signing: {token: x, text: $timestamp$token, headers: {A: $signature}, method: md5}",
        'signing: {style: tif, token: "a\\nb"}',
        "oauth2: {token_url: http://example.com/token, client_id: a, client_secret: b}",
        "oauth2: {token_url: BASE/token, client_id: a, client_secret: '${NOT_SET_ANYWHERE}'}",
        "format: xml",
    ],
)
async def test_a_recipe_that_protects_nothing_or_cannot_be_followed_is_refused(
    department: Department, tmp_path: Path, clock: Clock, settings: str
) -> None:
    with pytest.raises(ManifestError):
        over(department, tmp_path, settings, clock)


SOAP = """\
{
  path: /soap,
  ids_per_request: 50,
  headers: {SOAPAction: "urn:query"},
  item: "<w:no>$id</w:no>",
  body: "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><w:query xmlns:w='urn:w'>\
<w:page>$page</w:page>$ids</w:query></s:Body></s:Envelope>",
  rows: Envelope.Body.queryResponse.visits.visit,
  paging: {style: page, total: Envelope.Body.queryResponse.total}
}"""


def enveloped(inner: str, encoding: str = "UTF-8") -> bytes:
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><s:Body><w:queryResponse xmlns:w="urn:w">'
        f"{inner}</w:queryResponse></s:Body></s:Envelope>"
    )
    return text.encode(encoding)


def visit(person: str, at: str = "2026-03-01T08:00:00+08:00", ref: str = "1") -> str:
    return (
        f'<visit><idCard i:type="string">{person}</idCard><person><name>某&amp;某</name></person><type>REG</type>'
        f"<at><![CDATA[{at}]]></at><ref>{ref}</ref></visit>"
    )


class Soap(Department):
    """Answers in XML, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.body = enveloped("<visits/>")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((await request.text(), dict(request.headers)))
        return web.Response(body=self.body, content_type="text/xml")


@pytest.fixture
async def soap() -> AsyncIterator[Soap]:
    served = Soap()
    async with serving(served) as served.base:
        yield served


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "GBK", "gb18030"])
async def test_soap_is_asked_and_its_answer_read(soap: Soap, tmp_path: Path, clock: Clock, encoding: str) -> None:
    people = visit(ANNA, ref="1") + visit(ANNA, "2026-03-02T08:00:00+08:00", "2") + visit(BO, ref="3")
    soap.body = enveloped(f"<visits>{people}</visits><total>3</total>", encoding)
    adapter = over(soap, tmp_path, "format: xml", clock, SOAP)
    answer = await adapter.lookup(ask(ANNA, BO, CHEN))
    assert [row[2:] for row in rows(answer)] == [("2026-03-01", "1"), ("2026-03-02", "2"), ("2026-03-01", "3")]
    assert holders(answer) == [(0, ANNA, "某&某"), (1, BO, "某&某")]
    text, headers = soap.requests[0]
    assert f"<w:page>1</w:page><w:no>{ANNA}</w:no><w:no>{BO}</w:no><w:no>{CHEN}</w:no></w:query>" in text
    assert headers["SOAPAction"] == "urn:query"
    assert headers["Content-Type"] == "text/xml; charset=utf-8"
    assert len(soap.requests) == 1
    await adapter.close()


@pytest.mark.parametrize("inner", ["<visits/>", '<visits i:nil="true"/>', f"<visits>{visit(ANNA)}</visits>"])
async def test_no_row_and_a_single_row_need_no_list(soap: Soap, tmp_path: Path, clock: Clock, inner: str) -> None:
    soap.body = enveloped(inner)
    adapter = over(soap, tmp_path, "format: xml", clock, SOAP)
    assert len(rows(await adapter.lookup(ask(ANNA)))) == (1 if "idCard" in inner else 0)
    await adapter.close()


@pytest.mark.parametrize("embedded", ["xml", "json"])
async def test_an_answer_within_a_text_of_the_answer_is_read(
    soap: Soap, tmp_path: Path, clock: Clock, embedded: str
) -> None:
    row = {"idCard": ANNA, "person": {"name": "x"}, "type": "REG", "at": "2026-03-01", "ref": "1"}
    plain = visit(ANNA).replace(' i:type="string"', "")
    xml = f"<?xml version='1.0' encoding='GBK'?><r><rows>{plain}</rows></r>"
    text = xml if embedded == "xml" else json.dumps({"rows": [row]})
    soap.body = enveloped("<return>" + escape(text) + "</return>")
    rows_at = "r.rows.visit" if embedded == "xml" else "rows"
    endpoint = SOAP.replace("rows: Envelope.Body.queryResponse.visits.visit,\n", f"rows: {rows_at}\n")
    endpoint = endpoint[: endpoint.index("  paging:")] + "}"
    settings = "format: xml\n  embedded: Envelope.Body.queryResponse.return"
    adapter = over(soap, tmp_path, settings, clock, endpoint)
    assert [row[2:] for row in rows(await adapter.lookup(ask(ANNA)))] == [("2026-03-01", "1")]
    await adapter.close()


LAUGHS = "<!DOCTYPE a [" + "".join(
    f'<!ENTITY l{i} "{"&l" + str(i - 1) + ";" if i else "ha"}{"&l" + str(i - 1) + ";" if i else "ha"}">'
    for i in range(40)
)


@pytest.mark.parametrize(
    "body",
    [
        f"<?xml version='1.0'?>{LAUGHS}]><a>&l39;</a>".encode(),
        b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
        b"<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/a.dtd'><a/>",
        b"<a>" * 100_000,
        b"<a>" * 65 + b"</a>" * 65,
        b"<a><b></a>",
        b"",
        b'{"list": []}',
        b"<?xml version='1.0' encoding='klingon'?><a/>",
        "<?xml version='1.0' encoding='GBK'?><a>张</a>".encode(),
        enveloped("<other/>"),
        enveloped("<visits>text</visits>"),
    ],
)
async def test_bombs_and_what_is_no_xml_are_faults(soap: Soap, tmp_path: Path, clock: Clock, body: bytes) -> None:
    soap.body = body
    adapter = over(soap, tmp_path, "format: xml", clock, SOAP)
    with pytest.raises(SourceFaultError):
        await adapter.lookup(ask(ANNA))
    await adapter.close()
