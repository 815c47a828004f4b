"""Which column of a sample is what, and which evidence its rows are; every guess with how sure it is, and why.

Owns: weighing names of columns against what their values look like. Refuses: being sure without a reason, and handing
on any value that may be somebody's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from adapters.manifest.usual import USUAL_KINDS
from adapters.mapping import FROM_KINDS, REGION_DETAIL_KINDS, UNTIL_KINDS
from adapters.proposing import words as named
from adapters.proposing.days import find_days
from adapters.proposing.guesses import Department, Guess, Sure, Understood
from adapters.proposing.samples import Column, Sample, SampleError
from adapters.proposing.shapes import PROVINCES, Shape, shape_of
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
    find_days(record, by_name, taken)
    _regions(record, by_name, taken)
    record.penalty = _words_in(shapes, taken, named.PENALTIES)
    taken |= _columns(record.penalty)
    _kind(record, taken)
    if not _kinds(record) & (FROM_KINDS | UNTIL_KINDS):
        # Nothing here has a term: what is called a first or last day is a day like any other (`jzrq`: 截止, or 就诊).
        record.since = record.until = record.observed = record.available = None
        record.freshness_days, record.freshness_told = 31, False
        find_days(record, by_name, taken, terms=False)
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


def _kinds(record: Understood) -> set[int]:
    """Kinds of evidence that its rows may be, as far as is known."""
    kinds = {record.kind.kind} if record.kind else set()
    if record.codes:
        kinds |= {_meaning_of(word).kind for word in record.codes[1].values() if word != "ignore"}
    return kinds


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
    return bool(named.called_type(name) or spoken(name, named.STATUS)) or all(
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
        called = (named.called_type(name) or spoken(name, named.STATUS)) and not personal(name)
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
        kinds = _kinds(record)
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
    kinds = _kinds(record)
    types = [name for name in record.unread if named.called_type(name)]
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
