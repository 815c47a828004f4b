"""Single values: dates into civil days in Asia/Shanghai, codes, regions, numbers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.manifest.fields import DateField, RegionField
from adapters.values import BAD, CodeReader, DateReader, NumberReader, region_reader, text_of
from tests.unit.adapters.adapters_world import day


def reader(*formats: str, zone: str = "Asia/Shanghai", empty: tuple[str, ...] = ()) -> DateReader:
    return DateReader(DateField(column="c", formats=formats or ("iso",), empty=empty), zone)


@pytest.mark.parametrize(
    ("formats", "value", "expected"),
    [
        (("iso",), "2026-02-28", "2026-02-28"),
        (("iso",), " 2026-02-28 ", "2026-02-28"),
        (("iso",), "2024-02-29", "2024-02-29"),
        (("iso",), "2026-03-01T00:30:00", "2026-03-01"),
        (("iso",), "2026-03-01 23:59", "2026-03-01"),
        (("iso",), "2026-02-28T16:00:00Z", "2026-03-01"),
        (("iso",), "2026-02-28T15:59:59.999Z", "2026-02-28"),
        (("iso",), "2026-03-01T07:59:59+08:00", "2026-03-01"),
        (("iso",), "2026-03-01T00:00:00+09:00", "2026-02-28"),
        (("%Y%m%d",), "20260228", "2026-02-28"),
        (("%Y%m%d",), 20260228, "2026-02-28"),
        (("%Y%m%d",), Decimal("20260228"), "2026-02-28"),
        (("%Y年%m月%d日",), "2026年2月8日", "2026-02-08"),
        (("%Y/%m/%d", "iso"), "2026-02-28", "2026-02-28"),
        (("%Y-%m-%dT%H:%M:%S%z",), "2026-02-28T20:00:00+0000", "2026-03-01"),
        (("epoch_s",), 1772236799, "2026-02-28"),
        (("epoch_s",), "1772294400", "2026-03-01"),
        (("epoch_ms",), 1772294399999, "2026-02-28"),
        (("excel_serial",), "45123", "2023-07-16"),
        (("iso",), date(2026, 2, 28), "2026-02-28"),
        (("iso",), datetime.fromisoformat("2026-02-28 23:59"), "2026-02-28"),
        (("iso",), datetime(2026, 2, 28, 16, 0, tzinfo=UTC), "2026-03-01"),
    ],
)
def test_a_date_reads_as_a_civil_day_in_shanghai(formats: tuple[str, ...], value: object, expected: str) -> None:
    assert reader(*formats).column([value]) == [day(expected)]


def test_a_time_without_zone_is_of_the_sources_own() -> None:
    assert reader("iso", zone="UTC").read("2026-02-28T16:00:00") == day("2026-03-01")
    assert reader("iso", zone="UTC").read("2026-02-28") == day("2026-02-28")


@pytest.mark.parametrize(
    "value", ["2026-02-29", "2026-13-01", "26-01-01", "0000-00-00", "x", "1899-12-31", "2201-01-01"]
)
def test_what_is_no_date_is_bad(value: str) -> None:
    assert reader("iso", "%Y%m%d").read(value) == BAD


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("%Y%m%d", "202411"),  # a month: not the first of January
        ("%Y%m%d", "2024111"),  # 11 January or 1 November
        ("%Y%m%d", 202411),
        ("%d%m%Y", "1112024"),
        ("%Y%j", "202432"),
        ("%Y%m%d%H%M%S", "2024111093000"),
        ("%Y-%m%d", "2024-111"),
        ("%Y%m-%d", "20241-1"),
    ],
)
def test_digits_that_could_be_cut_in_several_ways_are_no_date(form: str, value: object) -> None:
    assert reader(form).read(value) == BAD


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("%Y%m%d%H%M%S", "20240201093000"),
        ("%Y%m%d%H%M%S%f", "20240201093000123"),
        ("%Y%m%d%H%M%S%z", "20240201093000+0800"),
        ("%Y%m%d %H:%M:%S", "20240201  9:30:00"),
        ("%Y-%m-%d %H%M", "2024-2-1 0930"),
        ("%Y/%m/%d", "2024/2/1"),
        ("%Y%%%m%%%d", "2024%2%1"),
        ("(%Y.%m.%d)", "(2024.02.01)"),
        ("%Y年%m月%d日", "２０２４年2月1日"),
    ],
)
def test_digits_with_something_between_them_need_no_zeros(form: str, value: str) -> None:
    assert reader(form).read(value) == day("2024-02-01")


@pytest.mark.parametrize("value", ["", "  ", None, "0000-00-00", "9999-12-31", date(9999, 12, 31)])
def test_empty_values_mean_no_date(value: object) -> None:
    assert reader("iso", empty=("0000-00-00", "9999-12-31")).read(value) == 0


@settings(max_examples=200, deadline=None)
@given(st.dates(date(1900, 1, 1), date(2200, 12, 31)), st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%d/%m/%Y", "%Y%j"]))
def test_every_date_reads_back_in_its_format(moment: date, form: str) -> None:
    assert reader(form).read(moment.strftime(form).zfill(len("20260101") if form == "%Y%m%d" else 0)) == day(
        moment.isoformat()
    )


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.none(),
        st.decimals(),
        st.binary(max_size=20),
        st.datetimes(),
        st.dates(),
        st.times(),
    )
)
@example("67768036191676800")  # a moment whose year no clock can tell
@example(-1e300)
def test_any_value_reads_or_is_bad_and_never_raises(value: object) -> None:
    every = reader("iso", "epoch_s", "epoch_ms", "excel_serial", "%Y%m%d", "%Y-%m-%d %H:%M:%S%z")
    for one in (every, CodeReader({"1": 1}), region_reader(RegionField(column="c")), NumberReader()):
        read = one.column([value])[0]
        assert -(2**31) <= read < 2**31


@settings(max_examples=100, deadline=None)
@given(st.integers(-2_000_000_000, 7_000_000_000))
def test_the_civil_day_of_a_moment_is_that_of_utc_plus_eight_outside_of_old_summer_times(seconds: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    if moment.year in {1901, 1919} or 1935 <= moment.year <= 1949 or 1986 <= moment.year <= 1991:
        return  # China had summer time then: the civil day follows the law of the time
    read = reader("epoch_s").read(seconds)
    expected = (moment + timedelta(hours=8)).date()
    assert read == (day(expected.isoformat()) if 1900 <= expected.year <= 2200 else BAD)


def test_a_column_reads_like_its_values_one_by_one() -> None:
    one, whole = reader("%Y%m%d"), reader("%Y%m%d")
    values = ["20260101", "x", "", "20260101", "20260102"] * 3
    assert whole.column(values) == [one.read(value) for value in values]


def test_codes_read_by_their_text() -> None:
    codes = CodeReader({"01": 7, "1": 8, "true": 9}, unknown=0, missing=5)
    assert codes.column(["01", " 01", "1", 1, 1.0, Decimal(1), "x"]) == [7, 7, 8, 8, 8, 8, 0]
    assert CodeReader({"true": 9}).column([True]) == [9]
    assert codes.column([None, ""]) == [5, 5]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("330702", 330702), (330702, 330702), ("330702001", 330702), ("330702001002", 330702), ("", 0), ("33", BAD)],
)
def test_regions_are_the_first_six_digits(value: object, expected: int) -> None:
    assert region_reader(RegionField(column="c")).read(value) == expected


def test_a_region_may_be_translated_or_have_a_default() -> None:
    translated = region_reader(RegionField(column="c", codes={"JH": 330700}))
    assert [translated.read(value) for value in ("JH", "XX", "")] == [330700, BAD, 0]
    default = region_reader(RegionField(column="c", otherwise=330000))
    assert [default.read(value) for value in ("nowhere", "", "330102")] == [330000, 330000, 330102]


@pytest.mark.parametrize(("value", "text"), [(1.0, "1"), (1.5, "1.5"), (True, "true"), (b"a ", "a"), (None, "")])
def test_values_have_one_text(value: object, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("order", [(True, 1, 1.0, "true", None), (1.0, None, "true", 1, True), (1, True, "1", 1.0)])
def test_a_truth_value_is_no_number_whichever_came_first(order: tuple[object, ...]) -> None:
    codes = CodeReader({"1": 5, "true": 7}, missing=9)
    wanted = [9 if value is None else 7 if value is True or value == "true" else 5 for value in order]
    assert codes.column(order) == wanted
    assert codes.column(order[::-1]) == wanted[::-1], "as remembered"
    assert [codes.column([value])[0] for value in order] == wanted
    assert codes.column([]) == []


def test_a_truth_value_is_no_day() -> None:
    days = reader("epoch_s")
    assert days.column([1, True]) == [0, BAD]
    assert days.column([1]) == [0]


@pytest.mark.parametrize("values", [[["1"], ["2"]], [["1"], "2"], ["2", ["1"], None]])
def test_values_that_cannot_be_remembered_are_read_like_any_others(values: list[object]) -> None:
    codes = CodeReader({"2": 7, "['1']": 5}, BAD)
    for _ in range(2):
        assert codes.column(values) == [codes.read(value) for value in values]
