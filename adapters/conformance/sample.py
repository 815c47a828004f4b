"""People to ask about: some that the source knows, some of whom it holds a row that does not read, some that nobody
can know, and numbers that are none.

Owns: reading a sample file (CSV of id_number, name, known, kind, observed_on), and made-up numbers. Refuses: showing
anybody: a person of the sample is called by the line of the file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

from adapters.asked import normal
from adapters.manifest.vocabulary import KINDS
from adapters.values import day_of
from certs.system_words import cause

MAX_SAMPLE_BYTES = 1 << 20
MAX_SAMPLE_ROWS = 1_000
KNOWN_AT_MOST = 20
"""So many known people are asked about, and as many unknown ones: every case asks about each."""
_MAX_CELL_CHARS = 256
_COLUMNS = {"id_number", "name", "known", "kind", "observed_on"}
_CHINESE = {"身份号码": "id_number", "身份证号": "id_number", "姓名": "name", "是否有此人": "known"}
_CHINESE |= {"证据类型": "kind", "发生日期": "observed_on"}
_KNOWN, _UNKNOWN, _UNREADABLE = range(3)
_TRUTH = dict.fromkeys(("", "yes", "true", "1", "是"), _KNOWN)
_TRUTH |= dict.fromkeys(("no", "false", "0", "否"), _UNKNOWN)
_TRUTH |= dict.fromkeys(("unreadable", "无法读取"), _UNREADABLE)
_REGIONS = ("110101", "310101", "330702", "440106")
_FIRST_BIRTHDAY = date(1900, 1, 1)
_BIRTHDAYS = 36_524  # to the end of 1999: the two digits of a 15-digit number's year
_CHECKS = "0123456789X"


class SampleError(Exception):
    """The sample file is wrong; `en` and `zh` tell where, never what stands there."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """Somebody of the sample.

    Args:
        number: identity number, normalised.
        name: as a register has it, "" where it is not given.
        line: of the file, from 1; 0: named by the adapter itself.
        kind, observed_on: evidence that the source must have about this person, 0 where that is not given.
    """

    number: str
    name: str = ""
    line: int = 0
    kind: int = 0
    observed_on: int = 0

    def __repr__(self) -> str:
        return f"<person of line {self.line}>"


@dataclass(frozen=True, slots=True)
class Sample:
    """People whom the source knows, people whom it does not, and people of whom it holds a row that it cannot read."""

    known: tuple[Person, ...] = ()
    unknown: tuple[Person, ...] = ()
    unreadable: tuple[Person, ...] = ()

    @property
    def everybody(self) -> tuple[Person, ...]:
        """All of them."""
        return (*self.known, *self.unknown, *self.unreadable)

    @staticmethod
    def read(path: Path) -> Sample:
        """The sample in a file: UTF-8 or GB 18030, first row the names of the columns; a person may have several rows.

        Raises:
            SampleError: it cannot be read, is too large, lacks a column, or a row is wrong.
        """
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_SAMPLE_BYTES + 1)
        except OSError as error:
            raise SampleError(
                f"{path.name}: cannot be read ({cause(error).en})", f"{path.name}：无法读取（{cause(error).zh}）"
            ) from error
        if len(data) > MAX_SAMPLE_BYTES:
            raise SampleError(f"{path.name}: larger than {MAX_SAMPLE_BYTES} bytes", f"{path.name}：文件过大")
        return Sample.parse(data, path.name)

    @staticmethod
    def parse(data: bytes, name: str = "sample") -> Sample:
        """The sample in the bytes of a file; see `read`."""
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            try:
                text = data.decode("gb18030")
            except UnicodeDecodeError as error:
                raise SampleError(f"{name}: neither UTF-8 nor GB 18030", f"{name}：不是 UTF-8 或 GB 18030") from error
        people: tuple[list[Person], list[Person], list[Person]] = ([], [], [])
        try:
            rows = list(islice(csv.DictReader(text.splitlines()), MAX_SAMPLE_ROWS + 1))
        except csv.Error as error:
            raise SampleError(f"{name}: not proper CSV", f"{name}：不是有效的 CSV") from error
        if len(rows) > MAX_SAMPLE_ROWS:
            raise SampleError(f"{name}: more than {MAX_SAMPLE_ROWS} rows", f"{name}：超过 {MAX_SAMPLE_ROWS} 行")
        for line, row in enumerate(rows, 2):
            which, person = _person(row, line, name)
            people[which].append(person)
        if not any(people):
            raise SampleError(f"{name}: no rows", f"{name}：没有数据行")
        known, unknown, unreadable = people
        apart = {person.number for person in unreadable}
        return Sample(
            tuple(person for person in known if person.number not in apart), tuple(unknown), tuple(unreadable)
        )


def _person(row: dict[str | None, str | list[str] | None], line: int, file: str) -> tuple[int, Person]:
    cells: dict[str, str] = {}
    for column, value in row.items():
        if not isinstance(column, str) or isinstance(value, list):
            raise _wrong(file, line, "more cells than columns", "单元格多于列数")
        key = column.strip()
        cells[_CHINESE.get(key, key)] = (value or "").strip()
    if "id_number" not in cells:
        raise _wrong(file, 1, "no column `id_number`", "缺少 id_number（身份号码）列")
    surplus = set(cells) - _COLUMNS
    if surplus:
        raise _wrong(file, 1, "a column is none of id_number, name, known, kind, observed_on", "有多余的列")
    number = normal(cells["id_number"])
    if not number or any(len(cell) > _MAX_CELL_CHARS for cell in cells.values()):
        raise _wrong(file, line, "no number, or a cell too long", "缺少号码或单元格过长")
    known = _TRUTH.get(cells.get("known", "").lower())
    if known is None:
        raise _wrong(file, line, "`known` is yes, no or unreadable", "known（是否有此人）应为 是、否 或 无法读取")
    word = cells.get("kind", "")
    if word and word not in KINDS:
        raise _wrong(file, line, "`kind` is no kind of evidence", "kind（证据类型）不在词表内")
    at = cells.get("observed_on", "")
    try:
        day = day_of(date.fromisoformat(at)) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", at) else 0
    except ValueError:
        day = 0
    if bool(at) != bool(day) or (bool(at) and not word):
        raise _wrong(
            file, line, "`observed_on` is a day like 2026-01-31, beside a `kind`", "observed_on 应为日期并与 kind 同填"
        )
    return known, Person(number, cells.get("name", ""), line, KINDS[word] if word else 0, day)


def _wrong(file: str, line: int, en: str, zh: str) -> SampleError:
    return SampleError(f"{file}:{line}: {en}", f"{file}:{line}：{zh}")


def strangers(count: int, without: Sequence[str] = ()) -> list[str]:
    """Well-formed numbers of nobody: the serial number 000 is not issued (GB 11643-1999, 4.3)."""
    return list(islice(_strangers(frozenset(without)), count))


def _strangers(without: frozenset[str]) -> Iterator[str]:
    for region in _REGIONS:
        for days in range(_BIRTHDAYS):
            born = _FIRST_BIRTHDAY + timedelta(days=days)
            number = normal(f"{region}{born:%y%m%d}000")
            if number not in without:
                yield number


def wrong_check(number: str) -> str:
    """The number with another check character, so none; "" where it is no resident number."""
    if len(number) != 18 or number[-1] not in _CHECKS:
        return ""
    return number[:-1] + _CHECKS[(_CHECKS.index(number[-1]) + 1) % len(_CHECKS)]
