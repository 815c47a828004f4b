"""Tokens of people: alike under one key, unlike under two, and silent about names."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from gateway.exchange.tokens import CHECK_BYTES, TOKEN_BYTES, PairKey, cut

ANNA, BO = "330702195001010017", "330702195001010025"
KEY, OTHER = PairKey(b"i" * 16, b"k" * 32), PairKey(b"o" * 16, b"l" * 32)


def test_a_token_is_what_the_document_says() -> None:
    expected = hmac.new(b"k" * 32, b"wugan-notice-token-v1\x00" + ANNA.encode(), hashlib.sha256).digest()[:16]
    assert KEY.token(ANNA) == expected
    assert KEY.tokens([ANNA, BO]) == [KEY.token(ANNA), KEY.token(BO)]
    named = hmac.new(b"k" * 32, b"wugan-notice-name-v1\x00" + expected + "安娜".encode(), hashlib.sha256).digest()[:16]
    assert KEY.name_check(expected, "安娜") == named


def test_two_members_cannot_compare_what_they_were_sent() -> None:
    assert KEY.token(ANNA) != OTHER.token(ANNA)


def test_people_of_one_name_do_not_look_alike() -> None:
    assert KEY.name_check(KEY.token(ANNA), "王伟") != KEY.name_check(KEY.token(BO), "王伟")


def test_a_key_is_random_and_does_not_show_its_secret() -> None:
    one, two = PairKey.fresh(), PairKey.fresh()
    assert one.secret != two.secret
    assert len(one.secret) == 32
    assert one.secret.hex() not in repr(one)
    assert repr(one.secret) not in repr(one)


def test_pieces_are_cut_whole() -> None:
    assert cut(b"a" * TOKEN_BYTES + b"b" * CHECK_BYTES, 16) == [b"a" * 16, b"b" * 16]
    assert cut(b"", 16) == []
    with pytest.raises(ValueError, match="whole"):
        cut(b"x" * 17, 16)
