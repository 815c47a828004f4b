"""Files of which every line is a row: JSON lines, and lines of fixed width.

Owns: taking a line apart, by dotted paths or by widths in bytes or characters, and the bounds of a line. Refuses: a
line that does not fit: it is a bad row, never a row read as far as it went.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NoReturn

from adapters.manifest.layout import Layout
from adapters.paths import Json, field_of
from adapters.rows import MAX_LINE_BYTES, FileRejectedError, Row, too_long

_SHOWN_CHARS = 200
"""Of a line that cannot be taken apart, for who mends it in the quarantine."""


def byte_lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, without their ends.

    Raises:
        FileRejectedError: one is too long.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 2):
        number += 1
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise too_long(number)
        yield number, line.rstrip(b"\r\n")


def json_lines(path: Path, encoding: str, skip: int, columns: Sequence[str]) -> Iterator[Row]:
    """Each line's fields as cells, in the order of the columns, which are dotted paths.

    Args:
        path: of the file.
        encoding: of its text; UTF-8 or GB 18030.
        skip: bytes of a byte order mark.
        columns: what to take of every line.

    A field that is not there is empty, as writers of JSON leave out what they do not know.

    Raises:
        FileRejectedError: a line is too long, or the file is in UTF-16, in which JSON is not written (RFC 8259, 8.1).
    """
    if encoding.startswith("utf-16"):
        raise FileRejectedError("JSON lines in UTF-16; send UTF-8", "JSON 行文件为 UTF-16 编码，请使用 UTF-8")
    with path.open("rb") as stream:
        stream.seek(skip)
        for number, line in byte_lines(stream):
            if not line.strip():
                continue
            found = _object(line, encoding)
            if isinstance(found, str):
                yield Row(number, [_shown(line, encoding)], found)
                continue
            cells = [field_of(found, column) for column in columns]
            if any(isinstance(cell, (dict, list)) for cell in cells):
                simple = ["" if isinstance(cell, (dict, list)) else cell for cell in cells]
                yield Row(number, simple, "a field holds a list or an object / 字段为列表或对象")
                continue
            if b"\\u" in line and not all(_is_text(cell) for cell in cells):
                yield Row(number, [_shown(line, encoding)], "characters that cannot be decoded / 含无法解码的字符")
                continue
            yield Row(number, cells)


def _is_text(cell: object) -> bool:
    """Whether it is no text with half a character: an escape may write one half of a surrogate pair."""
    return not isinstance(cell, str) or not any("\ud800" <= char <= "\udfff" for char in cell)


def _shown(line: bytes, encoding: str) -> str:
    return line[: 4 * _SHOWN_CHARS].decode(encoding, "replace")[:_SHOWN_CHARS]


def _object(line: bytes, encoding: str) -> dict[str, Json] | str:
    """The object of a line, or what is wrong with it."""
    try:
        value = json.loads(line.decode(encoding), parse_constant=_no_number)
    except UnicodeDecodeError:
        return "characters that cannot be decoded / 含无法解码的字符"
    except RecursionError:
        return "nested too deeply / 嵌套过深"
    except ValueError:
        return "not JSON / 不是 JSON"
    return value if isinstance(value, dict) else "no JSON object / 不是 JSON 对象"


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def fixed_width(path: Path, encoding: str, skip: int, layout: Layout) -> Iterator[Row]:
    """Each line cut by the layout's widths.

    Args:
        path: of the file.
        encoding: of its text.
        skip: bytes of a byte order mark.
        layout: names and widths.

    Raises:
        FileRejectedError: a line is too long, or widths in bytes cannot be cut in this encoding.
    """
    if encoding.startswith("utf-16") and layout.unit == "bytes":
        raise FileRejectedError(
            "widths in bytes cannot be cut in UTF-16; set unit: characters",
            "UTF-16 文件不能按字节切分，请设 unit: characters",
        )
    with path.open("rb") as stream:
        stream.seek(skip)
        lines = byte_lines(stream) if layout.unit == "bytes" else _characters(stream, encoding)
        for number, line in lines:
            if number <= layout.skip_lines or not line.strip():
                continue
            yield _cut(number, line, encoding, layout)


def _characters(stream: IO[bytes], encoding: str) -> Iterator[tuple[int, str]]:
    import io

    with io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="\n") as text:
        number = 0
        while line := text.readline(MAX_LINE_BYTES + 2):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise too_long(number)
            yield number, line.rstrip("\r\n")


def _cut(number: int, line: bytes | str, encoding: str, layout: Layout) -> Row:
    if len(line) > layout.width or len(line) < layout.least:
        shown = line.decode(encoding, "replace") if isinstance(line, bytes) else line
        return Row(number, [shown[:_SHOWN_CHARS]], "not of the layout's width / 行宽与版式不符")
    cells: list[object] = []
    for start, end in layout.places:
        cell = line[start:end]
        if isinstance(cell, bytes):
            try:
                cell = cell.decode(encoding)
            except UnicodeDecodeError:
                return Row(number, [], "a width cuts through a character / 列宽切断了字符")
        if "\ufffd" in cell:
            return Row(number, [], "characters that cannot be decoded / 含无法解码的字符")
        cells.append(cell.strip())
    return Row(number, cells)
