"""Region codes as routing reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.federation.regions import PROVINCES, enclosing, is_region, lies_within, province_of


def test_there_are_34_divisions_of_the_province_level() -> None:
    assert len(PROVINCES) == 34
    assert all(is_region(code) and code % 10_000 == 0 for code in PROVINCES)
    assert len({province.zh for province in PROVINCES.values()}) == 34
    assert len({province.en for province in PROVINCES.values()}) == 34


@pytest.mark.parametrize(
    ("code", "zh"), [(330702, "浙江"), (469001, "海南"), (810000, "香港"), (820000, "澳门"), (710000, "台湾")]
)
def test_the_province_of_a_code(code: int, zh: str) -> None:
    province = province_of(code)
    assert province is not None
    assert province.zh == zh


@pytest.mark.parametrize("code", [-330000, 0, 33, 3307, 160000, 990000, 330001, 3300000, 1 << 40])
def test_what_is_no_region(code: int) -> None:
    assert not is_region(code)
    assert province_of(code) is None
    assert enclosing(code) == ()
    assert not lies_within(code, 330000)


@given(st.sampled_from(sorted(PROVINCES)), st.integers(1, 99), st.integers(1, 99))
def test_a_county_lies_in_its_prefecture_and_province_and_nowhere_else(province: int, second: int, third: int) -> None:
    prefecture = province + second * 100
    county = prefecture + third
    assert enclosing(county) == (county, prefecture, province)
    assert enclosing(prefecture) == (prefecture, province)
    assert enclosing(province) == (province,)
    assert lies_within(county, province)
    assert not lies_within(province, county)
