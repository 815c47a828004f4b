"""What a cell of a roster may say: benefits, documents, regions, days, in the spellings that registers use.

Owns: reading one text each. Columns repeat themselves, so `validating` asks about each different text once. Refuses:
columns and rows.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from datetime import date
from typing import Final

from gateway import wording
from gateway.federation.regions import PROVINCES, is_region
from gateway.federation.routing import MAX_REGIONS
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import vocabulary_pb2 as words

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2199
_EPOCH: Final = date(1970, 1, 1).toordinal()
_SEPARATORS: Final = re.compile(r"[;；,，、|/\s]+")
_DAY: Final = re.compile(
    r"(\d{4})(?:-(\d{1,2})-(\d{1,2})|/(\d{1,2})/(\d{1,2})|\.(\d{1,2})\.(\d{1,2})|(\d{2})(\d{2})|年(\d{1,2})月(\d{1,2})日)"
    r"(?:[ T]00:00(?::00(?:\.0+)?)?)?"
)
_MONTH: Final = re.compile(r"(\d{4})(?:-(\d{1,2})|/(\d{1,2})|\.(\d{1,2})|(\d{2})|年(\d{1,2})月)")
_FURTHER_BENEFITS: Final = {
    "企业职工养老": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
    "企业职工养老保险": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
    "企业养老": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
    "企业养老保险": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
    "职工养老": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
    "职工基本养老保险": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
    "城镇职工基本养老保险": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
    "企业职工基本养老": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
    "机关事业": words.BENEFIT_TYPE_PUBLIC_INSTITUTION_PENSION,
    "机关事业养老": words.BENEFIT_TYPE_PUBLIC_INSTITUTION_PENSION,
    "机关事业养老保险": words.BENEFIT_TYPE_PUBLIC_INSTITUTION_PENSION,
    "机关事业单位养老保险": words.BENEFIT_TYPE_PUBLIC_INSTITUTION_PENSION,
    "城乡居民": words.BENEFIT_TYPE_RESIDENT_PENSION,
    "城乡居民养老": words.BENEFIT_TYPE_RESIDENT_PENSION,
    "城乡居民养老保险": words.BENEFIT_TYPE_RESIDENT_PENSION,
    "居民养老": words.BENEFIT_TYPE_RESIDENT_PENSION,
    "城居保": words.BENEFIT_TYPE_RESIDENT_PENSION,
    "失业": words.BENEFIT_TYPE_UNEMPLOYMENT,
    "失业保险": words.BENEFIT_TYPE_UNEMPLOYMENT,
    "工伤": words.BENEFIT_TYPE_WORK_INJURY,
    "工伤保险": words.BENEFIT_TYPE_WORK_INJURY,
    "工伤保险长期待遇": words.BENEFIT_TYPE_WORK_INJURY,
    "工伤长期待遇": words.BENEFIT_TYPE_WORK_INJURY,
    "伤残津贴": words.BENEFIT_TYPE_WORK_INJURY,
    "工亡供养亲属": words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT,
    "工亡供养亲属抚恤金": words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT,
    "供养亲属抚恤金": words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT,
    "因工死亡供养亲属": words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT,
    "非因工死亡供养亲属": words.BENEFIT_TYPE_NON_WORK_DEATH_DEPENDANT,
    "非工亡供养亲属": words.BENEFIT_TYPE_NON_WORK_DEATH_DEPENDANT,
}


def _key(text: str) -> str:
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", text)).casefold()


def _names(enum: dict[str, int], prefix: str, table: dict[int, wording.Word]) -> dict[str, int]:
    """Every spelling of an enumeration's values: number, name in the contract, and both words for a person."""
    found: dict[str, int] = {}
    for name, number in enum.items():
        if number:
            for text in (str(number), name, name.removeprefix(prefix), *table[number]):
                found[_key(text)] = number
    return found


_BENEFITS: Final = _names(dict(words.BenefitType.items()), "BENEFIT_TYPE_", wording.BENEFITS) | {
    _key(text): number for text, number in _FURTHER_BENEFITS.items()
}
_DOCUMENTS: Final = _names(dict(adapter_words.DocumentKind.items()), "DOCUMENT_KIND_", wording.DOCUMENTS) | {
    "身份证": adapter_words.DOCUMENT_KIND_RESIDENT_IDENTITY,
    "居民身份证(户口簿)": adapter_words.DOCUMENT_KIND_RESIDENT_IDENTITY,
    "护照": adapter_words.DOCUMENT_KIND_PASSPORT,
}
_PROVINCE_NAMES: Final = {
    _key(name + ending): code
    for code, province in PROVINCES.items()
    for name in (province.zh, province.en)
    for ending in ("", "省", "市", "自治区", "特别行政区")
} | {
    _key(name): code
    for name, code in (
        ("广西壮族自治区", 450000),
        ("宁夏回族自治区", 640000),
        ("新疆维吾尔自治区", 650000),
        ("内蒙古自治区", 150000),
        ("西藏自治区", 540000),
    )
}


@functools.lru_cache(maxsize=4096)
def benefit(text: str) -> int | None:
    """BenefitType of a cell; None where it is none."""
    return _BENEFITS.get(_key(text))


@functools.lru_cache(maxsize=4096)
def document(text: str) -> int | None:
    """DocumentKind of a cell; None where it is none."""
    return _DOCUMENTS.get(_key(text))


@functools.lru_cache(maxsize=65_536)
def regions(text: str) -> tuple[int, ...] | None:
    """The regions (GB/T 2260) that a cell names: codes of six digits, or more with streets and villages behind
    them, or names of provinces; several may stand in one cell. None where one is no region, or there are too many.
    """
    found: dict[int, None] = {}
    for part in _SEPARATORS.split(unicodedata.normalize("NFKC", text).strip()):
        digits = part.removesuffix(".0")
        if digits.isascii() and digits.isdecimal() and len(digits) in (2, 4, 6, 9, 12):
            code = int(digits[:6].ljust(6, "0"))
        else:
            code = _PROVINCE_NAMES.get(_key(part), 0)
        if not is_region(code):
            return None
        found[code] = None
    return tuple(found) if 0 < len(found) <= MAX_REGIONS else None


@functools.lru_cache(maxsize=65_536)
def day(text: str) -> int | None:
    """The civil day of a cell: a date in one of the usual spellings, or a month, for which its first day stands. None
    where it is neither. The first of January 1970, which is day 0 and would mean "not given", is the day after.
    """
    plain = unicodedata.normalize("NFKC", text)
    found = _DAY.fullmatch(plain) or _MONTH.fullmatch(plain)
    if found is None:
        return None
    year, month, *rest = (int(part) for part in found.groups() if part is not None)
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        on = date(year, month, rest[0] if rest else 1).toordinal() - _EPOCH
    except ValueError:
        return None
    return on or 1
