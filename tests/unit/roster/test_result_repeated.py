"""Recipients that stand in the roster more than once are found, however far apart they stand."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.roster.results.repeated import Numbers
from gateway.roster.results.writing import Options, write
from tests.unit.roster.result_world import AS_OF_ON, empty_chunk, people

A, B = "330702195001011234", "420102194912120021"


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def test_what_is_repeated_is_marked_and_explained_across_chunks(tmp_path: Path) -> None:
    first = people([{"row": 1, "id_number": A}, {"row": 2, "id_number": B, "name": "闫·明"}])
    later = people(
        [
            {"row": 5, "id_number": A},
            {"row": 6, "id_number": A, "benefit": 5},
            {"row": 8, "id_number": B, "name": "闫明", "benefit": 1},
            {"row": 9, "id_number": "330702195001011242", "name": "李四"},
            {"row": 10, "id_number": A, "name": "王五"},
        ]
    )
    written = write(iter([empty_chunk(people=first), empty_chunk(people=later)]), tmp_path, Options(AS_OF_ON))
    registered = {row["行号"]: row["底数"] for row in table(tmp_path / "results.csv")}
    assert [row for row, mark in registered.items() if mark == "在册（重复）"] == ["5", "8", "10"]
    found = [(row["发现"], row["行号"], row["说明"]) for row in table(tmp_path / "findings.csv")]
    assert ("名册内重复", "5", "同一人、同一险种：第 1、5、10 行") in found
    assert ("名册内重复", "8", "同一人、同一险种：第 2、8 行") in found
    assert ("一人多险种", "6", "同一号码领取：企业职工基本养老保险；工伤保险长期待遇（伤残津贴、生活护理费）") in found
    assert {row for kind, row, _ in found if kind == "一号多名"} == {"1", "5", "6", "10"}, (
        "a middle dot makes no other name"
    )
    assert written.counts.findings == {"REPEATED": 5, "SEVERAL_BENEFITS": 4, "SEVERAL_NAMES": 4}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 2), st.sampled_from("mn")), max_size=12))
def test_exactly_the_repeated_are_found(rows: list[tuple[str, int, str]]) -> None:
    frame = people([{"id_number": number, "benefit": benefit, "name": name} for number, benefit, name in rows])
    numbers = Numbers()
    for start in range(0, len(rows), 3):
        numbers.add(frame["id_number"].slice(start, 3))
    found, again = numbers.repeated(frame.lazy(), "en")
    same, benefits, names = defaultdict(list), defaultdict(set), defaultdict(set)
    for row, (number, benefit, name) in enumerate(rows, 1):
        same[number, benefit].append(row)
        benefits[number].add(benefit)
        names[number].add(name)
    expected = {("REPEATED", row) for these in same.values() for row in these if len(these) > 1}
    expected |= {("SEVERAL_BENEFITS", row) for row, one in enumerate(rows, 1) if len(benefits[one[0]]) > 1}
    expected |= {("SEVERAL_NAMES", row) for row, one in enumerate(rows, 1) if len(names[one[0]]) > 1}
    assert set(zip(found["finding"], found["row"], strict=True)) == expected
    assert again.to_list() == sorted(row for these in same.values() for row in these[1:])
    assert pl.Series(again).dtype == pl.Int64
