"""Public security (公安): population register, number changes, household changes, checkpoints, hotels, borders, cards.

As found in life: one HTTP/JSON interface in front of several subsystems, asked by POST in batches of up to 200;
result codes in the body beside HTTP 200; pinyin initials for field names; three date formats, one for every
generation of subsystem. A journal notes of whom the household register or the numbers were written, corrected or
deleted; the interface gives it out from a number on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.demo.systems import interface
from gateway.demo.systems.files import Table, write_database
from gateway.demo.systems.interface import Shelf
from gateway.demo.systems.place import Place, Settings, kinds
from gateway.demo.systems.source import Row, Source, day_as
from wugan.adapter.v1 import vocabulary_pb2 as words

NAME = "public-security"
HEADER = "X-Api-Key"
MAX_NUMBERS = 200
DATABASE = ("public-security", "gazk.db")

_CHANGES: dict[int, str] = {
    words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH: "11",
    words.EVIDENCE_KIND_HOUSEHOLD_MOVED: "21",
    words.EVIDENCE_KIND_RESIDENCE_MOVED: "22",
    words.EVIDENCE_KIND_EMIGRATED: "31",
    words.EVIDENCE_KIND_REPORTED_MISSING: "41",
    words.EVIDENCE_KIND_FOUND: "42",
    words.EVIDENCE_KIND_DETAINED: "51",
}
"""变动类别. 90 (更正) is a correction of a spelling: no evidence of anything."""
_CORRECTION = "90"
_CORRECTED_ONE_IN = 25

_PASSAGES: dict[int, str] = {words.EVIDENCE_KIND_CHECKPOINT_FACE: "1", words.EVIDENCE_KIND_CHECKPOINT_VEHICLE: "2"}


_JOURNAL = "bdrz"
"""变动日志: of whom something was written, corrected or deleted, in order."""
_NOTED = {"hkbd": ("sfzh",), "hmbg": ("ysfzh", "xsfzh")}
"""Table that the journal is kept of → its columns of identity numbers. Traces are many, and end nothing."""
_CHANGES_PATH = "/rkgl/v1/bdqd"
_NOW = "latest"
"""Asked from here, the interface tells nobody, and where the journal ends."""


@dataclass(frozen=True, slots=True)
class _Set:
    """One record set: its path, table, and the columns in which a person is looked up."""

    path: str
    table: str
    lookup: tuple[str, ...] = ("sfzh",)


_SETS = (
    _Set("/rkgl/v1/ryjbxx", "rkxx"),
    _Set("/rkgl/v1/sfhmbg", "hmbg", ("ysfzh", "xsfzh")),
    _Set("/rkgl/v1/hkbd", "hkbd"),
    _Set("/kkxt/v1/gjxx", "gjxx"),
    _Set("/lgy/v1/rzxx", "lgrz"),
    _Set("/crj/v1/crjjl", "crjjl"),
    _Set("/zjgl/v1/zjsl", "zjsl"),
)


def fill(source: Source, folder: Path) -> None:
    """The departments' own database, from the province's histories."""
    write_database(
        folder.joinpath(*DATABASE),
        [
            Table(
                "rkxx", ("sfzh TEXT", "xm TEXT", "xbdm TEXT", "csrq TEXT", "hjdxzqh TEXT"), _people(source), ["sfzh"]
            ),
            Table(
                "hmbg", ("bh TEXT", "ysfzh TEXT", "xsfzh TEXT", "xm TEXT", "bgrq TEXT"), _pairs(source), _SETS[1].lookup
            ),
            Table(
                "hkbd",
                (
                    "bh TEXT",
                    "sfzh TEXT",
                    "xm TEXT",
                    "bdlb TEXT",
                    "bdrq TEXT",
                    "djsj TEXT",
                    "djxzqh TEXT",
                    "qwxzqh TEXT",
                    "qsrq TEXT",
                    "jzrq TEXT",
                ),
                _changes(source),
                ["sfzh"],
            ),
            Table(
                "gjxx",
                ("bh TEXT", "sfzh TEXT", "xm TEXT", "sblx TEXT", "jgsj INTEGER", "xzqh TEXT", "rksj INTEGER"),
                _passages(source),
                ["sfzh"],
            ),
            *(
                Table(table, ("bh TEXT", "sfzh TEXT", "xm TEXT", "fssj TEXT", "xzqh TEXT", "rksj TEXT"), rows, ["sfzh"])
                for table, rows in (
                    ("lgrz", _dated(source, "LG", words.EVIDENCE_KIND_HOTEL_STAY)),
                    ("crjjl", _dated(source, "CRJ", words.EVIDENCE_KIND_BORDER_CROSSING)),
                    ("zjsl", _dated(source, "ZJ", words.EVIDENCE_KIND_IDENTITY_CARD_ISSUED)),
                )
            ),
            Table(_JOURNAL, ("xh INTEGER PRIMARY KEY", "sfzh TEXT", "xm TEXT"), (), ()),
        ],
        then=_journal_kept(),
    )


def build(shelf: Shelf, credential: str, delay_ms: int) -> web.Application:
    """The interface."""
    routes: dict[tuple[str, str], Handler] = {("POST", one.path): _handler(shelf, one) for one in _SETS}
    routes["POST", _CHANGES_PATH] = _journal_told(shelf)

    def denied() -> web.Response:
        return _answer("90", "接口密钥无效", None)

    return interface.application(shelf, interface.guarded(HEADER, credential, denied, delay_ms), routes)


def manifest(place: Place) -> Settings:
    """Its manifest."""

    def endpoint(path: str) -> Settings:
        return {
            "path": path,
            "ids_per_request": str(MAX_NUMBERS),
            "body": {"sfzhList": "$ids", "pageNo": "$page", "pageSize": "$size"},
            "rows": "data.list",
            "paging": {"style": "page", "size": "500", "total": "data.total"},
        }

    def trace(name: str, path: str, evidence: object, strength: object, days: str, **more: object) -> Settings:
        return {
            "name": name,
            "endpoint": endpoint(path),
            "evidence": evidence,
            "observed_on": {"column": "fssj", "formats": ["%Y-%m-%d %H:%M:%S"]},
            "available_on": {"column": "rksj", "formats": ["%Y-%m-%d %H:%M:%S"]},
            "region": {"column": "xzqh"},
            "strength": strength,
            "source_reference": "bh",
            "freshness_days": days,
            **more,
        }

    return place.head(
        words.DEPARTMENT_PUBLIC_SECURITY,
        "api",
        "公安厅共享接口",
        "public security interface",
        {
            "base_url": place.endpoints[NAME],
            "headers": {HEADER: f"file:{place.secret(NAME).resolve()}"},
            "result": {"field": "code", "ok": ["00"], "nobody": ["01"], "busy": ["80"]},
        },
        identity={"column": "sfzh", "name": "xm"},
        complete_until={"lag_days": "1"},
        changes={
            "path": _CHANGES_PATH,
            "method": "POST",
            "body": {"xh": "$cursor", "pageSize": "$size"},
            "rows": "data.list",
            "next": "data.xh",
            "first": _NOW,
        },
        links={
            "endpoint": endpoint("/rkgl/v1/sfhmbg"),
            "identity": {"column": "ysfzh", "name": "xm"},
            "linked": "xsfzh",
            "since": {"column": "bgrq", "formats": ["%Y%m%d"]},
        },
        records=[
            {"name": "register", "endpoint": endpoint("/rkgl/v1/ryjbxx"), "evidence": "none"},
            {
                "name": "household-changes",
                "endpoint": endpoint("/rkgl/v1/hkbd"),
                "evidence": {"column": "bdlb", "codes": {**kinds(_CHANGES), _CORRECTION: "ignore"}},
                "observed_on": {"column": "bdrq", "formats": ["%Y%m%d"]},
                "available_on": {"column": "djsj", "formats": ["%Y%m%d%H%M%S"]},
                "region": {"column": "djxzqh"},
                "detail": {"column": "qwxzqh"},
                "from_on": {"column": "qsrq", "formats": ["%Y%m%d"]},
                "until_on": {"column": "jzrq", "formats": ["%Y%m%d"], "empty": ["99991231"]},
                "strength": "REAL_NAME",
                "source_reference": "bh",
                "freshness_days": "30",
            },
            trace(
                "checkpoints",
                "/kkxt/v1/gjxx",
                {"column": "sblx", "codes": kinds(_PASSAGES)},
                {"column": "sblx", "codes": {"1": "REAL_NAME", "2": "WEAK"}},
                "1",
                observed_on={"column": "jgsj", "formats": ["epoch_ms"]},
                available_on={"column": "rksj", "formats": ["epoch_ms"]},
            ),
            trace("hotels", "/lgy/v1/rzxx", "HOTEL_STAY", "REAL_NAME", "1"),
            trace("borders", "/crj/v1/crjjl", "BORDER_CROSSING", "IN_PERSON", "2"),
            trace("cards", "/zjgl/v1/zjsl", "IDENTITY_CARD_ISSUED", "IN_PERSON", "3"),
        ],
    )


def _handler(shelf: Shelf, one: _Set) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await interface.json_object(request)
        numbers = interface.numbers_of((body or {}).get("sfzhList"))
        page = interface.whole((body or {}).get("pageNo", 1), 1, 100_000)
        size = interface.whole((body or {}).get("pageSize", 100), 1, interface.MAX_PAGE)
        if numbers is None or len(numbers) > MAX_NUMBERS or page is None or size is None:
            return _answer("91", "请求参数有误", None)
        total = await shelf.count(one.table, one.lookup, numbers)
        if not total:
            return _answer("01", "查无数据", None)
        rows = await shelf.find(one.table, one.lookup, numbers, skip=(page - 1) * size, limit=size)
        for row in rows:
            del row["rowid"]
        return _answer("00", "成功", {"total": total, "list": rows})

    return handle


def _journal_kept() -> Iterator[str]:
    """Triggers that note whoever a row speaks of, before and after it was written."""
    for table, columns in _NOTED.items():
        for event, sides in (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",))):
            notes = " ".join(
                f"INSERT INTO {_JOURNAL} (sfzh, xm) VALUES ({side}.{column}, {side}.xm);"  # noqa: S608  names of ours
                for side in sides
                for column in columns
            )
            yield f"CREATE TRIGGER {table}_{event} AFTER {event} ON {table} BEGIN {notes} END"


def _journal_told(shelf: Shelf) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await interface.json_object(request) or {}
        size = interface.whole(body.get("pageSize", 100), 1, interface.MAX_PAGE)
        if body.get("xh") == _NOW:
            return _answer("00", "成功", {"xh": await shelf.last(_JOURNAL), "list": []})
        after = interface.whole(body.get("xh"), 0, 2**62)
        if after is None or size is None:
            return _answer("91", "请求参数有误", None)
        rows = await shelf.filed(_JOURNAL, after, size)
        told = [{"xh": row["xh"], "sfzh": row["sfzh"], "xm": row["xm"]} for row in rows]
        return _answer("00", "成功", {"xh": told[-1]["xh"] if told else after, "list": told})

    return handle


def _answer(code: str, message: str, data: object) -> web.Response:
    return web.json_response({"code": code, "message": message, "data": data})


def _people(source: Source) -> Iterator[Sequence[object]]:
    for entry in source.registered():
        sex = "2" if entry.female else "1"
        yield entry.number, entry.name, sex, day_as(entry.birth_on, "%Y%m%d"), str(entry.region)


def _pairs(source: Source) -> Iterator[Sequence[object]]:
    for pair in source.changed():
        yield f"HM{pair.serial:08d}", pair.old, pair.new, pair.name, day_as(pair.on, "%Y%m%d")


def _changes(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(*_CHANGES):
        yield (
            f"BD{row.serial:010d}",
            row.number,
            row.name,
            _CHANGES[row.kind],
            day_as(row.on, "%Y%m%d"),
            row.known_at("%Y%m%d", "").replace(":", ""),
            str(row.region),
            str(row.detail) if row.detail else "",
            day_as(row.from_on, "%Y%m%d"),
            day_as(row.until_on, "%Y%m%d", "99991231" if row.from_on else ""),
        )
    for entry in source.registered():
        if entry.serial % _CORRECTED_ONE_IN == 0:
            on = day_as(source.as_of_on - 500 - entry.serial % 3_000, "%Y%m%d")
            name, region = entry.name, str(entry.region)
            yield f"GZ{entry.serial:010d}", entry.number, name, _CORRECTION, on, on + "090000", region, "", "", ""


def _passages(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(*_PASSAGES):
        at, known = _epoch_ms(row.on, row.second), _epoch_ms(row.known_on, row.second + 60)
        yield f"KK{row.serial:010d}", row.number, row.name, _PASSAGES[row.kind], at, str(row.region), known


def _epoch_ms(day: int, second: int) -> int:
    """Milliseconds since 1970 in UTC of a civil time in Asia/Shanghai."""
    return (day * 86_400 + second - 8 * 3600) * 1000


def _dated(source: Source, prefix: str, kind: int) -> Iterator[Sequence[object]]:
    def written(row: Row) -> Sequence[object]:
        return f"{prefix}{row.serial:010d}", row.number, row.name, row.at(), str(row.region), row.known_at()

    return map(written, source.rows(kind))
