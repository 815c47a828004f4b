"""Health (卫健): registrations, hospital stays, vaccinations, checks, tests, death certificates.

As found in life: a REST interface built by a later generation: GET with paging, a bearer token, camel case, nested
persons, HTTP statuses, and times in UTC, so that an early visit falls on the day before to whoever does not look at
the zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.demo.systems import interface
from gateway.demo.systems.files import Table, write_database
from gateway.demo.systems.interface import Record, Shelf
from gateway.demo.systems.place import Place, Settings, kinds
from gateway.demo.systems.source import Source, clock, day_as
from wugan.adapter.v1 import vocabulary_pb2 as words

NAME = "health"
HEADER = "Authorization"
MAX_NUMBERS = 50
DATABASE = ("health", "encounters.db")

_AHEAD_S = 8 * 3600

_TYPES: dict[int, str] = {
    words.EVIDENCE_KIND_MEDICAL_REGISTRATION: "REG",
    words.EVIDENCE_KIND_HOSPITAL_STAY: "STAY",
    words.EVIDENCE_KIND_VACCINATION: "VAC",
    words.EVIDENCE_KIND_HEALTH_CHECK: "CHECK",
    words.EVIDENCE_KIND_HEALTH_CODE_TEST: "NAT",
}
_STRENGTHS = {"REG": "ACCOUNT", "STAY": "IN_PERSON", "VAC": "IN_PERSON", "CHECK": "IN_PERSON", "NAT": "REAL_NAME"}


def fill(source: Source, folder: Path) -> None:
    """The department's own database, from the province's histories."""
    columns = ("id TEXT", "id_card TEXT", "name TEXT", "type TEXT", "occurred TEXT", "recorded TEXT", "region TEXT")
    certificates = ("id TEXT", "id_card TEXT", "name TEXT", "died TEXT", "recorded TEXT", "region TEXT")
    write_database(
        folder.joinpath(*DATABASE),
        [
            Table("encounter", columns, _encounters(source), ["id_card"]),
            Table("death_certificate", certificates, _certificates(source), ["id_card"]),
        ],
    )


def build(shelf: Shelf, credential: str, delay_ms: int) -> web.Application:
    """The interface."""

    def denied() -> web.Response:
        return web.json_response({"error": "unauthorized"}, status=401, headers={"WWW-Authenticate": "Bearer"})

    routes: dict[tuple[str, str], Handler] = {
        ("GET", "/share/v1/encounters"): _handler(shelf, "encounter", _encounter),
        ("GET", "/share/v1/death-certificates"): _handler(shelf, "death_certificate", _certificate),
    }
    return interface.application(shelf, interface.guarded(HEADER, credential, denied, delay_ms), routes)


def manifest(place: Place) -> Settings:
    """Its manifest."""

    def endpoint(path: str) -> Settings:
        return {
            "path": path,
            "method": "GET",
            "ids_per_request": str(MAX_NUMBERS),
            "query": {"idCards": "$ids", "page": "$page", "size": "$size"},
            "rows": "items",
            "paging": {"style": "page", "size": "200", "total": "total"},
        }

    return place.head(
        words.DEPARTMENT_HEALTH,
        "api",
        "卫生健康委共享平台",
        "health commission interface",
        {
            "base_url": place.endpoints[NAME],
            "headers": {HEADER: f"file:{place.secret(NAME).resolve()}"},
        },
        identity={"column": "patient.idCard", "name": "patient.fullName"},
        complete_until={"lag_days": "2"},
        records=[
            {
                "name": "encounters",
                "endpoint": endpoint("/share/v1/encounters"),
                "evidence": {"column": "type", "codes": kinds(_TYPES)},
                "observed_on": "occurredAt",
                "available_on": "recordedAt",
                "region": {"column": "facility.divisionCode"},
                "strength": {"column": "type", "codes": _STRENGTHS},
                "source_reference": "id",
                "freshness_days": "10",
            },
            {
                "name": "death-certificates",
                "endpoint": endpoint("/share/v1/death-certificates"),
                "evidence": "DEATH_CERTIFICATE",
                "observed_on": {"column": "dateOfDeath", "formats": ["%Y/%m/%d"]},
                "available_on": "recordedAt",
                "region": {"column": "facility.divisionCode"},
                "strength": "REAL_NAME",
                "source_reference": "id",
                "freshness_days": "7",
            },
        ],
    )


def _handler(shelf: Shelf, table: str, shape: Callable[[Record], Record]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        numbers = interface.numbers_of(request.query.get("idCards", "").split(","))
        page = interface.whole(request.query.get("page", "1"), 1, 100_000)
        size = interface.whole(request.query.get("size", "50"), 1, interface.MAX_PAGE)
        if numbers is None or len(numbers) > MAX_NUMBERS or page is None or size is None:
            return web.json_response({"error": "bad request"}, status=400)
        total = await shelf.count(table, ("id_card",), numbers)
        rows = await shelf.find(table, ("id_card",), numbers, skip=(page - 1) * size, limit=size)
        return web.json_response({"page": page, "size": size, "total": total, "items": [shape(row) for row in rows]})

    return handle


def _person(row: Record) -> Record:
    return {
        "id": row["id"],
        "patient": {"idCard": row["id_card"], "fullName": row["name"]},
        "recordedAt": row["recorded"],
        "facility": {"divisionCode": row["region"]},
    }


def _encounter(row: Record) -> Record:
    return {**_person(row), "type": row["type"], "occurredAt": row["occurred"]}


def _certificate(row: Record) -> Record:
    return {**_person(row), "dateOfDeath": row["died"]}


def _encounters(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(*_TYPES):
        at, known = _utc(row.on, row.second), _utc(row.known_on, row.second + 1_800)
        yield f"WJ-{row.serial}", row.number, row.name, _TYPES[row.kind], at, known, str(row.region)


def _certificates(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(words.EVIDENCE_KIND_DEATH_CERTIFICATE):
        known = _utc(row.known_on, row.second)
        yield f"SW-{row.serial}", row.number, row.name, day_as(row.on, "%Y/%m/%d"), known, str(row.region)


def _utc(day: int, second: int) -> str:
    """A civil time in Asia/Shanghai, as RFC 3339 in UTC: before eight in the morning it is still the day before."""
    early = second < _AHEAD_S
    return f"{day_as(day - early, '%Y-%m-%d')}T{clock(second - _AHEAD_S + 86_400 * early)}Z"
