"""Social insurance itself (社保经办): certifications, new insurance after unemployment, benefits drawn twice, reports
of deaths.

As found in life: the core system's tables with the column names of the national indicator standard (AAC002 and the
like), dates as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.demo.systems.files import Table, write_database
from gateway.demo.systems.place import Place, Settings
from gateway.demo.systems.source import Source, day_as
from wugan.adapter.v1 import vocabulary_pb2 as words

DATABASE = ("social-insurance", "sscore.db")

_TABLES = (
    (words.EVIDENCE_KIND_OWN_CERTIFICATION, "ic90", "certifications", "OWN_CERTIFICATION", "REAL_NAME", "1"),
    (words.EVIDENCE_KIND_RE_EMPLOYMENT, "ac20", "new-employment", "RE_EMPLOYMENT", "REAL_NAME", "35"),
    (words.EVIDENCE_KIND_DUPLICATE_BENEFIT, "ic95", "duplicates", "DUPLICATE_BENEFIT", "REAL_NAME", "30"),
    (words.EVIDENCE_KIND_DEATH_REPORT, "ic97", "death-reports", "DEATH_REPORT", "LEAD", "15"),
)
"""Kind, table, and the record set's name, evidence, strength and freshness in the manifest."""

_COLUMNS = (
    "baz001 INTEGER",  # serial
    "aac002 TEXT",  # identity number
    "aac003 TEXT",  # name
    "aae030 INTEGER",  # the day it counts from
    "aae036 INTEGER",  # the day it was entered
    "aab301 TEXT",  # region
    "aab359 TEXT",  # the other paying place
)


def fill(source: Source, folder: Path) -> None:
    """The core system's tables, from the province's histories."""
    tables = [Table(table, _COLUMNS, _rows(source, kind), ["aac002"]) for kind, table, *_ in _TABLES]
    write_database(folder.joinpath(*DATABASE), tables)


def manifest(place: Place) -> Settings:
    """Its manifest."""
    return place.head(
        words.DEPARTMENT_SOCIAL_INSURANCE,
        "table",
        "社会保险核心业务库",
        "social insurance core system",
        place.sqlite(*DATABASE),
        identity={"column": "aac002", "name": "aac003"},
        complete_until={"lag_days": "0"},
        records=[
            {
                "name": name,
                "table": table,
                "evidence": evidence,
                "observed_on": {"column": "aae030", "formats": ["%Y%m%d"]},
                "available_on": {"column": "aae036", "formats": ["%Y%m%d"]},
                "region": {"column": "aab301"},
                "detail": {"column": "aab359"},
                "strength": strength,
                "source_reference": "baz001",
                "freshness_days": days,
            }
            for _, table, name, evidence, strength, days in _TABLES
        ],
    )


def _rows(source: Source, kind: int) -> Iterator[Sequence[object]]:
    for row in source.rows(kind):
        on, known = int(day_as(row.on, "%Y%m%d")), int(day_as(row.known_on, "%Y%m%d"))
        yield row.serial, row.number, row.name, on, known, str(row.region), str(row.detail) if row.detail else None
