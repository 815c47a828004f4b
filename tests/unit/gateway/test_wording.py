"""Every number that a person may see has a name in both languages."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from google.protobuf.descriptor import EnumDescriptor

from gateway import wording
from gateway.wording import Word, word
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import vocabulary_pb2 as federation_words

ENUMERATIONS: dict[str, EnumDescriptor] = {
    **adapter_words.DESCRIPTOR.enum_types_by_name,
    **federation_words.DESCRIPTOR.enum_types_by_name,
}
TABLES: dict[str, Mapping[int, Word]] = {
    "Department": wording.DEPARTMENTS,
    "EvidenceKind": wording.KINDS,
    "PenaltyKind": wording.PENALTIES,
    "Strength": wording.STRENGTHS,
    "Purpose": wording.PURPOSES,
    "DocumentKind": wording.DOCUMENTS,
    "BenefitType": wording.BENEFITS,
    "SurvivalStatus": wording.STATUSES,
    "EntitlementFlag": wording.FLAGS,
    "CertificationStatus": wording.PROPOSALS,
    "SourceOutcome": wording.OUTCOMES,
    "DuplicateKind": wording.DUPLICATES,
    "RefusalReason": wording.REFUSALS,
}
NEVER_SHOWN = {
    "DatePrecision",  # decides how a day is written
}


def test_every_enumeration_of_the_vocabulary_has_a_table_or_is_never_shown() -> None:
    assert set(TABLES) | NEVER_SHOWN == set(ENUMERATIONS)
    assert not set(TABLES) & NEVER_SHOWN


@pytest.mark.parametrize("name", TABLES)
def test_every_number_has_a_name_in_both_languages_and_no_name_is_left_over(name: str) -> None:
    table = TABLES[name]
    assert set(table) == {value.number for value in ENUMERATIONS[name].values if value.number}
    for named in table.values():
        assert re.search(r"[\u4e00-\u9fff]", named.zh)
        assert not re.search(r"[A-Za-z]", named.zh)
        assert re.fullmatch(r"[a-z][\x20-\x7e]*", named.en)


@pytest.mark.parametrize("name", TABLES)
def test_no_two_numbers_of_an_enumeration_share_a_name(name: str) -> None:
    table = TABLES[name]
    assert len({named.zh for named in table.values()}) == len(table)
    assert len({named.en for named in table.values()}) == len(table)


@pytest.mark.parametrize("name", ["Department", "EvidenceKind"])
def test_what_stands_inside_sentences_is_short(name: str) -> None:
    assert all(len(named.zh) <= 12 and len(named.en) <= 45 for named in TABLES[name].values())


def test_a_number_of_a_later_contract_is_shown_as_itself() -> None:
    assert word(wording.STATUSES, 99) == Word("（99）", "(99)")
