"""Justice (司法行政): prisons and community correction.

As found in life: one prison database of the late nineties in SQLite's clothing: dates as "2026.03.05", an open end
written as "----.--.--", changes of a sentence as coded rows in one table. A row entered by mistake is not deleted but
marked, and the database numbers every writing, which shows of whom there is something new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.demo.systems.files import Table, write_database
from gateway.demo.systems.place import Place, Settings, kinds
from gateway.demo.systems.source import Source, day_as
from wugan.adapter.v1 import vocabulary_pb2 as words

DATABASE = ("justice", "jygl.db")
_DATE = "%Y.%m.%d"
_NO_DATE = "----.--.--"

_CHANGES: dict[int, str] = {
    words.EVIDENCE_KIND_IMPRISONED: "SJ",
    words.EVIDENCE_KIND_COMMUTATION: "JX",
    words.EVIDENCE_KIND_PAROLE: "JS",
    words.EVIDENCE_KIND_RELEASE: "SF",
    words.EVIDENCE_KIND_MEDICAL_RELEASE: "BW",
    words.EVIDENCE_KIND_RETURNED_TO_PRISON: "CX",
}
"""收监、减刑、假释、释放、保外就医、撤销后收监执行."""
_COLUMNS = ("lsh", "zjhm", "xm", "bdlb", "bdrq", "qr", "zr", "cjrq")
_NEXT = "UPDATE zf_bdqk SET xgxh = (SELECT IFNULL(MAX(xgxh), 0) + 1 FROM zf_bdqk) WHERE rowid = NEW.rowid"
_NUMBERED = (
    f"CREATE TRIGGER zf_bdqk_xz AFTER INSERT ON zf_bdqk BEGIN {_NEXT}; END",
    f"CREATE TRIGGER zf_bdqk_xg AFTER UPDATE OF {', '.join(_COLUMNS)}, zfbz ON zf_bdqk BEGIN {_NEXT}; END",
)
"""修改序号 (`xgxh`): the number of the writing, new with every row and with every change of one."""


def fill(source: Source, folder: Path) -> None:
    """The department's own database, from the province's histories."""
    changes = (*(f"{name} TEXT" for name in _COLUMNS), "zfbz TEXT DEFAULT '0'", "xgxh INTEGER")
    visits = ("lsh TEXT", "zjhm TEXT", "xm TEXT", "bdrq TEXT", "cjrq TEXT", "sfsxzqh TEXT")
    write_database(
        folder.joinpath(*DATABASE),
        [
            Table("zf_bdqk", changes, _changes(source), ["zjhm", "xgxh"]),
            Table("sqjz_bdjl", visits, _check_ins(source), ["zjhm"]),
        ],
        then=_NUMBERED,
    )


def manifest(place: Place) -> Settings:
    """Its manifest."""

    def date(column: str) -> Settings:
        return {"column": column, "formats": [_DATE], "empty": [_NO_DATE]}

    common: Settings = {
        "observed_on": date("bdrq"),
        "available_on": date("cjrq"),
        "source_reference": "lsh",
    }
    return place.head(
        words.DEPARTMENT_JUSTICE,
        "table",
        "司法厅监狱与矫正库",
        "prisons and community correction",
        place.sqlite(*DATABASE),
        identity={"column": "zjhm", "name": "xm"},
        records=[
            {
                "name": "prison",
                "table": "zf_bdqk",
                # One writes at a time, so nobody commits late.
                "changes": {"column": "xgxh", "key": "lsh", "overlap": "0"},
                "only": {"column": "zfbz", "values": ["0"]},
                "evidence": {"column": "bdlb", "codes": kinds(_CHANGES)},
                **common,
                "from_on": date("qr"),
                "until_on": date("zr"),
                "strength": "IN_PERSON",
                "freshness_days": "40",
            },
            {
                "name": "check-ins",
                "table": "sqjz_bdjl",
                "evidence": "CORRECTION_CHECK_IN",
                **common,
                "region": {"column": "sfsxzqh"},
                "strength": "IN_PERSON",
                "freshness_days": "3",
            },
        ],
    )


def _changes(source: Source) -> Iterator[Sequence[object]]:
    for writing, row in enumerate(source.rows(*_CHANGES), start=1):
        dates = [day_as(day, _DATE, _NO_DATE) for day in (row.on, row.from_on, row.until_on, row.known_on)]
        yield f"JY{row.serial}", row.number, row.name, _CHANGES[row.kind], *dates, "0", writing


def _check_ins(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(words.EVIDENCE_KIND_CORRECTION_CHECK_IN):
        on, known = day_as(row.on, _DATE), day_as(row.known_on, _DATE)
        # The station's code goes down to the village: twelve digits.
        yield f"JZ{row.serial}", row.number, row.name, on, known, f"{row.region}001001"
