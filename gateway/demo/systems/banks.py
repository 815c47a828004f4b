"""Banks (银行): withdrawals, movements, frozen and closed accounts, as far as banks give anything.

As found in life: two banks, one CSV each in UTF-8 under the same layout of the clearing house: codes instead of
words, the clearing house's own city codes, times with a T and without a zone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.demo.systems.files import replacing
from gateway.demo.systems.place import Place, Settings, kinds, own_city_codes
from gateway.demo.systems.source import Source, day_as
from wugan.adapter.v1 import vocabulary_pb2 as words

FOLDER = ("banks", "drop")
_BANKS = ("nonghang", "youchu")
_HEADER = ("txn_no", "id_no", "cust_name", "txn_code", "txn_time", "city_code", "batch_date", "status")

_CODES: dict[int, str] = {
    words.EVIDENCE_KIND_TELLER_WITHDRAWAL: "W01",
    words.EVIDENCE_KIND_SELF_SERVICE_WITHDRAWAL: "W02",
    words.EVIDENCE_KIND_BALANCE_MOVEMENT: "B01",
    words.EVIDENCE_KIND_ACCOUNT_FROZEN: "F01",
    words.EVIDENCE_KIND_ACCOUNT_CLOSED: "F09",
}
_STRENGTHS = {"W01": "REAL_NAME", "W02": "ACCOUNT", "B01": "WEAK", "F01": "REAL_NAME", "F09": "REAL_NAME"}
_REVERSED_ONE_IN = 50
_CITIES = own_city_codes("")


def fill(source: Source, folder: Path) -> None:
    """The drop folder, from the province's histories."""
    stamp = day_as(source.as_of_on, "%Y%m%d")
    for bank, name in enumerate(_BANKS):
        path = folder.joinpath(*FOLDER) / f"txn_{name}_{stamp}.csv"
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(_HEADER)
            writer.writerows(_transactions(source, bank))


def manifest(place: Place) -> Settings:
    """Its manifest."""
    return place.head(
        words.DEPARTMENT_BANKS,
        "file",
        "银行代发机构交易文件",
        "banks' transaction files",
        place.drop("banks"),
        identity={"column": "id_no", "name": "cust_name"},
        complete_until={"lag_days": "5"},
        records=[
            {
                "name": f"transactions-{bank}",
                "files": {"pattern": f"txn_{bank}_*.csv", "encoding": "utf-8", "delimiter": ","},
                "evidence": {"column": "txn_code", "codes": kinds(_CODES)},
                "observed_on": "txn_time",
                "available_on": {"column": "batch_date", "formats": ["%Y%m%d"]},
                "region": {
                    "column": "city_code",
                    "codes": {code: str(region) for region, code in _CITIES.items()},
                    "otherwise": str(place.province.code),
                },
                "strength": {"column": "txn_code", "codes": _STRENGTHS},
                "source_reference": "txn_no",
                "only": {"column": "status", "except_values": ["R"]},
                "freshness_days": "5",
            }
            for bank in _BANKS
        ],
    )


def _transactions(source: Source, bank: int) -> Iterator[Sequence[object]]:
    """Everyone has one bank. A reversed transaction (R) stands in the file and never was."""
    for row in source.rows(*_CODES):
        if int(row.number[14:17]) % len(_BANKS) != bank:
            continue
        at, batch, city = row.at(between="T"), day_as(row.known_on, "%Y%m%d"), _CITIES.get(row.region, "")
        yield f"T{row.serial:010d}", row.number, row.name, _CODES[row.kind], at, city, batch, "N"
        if row.serial % _REVERSED_ONE_IN == 0:
            later = f"{day_as(source.as_of_on, '%Y-%m-%d')}T00:30:00"
            yield f"R{row.serial:010d}", row.number, row.name, _CODES[row.kind], later, city, batch, "R"
