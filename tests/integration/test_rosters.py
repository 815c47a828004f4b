"""Whole rosters through real gateways: what they come to, and that nothing is asked twice when something dies."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import roster_world as world
import xlsxwriter
from roster_world import CHUNK, known, row

from bench.federation import TwoProvinces, people, two_provinces
from gateway.demo.numbers import wrong_check
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = [pytest.mark.integration, pytest.mark.timeout(2 * world.END_S)]
COUNT = 400


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoProvinces]:
    with two_provinces(tmp_path_factory.mktemp("rosters"), extra=world.SETTINGS) as found:
        yield found


@pytest.fixture(scope="module")
def whole(running: TwoProvinces, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A roster, and the results of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    file, out = folder / "roster.csv", folder / "out"
    file.write_text(world.as_csv(known(COUNT)), "utf-8")
    done = world.submit(running, file, out)
    assert done.returncode == 0, done.stderr
    return file, out


def same(one: Path, other: Path) -> None:
    """The same files, byte by byte, but for those that tell of messages."""
    manifests = [json.loads((folder / "manifest.json").read_text("utf-8"))["files"] for folder in (one, other)]
    assert len(manifests[0]) > 10
    # The page for the head of office bears the name of the file.
    assert {**manifests[0], "summary.html": {}} == {**manifests[1], "summary.html": {}}
    for name in ("people", "reasons", "evidence", "reason_texts", "rejected"):
        first, second = (folder / "tables" / f"{name}.parquet" for folder in (one, other))
        assert first.read_bytes() == second.read_bytes(), name


def test_everybody_is_answered_as_if_asked_about_alone(running: TwoProvinces, whole: tuple[Path, Path]) -> None:
    results = world.table(whole[1], "people")
    assert results["row"].to_list() == list(range(1, COUNT + 1))
    assert results["chunk"].to_list() == [at // CHUNK for at in range(COUNT)]
    chosen = range(0, COUNT, 37)
    alone = world.check(
        running,
        *(
            agency_pb2.CheckRequest(
                id_number=results["id_number"][at],
                name=results["name"][at],
                benefit=words.BENEFIT_TYPE_EMPLOYEE_PENSION,
                purpose=adapter_words.PURPOSE_CERTIFICATION,
                regions=[330700],
                legal_basis="x",
                case_reference="x",
                official="x",
                evidence_limit=10,
            )
            for at in chosen
        ),
    )
    reasons = world.table(whole[1], "reasons")
    for at, answer in zip(chosen, alone, strict=True):
        found = results.row(at, named=True)
        assert (found["status"], found["certification"]) == (answer.status, answer.proposal)
        assert found["partial"] == answer.partial
        told = reasons.filter(pl.col("row") == at + 1)["name"].to_list()
        assert told == [reason.name for reason in answer.reasons]


def test_results_are_for_their_owner_only(whole: tuple[Path, Path]) -> None:
    for path in whole[1].rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert not stat.S_IMODE(whole[1].stat().st_mode) & 0o077


def test_no_number_or_name_lies_on_the_gateways_disk(running: TwoProvinces, whole: tuple[Path, Path]) -> None:
    number, name = people()[0]
    state = running.asking.folder / "state"
    looked_at = 0
    for path in state.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert number.encode() not in data, path
            assert name.encode() not in data, path
            looked_at += 1
    assert looked_at > COUNT // CHUNK


def test_the_same_command_again_asks_nobody(running: TwoProvinces, whole: tuple[Path, Path]) -> None:
    before = world.asked_at(running.answering)
    again = world.submit(running, *whole)
    assert again.returncode == 0, again.stderr
    assert world.asked_at(running.answering) == before


def test_the_same_roster_elsewhere_is_another_run_with_the_same_results(
    running: TwoProvinces, whole: tuple[Path, Path], tmp_path: Path
) -> None:
    before = len(world.asked_at(running.answering))
    done = world.submit(running, whole[0], tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["run"]["state"], told["written"]) == ("ROSTER_STATE_DONE", [str(tmp_path / "out")])
    (came_to,) = told["came_to"]
    assert came_to["people"] == sum(came_to["by_certification"].values()) == COUNT
    assert len(world.asked_at(running.answering)) == before + COUNT // CHUNK
    same(whole[1], tmp_path / "out")


def test_a_folder_holds_one_roster(running: TwoProvinces, whole: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(world.as_csv(known(1)), "utf-8")
    refused = world.submit(running, other, whole[1])
    assert refused.returncode == 2
    assert "another roster" in refused.stderr


@pytest.mark.parametrize("rows", [0, 1])
def test_a_roster_of_hardly_anybody(running: TwoProvinces, tmp_path: Path, rows: int) -> None:
    file = tmp_path / "roster.csv"
    file.write_text(world.as_csv(known(rows)), "utf-8")
    done = world.submit(running, file, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert world.table(tmp_path / "out", "people").height == rows


def test_every_format_says_the_same(running: TwoProvinces, whole: tuple[Path, Path], tmp_path: Path) -> None:
    rows = known(COUNT)
    text = world.as_csv(rows)
    (tmp_path / "gb.csv").write_bytes(("\ufeff" + text).encode("gb18030"))
    (tmp_path / "tabs.csv").write_bytes(text.replace(",", "\t").encode("utf-16"))
    pl.DataFrame(rows, schema=list(world.HEADER), orient="row").write_parquet(tmp_path / "roster.parquet")
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        sheet = book.add_worksheet("名册")
        for at, each in enumerate([world.HEADER, *rows]):
            sheet.write_row(at, 0, each)
    (tmp_path / "roster.xlsx").write_bytes(buffer.getvalue())
    for name in ("gb.csv", "tabs.csv", "roster.parquet", "roster.xlsx"):
        out = tmp_path / f"out-{name}"
        done = world.submit(running, tmp_path / name, out)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        same(whole[1], out)


def test_bad_rows_are_told_with_number_and_reason_and_nobody_is_asked_about_them(
    running: TwoProvinces, tmp_path: Path
) -> None:
    good = known(3)
    number, name = people()[7]
    rows = [
        good[0],
        row(wrong_check(number), name, 7),
        row(number, "", 7),
        row(number, name, 7, region="999999"),
        good[1],
        row(good[0][1].lower(), good[0][2], 9),
        good[2],
    ]
    (tmp_path / "roster.csv").write_text(world.as_csv(rows), "utf-8")
    before = sum(world.asked_at(running.answering))
    done = world.submit(running, tmp_path / "roster.csv", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sum(world.asked_at(running.answering)) == before + 3
    assert world.table(tmp_path / "out", "people")["row"].to_list() == [1, 5, 7]
    rejected = world.table(tmp_path / "out", "rejected")
    assert rejected.select("row", "column").rows() == [(2, "证件号码"), (3, "姓名"), (4, "居住地"), (6, "证件号码")]
    assert "check digit" in rejected["reason_en"][0]
    assert "第 1 行" in rejected["reason_zh"][3]
    assert rejected["人员编号"].to_list() == ["P7", "P7", "P7", "P9"]


def test_a_file_without_the_columns_is_refused_and_says_which(running: TwoProvinces, tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("姓名,险种\n张三,工伤\n", "utf-8")
    refused = world.submit(running, tmp_path / "roster.csv", tmp_path / "out")
    assert refused.returncode == 1
    assert "id_number" in refused.stderr


def test_the_asking_gateway_is_killed_in_the_middle_and_goes_on(
    running: TwoProvinces, whole: tuple[Path, Path], tmp_path: Path
) -> None:
    """In the middle both times; a run that is over before this process has its turn proves nothing."""
    for out in (tmp_path / "first", tmp_path / "second", tmp_path / "third"):
        before = len(world.asked_at(running.answering))
        there = world.folders(running.asking)
        caught = []
        with world.begun(running, whole[0], out) as command:
            for answers in (3, 12):
                world.until(lambda: len(world.parts(running.asking, "answer", there)) >= answers, "answers")  # noqa: B023
                world.kill(running.processes[0])
                caught.append(len(world.parts(running.asking, "answer", there)) < COUNT // CHUNK)
                world.restart(running, 0)
            _, said = command.communicate(timeout=world.END_S)
            assert command.returncode == 0, said
        same(whole[1], out)
        # At each kill the answer to one question may have been on its way, and that to another about to be written
        # down: these are asked again, under the same id, by which they count once. No other is.
        asked = len(world.asked_at(running.answering)) - before
        assert COUNT // CHUNK <= asked <= COUNT // CHUNK + 2 * 2
        if all(caught):
            return
    pytest.fail("no run was caught in its middle twice")


def test_the_command_is_killed_in_the_middle_and_goes_on(
    running: TwoProvinces, whole: tuple[Path, Path], tmp_path: Path
) -> None:
    before = len(world.asked_at(running.answering))
    there = world.folders(running.asking)
    with world.begun(running, whole[0], tmp_path / "out"):
        world.until(lambda: len(world.parts(running.asking, "answer", there)) >= 3, "answers")
    done = world.submit(running, whole[0], tmp_path / "out")
    assert done.returncode == 0, done.stderr
    same(whole[1], tmp_path / "out")
    assert len(world.asked_at(running.answering)) == before + COUNT // CHUNK


def test_a_province_that_is_down_is_waited_for(running: TwoProvinces, whole: tuple[Path, Path], tmp_path: Path) -> None:
    """It goes down in the middle of a run; a run that is over before this process has its turn proves nothing."""
    for out in (tmp_path / "first", tmp_path / "second", tmp_path / "third"):
        there = world.folders(running.asking)
        with world.begun(running, whole[0], out) as command:
            world.until(lambda: len(world.parts(running.asking, "answer", there)) >= 3, "answers")  # noqa: B023
            world.kill(running.processes[1])
            caught = len(world.parts(running.asking, "answer", there)) < COUNT // CHUNK
            if caught:
                status = world.cli(running, "roster", "status", str(out), "--json")
                world.until(lambda: '"waited_for": true' in world.said_by(status), "waiting for the province")  # noqa: B023
            world.restart(running, 1)
            _, said = command.communicate(timeout=world.END_S)
            assert command.returncode == 0, said
        same(whole[1], out)
        if caught:
            return
    pytest.fail("no run was caught in its middle")


def test_whoever_does_not_answer_by_the_deadline_is_named(running: TwoProvinces, tmp_path: Path) -> None:
    world.kill(running.processes[1])
    try:
        (tmp_path / "roster.csv").write_text(world.as_csv(known(2)), "utf-8")
        done = world.submit(running, tmp_path / "roster.csv", tmp_path / "out", "--deadline", "2")
        assert done.returncode == 0, done.stderr
        results = world.table(tmp_path / "out", "people")
        member = running.answering.plan.member_id
        assert results["status"].to_list() == [0, 0]
        assert results["silent"].to_list() == [member, member]
        assert set(results["refusal"].to_list()) <= {
            words.REFUSAL_REASON_PARTNER_UNAVAILABLE,
            words.REFUSAL_REASON_DEADLINE_EXCEEDED,
        }
        assert results["certification"].to_list() == [0, 0]
    finally:
        world.restart(running, 1)
