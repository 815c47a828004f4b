"""Face authentication and home visits (人脸认证、上门核查): the province's own certification app.

As found in life: an app vendor's interface: POST, cursor paging, a numeric result code, Unix seconds, the vendor's
own city codes, and every failed attempt in the same list as the successes. All provinces use one platform, whose
template ids mean the same face everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.demo.systems import interface
from gateway.demo.systems.files import Table, write_database
from gateway.demo.systems.interface import Record, Shelf
from gateway.demo.systems.place import Place, Settings, kinds, own_city_codes
from gateway.demo.systems.source import Source
from wugan.adapter.v1 import vocabulary_pb2 as words

NAME = "face-authentication"
HEADER = "X-App-Secret"
MAX_NUMBERS = 100
PLATFORM = "national.face-check"
DATABASE = ("face-authentication", "authlog.db")

_OUTCOMES: dict[int, str] = {
    words.EVIDENCE_KIND_FACE_CHECK: "FACE_OK",
    words.EVIDENCE_KIND_HOME_VISIT: "VISIT_OK",
    words.EVIDENCE_KIND_VISIT_FOUND_DEAD: "VISIT_DEAD",
}
_FAILED = "FACE_FAIL"
_FAILED_ONE_IN = 6
_CITIES = own_city_codes("C")


def fill(source: Source, folder: Path) -> None:
    """The vendor's own database, from the province's histories."""
    columns = (
        "cert_no TEXT",
        "user_name TEXT",
        "outcome TEXT",
        "auth_time INTEGER",
        "upload_time INTEGER",
        "city TEXT",
        "template_id TEXT",
    )
    write_database(folder.joinpath(*DATABASE), [Table("auth_log", columns, _attempts(source), ["cert_no"])])


def build(shelf: Shelf, credential: str, delay_ms: int) -> web.Application:
    """The interface."""

    def denied() -> web.Response:
        return web.json_response({"result": 401, "msg": "invalid app secret"}, status=401)

    routes: dict[tuple[str, str], Handler] = {("POST", "/openapi/authlog/query"): _handler(shelf)}
    return interface.application(shelf, interface.guarded(HEADER, credential, denied, delay_ms), routes)


def manifest(place: Place) -> Settings:
    """Its manifest."""
    return place.head(
        words.DEPARTMENT_FACE_AUTHENTICATION,
        "api",
        "资格认证平台",
        "certification app",
        {
            "base_url": place.endpoints[NAME],
            "headers": {HEADER: f"file:{place.secret(NAME).resolve()}"},
            "result": {"field": "result", "ok": ["0"], "busy": ["503"]},
        },
        identity={"column": "certNo", "name": "userName"},
        complete_until={"lag_days": "0"},
        records=[
            {
                "name": "attempts",
                "endpoint": {
                    "path": "/openapi/authlog/query",
                    "ids_per_request": str(MAX_NUMBERS),
                    "body": {"certNos": "$ids", "cursor": "$cursor", "limit": 200},
                    "rows": "records",
                    "paging": {"style": "cursor", "next": "next"},
                },
                "evidence": {"column": "outcome", "codes": {**kinds(_OUTCOMES), _FAILED: "ignore"}},
                "observed_on": {"column": "authTime", "formats": ["epoch_s"]},
                "available_on": {"column": "uploadTime", "formats": ["epoch_s"]},
                "region": {
                    "column": "city",
                    "codes": {code: str(place) for place, code in _CITIES.items()},
                    "otherwise": str(place.province.code),
                },
                "strength": "IN_PERSON",
                "source_reference": "seq",
                "face": {"platform": PLATFORM, "column": "templateId"},
                "freshness_days": "3",
            }
        ],
    )


def _handler(shelf: Shelf) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await interface.json_object(request) or {}
        numbers = interface.numbers_of(body.get("certNos"))
        after = interface.whole(body.get("cursor") or 0, 0, 2**53)
        limit = interface.whole(body.get("limit", 100), 1, interface.MAX_PAGE)
        if numbers is None or len(numbers) > MAX_NUMBERS or after is None or limit is None:
            return web.json_response({"result": 400, "msg": "bad request"})
        rows = await shelf.find("auth_log", ("cert_no",), numbers, after=after, limit=limit + 1)
        more = len(rows) > limit
        records = [_record(row) for row in rows[:limit]]
        following = str(rows[limit - 1]["rowid"]) if more else ""
        return web.json_response({"result": 0, "msg": "ok", "records": records, "next": following})

    return handle


def _record(row: Record) -> Record:
    return {
        "seq": f"RL{row['rowid']}",
        "certNo": row["cert_no"],
        "userName": row["user_name"],
        "outcome": row["outcome"],
        "authTime": row["auth_time"],
        "uploadTime": row["upload_time"],
        "city": row["city"],
        "templateId": row["template_id"],
    }


def _attempts(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(*_OUTCOMES):
        at, city = (row.on * 86_400 + row.second - 8 * 3600), _CITIES.get(row.region, "")
        known = row.known_on * 86_400 + row.second - 8 * 3600 + 300
        if row.serial % _FAILED_ONE_IN == 0:
            yield row.number, row.name, _FAILED, at - 240, at - 240, city, None
        template = row.template if row.kind == words.EVIDENCE_KIND_FACE_CHECK else None
        yield row.number, row.name, _OUTCOMES[row.kind], at, known, city, template
