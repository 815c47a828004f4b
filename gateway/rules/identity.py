"""Identity numbers: the one form in which a person is asked about, and what the number itself tells.

Owns: GB 11643-1999 resident numbers (18 characters, legacy 15), permits that share their form, other documents by
pattern; the day of birth; the province of a region code. Refuses: changing a number beyond its rule, and telling
where somebody lives: the first six digits are where the number was first issued.

The rule, and nothing beyond it: full-width digits and letters become ASCII, blanks are dropped, letters are upper-case,
a 15-digit number gets its century and its check digit. No message holds the number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray
from stdnum.cn import ric

from gateway.errors import RefusedError
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

MAX_LENGTH: Final = 64
"""Characters looked at; anything longer is refused unread."""

PROVINCES: Final = frozenset(
    {11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46}
    | {50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83}
)
"""First two digits in GB/T 2260; 81, 82 and 83 as in residence permits of Hong Kong, Macau and Taiwan residents.
Counties come and go and are not checked: a number stays valid when its county is gone."""

_TIDY: Final = str.maketrans(
    {
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        **{chr(0xFF21 + letter): chr(0x41 + letter) for letter in range(26)},
        **{chr(0xFF41 + letter): chr(0x41 + letter) for letter in range(26)},
        **{chr(0x61 + letter): chr(0x41 + letter) for letter in range(26)},
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
    }
)
_RESIDENT_FORM: Final = re.compile(r"[0-9]{17}[0-9X]")
_LEGACY_FORM: Final = re.compile(r"[0-9]{15}")
_LIKE_A_DAY: Final = re.compile(r"(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_LEAST_LENGTH: Final = 5
_LEAST_DIFFERENT: Final = 3
_CENTENARIANS: Final = frozenset({"996", "997", "998", "999"})
_PATTERNS: Final[dict[int, re.Pattern[str]]] = {
    words.DOCUMENT_KIND_HM_TRAVEL_PERMIT: re.compile(r"[HM][0-9]{8}(?:[0-9]{2})?"),
    words.DOCUMENT_KIND_TW_TRAVEL_PERMIT: re.compile(r"[0-9]{8}|[0-9]{10}[A-Z]?"),
    words.DOCUMENT_KIND_PASSPORT: re.compile(r"[A-Z0-9]{5,9}"),
}
_OLD_FOREIGN_PERMIT: Final = re.compile(r"[A-Z]{3}[0-9]{12}")

_SUMS: Final = np.zeros((17, 5), np.float32)
"""What the digits of a number add up to: check sum, year, month, day, province. All below 2^24, so exact."""
_SUMS[:, 0] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
_SUMS[6:10, 1] = [1000, 100, 10, 1]
for _column, _at in ((2, 10), (3, 12), (4, 0)):
    _SUMS[_at : _at + 2, _column] = [10, 1]
_CHECK_DIGITS: Final = np.frombuffer(b"10X98765432", np.uint8)
_PROVINCE_KNOWN: Final = np.isin(np.arange(100), sorted(PROVINCES))
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_FEW: Final = 16
_RESIDENT_KINDS: Final = frozenset({words.DOCUMENT_KIND_UNSPECIFIED, words.DOCUMENT_KIND_RESIDENT_IDENTITY})
_RESIDENT: Final = np.isin(np.arange(max(words.DocumentKind.values()) + 2), sorted(_RESIDENT_KINDS))
"""By DocumentKind; the last is for kinds not known."""
_FIRST_YEAR: Final = 1800
_MONTHS: Final = np.arange(f"{_FIRST_YEAR}-01", "2100-02", dtype="M8[M]").astype("M8[D]").astype(np.int32)
"""The first day of every month of the years a number may have, and of the month after the last."""


def _refuse(en: str, zh: str) -> RefusedError:
    return RefusedError(
        f"the identity number is wrong: {en}",
        f"证件号码有误：{zh}",
        reason=answer_words.REFUSAL_REASON_INVALID_ID_NUMBER,
        field="id_number",
    )


def normalise_number(text: str, kind: int = words.DOCUMENT_KIND_RESIDENT_IDENTITY) -> str:
    """The one form of an identity number.

    Args:
        text: as a register or a person wrote it.
        kind: DocumentKind; UNSPECIFIED is taken as a resident identity number.

    Raises:
        RefusedError: INVALID_ID_NUMBER, saying which of length, characters, date, region or check digit is wrong.
            INVALID_ARGUMENT for a kind of document that is not known.
    """
    if len(text) > MAX_LENGTH:
        raise _refuse(f"longer than {MAX_LENGTH} characters", f"超过 {MAX_LENGTH} 个字符")
    # Of ASCII, letters alone change; to look up each character in the table takes longer than all else here.
    tidy = text.upper() if text.isascii() else text.translate(_TIDY)
    number = "".join(tidy.split())
    if kind in (words.DOCUMENT_KIND_UNSPECIFIED, words.DOCUMENT_KIND_RESIDENT_IDENTITY):
        return _resident(number)
    if kind == words.DOCUMENT_KIND_HMT_RESIDENCE_PERMIT:
        if number[:6] not in {"810000", "820000", "830000"}:
            raise _refuse(
                "region (a residence permit begins with 810000, 820000 or 830000)",
                "地区码不符（居住证应以 810000、820000 或 830000 开头）",
            )
        return _resident(number)
    if kind == words.DOCUMENT_KIND_FOREIGN_PERMANENT_RESIDENT:
        return number if _OLD_FOREIGN_PERMIT.fullmatch(number) else _foreign_resident(number)
    pattern = _PATTERNS.get(kind)
    if pattern is None:
        raise RefusedError(
            "unknown kind of document; use one of DocumentKind",
            "未知的证件类型，请使用 DocumentKind 中的类型",
            field="document_kind",
        )
    if not pattern.fullmatch(number):
        raise _refuse("length or characters do not fit this kind of document", "长度或字符与证件类型不符")
    return number


def _resident(number: str) -> str:
    if len(number) == 15:
        if not _LEGACY_FORM.fullmatch(number):
            raise _refuse(
                "characters (15 digits, or 17 digits and a digit or X)",
                "字符不符（应为 15 位数字，或 17 位数字加 1 位数字或 X）",
            )
        # Order numbers 996 to 999 were kept for people already a hundred years old, born 18xx.
        century = "18" if number[12:] in _CENTENARIANS else "19"
        body = number[:6] + century + number[6:]
        number = body + ric.calc_check_digit(body + "0")
        _check_place_and_day(number)
        return number
    if len(number) != 18:
        raise _refuse("length (18 characters, or 15 for a legacy number)", "长度不符（应为 18 位，旧号码为 15 位）")
    if not _RESIDENT_FORM.fullmatch(number):
        raise _refuse(
            "characters (15 digits, or 17 digits and a digit or X)",
            "字符不符（应为 15 位数字，或 17 位数字加 1 位数字或 X）",
        )
    _check_place_and_day(number)
    _check_last(number)
    return number


def _foreign_resident(number: str) -> str:
    """The card issued since December 2023: 9, region, country, day of birth, order number, check digit of GB 11643."""
    if len(number) != 18:
        raise _refuse("length (18 characters, or 15 for an old card)", "长度不符（应为 18 位，旧卡为 15 位）")
    if not _RESIDENT_FORM.fullmatch(number) or number[0] != "9":
        raise _refuse(
            "characters (9, then digits; the last may be X)", "字符不符（应以 9 开头，其余为数字，末位可为 X）"
        )
    _check_day(number)
    _check_last(number)
    return number


def _check_place_and_day(number: str) -> None:
    if int(number[:2]) not in PROVINCES:
        raise _refuse("region (the first two digits name no province)", "地区码不符（前两位不是省级代码）")
    _check_day(number)


def _check_day(number: str) -> None:
    if number[6:8] not in {"18", "19", "20"}:
        raise _refuse("date of birth (digits 7 to 14)", "出生日期不符（第 7 至 14 位）")
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        raise _refuse("date of birth (digits 7 to 14)", "出生日期不符（第 7 至 14 位）") from None


def _check_last(number: str) -> None:
    if ric.calc_check_digit(number) != number[-1]:
        raise _refuse("check digit (a digit was mistyped)", "校验码不符（号码可能录入有误）")


def normalise_numbers(
    numbers: Sequence[str], kinds: Sequence[int] = ()
) -> tuple[list[str], list[tuple[int, RefusedError]]]:
    """A batch of numbers; those already in their one form are recognised together and cost little.

    Args:
        numbers: as written.
        kinds: DocumentKind of each, or empty: all are resident identity numbers.

    Returns:
        The numbers, "" where refused, and the refused rows with their errors, ascending.
    """
    found, refused, _ = read_numbers(numbers, kinds)
    return found, refused


def read_numbers(
    numbers: Sequence[str], kinds: Sequence[int] = ()
) -> tuple[list[str], list[tuple[int, RefusedError]], list[int] | NDArray[np.int32]]:
    """The same, and the day of birth of each, as `birth_on` gives it for the numbers returned; of a few, as a list."""
    if kinds and len(kinds) != len(numbers):
        raise RefusedError(
            "document_kind must be empty or as long as id_number",
            "document_kind 应为空或与 id_number 等长",
            field="document_kind",
        )
    found = list(numbers)
    refused: list[tuple[int, RefusedError]] = []
    changed: list[int]
    born: list[int] | NDArray[np.int32]
    if len(found) <= _FEW:
        changed, born = [], []
        for row, number in enumerate(found):
            fine, day = _well_formed_one(number)
            born.append(day)
            if not fine or (kinds and kinds[row] not in _RESIDENT_KINDS):
                changed.append(row)
    else:
        well_formed, born = _well_formed(found)
        if kinds:
            # As unsigned numbers negative ones are beyond the table, as other kinds are that are not known.
            well_formed = well_formed & _RESIDENT.take(np.array(kinds, np.int64).astype(np.uint32), mode="clip")
        changed = np.flatnonzero(~well_formed).tolist()
    for row in changed:
        try:
            found[row] = normalise_number(found[row], kinds[row] if kinds else words.DOCUMENT_KIND_RESIDENT_IDENTITY)
        except RefusedError as error:
            found[row] = ""
            refused.append((row, error))
    if changed:
        for row, day in zip(changed, birth_on([found[row] for row in changed]).tolist(), strict=True):
            born[row] = day
    return found, refused, born


def may_be_somebodys(number: str) -> bool:
    """Whether what a register holds as a number can be one, well-formed or not: no filler such as 无, 0 or many ones.

    A wrong check digit or a 30 February does not matter: such numbers were issued, and are why others followed them.
    """
    if len(number) < _LEAST_LENGTH or not number.isascii() or len(set(number)) < _LEAST_DIFFERENT:
        return False
    return not _RESIDENT_FORM.fullmatch(number) or bool(_LIKE_A_DAY.fullmatch(number[6:14]))


def birth_on(numbers: Sequence[str]) -> NDArray[np.int32]:
    """Days of birth as civil days; 0 where a number is not a valid number in the form of GB 11643.

    Somebody born on 1970-01-01 also gets 0: for the rules, which look at children only, that is the same.
    """
    return _well_formed(numbers)[1]


def province_of(region: int) -> int:
    """The province-level code (XX0000) of a GB/T 2260 code, 0 of 0."""
    return region // 10_000 * 10_000


def _well_formed(numbers: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Which numbers are valid 18-character resident numbers as they stand, and the day of birth of each of these.

    Cards of foreign permanent residents (first digit 9) are not resident numbers but have their day of birth too.
    """
    count = len(numbers)
    if count <= _FEW:
        pairs = [_well_formed_one(number) for number in numbers]
        return np.array([fine for fine, _ in pairs], np.bool_), np.array([day for _, day in pairs], np.int32)
    text = "".join(numbers)
    if text.isascii() and set(map(len, numbers)) == {18}:
        return well_formed_block(_characters(text))
    fits = np.fromiter((len(number) == 18 and number.isascii() for number in numbers), np.bool_, count)
    born = np.zeros(count, np.int32)
    rows = np.flatnonzero(fits)
    if len(rows):
        fits[rows], born[rows] = well_formed_block(_characters("".join([numbers[row] for row in rows.tolist()])))
    return fits, born


def _characters(text: str) -> NDArray[np.uint8]:
    """Numbers of 18 ASCII characters each, one after another, as an array of (number, character)."""
    return np.frombuffer(text.encode("ascii"), np.uint8).reshape(-1, 18)


def well_formed_block(characters: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """The same of many: which are valid resident numbers as they stand, and the day of birth, 0 where there is none.

    Args:
        characters: an array of (number, character), 18 ASCII characters each.
    """
    digits = characters[:, :17] - np.uint8(48)  # what lies before "0" wraps round to large numbers
    sums = (digits.astype(np.float32) @ _SUMS).astype(np.int32)
    check, year, month, day, province = sums.T
    fine = _CHECK_DIGITS.take(check % 11) == characters[:, 17]
    if digits.max(initial=0) > 9:
        fine &= (digits <= 9).all(axis=1)
    fine &= (year >= _FIRST_YEAR) & (year <= 2099) & (month >= 1) & (month <= 12) & (day >= 1)
    place = (year - _FIRST_YEAR) * 12 + month - 1
    begins = _MONTHS.take(place, mode="clip")
    fine &= day <= _MONTHS.take(place + 1, mode="clip") - begins
    resident = fine & _PROVINCE_KNOWN.take(province, mode="clip")
    foreign = fine & (digits[:, 0] == 9)
    return resident, np.where(resident | foreign, begins + day - 1, 0)


def _well_formed_one(number: str) -> tuple[bool, int]:
    """The same of one number, which for a few is quicker than columns."""
    if not _RESIDENT_FORM.fullmatch(number) or ric.calc_check_digit(number) != number[-1]:
        return False, 0
    resident = int(number[:2]) in PROVINCES
    year = int(number[6:10])
    if not _FIRST_YEAR <= year < _FIRST_YEAR + 300:
        return False, 0
    try:
        day = date(year, int(number[10:12]), int(number[12:14])).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        return False, 0
    return resident, day if resident or number[0] == "9" else 0
