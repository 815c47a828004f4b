"""The rule file, read once, checked and frozen: every parameter of the rules, its version and its digest.

Owns: what the settings are called, their bounds, and the errors for wrong ones. Refuses: files (bytes are handed in),
and deciding anything about a person.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from gateway.rules.caching import Caching, read_caching
from gateway.rules.deciding import Transitions, read_transitions
from gateway.rules.exclusions import Exclusions, read_exclusions
from gateway.rules.kinds import (
    DEPARTMENT_SLOTS,
    DEPARTMENTS,
    FLAGS,
    KINDS,
    PENAL_KINDS,
    KindTable,
    names,
    read_kinds,
)
from gateway.rules.names import fold_variants, name_key
from gateway.rules.purposes import ANYBODY, NOTHING, Disclosure, Scope, read_disclosures, scope_of
from gateway.rules.reading import Section
from gateway.rules.reasons import ReasonCode, ReasonText
from gateway.wording import DEPARTMENTS as DEPARTMENT_WORDS
from gateway.wording import KINDS as KIND_WORDS
from gateway.wording import Word
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

FLAG_SLOTS: Final = 32
BENEFIT_SLOTS: Final = 32
STATUS_SLOTS: Final = 16

STATUSES: Final = names(dict(answer_words.SurvivalStatus.items()), "SURVIVAL_STATUS_")
BENEFITS: Final = names(dict(answer_words.BenefitType.items()), "BENEFIT_TYPE_")
_STRENGTHS: Final = names(dict(words.Strength.items()), "STRENGTH_")
_ALIVE: Final = {name: number for name, number in STATUSES.items() if name.startswith("ALIVE_")}
_PROPOSALS: Final = {
    name: number
    for name, number in names(dict(answer_words.CertificationStatus.items()), "CERTIFICATION_STATUS_").items()
    if number not in (answer_words.CERTIFICATION_STATUS_STOPPED, answer_words.CERTIFICATION_STATUS_RESTORED)
}
_PERCENT: Final = 100
"""Weights and ages are percentages both; points are kept multiplied by one of them, to stay whole."""
_UNKNOWN: Final = words.PURPOSE_UNSPECIFIED
_NO_WORD: Final = Word("", "")
_PLACES: Final = re.compile(r"\{(?:department|kind|on|number)\}")


class Effect:
    """What a fact does to a benefit; the order is that of precedence. Plain numbers, as in kinds.py."""

    NONE: Final = 0
    NOTE: Final = 1
    REVIEW: Final = 2
    SUSPENDS: Final = 3
    ENDS: Final = 4


_EFFECTS: Final[dict[str, int]] = {
    "note": Effect.NOTE,
    "review": Effect.REVIEW,
    "suspends": Effect.SUSPENDS,
    "ends": Effect.ENDS,
}


@dataclass(frozen=True, slots=True)
class Grading:
    """Thresholds of strong and medium: days and Strength numbers as in the rule file, points times a hundred.

    `source` is by Department: those that are not independent of each other have the same.
    """

    cycle_days: int
    age_percent: NDArray[np.int32]
    strong_departments: int
    strong_anchor_strength: int
    strong_anchor_days: int
    medium_anchor_strength: int
    medium_anchor_days: int
    medium_departments: int
    medium_points: int
    best_when_silent: int
    source: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Death:
    """How deaths and disappearances are weighed."""

    grace_days: int
    late_after_days: int
    supported_within_days: int
    refuted_from: int
    missing_answered_from: int


@dataclass(frozen=True, slots=True, eq=False)
class RuleBook:
    """All rules of one version. Made by `parse`; nothing of it changes afterwards.

    Args:
        version: the file's own version.
        digest: SHA-256 of the file's bytes.
        kinds: the table of evidence kinds.
        grading, death: thresholds.
        valid_days: days an answer may be relied on, by SurvivalStatus.
        partial_valid_days: the same at most when a source did not answer.
        effects: Effect by (benefit, flag).
        relevant_flags: bits of the flags that an answer for a benefit may carry, by benefit.
        aged_out_age, aged_out_until_age, aged_out_told_until_age: full years.
        before_start: by EntitlementFlag, whether a fact of before the benefit began does not count.
        start_unknown: the same, whether an official looks first where it is not known since when the benefit is paid.
        start_matters: by benefit, whether it depends on a fact of `before_start`: others need not say since when.
        start_look_back_days: by benefit, the shortest look-back of such a fact, 0: none has any. Who does not go by the
            start of a benefit tells nothing older.
        proposals: CertificationStatus by SurvivalStatus.
        verify_within_days: for a SUSPECT.
        transitions: which act of an official, a visitor or a face check leads where.
        reason_texts: by ReasonCode.
        audience: what opens `Scope.gate`, by benefit: the flags it depends on, and ANYBODY.
        lasting_flags: bits of the flags that do not pass by themselves; see `notifying.py`.
        lasting_records: kinds of penal records that are kept when what they order is over; see there too.
        caching: how long answers may be used again.
        exclusions: which benefits exclude each other.
    """

    version: str
    digest: bytes
    kinds: KindTable
    grading: Grading
    death: Death
    valid_days: NDArray[np.int32]
    partial_valid_days: int
    effects: NDArray[np.uint8]
    relevant_flags: NDArray[np.uint32]
    aged_out_age: int
    aged_out_until_age: int
    aged_out_told_until_age: int
    before_start: NDArray[np.bool_]
    start_unknown: NDArray[np.bool_]
    start_matters: NDArray[np.bool_]
    start_look_back_days: NDArray[np.int32]
    proposals: NDArray[np.int32]
    verify_within_days: int
    transitions: Transitions
    reason_texts: Mapping[int, ReasonText]
    audience: NDArray[np.uint32]
    lasting_flags: int
    lasting_records: frozenset[int]
    caching: Caching
    exclusions: Exclusions
    _disclosures: Mapping[int, Disclosure]
    _scopes: Mapping[int, Scope]
    _variants: Mapping[int, str]

    @staticmethod
    def parse(data: bytes, origin: str) -> RuleBook:
        """Read a rule file.

        Args:
            data: its bytes, UTF-8 YAML.
            origin: what to call it in messages, usually its path.

        Raises:
            ConfigError: the file is not YAML, or a setting is unknown, missing, repeated or out of range; `field` is
                the path of the setting.
        """
        root = Section.parse(data, origin)
        version = root.text("version", 64)
        grading, points = _grading(root)
        kinds = read_kinds(root.section("kinds"), points, grading.cycle_days)
        death = _death(root)
        valid_days, partial_valid_days = _valid_days(root.section("valid_days"))
        effects, relevant = _benefits(root)
        aged = root.section("aged_out")
        age = aged.integer("age", 1, 120)
        until_age = aged.integer("until_age", age + 1, 200)
        told_until_age = aged.integer("told_until_age", until_age, 200)
        aged.close()
        before_start = np.isin(np.arange(FLAG_SLOTS), root.choices("before_start", FLAGS))
        start_unknown = np.isin(np.arange(FLAG_SLOTS), root.choices("start_unknown", FLAGS))
        if (start_unknown & ~before_start).any():
            raise root.wrong("start_unknown", "name facts of before_start only", "只能列出 before_start 中的事项")
        start_matters = np.asarray((effects[:, before_start] > 0).any(axis=1), np.bool_)
        start_look_back = _start_look_back(kinds, effects, before_start)
        for table in (before_start, start_unknown, start_matters, start_look_back):
            table.flags.writeable = False
        proposals = _by_status(root.section("certification"), _PROPOSALS)
        verify_within_days = root.integer("verify_within_days", 1, 366)
        transitions = read_transitions(root.section("decisions"))
        disclosures = read_disclosures(root.section("disclosure"))
        notices = root.section("notices")
        lasting_flags = sum(1 << flag for flag in set(notices.choices("lasting_flags", FLAGS)))
        penal = {name: kind for name, kind in KINDS.items() if kind in PENAL_KINDS}
        lasting_records = frozenset(notices.choices("lasting_records", penal))
        notices.close()
        audience = relevant | np.uint32(ANYBODY)
        audience.flags.writeable = False
        book = RuleBook(
            version=version,
            digest=hashlib.sha256(data).digest(),
            kinds=kinds,
            grading=grading,
            death=death,
            valid_days=valid_days,
            partial_valid_days=partial_valid_days,
            effects=effects,
            relevant_flags=relevant,
            aged_out_age=age,
            aged_out_until_age=until_age,
            aged_out_told_until_age=told_until_age,
            before_start=before_start,
            start_unknown=start_unknown,
            start_matters=start_matters,
            start_look_back_days=start_look_back,
            proposals=proposals,
            verify_within_days=verify_within_days,
            transitions=transitions,
            reason_texts=_reason_texts(root.section("reasons")),
            audience=audience,
            lasting_flags=lasting_flags,
            lasting_records=lasting_records,
            caching=read_caching(root.section("cache")),
            exclusions=read_exclusions(root.section("exclusions"), BENEFITS, BENEFIT_SLOTS),
            _disclosures=disclosures,
            _scopes=MappingProxyType(
                {purpose: scope_of(allowed, kinds) for purpose, allowed in [(_UNKNOWN, NOTHING), *disclosures.items()]}
            ),
            _variants=_variants(root.section("name_variants")),
        )
        root.close()
        return book

    def disclosure(self, purpose: int) -> Disclosure:
        """What an answer for this Purpose may carry; nothing for an unknown one."""
        return self._disclosures.get(purpose, NOTHING)

    def scope(self, purpose: int) -> Scope:
        """The same as tables."""
        return self._scopes.get(purpose) or self._scopes[_UNKNOWN]

    @staticmethod
    def department_name(department: int, language: Literal["zh", "en"]) -> str:
        """A department's name, "" where the number is unknown."""
        word = DEPARTMENT_WORDS.get(department, _NO_WORD)
        return word.en if language == "en" else word.zh

    @staticmethod
    def kind_name(kind: int, language: Literal["zh", "en"]) -> str:
        """An evidence kind's name, "" where the number is unknown."""
        word = KIND_WORDS.get(kind, _NO_WORD)
        return word.en if language == "en" else word.zh

    def name_key(self, name: str) -> str:
        """What a name is compared by; see `names.name_key`."""
        return name_key(name, self._variants)

    @property
    def replaced_ideographs(self) -> list[str]:
        """The characters from U+4E00 to U+9FFF that names are not compared by as they stand."""
        return [chr(code) for code in self._variants if 0x4E00 <= code <= 0x9FFF]

    def names_match(self, asked: str, held: str) -> bool:
        """Whether the name asked under may be that of the person whom a register holds.

        A name that the register does not have contradicts nothing. One that was asked under and says nothing (a blank,
        a dot) is nobody's: it would fit everybody.
        """
        if asked == held or not asked:
            return True
        known = self.name_key(held)
        return not known or known == self.name_key(asked)


def _grading(root: Section) -> tuple[Grading, dict[int, int]]:
    section = root.section("grading")
    cycle = section.integer("cycle_days", 30, 3660)
    by_strength = section.section("strength_points")
    points = {number: by_strength.integer(name, 0, 100) for name, number in _STRENGTHS.items()}
    by_strength.close()
    if sorted(points.values()) != list(points.values()):
        raise by_strength.wrong("", "must not fall from LEAD to IN_PERSON", "从线索到本人到场不得递减")
    percent = np.zeros(cycle + 2, np.int32)
    start, highest = 0, 100
    for band in section.sections("age_percent"):
        end = band.integer("days", start, cycle)
        highest = band.integer("percent", 0, highest)
        band.close()
        percent[start : end + 1] = highest
        start = end + 1
    percent.flags.writeable = False
    strong, medium, silence = section.section("strong"), section.section("medium"), root.section("silence")
    grading = Grading(
        cycle_days=cycle,
        age_percent=percent,
        strong_departments=strong.integer("departments", 1, len(DEPARTMENTS)),
        strong_anchor_strength=strong.choice("anchor_strength", _STRENGTHS),
        strong_anchor_days=strong.integer("anchor_days", 1, cycle),
        medium_anchor_strength=medium.choice("anchor_strength", _STRENGTHS),
        medium_anchor_days=medium.integer("anchor_days", 1, cycle),
        medium_departments=medium.integer("departments", 1, len(DEPARTMENTS)),
        medium_points=medium.integer("points", 1, 1_000_000) * _PERCENT,
        best_when_silent=silence.choice("best_status", _ALIVE),
        source=_sources(section.section("one_source")),
    )
    for part in (strong, medium, silence, section):
        part.close()
    if grading.strong_anchor_days > grading.medium_anchor_days:
        raise medium.wrong("anchor_days", "must not be below strong.anchor_days", "不得小于 strong.anchor_days")
    if grading.medium_anchor_strength > grading.strong_anchor_strength:
        raise medium.wrong(
            "anchor_strength", "must not be above strong.anchor_strength", "不得高于 strong.anchor_strength"
        )
    return grading, points


def _sources(section: Section) -> NDArray[np.int64]:
    """By Department, the one of its group that stands for all of them; itself where it is in none."""
    source = np.arange(DEPARTMENT_SLOTS, dtype=np.int64)
    grouped: set[int] = set()
    for name in section:
        members = section.choices(name, DEPARTMENTS)
        if not grouped.isdisjoint(members) or len(set(members)) != len(members):
            raise section.wrong(name, "holds a department that stands in a group already", "其中的部门已归入某一组")
        grouped.update(members)
        source[list(members)] = min(members, default=0)
    section.close()
    source.flags.writeable = False
    return source


def _death(root: Section) -> Death:
    section, missing = root.section("death"), root.section("missing")
    death = Death(
        grace_days=section.integer("grace_days", 0, 30),
        late_after_days=section.integer("late_after_days", 1, 36_525),
        supported_within_days=section.integer("supported_within_days", 0, 36_525),
        refuted_from=section.choice("refuted_from", _STRENGTHS),
        missing_answered_from=missing.choice("answered_from", _STRENGTHS),
    )
    section.close()
    missing.close()
    return death


def _by_status(section: Section, choices: Mapping[str, int]) -> NDArray[np.int32]:
    column = np.zeros(STATUS_SLOTS, np.int32)
    for name, number in STATUSES.items():
        column[number] = section.choice(name, choices)
    section.close()
    column.flags.writeable = False
    return column


def _valid_days(section: Section) -> tuple[NDArray[np.int32], int]:
    column = np.zeros(STATUS_SLOTS, np.int32)
    for name, number in STATUSES.items():
        column[number] = section.integer(name, 0, 366)
    partial = section.integer("partial", 0, 366)
    section.close()
    column.flags.writeable = False
    return column, partial


def _benefits(root: Section) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    always, benefits = root.section("always_flags"), root.section("benefits")
    effects = np.zeros((BENEFIT_SLOTS, FLAG_SLOTS), np.uint8)
    for name in always:
        effects[:, always.one_of(name, name, FLAGS)] = always.choice(name, _EFFECTS)
    for benefit, number in BENEFITS.items():
        section = benefits.section(benefit)
        for name in section:
            effects[number, section.one_of(name, name, FLAGS)] = section.choice(name, _EFFECTS)
    benefits.close()
    bits = np.uint32(1) << np.arange(FLAG_SLOTS, dtype=np.uint32)
    relevant = np.where(effects > 0, bits, np.uint32(0)).sum(axis=1, dtype=np.uint32)
    effects.flags.writeable = relevant.flags.writeable = False
    return effects, relevant


def _start_look_back(
    kinds: KindTable, effects: NDArray[np.uint8], before_start: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """By benefit, the shortest look-back of the facts of before_start that it depends on; 0 where none has any."""
    shortest = np.zeros(BENEFIT_SLOTS, np.int32)
    bounded = (kinds.look_back_days > 0) & before_start[kinds.flag]
    for kind in np.flatnonzero(bounded).tolist():
        days = kinds.look_back_days[kind]
        depends = effects[:, kinds.flag[kind]] > 0
        shortest = np.where(depends & ((shortest == 0) | (days < shortest)), days, shortest)
    return shortest.astype(np.int32)


def _reason_texts(section: Section) -> Mapping[int, ReasonText]:
    texts: dict[int, ReasonText] = {}
    for code in ReasonCode:
        entry = section.section(code.name)
        text = ReasonText(int(code), code.name, entry.text("zh"), entry.text("en"))
        entry.close()
        for language, template in (("zh", text.zh), ("en", text.en)):
            if re.search(r"[{}]", _PLACES.sub("", template)):
                places = "{department}, {kind}, {on}, {number}"
                raise entry.wrong(language, f"places are {places}", f"占位符只能是 {places}")
        texts[int(code)] = text
    section.close()
    return MappingProxyType(texts)


def _variants(section: Section) -> Mapping[int, str]:
    table: dict[str, str] = {}
    for name in section:
        target = section.text(name, 1)
        if len(name) != 1 or target == name:
            raise section.wrong(name, "write one character for another", "应为一个字对应另一个字")
        table[name] = target
    section.close()
    chained = next((name for name, target in table.items() if target in table), None)
    if chained is not None:
        raise section.wrong(chained, "is read as a character that is itself replaced", "对应的字本身又被替换")
    return fold_variants(table)
