"""Blocks of mapped rows put together: each row stays with whom it is about, and with what else it says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from adapters.asked import Asked
from adapters.contract import Evidence, Lookup, Subjects
from adapters.gathering import Gathering
from adapters.mapping import Mapped, Mapper
from wugan.adapter.v1 import vocabulary_pb2 as words

MAPPER = cast("Mapper", SimpleNamespace(name="visits", skips_bad_rows=True))
PEOPLE = Subjects(["110101195001011234", "110101195002021234"], ["甲", "乙"])


def block(rows: list[int], kinds: list[int], **more: dict[int, str]) -> Mapped:
    """Rows of evidence whose columns tell them apart by their kind."""
    count = len(kinds)
    return Mapped(
        row=rows,
        kind=kinds,
        region=[110000 + kind for kind in kinds],
        observed_on=[20_000 + kind for kind in kinds],
        available_on=[20_100 + kind for kind in kinds],
        strength=[1] * count,
        source_reference=[f"b{kind}" for kind in kinds],
        detail=[30 + kind for kind in kinds],
        from_on=[40 + kind for kind in kinds],
        until_on=[50 + kind for kind in kinds],
        **more,  # type: ignore[arg-type]
    )


def evidence(*blocks: tuple[list[int], Mapped]) -> Evidence:
    gathering = Gathering(Lookup(PEOPLE), Asked(PEOPLE), words.DEPARTMENT_HEALTH)
    for positions, mapped in blocks:
        gathering.add(MAPPER, positions, mapped)
    return gathering.found().evidence


def test_rows_of_several_blocks_stay_with_whom_they_are_about() -> None:
    found = evidence(([0, 1, 0], block([0, 1, 2], [1, 2, 3])), ([1], block([0], [4])))
    assert found.subject.tolist() == [0, 1, 0, 1]
    assert found.kind.tolist() == [1, 2, 3, 4]
    assert found.department.tolist() == [words.DEPARTMENT_HEALTH] * 4
    assert list(found.source_reference) == ["b1", "b2", "b3", "b4"]
    columns = (found.region, found.observed_on, found.available_on, found.detail, found.from_on, found.until_on)
    for column, first in zip(columns, (110000, 20_000, 20_100, 30, 40, 50), strict=True):
        assert (column - first).tolist() == [1, 2, 3, 4]


def test_a_block_of_which_some_rows_are_no_evidence_tells_of_the_others() -> None:
    found = evidence(([0, 1, 1], block([0, 2], [1, 3])))
    assert found.subject.tolist() == [0, 1]
    assert found.kind.tolist() == [1, 3]


def test_so_does_one_of_which_some_rows_are_bad() -> None:
    found = evidence(([0, 1, 1], block([0, 1, 2], [1, 2, 3], bad={0: "no day"})))
    assert found.subject.tolist() == [1, 1]
    assert found.kind.tolist() == [2, 3]
    assert list(found.source_reference) == ["b2", "b3"]
    assert not len(evidence(([0], block([0], [1], bad={0: "no day"}))))
