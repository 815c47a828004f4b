"""Civil affairs (民政): cremation, burial, marriage, divorce, adoption, old-age subsidy.

As found in life: files dropped overnight, exported by a desktop program in GB 18030 with a BOM, headers in Chinese,
dates written out (2026年3月5日) or with slashes, and a few rows that a tired clerk spoilt. One snapshot a register,
and the subsidy as one increment a quarter.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from gateway.demo import calendar
from gateway.demo.spoiling import MARRIAGES, Spoilt, spoilt_behind
from gateway.demo.systems.files import replacing
from gateway.demo.systems.place import Place, Settings, kinds
from gateway.demo.systems.source import Row, Source, day_as
from wugan.adapter.v1 import vocabulary_pb2 as words

FOLDER = ("civil-affairs", "drop")
BOM = "\ufeff"
_MAX_BAD_SHARE = "0.2"

_FUNERALS = ("登记编号", "逝者姓名", "公民身份号码", "日期", "馆（墓）所在区划", "上报日期")
_MARRIAGES = ("业务流水", "业务类型", "姓名", "证件号码", "登记日期", "登记机关区划", "入库时间")
_ADOPTIONS = ("收养登记证号", "被收养人姓名", "被收养人身份证号", "登记日期", "登记机关区划", "入库时间")
_SUBSIDIES = ("发放流水号", "姓名", "身份证号", "发放日期", "区划代码", "导出日期")

_MARRIAGE_TYPES: dict[int, str] = dict(zip(MARRIAGES, ("1", "2"), strict=True))


def fill(source: Source, folder: Path) -> None:
    """The drop folder, from the province's histories."""
    drop = folder.joinpath(*FOLDER)
    stamp = day_as(source.as_of_on, "%Y%m%d")
    cremations = _funerals(source, words.EVIDENCE_KIND_CREMATION, "HH")
    burials = _funerals(source, words.EVIDENCE_KIND_BURIAL, "AZ")
    _write(drop / f"火化登记_{stamp}.csv", _FUNERALS, cremations)
    _write(drop / f"公墓安葬_{stamp}.csv", _FUNERALS, burials)
    _write(drop / f"婚姻登记_{stamp}.csv", _MARRIAGES, _marriages(source), number=3)
    _write(drop / f"收养登记_{stamp}.csv", _ADOPTIONS, _adoptions(source))
    paid = sorted(source.rows(words.EVIDENCE_KIND_OLD_AGE_SUBSIDY), key=lambda row: (row.on, row.serial))
    for quarter, rows in groupby(paid, key=_quarter):
        _write(drop / f"高龄津贴_{quarter}.csv", _SUBSIDIES, _subsidies(rows))


def manifest(place: Place) -> Settings:
    """Its manifest."""

    def files(pattern: str, **more: object) -> Settings:
        return {"pattern": pattern, "encoding": "gb18030", "delimiter": ",", "max_bad_share": _MAX_BAD_SHARE, **more}

    def funeral(name: str, pattern: str, evidence: str) -> Settings:
        return {
            "name": name,
            "files": files(pattern),
            "changes": True,
            "identity": {"column": "公民身份号码", "name": "逝者姓名"},
            "evidence": evidence,
            "observed_on": {"column": "日期", "formats": ["%Y年%m月%d日"]},
            "available_on": {"column": "上报日期", "formats": ["%Y年%m月%d日"]},
            "region": {"column": "馆（墓）所在区划"},
            "strength": "REAL_NAME",
            "source_reference": "登记编号",
            "freshness_days": "15",
        }

    slashes = ["%Y/%m/%d"]
    return place.head(
        words.DEPARTMENT_CIVIL_AFFAIRS,
        "file",
        "民政厅日报文件",
        "civil affairs daily files",
        place.drop("civil-affairs"),
        identity={"column": "身份证号", "name": "姓名"},
        complete_until={"lag_days": "1"},
        records=[
            funeral("cremations", "火化登记_*.csv", "CREMATION"),
            funeral("burials", "公墓安葬_*.csv", "BURIAL"),
            {
                "name": "marriages",
                "files": files("婚姻登记_*.csv"),
                "changes": True,
                "identity": {"column": "证件号码", "name": "姓名"},
                "evidence": {"column": "业务类型", "codes": kinds(_MARRIAGE_TYPES)},
                "observed_on": {"column": "登记日期", "formats": slashes},
                "available_on": {"column": "入库时间", "formats": slashes},
                "region": {"column": "登记机关区划"},
                "strength": "IN_PERSON",
                "source_reference": "业务流水",
                "freshness_days": "20",
            },
            {
                "name": "adoptions",
                "files": files("收养登记_*.csv"),
                "changes": True,
                "identity": {"column": "被收养人身份证号", "name": "被收养人姓名"},
                "evidence": "ADOPTION",
                "observed_on": {"column": "登记日期", "formats": slashes},
                "available_on": {"column": "入库时间", "formats": slashes},
                "region": {"column": "登记机关区划"},
                "strength": "REAL_NAME",
                "source_reference": "收养登记证号",
                "freshness_days": "20",
            },
            {
                "name": "subsidies",
                "files": files("高龄津贴_*.csv", mode="increment", key=["发放流水号"]),
                "evidence": "OLD_AGE_SUBSIDY",
                "observed_on": {"column": "发放日期", "formats": slashes},
                "available_on": {"column": "导出日期", "formats": slashes},
                "region": {"column": "区划代码"},
                "strength": "WEAK",
                "source_reference": "发放流水号",
                "freshness_days": "30",
            },
        ],
    )


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]], *, number: int = 2) -> None:
    """One file, with a spoilt row now and then: no number, a day that does not exist, a line cut short.

    `number` is the place of the identity number; the day stands behind it.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="gb18030", newline="") as stream:
        stream.write(BOM)
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow(header)
        for place, row in enumerate(rows, start=1):
            writer.writerow(row)
            wrong = spoilt_behind(place)
            if wrong is not None:
                writer.writerow(_spoilt(row, wrong, number))


def _spoilt(row: Sequence[str], wrong: Spoilt, number: int) -> Sequence[str]:
    """A copy of a row with something wrong."""
    if wrong is Spoilt.CUT_SHORT:
        return row[: number + 1]
    spoilt = list(row)
    if wrong is Spoilt.NO_NUMBER:
        spoilt[number] = ""
    else:
        spoilt[number + 1] = "2026年13月45日"
    return spoilt


def _funerals(source: Source, kind: int, prefix: str) -> Iterator[Sequence[str]]:
    for row in source.rows(kind):
        on, known = day_as(row.on, "%Y年%m月%d日"), day_as(row.known_on, "%Y年%m月%d日")
        yield f"{prefix}{row.serial:08d}", row.name, row.number, on, str(row.region), known


def _marriages(source: Source) -> Iterator[Sequence[str]]:
    for row in source.rows(*MARRIAGES):
        on, known = day_as(row.on, "%Y/%m/%d"), day_as(row.known_on, "%Y/%m/%d")
        yield f"HY{row.serial:08d}", _MARRIAGE_TYPES[row.kind], row.name, row.number, on, str(row.region), known


def _adoptions(source: Source) -> Iterator[Sequence[str]]:
    for row in source.rows(words.EVIDENCE_KIND_ADOPTION):
        on, known = day_as(row.on, "%Y/%m/%d"), day_as(row.known_on, "%Y/%m/%d")
        yield f"SY{row.serial:08d}", row.name, row.number, on, str(row.region), known


def _subsidies(rows: Iterable[Row]) -> Iterator[Sequence[str]]:
    for row in rows:
        on, known = day_as(row.on, "%Y/%m/%d"), day_as(row.known_on, "%Y/%m/%d")
        yield f"GL{row.serial:08d}", row.name, row.number, on, str(row.region), known


def _quarter(row: Row) -> str:
    date = calendar.to_date(row.on)
    return f"{date.year}Q{(date.month + 2) // 3}"
