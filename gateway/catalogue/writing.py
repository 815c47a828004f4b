"""The tables of the catalogue as files: XLSX, Markdown, CSV and JSON.

Owns: the formats, and that a cell never runs anything in a spreadsheet. Refuses: choosing what stands in the tables.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from certs.system_words import cause
from gateway.catalogue.tables import Cell, Table
from gateway.errors import ConfigError

_WIDEST: Final = 48
_RISKY: Final = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheet programs take for a formula at the beginning of a CSV cell."""


def write(path: Path, tables: Sequence[Table]) -> None:
    """Write tables in the format that the file's name ends in: .xlsx, .md, .csv (the first table only) or .json.

    Raises:
        ConfigError: the ending is none of these, or the file cannot be written.
    """
    make = FORMATS.get(path.suffix.lower())
    if make is None:
        known = " ".join(FORMATS)
        raise ConfigError(
            f"{path.name}: the name must end in one of {known}", f"{path.name}：文件名须以 {known} 之一结尾"
        )
    try:
        path.write_bytes(make(tables))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({cause(error).en})", f"{path}：无法写入（{cause(error).zh}）"
        ) from error


def as_markdown(tables: Sequence[Table]) -> bytes:
    """Headings and pipe tables."""
    parts = []
    for table in tables:
        lines = [f"# {table.title}", "", _piped(table.headings), _piped(["---"] * len(table.headings))]
        lines += [_piped(row) for row in table.rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts).encode()


def as_csv(tables: Sequence[Table]) -> bytes:
    """The first table, UTF-8 with a byte order mark, as office programs want it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(tables[0].headings)
    for row in tables[0].rows:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_RISKY) else cell for cell in row])
    return text.getvalue().encode("utf-8-sig")


def as_json(tables: Sequence[Table]) -> bytes:
    """An object with a list of rows for each table, under the names for programs."""
    told = {table.name: [dict(zip(table.keys, row, strict=True)) for row in table.rows] for table in tables}
    return (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode()


def as_xlsx(tables: Sequence[Table]) -> bytes:
    """A workbook with a sheet for each table; headings stay in view, and every column can be filtered."""
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    book = Workbook()
    book.remove(book.worksheets[0])
    for table in tables:
        sheet = book.create_sheet(table.title[:31])
        sheet.append(list(table.headings))
        for row in table.rows:
            sheet.append(list(row))
        for cells in sheet.iter_rows(min_row=1, max_row=sheet.max_row):
            for cell in cells:
                if isinstance(cell.value, str):
                    cell.data_type = "s"  # text whatever it begins with
        for cell in sheet[1]:
            cell.font, cell.alignment = Font(bold=True), Alignment(wrap_text=True, vertical="center")
            cell.fill = PatternFill("solid", fgColor="FFE3ECF5")
        for number, column in enumerate(zip(table.headings, *table.rows[:200], strict=True), 1):
            width = max(sum(1 if char.isascii() else 2 for char in str(cell)) for cell in column)
            sheet.column_dimensions[get_column_letter(number)].width = min(_WIDEST, width + 2)
        sheet.freeze_panes = "A2"
        sheet.auto_filter.ref = sheet.dimensions
        sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "landscape", 0
        sheet.sheet_properties.pageSetUpPr.fitToPage = True
        sheet.print_title_rows = "1:1"
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


FORMATS: Final[dict[str, Callable[[Sequence[Table]], bytes]]] = {
    ".xlsx": as_xlsx,
    ".md": as_markdown,
    ".csv": as_csv,
    ".json": as_json,
}


def _piped(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
