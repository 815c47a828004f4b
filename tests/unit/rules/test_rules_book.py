"""The rule file: complete, checked, and in both languages."""

import copy
import hashlib
import re

import numpy as np
import pytest
import yaml
from rules_world import BOOK

from gateway.errors import ConfigError
from gateway.rules import RULES_FILE
from gateway.rules.book import BENEFITS, RuleBook
from gateway.rules.kinds import DEPARTMENTS, KINDS
from gateway.rules.purposes import NOTHING
from gateway.rules.reasons import ReasonCode, Reasons
from gateway.rules.wording import fill, reason_texts

DOCUMENT = yaml.load(RULES_FILE.read_bytes(), yaml.CSafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def changed(path: str, value: object) -> bytes:
    """The rule file with one setting replaced, or removed where `value` is ...; keys of the path by dots."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path.split(".")
    node = document
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    if value is ...:
        del node[last]
    else:
        node[int(last) if isinstance(node, list) else last] = value
    return yaml.dump(document, Dumper=DUMPER, allow_unicode=True).encode()


def test_the_built_in_rules_carry_their_version_and_digest():
    assert BOOK.version == "2026.6"
    assert BOOK.digest == hashlib.sha256(RULES_FILE.read_bytes()).digest()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", ...),
        ("version", ""),
        ("versoin", "1"),
        ("grading.cycle_days", 5),
        ("grading.cycle_days", True),
        ("grading.cycle_days", "365"),
        ("grading.age_percent", []),
        ("grading.age_percent.1.days", 30),
        ("grading.age_percent.1.percent", 101),
        ("grading.strong.anchor_strength", "GOOD"),
        ("grading.strong.colour", "red"),
        ("grading.strength_points.WEAK", 9),
        ("grading.medium.anchor_days", 30),
        ("grading.medium.anchor_strength", "IN_PERSON"),
        ("grading.one_source", ...),
        ("grading.one_source.CERTIFYING", ["CHURCH"]),
        ("grading.one_source.TWICE", ["SOCIAL_INSURANCE", "BANKS"]),
        ("silence.best_status", "DECEASED"),
        ("exclusions", ...),
        ("exclusions.OLD_AGE", ["PENSION"]),
        ("exclusions.OLD_AGE.0", "WORK_DEATH_DEPENDANT"),
        ("exclusions.OLD_AGE.1", "EMPLOYEE_PENSION"),
        ("exclusions.old_age", []),
        ("exclusions.WORK_INJURY", []),
        ("death.grace_days", -1),
        ("missing.answered_from", ...),
        ("kinds.CREMATION", ...),
        ("kinds.CREMATION.role", "resurrection"),
        ("kinds.CREMATION.role", "penal"),
        ("kinds.PAROLE.role", "note"),
        ("kinds.CREMATION.zh", "火化"),
        ("kinds.MARRIAGE.flag", "IMPRISONED"),
        ("kinds.PHARMACY.strength", "IN_PERSON"),
        ("kinds.PHARMACY.departments", "HEALTH"),
        ("kinds.PHARMACY.departments", ["CHURCH"]),
        ("kinds.PHARMACY.use", "yes"),
        ("kinds.NEW_KIND", {}),
        ("departments", {"BANKS": {"en": "banks"}}),
        ("valid_days.UNKNOWN", 1000),
        ("valid_days.partial", ...),
        ("always_flags.HAPPY", "note"),
        ("benefits.WORK_INJURY.IMPRISONED", "hangs"),
        ("benefits.WORK_INJURY.HAPPY", "note"),
        ("benefits.LOTTERY", {}),
        ("aged_out.until_age", 18),
        ("certification.DECEASED", "STOPPED"),
        ("before_start", ...),
        ("before_start", ["MARRIED"]),
        ("start_unknown", ...),
        ("start_unknown", ["MARRIED"]),
        ("start_unknown", ["IMPRISONED"]),
        ("aged_out.told_until_age", 24),
        ("verify_within_days", 0),
        ("disclosure.AUDIT.traces", "some"),
        ("disclosure.AUDIT.events", "misuse"),
        ("disclosure.AUDIT", ...),
        ("name_variants.闫", "阎阎"),
        ("name_variants.阎", "严"),
        ("name_variants.李", "李"),
        ("reasons.NO_TRACES", ...),
        ("reasons.NO_TRACES.en", "{name} is gone"),
        ("reasons.NO_TRACES.zh", "{on"),
        ("reasons.NO_TRACES.zh", " "),
        ("kinds", [1]),
    ],
)
def test_a_wrong_setting_is_refused_by_its_path(path, value):
    with pytest.raises(ConfigError) as caught:
        RuleBook.parse(changed(path, value), "rules.yaml")
    error = caught.value
    assert error.field
    stem = path.split(".")[0]
    assert error.field.startswith(stem) or stem in {"versoin"}
    assert error.en.startswith("rules.yaml: ")
    assert error.zh.startswith("rules.yaml：")
    assert error.field in error.en


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"a: b: c",
        b"\xff\xfe",
        b"version: '1'\nversion: '2'\n",
        b"? [a]\n: b\n",
        b"a" * (1 << 20) + b"a",
        b"[" * 5000,
        b"x: !!python/name:os.system",
    ],
)
def test_a_file_that_is_no_rule_file_is_refused(data):
    with pytest.raises(ConfigError):
        RuleBook.parse(data, "rules.yaml")


def test_a_repeated_setting_is_refused_with_its_line():
    with pytest.raises(ConfigError, match=r"rules.yaml:2: a setting stands here twice"):
        RuleBook.parse(b"version: '1'\nversion: '2'\n", "rules.yaml")


def test_another_version_of_the_rules_is_another_book():
    book = RuleBook.parse(changed("death.grace_days", 3), "rules.yaml")
    assert book.death.grace_days == 3
    assert book.digest != BOOK.digest


def test_every_reason_has_a_text_in_both_languages():
    for code in ReasonCode:
        text = BOOK.reason_texts[code]
        assert text.name == code.name
        assert re.search(r"[\u4e00-\u9fff]", text.zh)
        assert text.en.isascii()
        assert sorted(set(re.findall(r"\{\w+\}", text.zh))) == sorted(set(re.findall(r"\{\w+\}", text.en)))


def test_every_kind_and_department_has_a_name_in_both_languages():
    for number in KINDS.values():
        assert BOOK.kind_name(number, "zh") != BOOK.kind_name(number, "en")
    for number in DEPARTMENTS.values():
        assert BOOK.department_name(number, "zh") != BOOK.department_name(number, "en")
    assert BOOK.kind_name(255, "en") == BOOK.department_name(-1, "zh") == ""


def test_a_reason_reads_as_a_sentence_in_either_language():
    text = BOOK.reason_texts[ReasonCode.TRACE_AFTER_DEATH]
    where = {"department": DEPARTMENTS["TRANSPORT"], "kind": KINDS["RAIL_TRAVEL"], "on": 20_600, "number": 2}
    assert "2026-05-27 交通的铁路出行" in fill(BOOK, text.zh, "zh", **where)
    assert "the newest rail travel (transport) on 2026-05-27" in fill(BOOK, text.en, "en", **where)


def test_what_is_not_disclosed_is_told_in_general_words():
    text = BOOK.reason_texts[ReasonCode.DEATH_LEAD]
    assert fill(BOOK, text.en, "en") == "record (a department), a day not disclosed: a lead only, to be verified."
    assert "某部门于 某日" in fill(BOOK, text.zh, "zh", on=2**31 - 1)
    moved = BOOK.reason_texts[ReasonCode.MOVED]
    assert "（区划代码 未披露）" in fill(BOOK, moved.zh, "zh")
    assert "(region not disclosed)" in fill(BOOK, moved.en, "en")
    assert "(region 510000)" in fill(BOOK, moved.en, "en", number=510_000)
    assert fill(BOOK, "{0} {x.__class__}", "en") == "{0} {x.__class__}"


def test_the_texts_of_the_codes_that_occur_are_given_once():
    assert [text.name for text in reason_texts(BOOK, [7, 1, 7, 9999])] == ["INDEPENDENT_DEPARTMENTS", "NO_TRACES"]
    assert len(Reasons()) == 0


def test_an_unknown_purpose_discloses_nothing():
    assert BOOK.disclosure(99) is NOTHING


def test_benefits_of_a_class_exclude_each_other_and_all_others_only_themselves():
    named = {name: BOOK.exclusions.names[BOOK.exclusions.by_benefit[number]] for name, number in BENEFITS.items()}
    assert named == {
        "EMPLOYEE_PENSION": "OLD_AGE",
        "PUBLIC_INSTITUTION_PENSION": "OLD_AGE",
        "RESIDENT_PENSION": "OLD_AGE",
        "UNEMPLOYMENT": "OLD_AGE",
        "WORK_INJURY": "WORK_INJURY",
        "WORK_DEATH_DEPENDANT": "DEPENDANT",
        "NON_WORK_DEATH_DEPENDANT": "DEPENDANT",
    }
    unknown = np.array([0, 31, 99, -1], np.int32)
    assert not BOOK.exclusions.of(unknown).any()
