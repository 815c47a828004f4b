"""Transport (交通): rail, air and coach journeys, and the city's citizen card.

As found in life: one big table of journeys with days as numbers and station codes of six digits; a card system apart,
in which cards issued before 1999 still stand under 15-digit numbers, and members of a family share a card.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.demo.numbers import fifteen_digits
from gateway.demo.systems.files import Table, write_database
from gateway.demo.systems.place import Place, Settings, kinds
from gateway.demo.systems.source import Source, day_as
from wugan.adapter.v1 import vocabulary_pb2 as words

DATABASE = ("transport", "keyun.db")

_MODES: dict[int, str] = {
    words.EVIDENCE_KIND_RAIL_TRAVEL: "T",
    words.EVIDENCE_KIND_AIR_TRAVEL: "H",
    words.EVIDENCE_KIND_BUS_TRAVEL: "K",
}
_OLD_CARDS_UNTIL = "1965"
"""Who was born before this year had a card before 1999."""


def fill(source: Source, folder: Path) -> None:
    """The department's own database, from the province's histories."""
    journeys = ("pk INTEGER", "zjhm TEXT", "xm TEXT", "fs TEXT", "ccrq INTEGER", "rkrq INTEGER", "dqdm TEXT")
    cards = ("jyls INTEGER", "zjhm TEXT", "jyrq INTEGER", "rkrq INTEGER", "dqdm TEXT")
    write_database(
        folder.joinpath(*DATABASE),
        [
            Table("ky_cyjl", journeys, _journeys(source), ["zjhm"]),
            Table("smk_jyjl", cards, _card_uses(source), ["zjhm"]),
        ],
    )


def manifest(place: Place) -> Settings:
    """Its manifest."""

    def day(column: str) -> Settings:
        return {"column": column, "formats": ["%Y%m%d"]}

    return place.head(
        words.DEPARTMENT_TRANSPORT,
        "table",
        "交通运输厅客运库",
        "passenger transport",
        place.sqlite(*DATABASE),
        identity={"column": "zjhm", "name": "xm"},
        complete_until={"lag_days": "4"},
        records=[
            {
                "name": "journeys",
                "table": "ky_cyjl",
                "evidence": {"column": "fs", "codes": kinds(_MODES)},
                "observed_on": day("ccrq"),
                "available_on": day("rkrq"),
                "region": {"column": "dqdm"},
                "strength": "REAL_NAME",
                "source_reference": "pk",
                "freshness_days": "4",
            },
            {
                "name": "citizen-card",
                "table": "smk_jyjl",
                "identity": {"column": "zjhm", "forms": ["legacy_15"]},
                "evidence": "CITIZEN_CARD",
                "observed_on": day("jyrq"),
                "available_on": day("rkrq"),
                "region": {"column": "dqdm"},
                "strength": "WEAK",
                "source_reference": "jyls",
                "freshness_days": "2",
            },
        ],
    )


def _journeys(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(*_MODES):
        on, known = int(day_as(row.on, "%Y%m%d")), int(day_as(row.known_on, "%Y%m%d"))
        yield row.serial, row.number, row.name, _MODES[row.kind], on, known, str(row.region)


def _card_uses(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(words.EVIDENCE_KIND_CITIZEN_CARD):
        on, known = int(day_as(row.on, "%Y%m%d")), int(day_as(row.known_on, "%Y%m%d"))
        old = row.number[6:10] < _OLD_CARDS_UNTIL
        yield row.serial, fifteen_digits(row.number) if old else row.number, on, known, str(row.region)
