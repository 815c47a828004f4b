"""Counters → shares and percentiles; thresholds → findings. I/O-free.

Owns: quality.yaml, what each finding compares, and how bad it is. Refuses: keeping findings: they follow from the
counters and the thresholds, whenever they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from gateway.quality.counters import C, Counts, Key, percentile, total
from gateway.rules.reading import Section
from gateway.wording import Word

THOUSAND: Final = 1_000


class Grade(IntEnum):
    """How bad a finding is."""

    NOTABLE = 1
    SEVERE = 2


GRADES: Final = {Grade.NOTABLE: Word("一般", "notable"), Grade.SEVERE: Word("严重", "severe")}


class Finding(IntEnum):
    """What is wrong with an item or a source."""

    UNANSWERED = 1
    NO_AVAILABLE = 2
    NO_REGION = 3
    NO_REFERENCE = 4
    NO_TERM = 5
    INVALID = 6
    LATE = 7
    CONTRADICTED = 8
    DATES_DIFFER = 9
    ILL_FORMED = 10
    KNOWN_FELL = 11
    REJECTED = 12


FINDINGS: Final = {
    Finding.UNANSWERED: Word("查询未获答复", "lookups not answered"),
    Finding.NO_AVAILABLE: Word("缺入库日期", "day available missing"),
    Finding.NO_REGION: Word("缺发生地", "place missing"),
    Finding.NO_REFERENCE: Word("缺业务编号", "reference missing"),
    Finding.NO_TERM: Word("缺起始日期", "first day missing"),
    Finding.INVALID: Word("日期或区划不合理", "impossible days or places"),
    Finding.LATE: Word("超出约定时效", "later than agreed"),
    Finding.CONTRADICTED: Word("与其他部门矛盾（死亡后仍有轨迹）", "contradicted by another department"),
    Finding.DATES_DIFFER: Word("死亡日期与其他部门不一致", "day of death differs from another department's"),
    Finding.ILL_FORMED: Word("身份号码有误", "ill-formed identity numbers"),
    Finding.REJECTED: Word("文件中无法读取的记录", "rows of files that cannot be read"),
    Finding.KNOWN_FELL: Word("查得率较上月明显下降", "far fewer people known than the month before"),
}
ADVICE: Final = {
    Finding.UNANSWERED: Word("请检查接口或数据库的可用性", "look at the availability of the interface or database"),
    Finding.NO_AVAILABLE: Word("请补充入库（更新）时间字段", "supply the time at which a record was entered"),
    Finding.NO_REGION: Word("请补充行政区划代码", "supply the code of the place"),
    Finding.NO_REFERENCE: Word("请补充业务编号，供异议核查", "supply the reference, for disputes"),
    Finding.NO_TERM: Word("请补充起止日期", "supply first and last day"),
    Finding.INVALID: Word("请核对示例记录的日期与区划", "look at the days and places of the examples"),
    Finding.LATE: Word("请缩短数据归集周期，或重新约定时效", "collect more often, or agree on other days"),
    Finding.CONTRADICTED: Word("请与相关部门核对示例人员", "compare the people of the examples with that department"),
    Finding.DATES_DIFFER: Word("请核对死亡日期的口径", "compare what each takes for the day of death"),
    Finding.ILL_FORMED: Word("请清理号码字段", "clean the column of numbers"),
    Finding.REJECTED: Word("请查看隔离目录中的行号与原因", "look at rows and reasons in the quarantine folder"),
    Finding.KNOWN_FELL: Word("请检查数据是否缺失或口径变化", "has data gone missing, or changed its meaning?"),
}

_SHARES: Final[dict[Finding, tuple[C, C]]] = {
    Finding.NO_AVAILABLE: (C.NO_AVAILABLE, C.ROWS),
    Finding.NO_REGION: (C.NO_REGION, C.ROWS),
    Finding.NO_REFERENCE: (C.NO_REFERENCE, C.REFERENCES),
    Finding.NO_TERM: (C.NO_TERM, C.TERMS),
    Finding.INVALID: (C.INVALID, C.ROWS),
    Finding.LATE: (C.LATE, C.AGREED),
    Finding.CONTRADICTED: (C.CONTRADICTED, C.ROWS),
    Finding.DATES_DIFFER: (C.DATES_DIFFER, C.ROWS),
}
"""Of an item: so many of so many."""
_ALWAYS: Final = frozenset({Finding.CONTRADICTED, Finding.DATES_DIFFER})
"""Said of however few rows."""
DEFECTS: Final[dict[Finding, tuple[C, ...]]] = {
    Finding.NO_AVAILABLE: (C.NO_AVAILABLE,),
    Finding.NO_REGION: (C.NO_REGION,),
    Finding.NO_REFERENCE: (C.NO_REFERENCE,),
    Finding.INVALID: (C.FUTURE, C.BEFORE_BIRTH, C.BEFORE_EVENT, C.BAD_REGION, C.BAD_TERM),
    Finding.CONTRADICTED: (C.CONTRADICTED,),
    Finding.DATES_DIFFER: (C.DATES_DIFFER,),
}
"""The examples that go with a finding."""


class Bound(NamedTuple):
    """From when on a share of a thousand is a finding, and a severe one."""

    above: int
    severe: int


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What stands in quality.yaml."""

    version: str
    least_rows: int
    least_lookups: int
    dates_differ_days: int
    bounds: Mapping[Finding, Bound]

    @staticmethod
    def parse(data: bytes, origin: str) -> Thresholds:
        """Read a file.

        Raises:
            ConfigError: it is not YAML, or a setting is unknown, missing, repeated or out of range.
        """
        root = Section.parse(data, origin)
        version = root.text("version", 64)
        rows, lookups = root.integer("least_rows", 1, 1_000_000), root.integer("least_lookups", 1, 1_000_000)
        differ = root.integer("dates_differ_days", 0, 366)
        listed = root.section("findings")
        bounds = {}
        for finding in Finding:
            entry = listed.section(finding.name)
            above = entry.integer("above", 0, THOUSAND)
            bounds[finding] = Bound(above, entry.integer("severe", above, THOUSAND))
            entry.close()
        listed.close()
        root.close()
        return Thresholds(version, rows, lookups, differ, bounds)


class Found(NamedTuple):
    """A finding: `some` of `whole`, and where it stands."""

    key: Key
    finding: Finding
    grade: Grade
    some: int
    whole: int


class Quality(NamedTuple):
    """One item or source in one month, in shares of a thousand; -1 where there is nothing to tell."""

    key: Key
    rows: int
    complete: int
    valid: int
    timely: int
    consistent: int
    median_days: int
    p95_days: int
    age_median_days: int


def quality_of(key: Key, counts: Counts) -> Quality:
    """The shares and percentiles of counters."""
    rows = int(counts[C.ROWS])
    cells = 3 * rows + int(counts[C.REFERENCES]) + int(counts[C.TERMS])
    lacking = sum(int(counts[place]) for place in (C.NO_DAY, C.NO_AVAILABLE, C.NO_REGION, C.NO_REFERENCE, C.NO_TERM))
    odd = int(counts[C.CONTRADICTED]) + int(counts[C.DATES_DIFFER])
    return Quality(
        key,
        rows,
        complete=_share(cells - lacking, cells),
        valid=_share(rows - int(counts[C.INVALID]), rows),
        timely=_share(int(counts[C.AGREED]) - int(counts[C.LATE]), int(counts[C.AGREED])),
        consistent=_share(max(0, rows - odd), rows),
        median_days=_days(counts, C.DELAY, 50),
        p95_days=_days(counts, C.DELAY, 95),
        age_median_days=_days(counts, C.AGE, 50),
    )


def answered(counts: Counts) -> int:
    """The share of lookups that were answered, of a thousand; -1 where there was none."""
    return _share(int(counts[C.ANSWERED]), int(counts[C.LOOKUPS]))


def known(counts: Counts) -> int:
    """The share of people asked about whom the source knows, of a thousand; -1 where nobody was asked about."""
    return _share(int(counts[C.KNOWN]), int(counts[C.ASKED]))


def findings_of(now: Mapping[Key, Counts], before: Mapping[Key, Counts], thresholds: Thresholds) -> list[Found]:
    """What crosses a threshold, the severe ones first.

    Args:
        now: the counters of a month.
        before: those of the month before, for what fell.
        thresholds: the bounds.
    """
    earlier = {key.adapter: counts for key, counts in before.items() if key.kind == 0}
    found: list[Found] = []
    for key, counts in now.items():
        found += _of_source(key, counts, earlier.get(key.adapter), thresholds) if key.kind == 0 else []
        found += _of_item(key, counts, thresholds) if key.kind else []
    return sorted(found, key=lambda one: (-one.grade, one.key.adapter, one.key.kind, one.key.region, one.finding))


def _of_source(key: Key, counts: Counts, earlier: Counts | None, thresholds: Thresholds) -> Iterable[Found]:
    lookups = int(counts[C.LOOKUPS])
    if lookups >= thresholds.least_lookups:
        yield from _judged(key, Finding.UNANSWERED, lookups - int(counts[C.ANSWERED]), lookups, thresholds)
    numbers = int(counts[C.NUMBERS])
    if numbers >= thresholds.least_rows:
        yield from _judged(key, Finding.ILL_FORMED, int(counts[C.ILL_FORMED]), numbers, thresholds)
    if int(counts[C.TAKEN_IN]) >= thresholds.least_rows:
        yield from _judged(key, Finding.REJECTED, int(counts[C.REJECTED]), int(counts[C.TAKEN_IN]), thresholds)
    asked = int(counts[C.ASKED])
    if earlier is None or asked < thresholds.least_rows or int(earlier[C.ASKED]) < thresholds.least_rows:
        return
    expected = asked * int(earlier[C.KNOWN]) // int(earlier[C.ASKED])
    if expected >= thresholds.least_rows:
        yield from _judged(key, Finding.KNOWN_FELL, max(0, expected - int(counts[C.KNOWN])), expected, thresholds)


def _of_item(key: Key, counts: Counts, thresholds: Thresholds) -> Iterable[Found]:
    for finding, (some, whole) in _SHARES.items():
        if int(counts[whole]) >= thresholds.least_rows or (finding in _ALWAYS and int(counts[whole])):
            yield from _judged(key, finding, int(counts[some]), int(counts[whole]), thresholds)


def _judged(key: Key, finding: Finding, count: int, whole: int, thresholds: Thresholds) -> Iterable[Found]:
    bound = thresholds.bounds[finding]
    if count * THOUSAND > bound.above * whole:
        severe = count * THOUSAND > bound.severe * whole
        yield Found(key, finding, Grade.SEVERE if severe else Grade.NOTABLE, count, whole)


def by_item(rows: Mapping[Key, Counts]) -> dict[Key, Counts]:
    """The counters of all places of an item together."""
    gathered: dict[Key, list[Counts]] = {}
    for key, counts in rows.items():
        gathered.setdefault(key._replace(region=0), []).append(counts)
    return {key: total(parts) for key, parts in sorted(gathered.items())}


def month_before(month: int, by: int = 1) -> int:
    """The month so many before one, as 202612."""
    number = month // 100 * 12 + month % 100 - 1 - by
    return number // 12 * 100 + number % 12 + 1


def months_until(month: int, count: int) -> Sequence[int]:
    """So many months up to one, from the earliest."""
    return [month_before(month, by) for by in range(count - 1, -1, -1)]


def _share(part: int, whole: int) -> int:
    return part * THOUSAND // whole if whole else -1


def _days(counts: Counts, first: int, percent: int) -> int:
    found = percentile(counts, first, percent)
    return -1 if found is None else found
