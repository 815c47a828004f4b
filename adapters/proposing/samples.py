"""Reading a sample: a few thousand rows as columns, and how the source holds them.

Owns: telling the forms of samples apart, the header of a file, the list of rows in a JSON answer, bounds of everything.
Refuses: whole files: what a sample does not show in its first rows is for the person who corrects the manifest.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from adapters.errors import AdapterError
from adapters.manifest.sources import FileSet
from adapters.paths import Json
from adapters.proposing.shapes import looks_named, looks_personal
from adapters.rows import FileRejectedError
from adapters.tabular import Table, encoding_of
from certs.system_words import cause

MAX_ROWS: Final = 2_000
FIRST: Final = 1_000
STEP: Final = 49
"""After the first rows one of so many is taken, up to `MAX_ROWS`: sources are often sorted by kind or by year."""
MAX_COLUMNS: Final = 200
MAX_SAMPLES: Final = 40
MAX_TABLES: Final = 40
MAX_JSON_BYTES: Final = 16 << 20
MAX_LINE: Final = 1 << 20
MAX_CELL: Final = 200
_MAX_HEADER_ROW: Final = 8
_MAX_DEPTH: Final = 6
_MIN_COLUMNS: Final = 2
_JSON_LINES: Final = ("jsonl", "json_lines", "ndjson")
"""What a manifest may call JSON lines."""

T = TypeVar("T")


class SampleError(AdapterError):
    """A sample cannot be used; the text tells why, without anything that stands in it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a sample: its name or path, and its values from the top."""

    name: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one shape.

    Args:
        kind: as in a manifest: file, table or api.
        label: what the sample is called: of a file the name without ending, of a table its name.
        columns: those that a manifest can name.
        rows: how many were read.
        source: settings of the manifest's `source`.
        place: settings that say where the record set is.
        remarks: what a person should know, in Chinese and English.
    """

    kind: str
    label: str
    columns: tuple[Column, ...]
    rows: int
    source: dict[str, object]
    place: dict[str, object]
    remarks: list[tuple[str, str]] = field(default_factory=list)


def read_samples(samples: Sequence[Path | str], tables: Sequence[str] = ()) -> list[Sample]:
    """Every sample, all of one kind.

    Raises:
        SampleError: one cannot be read, or kinds are mixed.
    """
    if not 0 < len(samples) <= MAX_SAMPLES:
        raise SampleError(f"give from 1 to {MAX_SAMPLES} samples", f"请给出 1 至 {MAX_SAMPLES} 个样本")
    read: list[Sample] = []
    for sample in samples:
        if isinstance(sample, str) and "://" in sample:
            from adapters.proposing.databases import tables_of  # only with a database, which is much to load

            read += tables_of(sample, tables)
            continue
        path = Path(sample)
        try:
            if not path.is_file():
                raise SampleError(f"{path.name}: no such file", f"{path.name}：文件不存在")
            read += _file(path)
        except (OSError, FileRejectedError) as error:
            en, zh = (error.en, error.zh) if isinstance(error, FileRejectedError) else cause(error)
            raise SampleError(f"{path.name}: {en}", f"{path.name}：{zh}") from error
    read = _once([sample for sample in read if sample.rows])
    if not read:
        raise SampleError("the sample has no rows", "样本中没有数据行")
    if len({sample.kind for sample in read}) > 1:
        raise SampleError("samples of one manifest are of one kind", "同一清单的样本须为同一类型（文件、库表或接口）")
    folders = {str(sample.source.get("folder")) for sample in read}
    if len(folders) > 1:
        raise SampleError("files of one manifest stand in one folder", "同一清单的文件须在同一文件夹")
    return read


def _once(samples: list[Sample]) -> list[Sample]:
    """Files of one pattern are one record set: the last by name speaks for them, as a snapshot does."""
    found: dict[str, Sample] = {}
    for sample in samples:
        key = str(sorted((name, str(value)) for name, value in sample.place.items())) if sample.kind == "file" else ""
        earlier = found.get(key)
        if key and earlier is not None:
            sample.remarks.append(
                (
                    "several files have this pattern: if they add up, set mode: increment and a key",
                    "多个文件符合此模式：如为累加，请设 mode: increment 与 key",
                )
            )
        found[key or f"{len(found)}"] = sample
    return list(found.values())


def _file(path: Path) -> list[Sample]:
    ending = path.suffix.lower()
    if ending == ".json":
        return [_answer(path)]
    if ending in {".jsonl", ".ndjson"}:
        return [_json_lines(path)]
    if ending == ".xlsx":
        return _workbook(path)
    return [_delimited(path, FileSet(pattern="*"), {})]


# files in rows


def _workbook(path: Path) -> list[Sample]:
    import python_calamine

    # Opened as a table first: that is where a workbook that unpacks to too much is refused.
    Table(path, FileSet(pattern="*", format="xlsx"), ())
    try:
        with python_calamine.CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names[:MAX_TABLES]
    except (python_calamine.CalamineError, OSError) as error:
        raise SampleError("not a workbook that can be read", "不是可读取的工作簿") from error
    found = []
    for number, name in enumerate(names):
        try:
            place: dict[str, object] = {"sheet": name} if number else {}
            found.append(_delimited(path, FileSet(pattern="*", format="xlsx", sheet=name), place))
        except (FileRejectedError, SampleError, ValueError):
            if len(names) == 1:
                raise
    if not found:
        raise SampleError("no sheet has a row of column names", "工作表中没有列名行")
    return found


def _delimited(path: Path, settings: FileSet, place: dict[str, object]) -> Sample:
    """A file of rows: the first row that may hold the names of columns is taken for it."""
    for row in range(1, _MAX_HEADER_ROW + 1):
        table = Table(path, settings.model_copy(update={"header_row": row}), ())
        if not _may_be_header(table.header):
            continue
        rows = [one.cells for one in spread(table.rows()) if not one.wrong]
        names = [name if table.header.count(name) == 1 else "" for name in table.header]
        columns = columns_of(names, rows)
        known: dict[str, object] = {"pattern": pattern_of(path.name)}
        if settings.format != "xlsx":
            encoding, _ = encoding_of(path)
            known["encoding"] = "utf-16" if encoding.startswith("utf-16") else encoding
        known |= place
        if row > 1:
            known["header_row"] = row
        label = path.stem + ("_" + str(place["sheet"]) if "sheet" in place else "")
        return Sample("file", label, columns, len(rows), {"folder": str(path.resolve().parent)}, known)
    raise SampleError(
        f"{path.name}: no row of column names among the first {_MAX_HEADER_ROW}; the first row must name the columns",
        f"{path.name}：前 {_MAX_HEADER_ROW} 行中没有列名行，首行应为列名",
    )


def _may_be_header(cells: Sequence[str]) -> bool:
    """Whether a row may name columns: several texts, and nothing that may be somebody's."""
    named = [cell for cell in cells if cell]
    return len(named) >= _MIN_COLUMNS and not any(looks_personal(cell) for cell in named)


def spread(rows: Iterator[T]) -> Iterator[T]:
    """The first rows, and then one of so many."""
    yield from itertools.islice(rows, FIRST)
    yield from itertools.islice(rows, 0, (MAX_ROWS - FIRST) * STEP, STEP)


def pattern_of(name: str) -> str:
    """A file's name as a pattern: dates and serial numbers in it become `*`."""
    return re.sub(r"\*+", "*", re.sub(r"[\[\]?]", "*", re.sub(r"\d[\d_.-]*\d|\d", "*", name)))[:200] or "*"


# JSON


def _json_lines(path: Path) -> Sample:
    allowed = get_args(FileSet.model_fields["format"].annotation)
    form = next((name for name in _JSON_LINES if name in allowed), None)
    if form is None:
        raise SampleError("JSON lines are not read by this version; use CSV", "本版本不读取 JSON Lines，请改用 CSV")
    rows: list[dict[str, object]] = []
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        while len(rows) < MAX_ROWS and (line := stream.readline(MAX_LINE)):
            if line.strip():
                row = _parse(line)
                if not isinstance(row, dict):
                    raise SampleError(f"{path.name}: a line is no JSON object", f"{path.name}：存在不是 JSON 对象的行")
                rows.append(_flat(row))
    place: dict[str, object] = {"pattern": pattern_of(path.name), "format": form}
    return Sample("file", path.stem, _of_objects(rows), len(rows), {"folder": str(path.resolve().parent)}, place)


def _answer(path: Path) -> Sample:
    """An interface's answer: its longest list of objects is taken for the rows."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise SampleError(
            f"{path.name}: larger than {MAX_JSON_BYTES} bytes", f"{path.name}：超过 {MAX_JSON_BYTES} 字节"
        )
    answer = _parse(path.read_bytes().decode("utf-8-sig", "replace"))
    lists = sorted(_lists(answer, ""), key=lambda found: -len(found[1]))
    if not lists:
        raise SampleError(f"{path.name}: no list of objects in it", f"{path.name}：其中没有对象列表")
    where, pairs = lists[0]
    rows = []
    for row, around in pairs[:MAX_ROWS]:
        outer = {f"^{name}": value for name, value in _flat(around).items()} if around is not None else {}
        rows.append(_flat(row) | outer)
    place: dict[str, object] = {"rows": where or "."}
    if isinstance(answer, dict):
        place |= _about(answer)
    return Sample("api", path.stem, _of_objects(rows), len(rows), {}, place)


def _about(answer: dict[str, Json]) -> dict[str, object]:
    """What an answer tells beside its rows: a result code, the number of rows in all, a cursor."""
    told: dict[str, object] = {}
    for name, value in _flat(answer).items():
        last = name.rsplit(".", 1)[-1].lower()
        if last in {"code", "rspcode", "resultcode", "retcode", "errcode"} and str(value) in {
            "0",
            "00",
            "0000",
            "000000",
            "200",
        }:
            told.setdefault("result", {"field": name, "ok": [str(value)]})
        elif last in {"total", "totalcount", "recordcount", "totalelements"} and isinstance(value, int):
            told.setdefault("total", name)
        elif last in {"next", "nextcursor", "cursor"} and (value is None or isinstance(value, str)):
            told.setdefault("next", name)
    return told


def _parse(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SampleError("not proper JSON", "不是有效的 JSON") from error
    return value


def _lists(value: Json, path: str, around: Any = None, depth: int = 0) -> Iterator[tuple[str, list[tuple[Any, Any]]]]:
    """Every list of objects with its path as a manifest writes it; lists within the objects of a list as one."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        objects = [one for one in value if isinstance(one, dict)]
        if not objects or len(objects) != len(value):
            return
        yield path, [(one, around) for one in objects]
        if path and "[]" not in path:
            for name in dict.fromkeys(name for one in objects[:20] for name in one):
                inner = [(one, each) for each in objects if isinstance(held := each.get(name), list) for one in held]
                if inner and all(isinstance(one, dict) for one, _ in inner) and _addressable(name):
                    yield f"{path}[].{name}", inner
    elif isinstance(value, dict):
        for name, inside in value.items():
            if _addressable(name):
                yield from _lists(inside, f"{path}.{name}" if path else name, value, depth + 1)


def _flat(row: dict[str, Any], prefix: str = "", depth: int = 0) -> dict[str, object]:
    """The scalars of an object, by dotted path."""
    found: dict[str, object] = {}
    if all(looks_named(name) for name in row):
        return found  # keyed by people: such keys are no names of columns
    for name, value in row.items():
        if not _addressable(name):
            continue
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            found |= _flat(value, f"{prefix}{name}.", depth + 1)
        elif not isinstance(value, (dict, list)):
            found[prefix + name] = value
        if len(found) >= MAX_COLUMNS:
            break
    return found


def _addressable(name: str) -> bool:
    written = bool(name) and name.isprintable() and name == name.strip() and not any(char in name for char in ".^[]")
    return written and not looks_personal(name)


def _of_objects(rows: Sequence[dict[str, object]]) -> tuple[Column, ...]:
    if not rows:
        raise SampleError("the sample has no rows", "样本中没有数据行")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return columns_of(names, [[row.get(name) for name in names] for row in rows])


# columns


def columns_of(names: Sequence[str], rows: Sequence[Sequence[object]]) -> tuple[Column, ...]:
    """The columns that a manifest can name, with bounded cells."""
    made = []
    for at, name in enumerate(names[:MAX_COLUMNS]):
        if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_CELL or looks_personal(name):
            continue
        made.append(Column(name, tuple(_bounded(row[at]) if at < len(row) else None for row in rows)))
    return tuple(made)


def _bounded(value: object) -> object:
    if isinstance(value, str):
        return value[:MAX_CELL]
    return value if isinstance(value, (int, float, bool, Decimal, date, datetime)) else None
