"""Identity numbers and names; DOMAIN section 5, numbers 1 and 4."""

import string
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_world import BOOK, civil
from stdnum.cn import ric

from gateway.errors import RefusedError
from gateway.rules.identity import (
    PROVINCES,
    birth_on,
    may_be_somebodys,
    normalise_number,
    normalise_numbers,
    province_of,
    read_numbers,
)
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

GOOD = "11010519491231002X"


def checked(body: str) -> str:
    return body + ric.calc_check_digit(body + "0")


@st.composite
def resident_numbers(draw: st.DrawFn) -> str:
    born = draw(st.dates(date(1801, 1, 1), date(2026, 12, 31)))
    province = draw(st.sampled_from(sorted(PROVINCES)))
    return checked(f"{province}{draw(st.integers(0, 9999)):04d}{born:%Y%m%d}{draw(st.integers(0, 999)):03d}")


def refusal(text: str, kind: int = words.DOCUMENT_KIND_RESIDENT_IDENTITY) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        normalise_number(text, kind)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "11010519491231002x",
        "  11010519491231002X\t",
        "１１０１０５１９４９１２３１００２Ｘ",
        "１１０１０５１９４９１２３１００２ｘ",
        "\ufeff110105 19491231 002X\u3000",
        "110105491231002",
    ],
)
def test_case_1_every_way_of_writing_it_comes_to_one_number(text):
    assert normalise_number(text) == GOOD


def test_case_1_a_legacy_number_is_of_the_last_century_unless_a_centenarian_was_meant():
    assert normalise_number("110105491231002")[6:10] == "1949"
    assert normalise_number("110105981231996")[6:10] == "1898"
    assert normalise_number("110105981231995")[6:10] == "1998"


@pytest.mark.parametrize(
    ("text", "en", "zh"),
    [
        ("", "length", "长度"),
        ("1101051949123100", "length", "长度"),
        ("1" * 65, "longer than 64", "超过 64"),
        ("11010519491231O02X", "characters", "字符"),
        ("1101054912310X2", "characters", "字符"),
        ("1101051949123100X2", "characters", "字符"),
        ("①1010519491231002X", "characters", "字符"),
        ("١١٠١٠٥١٩٤٩١٢٣١٠٠٢X", "characters", "字符"),
        (checked("11010519490230002"), "date of birth", "出生日期"),
        (checked("11010519001301002"), "date of birth", "出生日期"),
        (checked("11010521491231002"), "date of birth", "出生日期"),
        (checked("11010519000229002"), "date of birth", "出生日期"),
        (checked("99010519491231002"), "region", "地区"),
        ("000105491231002", "region", "地区"),
        ("110105194912310021", "check digit", "校验码"),
    ],
)
def test_case_1_a_wrong_number_is_refused_and_told_why_without_being_repeated(text, en, zh):
    error = refusal(text)
    assert error.reason == answer_words.REFUSAL_REASON_INVALID_ID_NUMBER
    assert error.code == "INVALID_ID_NUMBER"
    assert en in error.en
    assert zh in error.zh
    if text:
        assert text not in str(error) + error.en + error.zh
    assert error.__cause__ is None


@given(resident_numbers(), st.data())
@settings(max_examples=150, deadline=None)
def test_one_wrong_character_is_always_found(number, data):
    at = data.draw(st.integers(0, 17))
    wrong = data.draw(st.sampled_from([c for c in string.digits + ("X" if at == 17 else "") if c != number[at]]))
    assert refusal(number[:at] + wrong + number[at + 1 :])


@given(
    resident_numbers(),
    st.text(" \t\u3000\u200b", max_size=3),
    st.text(" \n\ufeff", max_size=3),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_normalising_never_changes_a_number_beyond_the_rule(number, before, after, wide, lower):
    text = number.lower() if lower else number
    if wide:
        text = "".join(chr(ord(c) + 0xFEE0) for c in text)
    assert normalise_number(before + text + after) == number
    assert normalise_number(number) == number


@given(resident_numbers())
@settings(max_examples=100, deadline=None)
def test_a_legacy_number_keeps_all_its_digits(number):
    legacy = number[:6] + number[8:17]
    if number[6:8] == ("18" if legacy[12:] in {"996", "997", "998", "999"} else "19"):
        assert normalise_number(legacy) == number


@given(st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_whatever_is_accepted_has_the_form_of_the_standard(text):
    try:
        number = normalise_number(text)
    except RefusedError:
        return
    assert ric.calc_check_digit(number) == number[-1]


@given(st.lists(st.one_of(resident_numbers(), st.text("0123456789Xx ", max_size=19)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_batch_is_each_number_alone(numbers):
    found, refused = normalise_numbers(numbers)
    errors = dict(refused)
    assert list(errors) == sorted(errors)
    for row, number in enumerate(numbers):
        if row in errors:
            assert found[row] == ""
            assert errors[row].en == refusal(number).en
        else:
            assert found[row] == normalise_number(number)
    alone = [int(birth_on([number])[0]) for number in found]
    assert birth_on(found).tolist() == alone


@given(st.lists(resident_numbers(), min_size=17, max_size=30))
@settings(max_examples=40, deadline=None)
def test_columns_and_single_numbers_agree_on_validity_and_birthday(numbers):
    expected = [civil(date(int(n[6:10]), int(n[10:12]), int(n[12:14]))) for n in numbers]
    assert birth_on(numbers).tolist() == expected
    assert normalise_numbers(numbers) == (numbers, [])
    broken = [n[:-1] + ("0" if n[-1] != "0" else "1") for n in numbers]
    assert not birth_on(broken).any()
    assert len(normalise_numbers(broken)[1]) == len(broken)


@given(
    st.lists(
        st.tuples(
            st.one_of(resident_numbers(), st.text("0123456789Xx ", max_size=19), st.sampled_from(["H12345678", GOOD])),
            st.sampled_from([*words.DocumentKind.values(), 99, -1]),
        ),
        max_size=6,
    ),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_a_few_numbers_are_read_as_many_are(rows, said):
    numbers, kinds = [number for number, _ in rows], [kind for _, kind in rows]
    found, refused, born = read_numbers(numbers, kinds if said else ())
    more = [GOOD] * 20
    many, among, days = read_numbers(numbers + more, kinds + [0] * 20 if said else ())
    assert found == many[: len(rows)]
    assert [(row, error.en) for row, error in refused] == [(row, error.en) for row, error in among]
    assert isinstance(born, list), "of a few, as plain numbers"
    assert isinstance(days, np.ndarray)
    assert born == days[: len(rows)].tolist() == birth_on(found).tolist()


WRONG_DAYS = [
    "19490230",
    "19490229",
    "19000229",
    "19491301",
    "19490001",
    "19490100",
    "19491232",
    "17991231",
    "21000101",
]
RIGHT_DAYS = ["19480229", "20000229", "19491231", "18000101", "20991231"]


@pytest.mark.parametrize("times", [1, 9])
def test_in_columns_too_a_day_that_never_was_is_no_birthday(times):
    wrong = [checked(f"110105{day}002") for day in WRONG_DAYS] * times
    found, refused = normalise_numbers(wrong)
    assert not any(found)
    assert {error.en for _, error in refused} == {refusal(wrong[0]).en}
    assert not birth_on(wrong).any()
    right = [checked(f"110105{day}002") for day in RIGHT_DAYS] * times
    assert normalise_numbers(right) == (right, [])
    elsewhere = [checked(f"{province}010519491231002") for province in (10, 16, 47, 72, 84, 90)] * times
    assert len(normalise_numbers(elsewhere)[1]) == len(elsewhere)


def test_the_day_of_birth_is_known_of_valid_numbers_only():
    assert birth_on([GOOD, "H12345678", "", "1101051949123100２X"]).tolist() == [civil("1949-12-31"), 0, 0, 0]
    assert birth_on([]).dtype == np.int32


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        ("HMT_RESIDENCE_PERMIT", checked("81000019800101001"), None),
        ("HMT_RESIDENCE_PERMIT", checked("82000019800101001"), None),
        ("HMT_RESIDENCE_PERMIT", checked("83000020120229001"), None),
        ("HM_TRAVEL_PERMIT", "h12345678", "H12345678"),
        ("HM_TRAVEL_PERMIT", "M1234567801", "M1234567801"),
        ("TW_TRAVEL_PERMIT", " 12345678", "12345678"),
        ("FOREIGN_PERMANENT_RESIDENT", "usa110198001011", "USA110198001011"[:15]),
        ("FOREIGN_PERMANENT_RESIDENT", checked("91184019800101001"), None),
        ("PASSPORT", "e12345678", "E12345678"),
        ("UNSPECIFIED", GOOD, GOOD),
    ],
)
def test_other_documents_are_normalised_by_their_own_pattern(kind, text, number):
    assert normalise_number(text, words.DocumentKind.Value("DOCUMENT_KIND_" + kind)) == (number or text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("HMT_RESIDENCE_PERMIT", GOOD),
        ("HM_TRAVEL_PERMIT", "X12345678"),
        ("TW_TRAVEL_PERMIT", "1234"),
        ("FOREIGN_PERMANENT_RESIDENT", GOOD),
        ("FOREIGN_PERMANENT_RESIDENT", "911840198001010019"),
        ("FOREIGN_PERMANENT_RESIDENT", "12"),
        ("FOREIGN_PERMANENT_RESIDENT", checked("91184019801301001")),
        ("FOREIGN_PERMANENT_RESIDENT", "usa11019800101"),
        ("FOREIGN_PERMANENT_RESIDENT", "us1110198001011"),
        ("HMT_RESIDENCE_PERMIT", checked("81010019800101001")),
        ("HM_TRAVEL_PERMIT", "H1234567"),
        ("HM_TRAVEL_PERMIT", "H123456789"),
        ("TW_TRAVEL_PERMIT", "123456789"),
        ("PASSPORT", "E12345678901"),
        ("PASSPORT", "E-1234567"),
    ],
)
def test_other_documents_with_a_wrong_pattern_are_refused(kind, text):
    error = refusal(text, words.DocumentKind.Value("DOCUMENT_KIND_" + kind))
    assert error.reason == answer_words.REFUSAL_REASON_INVALID_ID_NUMBER


def test_an_unknown_kind_of_document_is_refused():
    assert refusal(GOOD, 99).field == "document_kind"
    with pytest.raises(RefusedError):
        normalise_numbers([GOOD], [1, 1])
    assert normalise_numbers(["h12345678", GOOD], [3, 1]) == (["H12345678", GOOD], [])
    assert normalise_numbers([GOOD], [6])[1]


def test_a_foreign_resident_has_a_birthday_but_no_resident_number():
    number = checked("91184019800101001")
    assert birth_on([number]).tolist() == [civil("1980-01-01")]
    assert birth_on([number] * 20).tolist() == [civil("1980-01-01")] * 20
    assert refusal(number)


def test_the_province_of_a_region():
    assert [province_of(code) for code in (330702, 110000, 0)] == [330000, 110000, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("阿依古丽·买买提", "阿依古丽•买买提"),
        ("阿依古丽·买买提", "阿依古丽・买买提"),
        ("阿依古丽·买买提", "阿依古丽‧买买提"),
        ("阿依古丽·买买提", "阿依古丽．买买提"),
        ("阿依古丽·买买提", "阿依古丽买买提"),
        *[("阿依古丽·买买提", f"阿依古丽{dot}买买提") for dot in "˙。｡、ㆍ⸱ꞏ∘◦⦁-－—"],
        ("JEAN-PAUL O'BRIEN", "Jean Paul OBrien"),
        ("JEAN-PAUL O'BRIEN", "ＪＥＡＮ－ＰＡＵＬ　O’Brien"),
        ("张 三", "张三"),
        ("张　三 ", "张三"),
        ("ＪＯＨＮ　ＳＭＩＴＨ", "John Smith"),
        ("李\ue81e", "李\u9fb4"),
        ("王\ue816", "王\U00020087"),
        ("欄\uf91d", "欄欄"),
        ("葛\U000e0100城", "葛城"),
        ("閻立本", "闫立本"),
        ("肖红", "萧红"),
        ("劉麗華", "刘丽华"),
        ("武○", "武〇"),
        ("", "张三"),
    ],
)
def test_case_4_spellings_of_one_name_match(one, other):
    assert BOOK.names_match(one, other)
    assert BOOK.names_match(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("张三", "张四"), ("李明", "李明明"), ("John Smith", "John Smyth"), ("王芳", "汪芳")]
)
def test_case_4_different_names_do_not_match(one, other):
    assert not BOOK.names_match(one, other)


@pytest.mark.parametrize("asked", ["·", " ", ".", "\u3000", "\u200b", "·•．"])
def test_case_3_a_name_that_says_nothing_is_nobodys_name(asked):
    assert not BOOK.names_match(asked, "张三")
    # A register that has such a thing for a name has none.
    assert BOOK.names_match("张三", asked)


@given(st.text(max_size=12))
@settings(max_examples=200, deadline=None)
def test_the_key_of_a_name_is_stable(name):
    key = BOOK.name_key(name)
    assert BOOK.name_key(key) == key
    assert BOOK.names_match(name, name)


def test_private_use_forms_are_those_of_gb_18030():
    codes = [
        "fe51",
        "fe52",
        "fe53",
        "fe59",
        "fe61",
        "fe66",
        "fe67",
        "fe6c",
        "fe6d",
        "fe76",
        "fe7e",
        "fe90",
        "fe91",
        "fea0",
    ]
    for code in codes:
        character = bytes.fromhex(code).decode("gb18030")
        assert 0xE000 <= ord(character) <= 0xF8FF
        assert not 0xE000 <= ord(BOOK.name_key(character)) <= 0xF8FF


def test_days_are_counted_from_the_epoch():
    assert birth_on([checked("11010519700102001")]).tolist() == [1]
    assert civil(date(1970, 1, 1) + timedelta(days=5)) == 5


@pytest.mark.parametrize(
    ("number", "somebodys"),
    [
        ("11010519491231002X", True),
        ("110105194912310021", True),  # a wrong check digit, as it was issued
        ("110105194902300021", True),  # so was the 30th of February
        ("H12345678", True),
        ("EA0010001", True),
        ("", False),
        ("无", False),
        ("0", False),
        ("9999", False),
        ("00000000000000000X", False),
        ("999999999999999999", False),
        ("123456789012345678", False),
        ("110105300012310021", False),
    ],
)
def test_a_filler_is_nobodys_number(number: str, somebodys: bool) -> None:
    assert may_be_somebodys(number) is somebodys
