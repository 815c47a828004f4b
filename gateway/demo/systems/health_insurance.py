"""Health insurance (医保): who is insured, settlements, settlements elsewhere, settlements on death.

As found in life: the national platform's settlement database on PostgreSQL, with its abbreviations (psn, setl,
mdtrt), a small x in old numbers, reversed settlements marked by a flag. Where PostgreSQL cannot run (see
`gateway.demo.systems.postgres`) the same tables stand in a SQLite file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.demo.systems.files import Table, write_database
from gateway.demo.systems.layout import HEALTH_INSURANCE
from gateway.demo.systems.place import Place, Settings, kinds
from gateway.demo.systems.source import Source, day_as
from wugan.adapter.v1 import vocabulary_pb2 as words

NAME = HEALTH_INSURANCE
DATABASE = ("health-insurance", "settlement.db")
SCHEMA = "share"

_TYPES: dict[int, str] = {
    words.EVIDENCE_KIND_OUTPATIENT: "11",
    words.EVIDENCE_KIND_INPATIENT: "21",
    words.EVIDENCE_KIND_PHARMACY: "41",
}
_CHILDBIRTH = "52"
_STRENGTHS = {"11": "REAL_NAME", "21": "REAL_NAME", "41": "WEAK", _CHILDBIRTH: "WEAK"}
_REVERSED_ONE_IN = 60


def tables(source: Source) -> list[Table]:
    """The database, from the province's histories."""
    index = ["psn_certno"]
    return [
        Table("psn_info", ("psn_certno TEXT", "psn_name TEXT", "insu_admdvs TEXT"), _insured(source), index),
        Table(
            "setl_d",
            (
                "setl_id TEXT",
                "psn_certno TEXT",
                "psn_name TEXT",
                "med_type TEXT",
                "setl_time TIMESTAMP",
                "updt_time TIMESTAMP",
                "fixmedins_admdvs TEXT",
                "vali_flag TEXT",
            ),
            _settlements(source),
            index,
        ),
        Table(
            "rem_setl_d",
            (
                "setl_id TEXT",
                "psn_certno TEXT",
                "psn_name TEXT",
                "setl_time TIMESTAMP",
                "recv_time TIMESTAMP",
                "mdtrt_admdvs TEXT",
            ),
            _remote(source),
            index,
        ),
        Table(
            "psn_death_setl",
            ("evt_id TEXT", "psn_certno TEXT", "psn_name TEXT", "die_date TEXT", "opt_time TIMESTAMP"),
            _deaths(source),
            index,
        ),
    ]


def fill(source: Source, folder: Path) -> None:
    """As a SQLite file."""
    write_database(folder.joinpath(*DATABASE), tables(source))


def manifest(place: Place) -> Settings:
    """Its manifest: on PostgreSQL if there is an address for it, else on the SQLite file."""
    on_postgres = NAME in place.endpoints
    where = (
        {"url": f"file:{place.secret(NAME).resolve()}", "schema": SCHEMA} if on_postgres else place.sqlite(*DATABASE)
    )
    return place.head(
        words.DEPARTMENT_HEALTH_INSURANCE,
        "table",
        "医疗保障局结算库",
        "health insurance settlements",
        dict(where),
        identity={"column": "psn_certno", "name": "psn_name", "forms": ["lower_x"]},
        complete_until={"lag_days": "2"},
        records=[
            {"name": "insured", "table": "psn_info", "evidence": "none"},
            {
                "name": "settlements",
                "table": "setl_d",
                "evidence": {"column": "med_type", "codes": {**kinds(_TYPES), _CHILDBIRTH: "ignore"}},
                "observed_on": "setl_time",
                "available_on": "updt_time",
                "region": {"column": "fixmedins_admdvs"},
                "strength": {"column": "med_type", "codes": _STRENGTHS},
                "source_reference": "setl_id",
                "only": {"column": "vali_flag", "values": ["1"]},
                "freshness_days": "7",
            },
            {
                "name": "remote",
                "table": "rem_setl_d",
                "evidence": "REMOTE_SETTLEMENT",
                "observed_on": "setl_time",
                "available_on": "recv_time",
                "region": {"column": "mdtrt_admdvs"},
                "strength": "REAL_NAME",
                "source_reference": "setl_id",
                "freshness_days": "10",
            },
            {
                "name": "deaths",
                "table": "psn_death_setl",
                "evidence": "DEATH_SETTLEMENT",
                "observed_on": {"column": "die_date", "formats": ["%Y%m%d"]},
                "available_on": "opt_time",
                "strength": "REAL_NAME",
                "source_reference": "evt_id",
                "freshness_days": "30",
            },
        ],
    )


def _insured(source: Source) -> Iterator[Sequence[object]]:
    for entry in source.registered():
        yield entry.number.lower(), entry.name, str(entry.region)


def _settlements(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(*_TYPES):
        at, known = row.at(), row.known_at()
        number, region = row.number.lower(), str(row.region)
        yield f"S{row.serial:010d}", number, row.name, _TYPES[row.kind], at, known, region, "1"
        if row.serial % _REVERSED_ONE_IN == 0:
            yield f"S{row.serial:010d}R", number, row.name, _TYPES[row.kind], known, known, region, "0"


def _remote(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(words.EVIDENCE_KIND_REMOTE_SETTLEMENT):
        at, known = row.at(), row.known_at()
        yield f"Y{row.serial:010d}", row.number.lower(), row.name, at, known, str(row.region)


def _deaths(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(words.EVIDENCE_KIND_DEATH_SETTLEMENT):
        known = row.known_at()
        yield f"D{row.serial:010d}", row.number.lower(), row.name, day_as(row.on, "%Y%m%d"), known
