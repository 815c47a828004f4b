"""Filled-in work lists and stop lists, read back: CSV (UTF-8 or GB 18030) or XLSX.

Owns: which column means what, in both languages, and that a line nobody filled in is passed over. Refuses: files that
are too large, or without the columns; guessing a word it does not know.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from certs.system_words import cause
from gateway.errors import ConfigError, RefusedError
from gateway.roster.decisions.deciding import AT_ONCE, Request
from gateway.roster.decisions.wordings import ACTS
from gateway.roster.results import headings
from gateway.rules.deciding import Act
from gateway.texts import text_of

MAX_BYTES: Final = 64 << 20
MAX_CELL: Final = 1000
_MAX_COLUMNS: Final = 200
_DAY: Final = re.compile(r"(\d{4})\s*[-/.年]?\s*(\d{1,2})\s*[-/.月]?\s*(\d{1,2})?\s*日?(?:[ T].*)?")
_EPOCH: Final = dt.date(1970, 1, 1)

_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "row": ("行号", "row"),
    "number": ("证件号码", "identity number"),
    "task": ("核查事项", "task"),
    "outcome": ("核查结果", "outcome"),
    "decision": ("决定", "decision"),
    "on": ("核查日期", "决定日期", "date"),
    "by": ("核查人", "by"),
    "who": ("决定人", "decided by"),
    "why": ("决定理由", "decision reason"),
    "note": ("备注", "note"),
    "stopped_from": ("停发起始月", "stop from"),
    "entitled_from": ("恢复资格月", "entitled from"),
    "resumes": ("恢复发放月", "resume from"),
}
"""Fields of a request by the headings they may stand under."""
_PASSED: Final = (*headings.OUTCOME_WORDS["PASSED"], "PASSED")
_ACTS: Final = {name.casefold(): act for act in Act for name in (*ACTS[act], act.name)}


class Problem(NamedTuple):
    """A line that cannot be read."""

    line: int
    error: RefusedError


def read(path: Path, who: str, why: str) -> tuple[list[Request], list[Problem]]:
    """The requests of a file, and the lines that are none.

    Args:
        path: the file.
        who: of lines that do not say whose decision it is.
        why: of lines that give no reason.

    Raises:
        ConfigError: the file cannot be read, is too large, or has not the columns.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _wrong(path, f"larger than {MAX_BYTES} bytes", f"超过 {MAX_BYTES} 字节")
        lines = _sheet(path) if path.suffix.casefold() == ".xlsx" else _text(path)
        return _requests(path, lines, who, why)
    except OSError as error:
        raise _wrong(path, f"cannot be read ({cause(error).en})", f"无法读取（{cause(error).zh}）") from error
    except csv.Error as error:
        raise _wrong(path, "not CSV", "不是 CSV 文件") from error


def day_of(text: str) -> int:
    """A day as people write it, or the first of a month, as civil day; 0 for "".

    Raises:
        RefusedError: it is none.
    """
    if not text:
        return 0
    found = _DAY.fullmatch(text.strip())
    if found is None:
        raise RefusedError(
            "write a day as 2026-09-30, a month as 2026-09", "日期请写作 2026-09-30，月份请写作 2026-09", field="date"
        )
    year, month, day = (int(part or 1) for part in found.groups())
    try:
        return (dt.date(year, month, day) - _EPOCH).days
    except ValueError:
        raise RefusedError("there is no such day", "没有该日期", field="date") from None


def act_of(text: str, task: str = "") -> Act:
    """An act by its word or name; "passed" is a face check where the task was one, otherwise a visit.

    Raises:
        RefusedError: no such act.
    """
    known = text.strip().casefold()
    if known in {word.casefold() for word in _PASSED}:
        return Act.FACE_PASSED if task.strip() in headings.FACE else Act.VISIT_PASSED
    if known not in _ACTS:
        words = [word.zh for word in ACTS.values()], [act.name.lower().replace("_", "-") for act in Act]
        raise RefusedError(
            f"no such outcome or decision; write one of {', '.join(words[1])}",
            f"无法识别的结果或决定，应为：{'、'.join(words[0])}",
            field="act",
        )
    return _ACTS[known]


def _requests(path: Path, lines: Iterator[Sequence[str]], who: str, why: str) -> tuple[list[Request], list[Problem]]:
    columns = _columns(path, next(lines, ()))
    requests: list[Request] = []
    problems: list[Problem] = []
    for line, cells in enumerate(lines, 2):
        values = {
            field: cells[at].strip().removeprefix("'")[:MAX_CELL] if at < len(cells) else ""
            for field, at in columns.items()
        }
        if not (values.get("outcome") or values.get("decision")):
            continue
        if len(requests) + len(problems) >= AT_ONCE:
            raise _wrong(path, f"more than {AT_ONCE} decisions; divide the file", f"决定超过 {AT_ONCE} 项，请拆分文件")
        try:
            requests.append(_request(values, line, who, why))
        except RefusedError as error:
            problems.append(Problem(line, error))
    return requests, problems


def _request(values: Mapping[str, str], line: int, who: str, why: str) -> Request:
    decision, outcome = values.get("decision", ""), values.get("outcome", "")
    row = values["row"]
    if not re.fullmatch(r"\d{1,12}", row, re.ASCII):
        raise RefusedError("the row number is missing", "缺少行号", field="row")
    return Request(
        row=int(row),
        act=act_of(decision or outcome, values.get("task", "")),
        who=values.get("who") or who,
        why=values.get("why") or values.get("note") or why,
        by="" if decision else values.get("by", ""),
        on_day=day_of(values.get("on", "")),
        stopped_from_on=day_of(values.get("stopped_from", "")),
        entitled_from_on=day_of(values.get("entitled_from", "")),
        resumes_on=day_of(values.get("resumes", "")),
        line=line,
        number=values.get("number", ""),
    )


def _columns(path: Path, titles: Sequence[str]) -> dict[str, int]:
    """Where each field stands."""
    known = {title.casefold(): field for field, names in _FIELDS.items() for title in names}
    columns: dict[str, int] = {}
    for at, title in enumerate(titles[:_MAX_COLUMNS]):
        field = known.get(title.strip().casefold())
        if field is not None:
            columns.setdefault(field, at)
    if "row" not in columns or not {"outcome", "decision"} & set(columns):
        raise _wrong(
            path,
            "needs the columns row, and outcome or decision; use a work list or stop list as it was written",
            "应有“行号”列及“核查结果”或“决定”列；请使用原核查清单或拟停发名单",
        )
    return columns


def _text(path: Path) -> Iterator[Sequence[str]]:
    return csv.reader(io.StringIO(text_of(path.read_bytes(), str(path)), newline=""))


def _sheet(path: Path) -> Iterator[Sequence[str]]:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(str(path))
        sheet = book.get_sheet_by_index(0)
    except CalamineError as error:
        raise _wrong(path, "not an XLSX workbook", "不是 XLSX 工作簿") from error
    return ([_cell(value) for value in row] for row in sheet.iter_rows())


def _cell(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime):
        return value.date().isoformat()
    return str(value)


def _wrong(path: Path, en: str, zh: str) -> ConfigError:
    return ConfigError(f"{path}: {en}", f"{path}：{zh}", field="file")
