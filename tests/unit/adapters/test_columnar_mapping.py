"""The columnar mapping against the row-wise one, which is the reference: the same answer, or the same refusal."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adapters
from adapters.asked import Asked
from adapters.columnar import ColumnMapper
from adapters.contract import Found, Lookup, Subjects
from adapters.errors import SourceFaultError
from adapters.gathering import Gathering
from adapters.manifest import Manifest, load_manifest_fully, parse_manifest
from adapters.manifest.document import Document
from adapters.mapping import Mapper
from adapters.texts import Texts
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ENDING_IN_X, day, number
from wugan.adapter.v1 import vocabulary_pb2 as words

TEMPLATES = sorted((Path(adapters.__file__).parent / "departments").glob("*.yaml"))
PLAIN = """\
manifest: 1
adapter_id: prison
version: 1
department: JUSTICE
regions: [330000]
kind: table
source: {url: "sqlite:///x.db"}
timezone: ZONE
identity: {column: id, name: who, forms: [lower_x, legacy_15]}
records:
  - name: changes
    table: changes
    evidence: {column: what, codes: {S: SENTENCE, C: COMMUTATION, P: PAROLE, R: RETURNED_TO_PRISON,
      M: HOUSEHOLD_MOVED, V: ignore},
      unknown: UNKNOWN}
    observed_on: {column: at, formats: FORMATS, empty: EMPTY}
    available_on: {column: had, empty: EMPTY}
    region: {column: area, otherwise: 330000}
    strength: {column: how, codes: {1: IN_PERSON, true: REAL_NAME}, otherwise: WEAK}
    detail: {column: penalty, codes: {F: FIXED_TERM, L: LIFE, 330100: 330100}}
    from_on: start
    until_on: {column: end, empty: ["9999-12-31"]}
    source_reference: ref
    only: {column: valid, except_values: ["0", "false"]}
    bad_rows: POLICY
"""
TYPES = {"text": 1043, "char": 1042, "int": 20, "bool": 16, "numeric": 1700, "date": 1082, "timestamp": 1114}
ZONED = 1184
DTYPES = {
    1043: pl.String,
    1042: pl.String,
    20: pl.Int64,
    16: pl.Boolean,
    1700: pl.String,
    1082: pl.Date,
    1114: pl.Datetime("us"),
    1184: pl.Datetime("us", "UTC"),
}

PEOPLE = [ANNA, BO, ENDING_IN_X]
NAMES = ["安娜", "博", "某 人"]
_blank = st.sampled_from(["", " ", "  ", "\t", "\u3000", "\x1c"])
_texts = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
    st.builds(lambda a, b, c: a + b + c, _blank, st.sampled_from(["S", "1", "330100", "安娜", "V"]), _blank),
)
_days = st.dates(date(1880, 1, 1), date(2230, 1, 1)) | st.sampled_from([date(1900, 1, 1), date(2026, 3, 1)])
_moments = st.datetimes(datetime(1890, 1, 1), datetime(2210, 1, 1))  # noqa: DTZ001
_cells = {
    1043: _texts,
    1042: _texts,
    20: st.none() | st.integers(-(10**17), 10**17) | st.integers(-3, 9) | st.sampled_from([330100, 20260301]),
    16: st.none() | st.booleans(),
    1700: st.none()
    | st.decimals(allow_nan=False, allow_infinity=False, places=2)
    | st.sampled_from([Decimal(1), Decimal("7.00")]),
    1082: st.none() | _days,
    1114: st.none() | _moments,
    1184: st.none() | _moments.map(lambda moment: moment.replace(tzinfo=UTC)),
}


def _column(values: list[object], kind: int) -> pl.Series:
    """Values of a driver as ADBC brings them."""
    if kind == TYPES["numeric"]:
        values = [None if value is None else f"{value:f}" for value in values]
    return pl.Series(values, dtype=DTYPES[kind], strict=True)


def _both(
    mapper: Mapper,
    types: dict[str, int],
    table: dict[str, list[object]],
    subjects: Subjects,
    blocks: int = 1,
    *,
    references: bool = True,
    takes_unreadable: bool = False,
) -> tuple[object, object]:
    """What both ways make of the same rows."""
    by_columns = ColumnMapper.of(mapper, types)
    assert by_columns is not None
    question = Lookup(subjects, traces_since_on=day("2025-01-01"), references=references)
    question = replace(question, takes_unreadable=takes_unreadable)
    count = len(table[mapper.columns[0]])
    step = max(1, -(-count // blocks))
    answers: list[object] = []
    for columnar in (False, True):
        gathering = Gathering(question, Asked(subjects), words.DEPARTMENT_JUSTICE)
        try:
            for start in range(0, count, step):
                values = [table[name][start : start + step] for name in mapper.columns]
                if not columnar:
                    gathering.add_rows(mapper, values)
                    continue
                columns = [_column(cells, types[name]) for cells, name in zip(values, mapper.columns, strict=True)]
                positions = Asked(subjects).find_column(columns[0], mapper.forms, mapper.name)
                gathering.add_columns(mapper, positions, by_columns.map(columns, references=references))
            answers.append((_told(gathering.found()), gathering.skipped, gathering.ignored))
        except SourceFaultError as error:
            answers.append(error.en)
    return answers[0], answers[1]


def _told(found: Found) -> object:
    evidence, held = found.evidence, found.holders
    columns = [getattr(evidence, name).tolist() for name in evidence.INTEGER_COLUMNS]
    return (
        sorted(zip(held.subject.tolist(), held.held_id_number, held.held_name, strict=True)),
        sorted(zip(*columns, evidence.source_reference, strict=True)),
        found.unreadable.tolist(),
    )


def _manifest(**settings_: str) -> Manifest:
    text = PLAIN
    usual = {"UNKNOWN": "fault", "POLICY": "fault", "ZONE": "Asia/Shanghai", "FORMATS": "[iso]", "EMPTY": "[]"}
    for name, value in (usual | settings_).items():
        text = text.replace(name, value)
    manifest, errors, _ = parse_manifest(Document(text, "m.yaml"))
    assert manifest is not None, errors
    return manifest


@functools.cache
def _mapper(**settings_: str) -> Mapper:
    manifest = _manifest(**settings_)
    return Mapper(manifest, manifest.records[0])


_settings = st.fixed_dictionaries(
    {
        "UNKNOWN": st.sampled_from(["fault", "ignore"]),
        "POLICY": st.sampled_from(["fault", "skip", "skip"]),
        "ZONE": st.sampled_from(["Asia/Shanghai", "Asia/Urumqi", "America/New_York"]),
        "FORMATS": st.sampled_from(["[iso]", '["%Y%m%d", iso]', "[epoch_s]", "[excel_serial]"]),
        "EMPTY": st.sampled_from(["[]", '["1900-01-01", "0"]']),
    }
)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_rows_of_any_types_map_the_same(data: st.DataObject) -> None:
    chosen = data.draw(_settings)
    mapper = _mapper(**chosen)
    types = {"id": data.draw(st.sampled_from([1043, 1042])), "who": 1043}
    dates = {"at", "had", "start", "end"}
    for name in mapper.columns[2:]:
        kinds = [1043, 1042, 20, 16, 1700]
        if name in dates:
            kinds += [1082, 1114]
            if chosen["EMPTY"] == "[]" and name != "end":
                kinds.append(ZONED)
        types[name] = data.draw(st.sampled_from(kinds))
    count = data.draw(st.integers(1, 12))
    usual = {"what": "SCPM", "valid": "1", "area": ["330100", "33"], "how": "1x", "penalty": "FL", "ref": ["R1", "R2"]}
    table: dict[str, list[object]] = {}
    for name in mapper.columns:
        if name == "id":
            spelt = [*PEOPLE, f" {ANNA} ", ENDING_IN_X.lower(), BO[:6] + BO[8:17]]
            cells = st.sampled_from([*spelt * 4, CHEN, None] if data.draw(st.integers(0, 9)) == 0 else spelt)
        elif name == "who":
            cells = st.sampled_from([*NAMES, "安娜 ", "", None, "别名"])
        else:
            cells = _cells[types[name]]
            if types[name] == 1043:
                often = ["2026-03-01", "2025-12-31 23:59:59", "20260301"] if name in dates else list(usual[name])
                cells = st.sampled_from(often * 3 + [ANNA]) | cells
        table[name] = data.draw(st.lists(cells, min_size=count, max_size=count))
    repeated = data.draw(st.booleans())
    subjects = Subjects([*PEOPLE, ANNA], [*NAMES, "甲"], [1], [number(77)]) if repeated else Subjects(PEOPLE, NAMES)
    blocks, references = data.draw(st.integers(1, 3)), data.draw(st.booleans())
    by_rows, by_columns = _both(mapper, types, table, subjects, blocks, references=references)
    assert by_columns == by_rows
    if isinstance(by_rows, str) or blocks == 1:
        more = {"references": references, "takes_unreadable": True}
        whole, whole_by_columns = _both(mapper, types, table, subjects, blocks, **more)
        assert whole_by_columns == whole
        assert isinstance(by_rows, str) or whole == by_rows, "where every row reads it makes no difference"


def _sample(manifest: Manifest, position: int) -> tuple[Mapper, dict[str, list[object]]]:
    """Rows for a record set of a template: every code there is, every format of its dates, and odd values."""
    records = manifest.records[position]
    mapper = Mapper(manifest, records)
    formats: dict[str, list[str]] = {}
    codes: dict[str, list[str]] = {}
    for setting in ("observed_on", "available_on", "from_on", "until_on"):
        field = getattr(records, setting)
        if field is not None:
            formats.setdefault(field.column, []).extend(field.formats)
            codes.setdefault(field.column, []).extend(field.empty)
    for field in (records.evidence, records.strength, records.detail, records.region):
        if field is not None and field.column is not None:
            codes.setdefault(field.column, []).extend(field.codes)
    if records.only is not None:
        others = ("", "R-1") if records.only.values is None else ()  # what is left out is named: others count
        told = records.only.values or records.only.except_values or ()
        codes.setdefault(records.only.column, []).extend([*told, *others])
    moments = [datetime(2026, 3, 1, 7, 30, tzinfo=UTC) - timedelta(days=41 * i) for i in range(12)]
    table: dict[str, list[object]] = {}
    for name in mapper.columns:
        values: list[object] = [*codes.get(name, ()), *(f" {code} " for code in codes.get(name, ()))]
        for form in formats.get(name, ()):
            written = {"iso": "%Y-%m-%d", "epoch_s": "%s", "epoch_ms": "%s000", "excel_serial": "46000.5"}.get(
                form, form
            )
            values += [moment.strftime(written) for moment in moments]
        if name == mapper.columns[0]:
            values = list(PEOPLE)
        elif name == manifest.identity_of(records).name:
            values = [*NAMES, " 安娜", None]
        elif not values:
            values = (
                ["330100", "330702001", "", "R-1"]
                if records.region and name == records.region.column
                else ["R-1", "R-2"]
            )
        table[name] = values
    count = 60
    return mapper, {
        name: [values[(i * 7 + i // 5) % len(values)] for i in range(count)] for name, values in table.items()
    }


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
@pytest.mark.parametrize("odd", [None, "", "nonsense", "2026-13-45", "x" * 300, ANNA])
def test_every_template_maps_the_same(path: Path, odd: str | None) -> None:
    manifest, _, _ = load_manifest_fully(path)
    assert manifest is not None
    subjects = Subjects(PEOPLE, NAMES)
    evidence = 0
    for position, skips in itertools.product(range(len(manifest.records)), (False, True)):
        mapper, table = _sample(manifest, position)
        mapper.skips_bad_rows = skips
        types = dict.fromkeys(mapper.columns, 1043)
        by_rows, by_columns = _both(mapper, types, table, subjects, blocks=2)
        assert by_columns == by_rows, mapper.name
        if not isinstance(by_rows, str):
            evidence += len(by_rows[0][1])  # type: ignore[index]
        for name in mapper.columns[1:]:
            spoilt = table | {name: [*table[name][:30], odd, *table[name][31:]]}
            by_rows, by_columns = _both(mapper, types, spoilt, subjects)
            assert by_columns == by_rows, (mapper.name, name)
    assert evidence, "the sample brings some evidence"


def test_types_that_read_otherwise_are_left_to_the_rows() -> None:
    mapper = _mapper(EMPTY='["1900-01-01"]')
    types = dict.fromkeys(mapper.columns, 1043)
    assert ColumnMapper.of(mapper, types) is not None
    for name, kind in (("at", ZONED), ("how", 1082), ("ref", 1114), ("area", 701), ("id", 20), ("who", 1700)):
        assert ColumnMapper.of(mapper, types | {name: kind}) is None, name


def test_a_lazy_column_tells_nothing_of_itself() -> None:
    column = Texts(pl.Series(["甲", ANNA]))
    assert ANNA not in repr(column)
    assert column == ["甲", ANNA]
    assert column[1] == ANNA
    assert list(column[1:]) == [ANNA]


_MOMENTS = [
    datetime(year, month, of_month, hour, minute, 59, 999_999)  # noqa: DTZ001
    for year, month, of_month in ((1899, 12, 31), (1900, 1, 1), (1940, 6, 1), (1986, 5, 4), (1991, 9, 15), (1992, 1, 1))
    for hour, minute in ((0, 0), (1, 30), (15, 59), (16, 0), (23, 59))
] + [datetime(2026, 3, 8, 2, 30), datetime(2026, 3, 31, 16, 0), datetime(2200, 12, 31, 16, 0), datetime(9999, 12, 31)]  # noqa: DTZ001


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Asia/Urumqi", "America/New_York"])
@pytest.mark.parametrize("empty", ["[]", '["1900-01-01", "1992-01-01", "1992-01-01 00:00:59.999999"]'])
@pytest.mark.parametrize("kind", [TYPES["text"], TYPES["date"], TYPES["timestamp"], ZONED])
def test_every_moment_is_the_same_day(kind: int, empty: str, zone: str) -> None:
    values: list[object] = [*_MOMENTS, None]
    if kind == ZONED:
        values = [None if value is None else value.replace(tzinfo=UTC) for value in [*_MOMENTS, None]]
    elif kind == TYPES["date"]:
        values = [None if value is None else value.date() for value in [*_MOMENTS, None]]
    elif kind == TYPES["text"]:
        values = [None if value is None else str(value) for value in [*_MOMENTS, None]]
    mapper = _mapper(ZONE=zone, EMPTY=empty, POLICY="skip")
    types = dict.fromkeys(mapper.columns, TYPES["text"]) | {"had": kind, "start": kind}
    usual = {
        "id": ANNA,
        "who": "安娜",
        "what": "S",
        "at": "2026-03-01",
        "end": "",
        "valid": "1",
        "penalty": "F",
        "area": "",
    }
    table = {name: [usual.get(name, "")] * len(values) for name in mapper.columns}
    table |= {"had": values, "start": values, "ref": [str(i) for i in range(len(values))]}
    if kind == ZONED and empty != "[]":
        assert ColumnMapper.of(mapper, types) is None
        return
    by_rows, by_columns = _both(mapper, types, table, Subjects(PEOPLE, NAMES))
    assert by_columns == by_rows
