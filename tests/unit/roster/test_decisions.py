"""What officials decide is held against the rules and kept so that nobody can change it unseen."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.clock import FakeClock, civil_day
from gateway.errors import ConfigError, RefusedError, StoreError
from gateway.roster.decisions import deciding, ledger
from gateway.roster.decisions.chain import Head
from gateway.roster.decisions.deciding import Outcome, Request
from gateway.roster.decisions.ledger import FILE, KEY, Ledger
from gateway.roster.decisions.overview import Overview, export, overview
from gateway.roster.decisions.people import Results
from gateway.roster.results.writing import Options, write
from gateway.rules.deciding import Act, Source
from tests.unit.roster.result_world import AS_OF_ON, BOOK, empty_chunk, people
from wugan.federation.v1 import vocabulary_pb2 as f

CERTIFIED, FACE, VISIT, SUSPECT, PROPOSED, STOPPED, RESTORED = range(1, 8)
NUMBER = "33070219500101123"
LAST_PAID, EFFECTIVE = AS_OF_ON - 15, AS_OF_ON - 100
ROWS: list[dict[str, object]] = [
    {"id_number": NUMBER + "0", "certification": CERTIFIED, "status": 1, "reference": "JH-1"},
    {"id_number": NUMBER + "1", "certification": FACE, "status": f.SURVIVAL_STATUS_ALIVE_MEDIUM},
    {"id_number": NUMBER + "2", "certification": VISIT, "status": f.SURVIVAL_STATUS_ALIVE_WEAK},
    {"id_number": NUMBER + "3", "certification": SUSPECT, "status": f.SURVIVAL_STATUS_CONFLICT},
    {
        "id_number": NUMBER + "4", "certification": PROPOSED, "status": f.SURVIVAL_STATUS_DECEASED,
        "monthly_fen": 300_050,
        "effective_on": EFFECTIVE, "decided_on": EFFECTIVE - 20, "last_paid_on": LAST_PAID,
    },
    {"id_number": NUMBER + "5", "certification": 0, "status": 0, "refusal": 19},
    {"id_number": NUMBER + "2", "certification": VISIT, "status": f.SURVIVAL_STATUS_ALIVE_WEAK, "name": "张三"},
]  # fmt: skip
"""Rows 1 to 7; the last is the third once more."""


class Office:
    """A folder of results and the officials who decide on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock((AS_OF_ON * 86_400 + 3600) * 1000)

    def publish(self, rows: list[dict[str, object]], later: int = 0) -> None:
        write(iter([empty_chunk(people=people(rows))]), self.folder, Options(AS_OF_ON + later))

    def do(self, row: int, act: Act, **given: Any) -> Outcome:
        who, why = given.pop("who", "王"), given.pop("why", "已核实")
        return self.all([Request(row, act, who, why, **given)])[0]

    def all(self, requests: list[Request], *, try_only: bool = False) -> list[Outcome]:
        results = Results(self.folder)
        with Ledger.open(self.folder, create=True) as record:
            return deciding.decide(record, results, BOOK, self.clock, requests, try_only=try_only)

    def view(self) -> Overview:
        with Ledger.open(self.folder, create=False) as record:
            return overview(record, Results(self.folder), BOOK)

    def head(self) -> Head:
        with Ledger.open(self.folder, create=False) as record:
            return record.head


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results on which nobody has decided yet; copied for each test."""
    office = Office(tmp_path_factory.mktemp("published"))
    office.publish(ROWS)
    return office.folder


@pytest.fixture
def office(published: Path, tmp_path: Path) -> Office:
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    return Office(tmp_path)


def refusal(outcome: Outcome) -> str:
    assert outcome.error is not None, outcome
    assert outcome.sequence == 0
    return outcome.error.field


def month(on: int) -> str:
    return str(np.int32(on).astype("M8[D]").astype("M8[M]"))


@pytest.mark.parametrize(
    ("row", "act", "status", "source"),
    [
        (2, Act.FACE_PASSED, CERTIFIED, Source.FACE),
        (3, Act.VISIT_PASSED, CERTIFIED, Source.VISIT),
        (4, Act.STAFF_PASSED, CERTIFIED, Source.STAFF),
        (6, Act.STAFF_PASSED, CERTIFIED, Source.STAFF),
        (2, Act.REFUSED, VISIT, Source.NONE),
        (3, Act.NOT_FOUND, SUSPECT, Source.NONE),
        (3, Act.FOUND_DEAD, PROPOSED, Source.NONE),
        (5, Act.REJECT_STOP, SUSPECT, Source.NONE),
        (5, Act.APPROVE_STOP, STOPPED, Source.NONE),
    ],
)
def test_what_is_allowed_is_recorded_and_stands(
    office: Office, row: int, act: Act, status: int, source: Source
) -> None:
    outcome = office.do(row, act, by="网格员")
    assert (outcome.error, outcome.sequence) == (None, 1)
    (case,) = office.view().cases
    assert (case.standing.status, case.standing.source) == (status, source)
    assert case.standing.certified_on == (AS_OF_ON if status == CERTIFIED else 0)
    with Ledger.open(office.folder, create=False) as record:
        assert record.texts(case.events[0]) == ("王", "网格员", "已核实")


@pytest.mark.parametrize(
    ("row", "act"),
    [(1, Act.APPROVE_STOP), (2, Act.RESTORE), (4, Act.APPROVE_STOP), (1, Act.NOT_FOUND), (6, Act.REJECT_STOP)],
)
def test_what_the_table_does_not_allow_is_refused_and_leaves_no_trace(office: Office, row: int, act: Act) -> None:
    assert refusal(office.do(row, act)) == "act"
    assert office.head().sequence == 0


def test_a_second_certification_in_a_cycle_is_refused_recorded_and_found(office: Office) -> None:
    assert office.do(2, Act.FACE_PASSED).sequence == 1
    office.clock.advance(86_400 * 30)
    assert refusal(office.do(2, Act.VISIT_PASSED, who="李")) == "once"
    assert refusal(office.do(1, Act.FACE_PASSED)) == "once"
    cases = {case.person.row: case for case in office.view().cases if case.person}
    assert (cases[2].standing.status, cases[2].standing.source) == (CERTIFIED, Source.FACE)
    assert [event.refused for event in cases[2].events] == [0, 1]
    assert cases[1].standing.source is Source.DATA_COMPARISON
    assert all("cycle" in case.findings[0].en for case in cases.values())


def test_one_person_in_two_rows_is_certified_once(office: Office) -> None:
    assert office.do(3, Act.VISIT_PASSED).error is None
    assert refusal(office.do(7, Act.FACE_PASSED)) == "once"


def test_after_a_cycle_somebody_is_certified_again(office: Office) -> None:
    office.do(2, Act.FACE_PASSED)
    office.clock.advance(86_400 * BOOK.grading.cycle_days)
    later = BOOK.grading.cycle_days
    office.publish(ROWS, later)
    (case,) = office.view().cases
    assert case.standing.status == FACE
    assert office.do(2, Act.FACE_PASSED).error is None


def test_the_same_list_handed_in_again_counts_once(office: Office) -> None:
    requests = [
        Request(2, Act.FACE_PASSED, "王", by="平台"),
        Request(3, Act.NOT_FOUND, "王", by="网格员"),
        Request(5, Act.APPROVE_STOP, "王", "死亡"),
    ]
    first = office.all(requests)
    assert [outcome.sequence for outcome in first] == [1, 2, 3]
    again = office.all(requests)
    assert [(outcome.repeated, outcome.sequence, outcome.error) for outcome in again] == [(True, 0, None)] * 3
    assert office.head().sequence == 3
    assert not any(case.findings for case in office.view().cases)


def test_who_is_seen_while_stopped_stays_so_and_is_found(office: Office) -> None:
    office.do(5, Act.APPROVE_STOP)
    assert office.do(5, Act.FACE_PASSED).standing.status == STOPPED
    (case,) = office.view().cases
    assert case.standing.status == STOPPED
    assert "restoring" in case.findings[0].en


def test_who_is_seen_while_a_stop_is_proposed_is_a_doubt_and_found(office: Office) -> None:
    assert office.do(5, Act.VISIT_PASSED).standing.status == SUSPECT
    (case,) = office.view().cases
    assert "stop is proposed" in case.findings[0].en
    assert office.do(5, Act.STAFF_PASSED, who="李").standing.status == CERTIFIED


def test_who_brought_a_stop_about_does_not_approve_it(office: Office) -> None:
    office.do(3, Act.FOUND_DEAD, who="王", by="网格员")
    assert refusal(office.do(3, Act.APPROVE_STOP, who="王")) == "who"
    assert refusal(office.do(3, Act.APPROVE_STOP, who=" 网格员 ")) == "who"
    assert office.do(3, Act.APPROVE_STOP, who="李").error is None
    office.do(4, Act.PROPOSE_STOP, who="赵")
    assert refusal(office.do(4, Act.APPROVE_STOP, who="赵")) == "who"
    assert office.do(5, Act.APPROVE_STOP, who="王").error is None, "what the run proposed may be approved by anybody"


def test_a_restoration_pays_back_every_month_withheld_in_fen(office: Office) -> None:
    office.do(5, Act.APPROVE_STOP)
    (case,) = office.view().cases
    assert month(case.events[0].stopped_from_on) == "2026-09", "the month after the last one paid"
    office.clock.advance(86_400 * 120)
    restored = office.do(5, Act.RESTORE)
    assert (restored.months, restored.amount_fen) == (5, 5 * 300_050)
    (case,) = office.view().cases
    assert month(case.events[1].resumes_on) == "2027-02"
    assert case.standing.status == RESTORED


def test_the_official_may_say_which_months(office: Office) -> None:
    assert refusal(office.do(5, Act.APPROVE_STOP, stopped_from_on=LAST_PAID)) == "stop_from"
    office.do(5, Act.APPROVE_STOP, stopped_from_on=AS_OF_ON + 40)
    office.clock.advance(86_400 * 300)
    entitled, resumes = AS_OF_ON + 150, AS_OF_ON + 300
    restored = office.do(5, Act.RESTORE, entitled_from_on=entitled, resumes_on=resumes)
    count = int(np.datetime64(month(resumes), "M").astype(int) - np.datetime64(month(entitled), "M").astype(int))
    assert (restored.months, restored.amount_fen) == (count, count * 300_050)


def test_a_rejected_stop_is_not_proposed_again_for_the_same_facts_but_for_new_ones(office: Office) -> None:
    office.do(5, Act.REJECT_STOP)
    office.clock.advance(86_400 * 2)
    office.publish(ROWS, 2)
    assert office.view().cases[0].standing.status == SUSPECT
    earlier = {**ROWS[4], "effective_on": EFFECTIVE - 60}
    office.publish([*ROWS[:4], earlier, *ROWS[5:]], 2)
    assert office.view().cases[0].standing.status == PROPOSED


def test_decisions_follow_the_person_when_a_later_roster_has_other_rows(office: Office) -> None:
    office.do(5, Act.APPROVE_STOP)
    office.do(2, Act.FACE_PASSED)
    office.publish(list(reversed(ROWS))[:-2], 1)
    found = office.view()
    rows = {case.events[0].act: case.person and case.person.row for case in found.cases}
    assert rows == {Act.APPROVE_STOP: 3, Act.FACE_PASSED: None}, (
        "one stands elsewhere now, one is not in the roster any more"
    )
    assert sum(found.now.values()) == 5
    assert found.now[STOPPED] == 1


def test_a_list_of_another_run_is_refused_by_its_numbers(office: Office) -> None:
    assert refusal(office.do(2, Act.FACE_PASSED, number=NUMBER + "9")) == "id_number"
    assert refusal(office.do(2, Act.FACE_PASSED, number="330702********9999")) == "id_number"
    assert refusal(office.do(2, Act.FACE_PASSED, number="****")) == "id_number"
    assert office.do(2, Act.FACE_PASSED, number="330702********1231").error is None
    assert office.do(3, Act.VISIT_PASSED, number=NUMBER + "2").error is None


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"who": " "}, "who"),
        ({"who": "x" * 101}, "who"),
        ({"why": ""}, "why"),
        ({"why": "x" * 1001}, "why"),
        ({"on_day": AS_OF_ON + 1}, "date"),
        ({"on_day": AS_OF_ON - 400}, "date"),
    ],
)
def test_a_decision_without_who_why_or_a_day_that_can_be_is_refused(
    office: Office, given: dict[str, Any], field: str
) -> None:
    assert refusal(office.do(5, Act.APPROVE_STOP, **given)) == field
    assert civil_day(office.clock.now_ms()) == AS_OF_ON


def test_a_row_that_is_not_there_is_refused_and_the_others_are_not(office: Office) -> None:
    outcomes = office.all([Request(99, Act.FACE_PASSED, "王"), Request(2, Act.FACE_PASSED, "王")])
    assert [refusal(outcomes[0]), outcomes[1].sequence] == ["row", 1]


def test_trying_records_nothing(office: Office) -> None:
    (tried,) = office.all([Request(5, Act.APPROVE_STOP, "王", "死亡")], try_only=True)
    assert tried.standing.status == STOPPED
    assert office.head().sequence == 0


def test_too_many_at_once_are_refused(office: Office) -> None:
    with pytest.raises(RefusedError, match="at most"):
        office.all([Request(1, Act.FACE_PASSED, "王")] * (deciding.AT_ONCE + 1))


def test_folders_without_results_or_decisions_say_so(tmp_path: Path, office: Office) -> None:
    with pytest.raises(ConfigError, match="no results"):
        Results(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="nothing was decided"):
        Ledger.open(office.folder, create=False)
    (office.folder / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match="no results"):
        Results(office.folder)


# the record


@pytest.fixture
def recorded(office: Office) -> Office:
    office.do(2, Act.FACE_PASSED)
    office.do(3, Act.NOT_FOUND)
    office.do(5, Act.APPROVE_STOP)
    return office


def change(office: Office, statement: str, *values: object) -> None:
    connection = sqlite3.connect(office.folder / FILE)
    with connection:
        connection.execute(statement, values)
    connection.close()


def columns() -> list[str]:
    return [column.name for column in ledger._decision.columns]


@pytest.mark.parametrize("column", columns())
def test_a_changed_column_shows_at_its_event(recorded: Office, column: str) -> None:
    connection = sqlite3.connect(recorded.folder / FILE)
    (value,) = connection.execute(f"SELECT {column} FROM decision WHERE sequence = 2").fetchone()
    connection.close()
    other = bytes(len(value) - 1) + b"\x01" if isinstance(value, bytes) else (9 if column == "sequence" else value + 1)
    change(recorded, f"UPDATE decision SET {column} = ? WHERE sequence = 2", other)
    with pytest.raises(StoreError, match=r"broken at event [23]"):
        recorded.view()
    with pytest.raises(StoreError):
        recorded.do(4, Act.FOUND_DEAD)


@pytest.mark.parametrize("sequence", [1, 2])
def test_an_event_taken_out_shows(recorded: Office, sequence: int) -> None:
    change(recorded, "DELETE FROM decision WHERE sequence = ?", sequence)
    with pytest.raises(StoreError, match=f"broken at event {sequence}"):
        recorded.head()


def test_events_taken_off_the_end_show_against_a_head_noted_elsewhere(recorded: Office) -> None:
    noted = recorded.head()
    change(recorded, "DELETE FROM decision WHERE sequence = 3")
    assert recorded.head().sequence == 2
    with pytest.raises(StoreError, match="missing at the end"):
        Ledger.open(recorded.folder, create=False, anchor=noted)
    with pytest.raises(StoreError, match="noted elsewhere"):
        Ledger.open(recorded.folder, create=False, anchor=Head(2, noted.mac))
    Ledger.open(recorded.folder, create=False, anchor=recorded.head()).__exit__(None, None, None)


def test_without_its_key_the_record_is_not_read_and_another_key_does_not_fit(recorded: Office) -> None:
    key = recorded.folder / KEY
    key.unlink()
    with pytest.raises(StoreError, match="missing"):
        recorded.view()
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    with pytest.raises(StoreError, match="broken at event 1"):
        recorded.view()


def test_a_file_that_is_none_is_refused(recorded: Office) -> None:
    (recorded.folder / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError):
        recorded.view()


def test_nobody_else_may_read_the_record_and_it_holds_no_number_name_or_reason(recorded: Office) -> None:
    for name in (FILE, KEY):
        assert stat.S_IMODE((recorded.folder / name).stat().st_mode) == 0o600
    raw = (recorded.folder / FILE).read_bytes()
    for text in (NUMBER, "张三", "已核实", "王"):
        assert text.encode() not in raw


def test_two_officials_at_once_do_not_both_succeed(office: Office) -> None:
    ready, outcomes = threading.Barrier(2), []

    def pass_(who: str) -> None:
        ready.wait()
        outcomes.append(office.do(2, Act.FACE_PASSED, who=who))

    office.do(3, Act.NOT_FOUND)
    both = [threading.Thread(target=pass_, args=(who,)) for who in ("甲", "乙")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(outcome.error is None for outcome in outcomes) == [False, True]
    assert office.head().sequence == 3


def test_how_they_stand_is_exported_with_the_five_indicators(recorded: Office, tmp_path: Path) -> None:
    path = tmp_path / "standing.csv"
    with Ledger.open(recorded.folder, create=False) as record:
        assert export(overview(record, Results(recorded.folder), BOOK).cases, record, path, "zh") == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = path.read_text("utf-8-sig").splitlines()
    assert all(name in lines[0] for name in ("底数", "认证状态", "认证标记", "认证来源", "认证时间"))
    assert "在册,已认证,中,人脸认证,2026-09-04,人脸认证通过" in lines[1]
    assert "已停发" in lines[3]
    assert [path.name for path in tmp_path.glob(".standing*")] == []


def chains() -> Iterator[str]:
    yield from ("", "1", "1:", ":00", "x:" + "00" * 32, "1:" + "0g" * 32, "1:" + "00" * 31, "-1:" + "00" * 32)


@pytest.mark.parametrize("text", list(chains()))
def test_a_head_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ledger.heads(text)


def test_a_head_reads_as_it_is_printed() -> None:
    head = Head(12, bytes(range(32)))
    assert ledger.heads(ledger.shown(head)) == head
