"""How late departments told, what that cost, and two results of one roster side by side."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from result_world import empty_chunk, people

from gateway.errors import RefusedError
from gateway.roster import frames
from gateway.roster.results.comparing import compare
from gateway.roster.results.lateness import Lateness
from gateway.roster.results.writing import Options, write
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import vocabulary_pb2 as words

HEALTH, CIVIL = v.DEPARTMENT_HEALTH, v.DEPARTMENT_CIVIL_AFFAIRS
CERTIFICATE, CREMATION = v.EVIDENCE_KIND_DEATH_CERTIFICATE, v.EVIDENCE_KIND_CREMATION
STOP, FINE = words.CERTIFICATION_STATUS_STOP_PROPOSED, words.CERTIFICATION_STATUS_CERTIFIED


def civil(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days if text else 0


def dead(row: int, effective: str, last_paid: str, monthly: int = 100_000) -> dict[str, object]:
    return {
        "row": row,
        "id_number": f"{330702195001010000 + row}",
        "certification": STOP,
        "status": words.SURVIVAL_STATUS_DECEASED,
        "effective_on": civil(effective),
        "last_paid_on": civil(last_paid),
        "monthly_fen": monthly,
    }


def evidence(*rows: tuple[int, int, int, str, str]) -> pl.DataFrame:
    """Records: row, department, kind, observed, available."""
    nothing = {
        name: "" if kind == pl.String else False if kind == pl.Boolean else 0 for name, kind in frames.EVIDENCE.items()
    }
    made = [
        nothing
        | {"row": row, "department": by, "kind": kind, "observed_on": civil(on), "available_on": civil(available)}
        for row, by, kind, on, available in rows
    ]
    return pl.DataFrame(made, schema=dict(frames.EVIDENCE))


def late(told: list[dict[str, object]], *rows: tuple[int, int, int, str, str]) -> dict[tuple[int, int], list[int]]:
    found = Lateness()
    found.add(people(told), evidence(*rows))
    frame = found.frame()
    return {(row[0], row[1]): list(row[2:]) for row in frame.rows()}


def test_days_and_months_are_those_until_it_was_known() -> None:
    found = late(
        [dead(1, "2026-02-01", "2026-06-01")],
        (1, HEALTH, CERTIFICATE, "2026-01-20", "2026-01-25"),
        (1, CIVIL, CREMATION, "2026-01-22", "2026-04-02"),
    )
    assert found == {
        (CIVIL, CREMATION): [1, 70, 70, 70, 3, 300_000],
        (HEALTH, CERTIFICATE): [1, 5, 5, 5, 0, 0],
        (0, 0): [1, 5, 5, 5, 0, 0],
    }


@pytest.mark.parametrize(
    ("effective", "last_paid", "available", "months"),
    [
        ("2026-02-01", "2026-06-01", "2026-02-01", 1),
        ("2026-02-01", "2026-06-01", "2026-01-31", 0),
        ("2026-02-01", "2026-03-31", "2026-05-05", 2),
        ("2025-12-01", "2026-06-01", "2026-02-28", 3),
        ("2026-02-01", "", "2026-05-05", 0),
        ("", "2026-06-01", "2026-05-05", 0),
    ],
)
def test_only_months_that_were_paid_count(effective: str, last_paid: str, available: str, months: int) -> None:
    found = late([dead(1, effective, last_paid)], (1, HEALTH, CERTIFICATE, "2025-11-20", available))
    assert found[HEALTH, CERTIFICATE][4:] == [months, months * 100_000]


def test_the_first_record_of_each_person_counts_in_the_last_row() -> None:
    found = late(
        [dead(1, "2026-02-01", "2026-06-01"), dead(2, "2026-02-01", "2026-06-01")],
        (1, HEALTH, CERTIFICATE, "2026-01-20", "2026-03-01"),
        (1, CIVIL, CREMATION, "2026-01-20", "2026-02-10"),
        (2, HEALTH, CERTIFICATE, "2026-01-20", "2026-05-01"),
        (2, HEALTH, CERTIFICATE, "2026-01-20", "2026-06-01"),
    )
    assert found[HEALTH, CERTIFICATE][:1] == [2]
    assert found[0, 0][0] == 2
    assert found[0, 0][4:] == [1 + 4, 500_000]


def test_traces_and_records_without_a_day_are_left_out() -> None:
    assert late(
        [dead(1, "2026-02-01", "2026-06-01")],
        (1, HEALTH, v.EVIDENCE_KIND_OUTPATIENT, "2026-01-20", "2026-03-01"),
        (1, HEALTH, CERTIFICATE, "", "2026-03-01"),
        (1, HEALTH, CERTIFICATE, "2026-01-20", ""),
    ) == {}  # fmt: skip


def results(folder: Path, on: str, *told: dict[str, object]) -> Path:
    chunk = empty_chunk(people=people(list(told)))
    write([chunk], folder, Options(as_of_on=civil(on)))
    return folder


def fine(row: int) -> dict[str, object]:
    return dead(row, "", "2026-06-01") | {"certification": FINE, "status": words.SURVIVAL_STATUS_ALIVE_STRONG}


def test_what_became_of_whom_and_what_was_paid_meanwhile(tmp_path: Path) -> None:
    then = results(tmp_path / "then", "2026-04-15", fine(1), fine(2), dead(3, "2026-01-01", "2026-06-01"), fine(4))
    now = results(
        tmp_path / "now",
        "2026-07-01",
        dead(1, "2026-02-01", "2026-06-01"),  # dead then, not known: February to April
        dead(2, "2026-06-01", "2026-06-01"),  # died later
        dead(3, "2026-01-01", "2026-06-01"),
        fine(5),
    )
    found = compare(then, civil("2026-04-15"), now)
    assert found.moves.rows() == [(FINE, STOP, 2), (STOP, STOP, 1)]
    assert (found.only_then, found.only_now) == (1, 1)
    assert (found.unknown_then, found.months, found.cost_fen) == (1, 3, 300_000)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        compare(tmp_path, civil("2026-04-15"), tmp_path)
