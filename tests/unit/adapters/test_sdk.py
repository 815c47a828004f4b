"""The SDK for Python: what a department's rows and columns become, and what it is told when they are wrong."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from adapters_world import ANNA, BO, CHEN, ask, day, holders, rows

from adapters import sdk
from adapters.contract import Adapter, ChangeFeed, Lookup, Subjects
from wugan.adapter.v1 import vocabulary_pb2 as v

DAY = date(2026, 2, 14)


class About:
    adapter_id, version, department, regions = "burials", "1", "CIVIL_AFFAIRS", (330700,)
    items = (sdk.Item("BURIAL", "REAL_NAME", 30), sdk.Item("OLD_AGE_SUBSIDY", "IN_PERSON"))


class Rows(About, sdk.RowAdapter):
    """Tells the rows that it is given."""

    def __init__(self, *told: sdk.Row) -> None:
        self.told = told
        self.asked: Sequence[str] = ()

    async def rows(self, numbers: Sequence[str]) -> Sequence[sdk.Row]:
        self.asked = numbers
        return self.told


class Columns(About, sdk.ColumnAdapter):
    def __init__(self, **told: Any) -> None:
        self.told = told

    async def columns(self, _numbers: Sequence[str]) -> Mapping[str, Any]:
        return self.told


async def test_rows_become_evidence_with_what_the_item_and_the_region_say() -> None:
    adapter = Rows(
        sdk.Row(ANNA, "安", "BURIAL", DAY, available_on=date(2026, 3, 1), reference="B26-001"),
        sdk.Row(ANNA, "安", "OLD_AGE_SUBSIDY", DAY, strength="ACCOUNT", region=330100),
        sdk.Row(BO, "博"),
    )
    found = await adapter.lookup(ask(ANNA, BO, CHEN))
    assert list(adapter.asked) == [ANNA, BO, CHEN]
    assert holders(found) == [(0, ANNA, "安"), (1, BO, "博")]
    evidence = found.evidence
    assert evidence.kind.tolist() == [v.EVIDENCE_KIND_BURIAL, v.EVIDENCE_KIND_OLD_AGE_SUBSIDY]
    assert evidence.strength.tolist() == [v.STRENGTH_REAL_NAME, v.STRENGTH_ACCOUNT]
    assert evidence.region.tolist() == [330700, 330100]
    assert evidence.available_on.tolist() == [day("2026-03-01"), 0]
    assert evidence.department.tolist() == [v.DEPARTMENT_CIVIL_AFFAIRS] * 2
    assert list(evidence.source_reference) == ["B26-001", ""]


async def test_everybody_asked_under_a_number_gets_its_rows() -> None:
    adapter = Rows(sdk.Row(ANNA, "安", "BURIAL", DAY), sdk.Row(CHEN, "陈", "BURIAL", DAY))
    question = Lookup(Subjects([ANNA, BO, ANNA], ["安", "博", "安"], [1], [CHEN]))
    found = await adapter.lookup(question)
    assert list(adapter.asked) == [ANNA, BO, CHEN]
    assert holders(found) == [(0, ANNA, "安"), (1, CHEN, "陈"), (2, ANNA, "安")]
    assert [row for row, *_ in rows(found)] == [0, 1, 2]


async def test_only_what_was_asked_for_is_told() -> None:
    adapter = Rows(sdk.Row(ANNA, "安", "BURIAL", DAY), sdk.Row(ANNA, "安", "OLD_AGE_SUBSIDY", DAY))
    since = await adapter.lookup(ask(ANNA, traces_since_on=day("2026-02-15")))
    assert since.evidence.kind.tolist() == [v.EVIDENCE_KIND_BURIAL]
    kinds = await adapter.lookup(ask(ANNA, kinds=(v.EVIDENCE_KIND_OLD_AGE_SUBSIDY,)))
    assert kinds.evidence.kind.tolist() == [v.EVIDENCE_KIND_OLD_AGE_SUBSIDY]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (sdk.Row(BO, "博", "BURIAL", DAY), "somebody who was not asked"),
        (sdk.Row("", "安", "BURIAL", DAY), "somebody who was not asked"),
        (sdk.Row(ANNA, "安", "BURIALS", DAY), "kind"),
        (sdk.Row(ANNA, "安", "CREMATION", DAY), "kind"),
        (sdk.Row(ANNA, "安", "BURIAL"), "observed_on"),
        (sdk.Row(ANNA, "安", "BURIAL", date(1066, 10, 14)), "observed_on"),
        (sdk.Row(ANNA, "安", "BURIAL", "2026-02-14"), "observed_on"),  # type: ignore[arg-type]
        (sdk.Row(ANNA, "安", "BURIAL", DAY, strength="SURE"), "strength"),
        (sdk.Row(ANNA, "安", "BURIAL", DAY, region=-1), "region"),
        (sdk.Row(ANNA, "安", "BURIAL", DAY, region="330700"), "region"),  # type: ignore[arg-type]
        (sdk.Row(ANNA, "安" * 90, "BURIAL", DAY), "name"),
        (sdk.Row(ANNA, "安", "BURIAL", DAY, reference="r" * 257), "reference"),
    ],
)
async def test_a_wrong_row_is_told_by_its_column_alone(row: sdk.Row, column: str) -> None:
    with pytest.raises(sdk.SourceFaultError) as caught:
        await Rows(sdk.Row(ANNA, "安", "BURIAL", DAY), row).lookup(ask(ANNA))
    for told in (caught.value.en, caught.value.zh):
        assert not any(secret in told for secret in (ANNA, BO, "安", "博", "2026-02-14"))
    assert column in caught.value.en


MOMENT = datetime(2026, 2, 13, 17, tzinfo=UTC)  # already the 14th in Shanghai


@pytest.mark.parametrize(
    "days",
    [
        DAY,
        [DAY, DAY],
        [MOMENT, datetime.fromisoformat("2026-02-14T01:00")],
        [day("2026-02-14")] * 2,
        np.array(["2026-02-14"] * 2, "datetime64[D]"),
        np.array(["2026-02-14T08:00"] * 2, "datetime64[s]"),
        pl.Series([DAY, DAY]),
    ],
    ids=["one for all", "dates", "times", "numbers", "numpy days", "numpy times", "polars"],
)
async def test_columns_come_as_they_are_at_hand(days: Any) -> None:
    adapter = Columns(number=pl.Series([ANNA, BO]), name=["安", None], kind="BURIAL", observed_on=days)
    found = await adapter.lookup(ask(ANNA, BO))
    assert rows(found) == [(0, "BURIAL", "2026-02-14", ""), (1, "BURIAL", "2026-02-14", "")]
    assert holders(found) == [(0, ANNA, "安"), (1, BO, "")]


async def test_columns_that_do_not_fit_are_told() -> None:
    for told, column in (
        ({"number": [ANNA], "name": ["安", "安"]}, "name"),
        ({"number": [ANNA], "nmae": ["安"]}, "nmae"),
        ({"name": ["安"]}, "number"),
        ({"number": [ANNA], "kind": "BURIAL", "observed_on": np.array(["NaT"], "datetime64[D]")}, "observed_on"),
    ):
        with pytest.raises(sdk.SourceFaultError, match=column):
            await Columns(**told).lookup(ask(ANNA))


async def test_rows_may_come_from_a_plain_function_or_one_by_one() -> None:
    class Plain(About, sdk.RowAdapter):
        def rows(self, numbers: Sequence[str]) -> Iterator[sdk.Row]:
            for number in numbers:
                yield sdk.Row(number, "", "BURIAL", DAY)

    class Dripping(About, sdk.RowAdapter):
        async def rows(self, numbers: Sequence[str]) -> AsyncIterator[sdk.Row]:  # type: ignore[override]
            for number in numbers:
                yield sdk.Row(number, "", "BURIAL", DAY)

    for adapter in (Plain(), Dripping()):
        assert len(rows(await adapter.lookup(ask(ANNA, BO)))) == 2


def test_an_adapter_describes_itself_and_tells_of_changes_if_it_can() -> None:
    class Told(Rows):
        async def changes(self, cursor: bytes, limit: int) -> sdk.Changed:
            return sdk.Changed([ANNA][:limit], ["安"][:limit], cursor + b"1")

    assert isinstance(Rows(), Adapter)
    assert not Rows().describe().changes
    assert isinstance(Told(), ChangeFeed)
    assert Told().describe().changes
    assert Rows().describe().regions == (330700,)


def test_a_word_that_is_none_is_told_with_the_one_that_was_meant() -> None:
    class Wrong(Rows):
        items = (sdk.Item("BURIALS", "REAL_NAME"),)

    with pytest.raises(sdk.SourceFaultError, match="did you mean BURIAL"):
        Wrong().describe()


async def test_the_adapter_in_the_document_works(monkeypatch: pytest.MonkeyPatch) -> None:
    document = Path(__file__).parents[3] / "docs" / "adapters" / "remote.md"
    (block,) = re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), re.S)
    started: list[tuple[Adapter, dict[str, str]]] = []
    monkeypatch.setattr(sdk, "serve", lambda adapter, **given: started.append((adapter, given)))
    exec(compile(block, str(document), "exec"), {"OURS": {ANNA}})
    ((adapter, given),) = started
    assert given == {"listen": "0.0.0.0:7443", "certs": "certs"}
    assert rows(await adapter.lookup(ask(ANNA, BO))) == [(0, "BURIAL", "2026-02-14", "")]
