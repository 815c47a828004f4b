"""XLSX workbooks (ECMA-376), written by column: a million rows in seconds, not minutes, and the same bytes every time.

Owns: as much of the format as lists need: text, numbers, money, dates; a heading that stays, filters, widths, choices
for cells to fill in; printing on A4 with the heading on every page. Refuses: formulas: text is text here whatever it
begins with, so a sheet runs nothing.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final
from xml.sax.saxutils import escape, quoteattr

import polars as pl

from gateway.roster.results.headings import Heading, Shown
from gateway.wording import Language

MAX_ROWS: Final = 1_048_576
"""Rows of a sheet, the heading included."""
SHEET_ROWS: Final = 1_000_000
_BATCH: Final = 5_000
_MAX_CELL: Final = 16_000
"""Characters of a cell. The format ends at 32,767 units of UTF-16."""
_MAX_NAME: Final = 31
_NO_NAME: Final = str.maketrans("[]:*?/\\'", "________")
_EPOCH_DAYS: Final = 25_569
"""1970-01-01 in days of the 1900 date system."""
_FIRST_DAY: Final = -25_508
"""1900-03-01: before it the 1900 date system is off by a day, and such days are shown as text."""
_STYLES: Final = {Shown.TEXT: 1, Shown.NUMBER: 2, Shown.DAY: 3, Shown.MONTH: 4, Shown.MONEY: 5}
_HEADING_STYLE: Final = 6
_TOTAL: Final = 6
"""Added to a style: the same in bold, for the last row."""
_BOLD_STYLES: Final = {shown: style + _TOTAL for shown, style in _STYLES.items()}
_UNWRITABLE: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x{FFFE}\x{FFFF}]"
"""What XML cannot hold."""

_MAIN: Final = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_TYPES: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_RELATIONS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

_CONTENT_TYPES: Final = (
    f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Default Extension="xml" ContentType="{_TYPES}.worksheet+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/></Types>'
)
_PACKAGE_RELATIONS: Final = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
    f'Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
)


def _style_sheet() -> str:
    formats = [0, 49, 0, 164, 165, 4]
    plain = [
        f'<xf numFmtId="{number}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
        for number in formats
    ]
    heading = (
        '<xf numFmtId="49" fontId="1" fillId="2" borderId="0" xfId="0" applyFont="1" applyFill="1" applyAlignment="1">'
        '<alignment vertical="center" wrapText="1"/></xf>'
    )
    bold = [
        f'<xf numFmtId="{number}" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/>'
        for number in formats[1:]
    ]
    styles = [*plain, heading, *bold]
    return (
        f"{_HEAD}<styleSheet {_MAIN}>"
        '<numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>'
        '<numFmt numFmtId="165" formatCode="yyyy\\-mm"/></numFmts>'
        '<fonts count="2"><font><sz val="11"/><name val="等线"/></font>'
        '<font><b/><sz val="11"/><name val="等线"/></font></fonts>'
        '<fills count="3"><fill><patternFill patternType="none"/></fill>'
        '<fill><patternFill patternType="gray125"/></fill><fill><patternFill patternType="solid">'
        '<fgColor rgb="FFE3ECF5"/><bgColor indexed="64"/></patternFill></fill></fills>'
        '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        f'<cellXfs count="{len(styles)}">{"".join(styles)}</cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    )


class Workbook:
    """A workbook being written. Sheets are written one after the other.

    Args:
        path: the file; what is there is replaced, its mode stays.
        language: of headings.
        sheet_rows: rows of people on a sheet; more go on to the next.
    """

    def __init__(self, path: Path, language: Language, sheet_rows: int = SHEET_ROWS) -> None:
        if not 0 < sheet_rows < MAX_ROWS:
            raise ValueError("a sheet has from 1 to 1,048,575 rows of content")
        self._language = language
        self._sheet_rows = sheet_rows
        self._names: list[str] = []
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=3, strict_timestamps=True)
        self._part("[Content_Types].xml", _CONTENT_TYPES)
        self._part("_rels/.rels", _PACKAGE_RELATIONS)
        self._part("xl/styles.xml", _style_sheet())

    def __enter__(self) -> Workbook:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self._finish()
        self._zip.close()

    def sheet(
        self,
        name: str,
        columns: Sequence[Heading],
        batches: Iterable[pl.DataFrame],
        *,
        total: pl.DataFrame | None = None,
        choices: Mapping[str, Sequence[str]] | None = None,
    ) -> int:
        """A sheet, or several where there are more rows than a sheet takes.

        Args:
            name: of the sheet; further ones are numbered.
            columns: taken from the batches by name.
            batches: text as String, days and months as Date, numbers and money as integers; null is an empty cell.
            total: a last row, in bold, of the same columns.
            choices: by column, what may be filled in there.

        Returns:
            How many rows were written, without headings and total.
        """
        written = 0
        file = self._begin(name, 1, columns)
        try:
            for part in _slices(batches, self._sheet_rows):
                if written and written % self._sheet_rows == 0:
                    file.write(_sheet_foot(columns, self._sheet_rows, choices or {}))
                    file.close()
                    file = self._begin(name, written // self._sheet_rows + 1, columns)
                file.write(_cells(part, columns, written % self._sheet_rows + 2, _STYLES))
                written += part.height
            rows = written - max(0, written - 1) // self._sheet_rows * self._sheet_rows
            if total is not None:
                file.write(_cells(total, columns, rows + 2, _BOLD_STYLES))
            file.write(_sheet_foot(columns, rows, choices or {}))
        finally:
            file.close()
        return written

    def _begin(self, name: str, number: int, columns: Sequence[Heading]) -> IO[bytes]:
        named = name if number == 1 else f"{name[: _MAX_NAME - 4]} {number}"
        self._names.append(named.translate(_NO_NAME)[:_MAX_NAME])
        file = self._open(f"xl/worksheets/sheet{len(self._names)}.xml")
        file.write(_sheet_head(columns, self._language))
        return file

    def _finish(self) -> None:
        columns = range(1, len(self._names) + 1)
        sheets = "".join(
            f'<sheet name={quoteattr(name)} sheetId="{number}" r:id="rId{number}"/>'
            for number, name in zip(columns, self._names, strict=True)
        )
        titles = "".join(
            f'<definedName name="_xlnm.Print_Titles" localSheetId="{number - 1}">'
            f"{escape(_quoted(name))}!$1:$1</definedName>"
            for number, name in zip(columns, self._names, strict=True)
        )
        self._part(
            "xl/workbook.xml",
            f'{_HEAD}<workbook {_MAIN} xmlns:r="{_RELATIONS}"><sheets>{sheets}</sheets>'
            f"<definedNames>{titles}</definedNames></workbook>",
        )
        relations = "".join(
            f'<Relationship Id="rId{number}" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet{number}.xml"/>'
            for number in columns
        )
        self._part(
            "xl/_rels/workbook.xml.rels",
            f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{relations}<Relationship '
            f'Id="rId{len(self._names) + 1}" Type="{_RELATIONS}/styles" Target="styles.xml"/></Relationships>',
        )

    def _part(self, name: str, text: str) -> None:
        with self._open(name) as file:
            file.write(text.encode())

    def _open(self, name: str) -> IO[bytes]:
        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.create_system = 0
        entry.external_attr = 0
        return self._zip.open(entry, "w", force_zip64=True)


def _slices(batches: Iterable[pl.DataFrame], sheet_rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in parts that are no longer than a batch and do not go beyond the end of a sheet."""
    at = 0
    for batch in batches:
        start = 0
        while start < batch.height:
            part = batch.slice(start, min(_BATCH, sheet_rows - at % sheet_rows))
            yield part
            start += part.height
            at += part.height


def _cells(frame: pl.DataFrame, columns: Sequence[Heading], first: int, styles: Mapping[Shown, int]) -> bytes:
    """The rows of a frame as XML, numbered from `first`."""
    numbered = frame.with_columns(_at=pl.int_range(first, first + frame.height, dtype=pl.Int64).cast(pl.String))
    cells = [
        _cell(column, column_letters(number), styles[column.shown])
        for number, column in enumerate(columns)
        if column.name in frame.columns
    ]
    rows = numbered.select(pl.concat_str(pl.lit('<row r="'), "_at", pl.lit('">'), *cells, pl.lit("</row>")))
    return str(rows.to_series().str.join("").item()).encode()


def _cell(column: Heading, letters: str, style: int) -> pl.Expr:
    value = pl.col(column.name)
    start = pl.concat_str(pl.lit(f'<c r="{letters}'), "_at", pl.lit(f'" s="{style}"'))
    if column.shown is Shown.NUMBER:
        cell = pl.concat_str(start, pl.lit("><v>"), value.cast(pl.String), pl.lit("</v></c>"))
    elif column.shown is Shown.MONEY:
        cell = pl.concat_str(start, pl.lit("><v>"), yuan(value), pl.lit("</v></c>"))
    elif column.shown in (Shown.DAY, Shown.MONTH):
        days = value.cast(pl.Int32)
        number = pl.concat_str(start, pl.lit("><v>"), (days + _EPOCH_DAYS).cast(pl.String), pl.lit("</v></c>"))
        cell = pl.when(days >= _FIRST_DAY).then(number).otherwise(_text(start, value.cast(pl.String)))
    else:
        cell = pl.when(value != "").then(_text(start, value))
    return cell.fill_null("")


def _text(start: pl.Expr, value: pl.Expr) -> pl.Expr:
    shown = (
        value.str.slice(0, _MAX_CELL)
        .str.replace_all(_UNWRITABLE, "\N{REPLACEMENT CHARACTER}")
        .str.replace_many(["&", "<", ">"], ["&amp;", "&lt;", "&gt;"])
    )
    return pl.concat_str(start, pl.lit(' t="inlineStr"><is><t xml:space="preserve">'), shown, pl.lit("</t></is></c>"))


def yuan(fen: pl.Expr) -> pl.Expr:
    """Fen as yuan with two decimals, as text; null stays null."""
    sign = pl.when(fen < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    whole, rest = fen.abs() // 100, fen.abs() % 100
    return pl.concat_str(sign, whole.cast(pl.String), pl.lit("."), rest.cast(pl.String).str.zfill(2))


def _sheet_head(columns: Sequence[Heading], language: Language) -> bytes:
    widths = "".join(
        f'<col min="{number}" max="{number}" width="{column.width}" style="{_STYLES[column.shown]}" customWidth="1"/>'
        for number, column in enumerate(columns, 1)
    )
    headings = "".join(
        f'<c r="{column_letters(number)}1" s="{_HEADING_STYLE}" t="inlineStr"><is><t>'
        f"{escape(column.text(language))}</t></is></c>"
        for number, column in enumerate(columns)
    )
    return (
        f'{_HEAD}<worksheet {_MAIN}><sheetPr><pageSetUpPr fitToPage="1"/></sheetPr>'
        '<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" '
        'state="frozen"/></sheetView></sheetViews>'
        f"<cols>{widths}</cols><sheetData>"
        f'<row r="1" ht="30" customHeight="1">{headings}</row>'
    ).encode()


def _sheet_foot(columns: Sequence[Heading], rows: int, choices: Mapping[str, Sequence[str]]) -> bytes:
    last = column_letters(len(columns) - 1)
    rules = "".join(
        f'<dataValidation type="list" allowBlank="1" showErrorMessage="1" sqref="{letters}2:{letters}{rows + 1}">'
        f"<formula1>{escape(chr(34) + ','.join(choices[column.name]) + chr(34))}</formula1></dataValidation>"
        for letters, column in ((column_letters(number), column) for number, column in enumerate(columns))
        if column.name in choices and rows
    )
    validations = (
        f'<dataValidations count="{rules.count("<dataValidation ")}">{rules}</dataValidations>' if rules else ""
    )
    return (
        f'</sheetData><autoFilter ref="A1:{last}{rows + 1}"/>{validations}'
        '<pageMargins left="0.4" right="0.4" top="0.5" bottom="0.5" header="0.3" footer="0.3"/>'
        '<pageSetup paperSize="9" orientation="landscape" fitToWidth="1" fitToHeight="0"/>'
        "<headerFooter><oddFooter>&amp;C&amp;P / &amp;N</oddFooter></headerFooter></worksheet>"
    ).encode()


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def column_letters(number: int) -> str:
    """The name of a column, the first being 0."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
