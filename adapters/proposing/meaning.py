"""Which column of a sample is what, and which evidence its rows are; every guess with how sure it is, and why.

Owns: weighing names of columns against what their values look like. Refuses: being sure without a reason, and handing
on any value that may be somebody's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from adapters.asked import normal
from adapters.manifest.usual import USUAL_KINDS
from adapters.mapping import FROM_KINDS, REGION_DETAIL_KINDS, UNTIL_KINDS
from adapters.proposing import words as named
from adapters.proposing.samples import Column, Sample, SampleError
from adapters.proposing.shapes import AMBIGUOUS, PROVINCES, Shape, shape_of
from adapters.proposing.words import MEANINGS, Meaning, spoken
from adapters.values import text_of
from wugan.adapter.v1 import vocabulary_pb2 as words

_MOSTLY: Final = 0.6
_NEARLY: Final = 0.95
_TABLE_WEIGHT: Final = 3
"""What a table or file is called says more than what one of its columns is called."""


_OWN_CITY: Final = re.compile(r"[A-Za-z]{0,4}(\d{4})", re.ASCII)
"""A department's own code of a prefecture: the first four digits of GB/T 2260, maybe with letters before."""
_FIRST_EVENT: Final = 100
"""Kinds from here on are events (vocabulary.proto)."""


class Sure(IntEnum):
    """How sure a proposal is."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Guess:
    """One proposal: a column, or a word of the manifest, and why; `en` and `zh` name no value of the sample."""

    value: str
    sure: Sure
    en: str
    zh: str


@dataclass(slots=True)
class Understood:
    """What a sample seems to be.

    Args:
        sample: which.
        identity, name, observed, available, region, reference, since, until, penalty, other_place: columns.
        kind: Meaning of its rows, None: nothing is known, so that it is a register.
        kind_why: why.
        codes: column of codes and code → kind, "ignore" where the code says nothing to us.
        unread: other columns of codes, with codes that say nothing to us.
        only: column of a status, the values that count, and whether they are the ones or all but them.
        links: columns of an old and a new number, where the sample holds both.
        shapes: of every column.
        freshness_days: within which nearly everything was there.
        region_codes: the department's own codes → GB/T 2260.
        province: in which most rows are, 0: not told.
    """

    sample: Sample
    shapes: dict[str, Shape]
    identity: Guess
    name: Guess | None = None
    observed: Guess | None = None
    available: Guess | None = None
    region: Guess | None = None
    region_codes: dict[str, int] = field(default_factory=dict)
    reference: Guess | None = None
    since: Guess | None = None
    until: Guess | None = None
    penalty: Guess | None = None
    other_place: Guess | None = None
    kind: Meaning | None = None
    kind_why: Guess | None = None
    codes: tuple[str, dict[str, str]] | None = None
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict)
    only: tuple[str, tuple[str, ...], bool, Sure] | None = None
    links: tuple[str, str] | None = None
    freshness_days: int = 31
    freshness_told: bool = False
    province: int = 0


@dataclass(frozen=True, slots=True)
class Department:
    """All samples together: the department, its regions, and each record set."""

    number: int
    why: Guess
    regions: tuple[int, ...]
    regions_told: bool
    records: tuple[Understood, ...]


def understand(samples: Sequence[Sample], regions: tuple[int, ...], language: str) -> Department:
    """What the samples seem to be.

    Raises:
        SampleError: none has a column of resident numbers.
    """
    del language  # both stand side by side; who writes chooses
    records = [found for sample in samples if (found := _one(sample)) is not None]
    if not records:
        raise SampleError(
            "no column holds resident identity numbers with right check digits; a manifest needs one",
            "没有一列是校验码正确的公民身份号码；清单须有身份号码列",
        )
    number, why = _department(records)
    for record in records:
        _fit(record, number)
    provinces = Counter(record.province for record in records if record.province)
    told = tuple(regions) or tuple(code for code, _ in provinces.most_common(1))
    return Department(number, why, told or (110000,), bool(told), tuple(records))


def _one(sample: Sample) -> Understood | None:
    shapes = {column.name: shape_of(column.values) for column in sample.columns}
    by_name = {column.name: column for column in sample.columns}
    found = _identity(shapes)
    if found is None:
        return None
    identity, others = found
    record = Understood(sample, shapes, identity)
    taken = {identity.value, *others}
    record.links = _links(identity.value, others)
    record.name = _best(shapes, taken, named.NAME, lambda shape: shape.person >= 0.5, "汉字姓名", "Chinese names")
    taken |= _columns(record.name)
    _dates(record, by_name, taken)
    _regions(record, by_name, taken)
    record.penalty = _words_in(shapes, taken, named.PENALTIES)
    taken |= _columns(record.penalty)
    _kind(record, taken)
    _status(record, taken)
    record.reference = _reference(shapes, taken)
    _unread(record, taken)
    return record


def _identity(shapes: dict[str, Shape]) -> tuple[Guess, list[str]] | None:
    """The person's column, and other columns of numbers."""
    able = [name for name, shape in shapes.items() if shape.identity >= _MOSTLY]
    if not able:
        return None

    def rank(name: str) -> tuple[bool, bool, int, float]:
        stranger = bool(spoken(name, named.NOT_THE_PERSON)) and not name.startswith("被")
        return not stranger, not spoken(name, named.OLD), spoken(name, named.IDENTITY), shapes[name].identity

    best = max(able, key=rank)
    shape = shapes[best]
    alone = len(able) == 1
    sure = Sure.HIGH if shape.identity >= _NEARLY and alone else Sure.MEDIUM if shape.identity >= 0.8 else Sure.LOW
    share, wrong = round(100 * shape.identity), round(100 * shape.damaged)
    en = f"{share} % of its values are resident numbers with right check digits"
    zh = f"{share}% 的值为校验码正确的公民身份号码"
    if wrong:
        en, zh = f"{en}, {wrong} % have a wrong one", f"{zh}，{wrong}% 校验码有误"
    if not alone:
        listed = ", ".join(name for name in able if name != best)
        en, zh = f"{en}; also numbers: {listed}", f"{zh}；另有号码列：{listed}"
    return Guess(best, sure, en, zh), [name for name in able if name != best]


def _links(identity: str, others: Sequence[str]) -> tuple[str, str] | None:
    old = next((name for name in [identity, *others] if spoken(name, named.OLD)), None)
    rest = [name for name in [identity, *others] if name != old]
    return (old, rest[0]) if old is not None and rest else None


def _columns(guess: Guess | None) -> set[str]:
    return {guess.value} if guess is not None else set()


def _best(
    shapes: dict[str, Shape], taken: set[str], listed: named.Words, fits: Callable[[Shape], bool], zh: str, en: str
) -> Guess | None:
    """The column whose values fit and whose name fits best."""
    able = [name for name, shape in shapes.items() if name not in taken and shape.filled and fits(shape)]
    able = [name for name in able if not (spoken(name, named.NOT_THE_PERSON) and not name.startswith("被"))] or able
    if not able:
        return None
    best = max(able, key=lambda name: (spoken(name, listed), shapes[name].share_filled))
    by_name = spoken(best, listed) > 0
    sure = Sure.HIGH if by_name and len(able) == 1 else Sure.MEDIUM if by_name else Sure.LOW
    return Guess(
        best,
        sure,
        f"its values look like {en}" + (", and it is called so" if by_name else ""),
        f"值的形式为{zh}" + ("，列名相符" if by_name else ""),
    )


# dates


def _dates(record: Understood, by_name: dict[str, Column], taken: set[str]) -> None:
    shapes = record.shapes
    able = [name for name, shape in shapes.items() if name not in taken and (shape.formats or shape.native)]
    able = [name for name in able if not _accident(name, shapes[name])]
    born = [normal(text_of(value))[6:14] for value in by_name[record.identity.value].values]
    able = [name for name in able if not (spoken(name, named.BIRTH) or _is_birth(shapes[name], born))]

    def pick(listed: named.Words) -> str | None:
        scored = [(spoken(name, listed), -place, name) for place, name in enumerate(able) if spoken(name, listed)]
        return max(scored)[2] if scored else None

    for listed, setting in ((named.FROM, "since"), (named.UNTIL, "until")):
        if (name := pick(listed)) is not None and len(able) > 1:
            able.remove(name)
            setattr(record, setting, Guess(name, Sure.MEDIUM, "a date that is called so", "日期列，列名相符"))
    available = pick(named.AVAILABLE) if len(able) > 1 else None
    rest = [name for name in able if name != available]
    if not rest:
        return
    observed = max(rest, key=lambda name: (_called_date(name), shapes[name].share_filled))
    called = _called_date(observed) > 0
    if available is None and len(rest) > 1:
        available = _later(observed, [name for name in rest if name != observed], shapes)
    clear = called and len(rest) == 1 and not set(shapes[observed].formats) & AMBIGUOUS
    sure = Sure.HIGH if clear else Sure.MEDIUM if called else Sure.LOW
    read = round(100 * (1 - shapes[observed].undated))
    en, zh = f"{read} % of its values read as dates", f"{read}% 的值可按所列格式读为日期"
    if len(rest) > 1:
        further = ", ".join(name for name in rest if name != observed)
        en, zh = f"{en}; other dates: {further}", f"{zh}；另有日期列：{further}"
    record.observed = Guess(observed, sure, en, zh)
    if available is not None:
        by = spoken(available, named.AVAILABLE) > 0
        record.available = Guess(
            available,
            Sure.MEDIUM if by else Sure.LOW,
            "a later date" + (" that is called so" if by else ", never before the event"),
            "较晚的日期" + ("，列名相符" if by else "，不早于发生日期"),
        )
        _freshness(record)


def _called_date(name: str) -> int:
    """How well a name fits the day of an event; one that merely ends as dates do fits a little."""
    return spoken(name, named.OBSERVED) or int(name.lower().endswith(named.DATE_ENDINGS))


def _accident(name: str, shape: Shape) -> bool:
    """Whether numbers only happen to read as dates: nothing calls them dates, and they are all there is."""
    called = max(_called_date(name), *(spoken(name, listed) for listed in (named.AVAILABLE, named.FROM, named.UNTIL)))
    return not shape.native and set(shape.formats) <= AMBIGUOUS and not called


def _is_birth(shape: Shape, born: Sequence[str]) -> bool:
    """Whether a date is the person's day of birth, which the number tells anyway."""
    import datetime as dt

    pairs = [(day, text) for day, text in zip(shape.days, born, strict=True) if day and text.isdigit()]
    same = sum((dt.date(1970, 1, 1) + dt.timedelta(days=day)).strftime("%Y%m%d") == text for day, text in pairs)
    return bool(pairs) and same >= 0.8 * len(pairs)


def _later(observed: str, others: Sequence[str], shapes: dict[str, Shape]) -> str | None:
    """A date that is hardly ever before the event, and there for nearly every row."""
    event = shapes[observed].days
    for name in others:
        pairs = [(one, two) for one, two in zip(event, shapes[name].days, strict=True) if one and two]
        if len(pairs) >= _NEARLY * shapes[observed].filled and sum(two >= one for one, two in pairs) >= _NEARLY * len(
            pairs
        ):
            return name
    return None


def _freshness(record: Understood) -> None:
    """Days within which nineteen of twenty rows were there."""
    if record.observed is None or record.available is None:
        return
    event, there = record.shapes[record.observed.value].days, record.shapes[record.available.value].days
    late = sorted(two - one for one, two in zip(event, there, strict=True) if one and two and two >= one)
    if late:
        record.freshness_days = min(3660, max(1, late[min(len(late) - 1, int(len(late) * 0.95))]))
        record.freshness_told = True


# places


def _regions(record: Understood, by_name: dict[str, Column], taken: set[str]) -> None:
    used = (
        taken | _columns(record.observed) | _columns(record.available) | _columns(record.since) | _columns(record.until)
    )
    able = [name for name, shape in record.shapes.items() if name not in used and shape.region >= _NEARLY]
    other = [name for name in able if spoken(name, named.OTHER_PLACE)]
    mine = [name for name in able if name not in other]
    if other:
        record.other_place = Guess(other[0], Sure.MEDIUM, "codes of another place", "为另一地的区划代码")
    if mine:
        best = max(mine, key=lambda name: (spoken(name, named.REGION), record.shapes[name].share_filled))
        sure = Sure.HIGH if spoken(best, named.REGION) else Sure.MEDIUM
        record.region = Guess(best, sure, "codes of GB/T 2260", "值为 GB/T 2260 行政区划代码")
        counted = Counter(text_of(value)[:2] for value in by_name[best].values if text_of(value))
        record.province = int(counted.most_common(1)[0][0]) * 10_000
        return
    for name, shape in record.shapes.items():
        if name in used or not spoken(name, named.REGION) or not shape.codes:
            continue
        own = {
            code: int(found[0]) * 100 for code in shape.codes if (found := re.findall(r"^[A-Za-z]{0,4}(\d{4})$", code))
        }
        if len(own) == len(shape.codes) and all(str(code)[:2] in PROVINCES for code in own.values()):
            record.region, record.region_codes = (
                Guess(name, Sure.MEDIUM, "own codes of prefectures", "部门自有地市代码"),
                own,
            )
            places = Counter(own[text] // 10_000 for value in by_name[name].values if (text := text_of(value)) in own)
            record.province = places.most_common(1)[0][0] * 10_000
            return


# what a row is


def _words_in(shapes: dict[str, Shape], taken: set[str], table: dict[str, str]) -> Guess | None:
    """A column whose codes nearly all stand in a table of ours."""
    for name, shape in shapes.items():
        if name not in taken and shape.codes and sum(code in table for code in shape.codes) >= 0.7 * len(shape.codes):
            return Guess(name, Sure.HIGH, "kinds of penalty", "值为刑种")
    return None


def _kind(record: Understood, taken: set[str]) -> None:
    """Which evidence a row is: by codes where they speak, else by what table and columns are called."""
    scores: Counter[int] = Counter()
    label = re.sub(r"\d", "", record.sample.label)
    place = str(record.sample.place.get("rows", ""))
    for order, meaning in enumerate(MEANINGS):
        said = _TABLE_WEIGHT * max(spoken(label, meaning.words), spoken(place, meaning.words) if place != "." else 0)
        said += max((spoken(name, meaning.words) for name in record.shapes), default=0)
        if said:
            scores[order] = said
    if record.penalty is not None:
        scores[_order(words.EVIDENCE_KIND_SENTENCE)] += 20
    codes = _coded(record, taken)
    if codes is not None:
        record.codes = codes
        kinds = [word for word in codes[1].values() if word != "ignore"]
        first = _meaning_of(kinds[0])
        listed = len(set(kinds))
        record.kind = first
        record.kind_why = Guess(
            codes[0], Sure.MEDIUM, f"{listed} kinds by its codes", f"按代码区分，共 {listed} 种证据"
        )
        return
    if scores:
        (best, most), *rest = scores.most_common(2)
        close = bool(rest) and rest[0][1] * 2 > most
        sure = Sure.LOW if close or most < 4 else Sure.MEDIUM
        record.kind = MEANINGS[best]
        record.kind_why = Guess("", sure, "by the names of table and columns", "依据表名、列名推断")


def _order(kind: int) -> int:
    return next(order for order, meaning in enumerate(MEANINGS) if meaning.kind == kind)


def _meaning_of(word: str) -> Meaning:
    kind = words.EvidenceKind.Value(f"EVIDENCE_KIND_{word}")
    return next(meaning for meaning in MEANINGS if meaning.kind == kind)


def _coded(record: Understood, taken: set[str]) -> tuple[str, dict[str, str]] | None:
    """The column of codes that tells kinds apart, and the table, where at least one code speaks."""
    used = taken | {guess.value for guess in (record.region, record.observed, record.available) if guess is not None}
    best: tuple[int, str, dict[str, str]] | None = None
    for name, shape in record.shapes.items():
        if name in used or not shape.codes or shape.formats or not _is_code(name, shape):
            continue
        medical = "med_type" in name.lower()
        table = {code: named.MEDICAL_TYPES.get(code, "ignore") if medical else _kind_word(code) for code in shape.codes}
        known = sum(word != "ignore" for word in table.values())
        if known and known * 3 >= len(table) and (best is None or known > best[0]):
            best = known, name, table
    return None if best is None else best[1:]


def _is_code(name: str, shape: Shape) -> bool:
    """Whether the values are codes that may be shown: called a type or a status, or words of ours, and no names."""
    if shape.person >= 0.5 and not any(_kind_word(code) != "ignore" for code in shape.codes):
        return False
    return bool(spoken(name, named.TYPE) or spoken(name, named.STATUS)) or all(
        _kind_word(code) != "ignore" or code in named.VALID for code in shape.codes
    )


def _kind_word(code: str) -> str:
    for meaning in MEANINGS:
        whole = not code.isascii() or code.lower() in meaning.words
        if whole and spoken(code, meaning.words) and meaning.kind != words.EVIDENCE_KIND_DEATH_REPORT:
            name = words.EvidenceKind.Name(words.EvidenceKind.ValueType(meaning.kind))
            return name.removeprefix("EVIDENCE_KIND_")
    return "ignore"


def _status(record: Understood, taken: set[str]) -> None:
    """Which rows count at all, where a column of a status says so."""
    used = taken | ({record.codes[0]} if record.codes else set())
    for name, shape in record.shapes.items():
        if name in used or not spoken(name, named.STATUS) or not shape.codes or not _is_code(name, shape):
            continue
        parts = set(named.parts_of(name))
        if parts & {"vali", "valid", "yxbz"} and "1" in shape.codes:
            record.only = name, ("1",), True, Sure.MEDIUM
        elif parts & {"del", "deleted", "scbz"} and "0" in shape.codes:
            record.only = name, ("0",), True, Sure.MEDIUM
        elif wrong := tuple(
            code for code in shape.codes if named.VALID.get(code, named.VALID.get(code.upper())) is False
        ):
            record.only = name, wrong, False, Sure.MEDIUM
        else:
            continue
        return


def _unread(record: Understood, taken: set[str]) -> None:
    """Columns of codes that are called a type and that nothing was made of."""
    guesses = (record.region, record.observed, record.available, record.since, record.until, record.other_place)
    used = taken | {guess.value for guess in guesses if guess is not None}
    used |= {record.codes[0]} if record.codes else set()
    used |= {record.only[0]} if record.only else set()
    for name, shape in record.shapes.items():
        called = (spoken(name, named.TYPE) or spoken(name, named.STATUS)) and not personal(name)
        if name not in used and called and len(shape.codes) > 1 and not shape.formats and _is_code(name, shape):
            record.unread[name] = shape.codes


def personal(name: str) -> tuple[str, str] | None:
    """What a column holds of the person that evidence does not need, in English and Chinese; None: nothing known."""
    return next(((en, zh) for listed, en, zh in named.OF_THE_PERSON if spoken(name, listed)), None)


def _reference(shapes: dict[str, Shape], taken: set[str]) -> Guess | None:
    able = [
        name
        for name, shape in shapes.items()
        if name not in taken and shape.distinct > 0.98 and shape.share_filled > 0.9 and not shape.native
        and not shape.person >= 0.3 and spoken(name, named.REFERENCE) and shape.identity == 0 and not shape.damaged
    ]  # fmt: skip
    if not able:
        return None
    best = max(able, key=lambda name: (spoken(name, named.REFERENCE), shapes[name].distinct))
    return Guess(best, Sure.HIGH if len(able) == 1 else Sure.MEDIUM, "differs in every row", "各行不同")


# the department


def _department(records: Sequence[Understood]) -> tuple[int, Guess]:
    scores: Counter[int] = Counter()
    for record in records:
        kinds = {record.kind.kind} if record.kind else set()
        if record.codes:
            kinds |= {_meaning_of(word).kind for word in record.codes[1].values() if word != "ignore"}
        for number, usual in USUAL_KINDS.items():
            scores[number] += 2 * len(kinds & usual)
        for number, listed in named.DEPARTMENTS.items():
            said = [spoken(name, listed) for name in (record.sample.label, _file_of(record), *record.shapes)]
            scores[number] += min(3, sum(word > 0 for word in said))
    best, most = scores.most_common(1)[0] if scores else (0, 0)
    if not most:
        en, zh = "nothing tells the department", "样本未能说明所属部门"
        return words.DEPARTMENT_SOCIAL_INSURANCE, Guess("", Sure.LOW, en, zh)
    alone = [number for number, score in scores.items() if score == most] == [best]
    return best, Guess("", Sure.MEDIUM if alone else Sure.LOW, "it usually has such data", "此类数据通常由该部门掌握")


def _file_of(record: Understood) -> str:
    """The name of a database's file: often that of the system."""
    return re.split(r"[/?@]", str(record.sample.source.get("url", "")))[-1].partition(".")[0]


def _fit(record: Understood, department: int) -> None:
    """Leave out what the kinds of a record set cannot have."""
    kinds = {record.kind.kind} if record.kind else set()
    if record.codes:
        kinds |= {_meaning_of(word).kind for word in record.codes[1].values() if word != "ignore"}
    types = [name for name in record.unread if spoken(name, named.TYPE)]
    told_apart = bool(types) and record.codes is None and any(kind >= _FIRST_EVENT for kind in kinds)
    if record.observed is None or told_apart:
        # A register of changes is never taken for deaths as long as nobody has said which code is which.
        record.kind, record.codes = None, None
        kinds = set()
    if record.kind is not None and record.kind.kind == words.EVIDENCE_KIND_DEATH_REPORT:
        _particular_death(record, department)
    if not kinds & FROM_KINDS:
        record.since = None
    if not kinds & UNTIL_KINDS:
        record.until = None
    if not kinds & REGION_DETAIL_KINDS:
        record.other_place = None
    if words.EVIDENCE_KIND_SENTENCE not in kinds:
        record.penalty = None
    record.province = record.province or 0


def _particular_death(record: Understood, department: int) -> None:
    """A death that nothing names more closely: what this department usually records of one."""
    usual: dict[int, int] = {
        words.DEPARTMENT_HEALTH: words.EVIDENCE_KIND_DEATH_CERTIFICATE,
        words.DEPARTMENT_HEALTH_INSURANCE: words.EVIDENCE_KIND_DEATH_SETTLEMENT,
    }
    kind = usual.get(department)
    if kind is not None:
        record.kind = next(meaning for meaning in MEANINGS if meaning.kind == kind)
    record.kind_why = Guess(
        "", Sure.LOW, "a death; of which record it is, is not told", "为死亡信息，但未说明属何种记录"
    )
