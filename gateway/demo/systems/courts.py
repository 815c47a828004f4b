"""Courts (法院): sentences, and declarations of death and absence.

As found in life: workbooks dropped now and then by an office; a title above the header, dates as cells, the penalty in
words; only kind and dates of a penalty, no judgment text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from openpyxl import Workbook

from gateway.demo import calendar
from gateway.demo.systems.files import replacing
from gateway.demo.systems.place import Place, Settings, kinds
from gateway.demo.systems.source import Source, day_as
from wugan.adapter.v1 import vocabulary_pb2 as words

FOLDER = ("courts", "drop")
_SENTENCES = ("案号", "被告人", "证件号码", "生效日期", "刑种", "刑期起", "刑期止", "法院所在区划", "推送日期")
_DECLARATIONS = ("案号", "被申请人", "证件号码", "判决日期", "判决事项", "法院所在区划", "推送日期")

_PENALTIES: dict[int, str] = {
    words.PENALTY_KIND_FIXED_TERM: "有期徒刑",
    words.PENALTY_KIND_LIFE: "无期徒刑",
    words.PENALTY_KIND_DEATH: "死刑",
    words.PENALTY_KIND_DEATH_SUSPENDED: "死刑缓期二年执行",
    words.PENALTY_KIND_CRIMINAL_DETENTION: "拘役",
    words.PENALTY_KIND_PUBLIC_SURVEILLANCE: "管制",
    words.PENALTY_KIND_SUSPENDED_SENTENCE: "缓刑",
}
_MATTERS: dict[int, str] = {
    words.EVIDENCE_KIND_DECLARED_DEAD: "宣告死亡",
    words.EVIDENCE_KIND_DEATH_DECLARATION_REVOKED: "撤销死亡宣告",
    words.EVIDENCE_KIND_DECLARED_MISSING: "宣告失踪",
    words.EVIDENCE_KIND_MISSING_DECLARATION_REVOKED: "撤销失踪宣告",
}


def fill(source: Source, folder: Path) -> None:
    """The drop folder, from the province's histories."""
    stamp = day_as(source.as_of_on, "%Y%m%d")
    drop = folder.joinpath(*FOLDER)
    _write(drop / f"刑事判决_{stamp}.xlsx", "刑事判决信息表", _SENTENCES, _sentences(source))
    _write(drop / f"特别程序_{stamp}.xlsx", "特别程序判决信息表", _DECLARATIONS, _declarations(source))


def manifest(place: Place) -> Settings:
    """Its manifest."""

    def files(pattern: str) -> Settings:
        return {"pattern": pattern, "format": "xlsx", "sheet": "明细", "header_row": "2"}

    return place.head(
        words.DEPARTMENT_COURTS,
        "file",
        "高级人民法院推送文件",
        "courts' workbooks",
        place.drop("courts"),
        identity={"column": "证件号码", "name": "被告人"},
        records=[
            {
                "name": "sentences",
                "files": files("刑事判决_*.xlsx"),
                "changes": True,
                "evidence": "SENTENCE",
                "observed_on": "生效日期",
                "available_on": "推送日期",
                "region": {"column": "法院所在区划"},
                "detail": {
                    "column": "刑种",
                    "codes": {
                        text: words.PenaltyKind.Name(words.PenaltyKind.ValueType(kind)).removeprefix("PENALTY_KIND_")
                        for kind, text in _PENALTIES.items()
                    },
                },
                "from_on": "刑期起",
                "until_on": {"column": "刑期止", "empty": ["终身"]},
                "strength": "REAL_NAME",
                "source_reference": "案号",
                "freshness_days": "30",
            },
            {
                "name": "declarations",
                "files": files("特别程序_*.xlsx"),
                "changes": True,
                "identity": {"column": "证件号码", "name": "被申请人"},
                "evidence": {"column": "判决事项", "codes": kinds(_MATTERS)},
                "observed_on": "判决日期",
                "available_on": "推送日期",
                "region": {"column": "法院所在区划"},
                "strength": "REAL_NAME",
                "source_reference": "案号",
                "freshness_days": "30",
            },
        ],
    )


def _write(path: Path, title: str, header: Sequence[str], rows: Iterator[Sequence[object]]) -> None:
    book = Workbook(write_only=True)
    sheet = book.create_sheet("明细")
    sheet.append([title])
    sheet.append(list(header))
    for row in rows:
        sheet.append(list(row))
    with replacing(path) as temporary:
        book.save(temporary)


def _sentences(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(words.EVIDENCE_KIND_SENTENCE):
        until: object = calendar.to_date(row.until_on) if row.until_on else "终身"
        yield (
            f"（{day_as(row.on, '%Y')}）刑初{row.serial}号",
            row.name,
            row.number,
            calendar.to_date(row.on),
            _PENALTIES[row.detail],
            calendar.to_date(row.from_on),
            until,
            row.region,
            calendar.to_date(row.known_on),
        )


def _declarations(source: Source) -> Iterator[Sequence[object]]:
    for row in source.rows(*_MATTERS):
        yield (
            f"（{day_as(row.on, '%Y')}）民特{row.serial}号",
            row.name,
            row.number,
            calendar.to_date(row.on),
            _MATTERS[row.kind],
            row.region,
            calendar.to_date(row.known_on),
        )
