"""`wugan audit` beside a gateway: the audit administrator finds, reads, verifies and exports; nobody else reads."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from certs.keys import store_private_key
from gateway.access.acts import SignedAct, canonical, verify_act
from gateway.cli import main
from gateway.clock import SystemClock
from gateway.inquiry.administering import found_people
from gateway.store.chain import ChainHead
from gateway.store.engine import Store
from gateway.store.trail import Found, Sought
from tests.configured import gateway_toml
from tests.unit.access.access_world import ASKER as OURS
from tests.unit.access.access_world import FOUNDERS, KEYS, administration
from tests.unit.store.store_world import NOW_MS, OTHER_MEMBER, PERSON, event
from wugan.federation.v1 import vocabulary_pb2 as words

DAY_MS = 86_400_000
LONG_AGO_MS = NOW_MS - 30 * DAY_MS
QUOTA = words.REFUSAL_REASON_QUOTA_EXCEEDED
NUMBERED = bytes.fromhex("0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")
EVENTS: list[dict[str, Any]] = [
    {"at_ms": LONG_AGO_MS, "decision": "g7: 1 people, 499 left of day; policy 31", "unit": "hangzhou"},
    {"at_ms": LONG_AGO_MS + DAY_MS, "counterpart": OTHER_MEMBER, "direction": "out", "purpose": 4, "decision": ""},
    {
        "at_ms": LONG_AGO_MS + 2 * DAY_MS,
        "outcome": QUOTA,
        "message_id": NUMBERED,
        "decision": "no more people may be asked about today "
        "[g7: quota day has no room for 12 people, 3 left of day; policy 31]",
    },
    {
        "at_ms": LONG_AGO_MS + 2 * DAY_MS,
        "message_id": NUMBERED,
        "case_reference": f'=HYPERLINK("{PERSON}")',
        "official": b"q" * 32,
        "decision": "odd words of a later version",
    },
]
"""What the trail holds of exchanges; the enrolment of people comes first."""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway's folder: its people with their keys, and a few events."""
    monkeypatch.setenv("WUGAN_LANG", "en")
    # A command sets up the log of its own process, which here is that of all other tests.
    monkeypatch.setattr("gateway.log.configure", lambda *_: None)
    monkeypatch.setattr("gateway.store.engine._note", lambda *_: None)
    path = tmp_path / "gateway.toml"
    path.write_text(gateway_toml(member=OURS), "utf-8")
    for name in ("sun", "li", "new"):
        store_private_key(tmp_path / f"{name}.pem", KEYS[name])
    asyncio.run(_fill(tmp_path))
    return path


async def _fill(folder: Path) -> None:
    async with opened(folder) as store:
        await found_people(administration(store, SystemClock(), OURS), FOUNDERS)  # type: ignore[arg-type]
        for changed in EVENTS:
            await store.audit.record(event(**changed))


def opened(folder: Path) -> Store:
    return Store.open(folder / "state" / "gateway.db", key=folder / "state" / "store.key", clock=SystemClock())


def run(config: Path, *arguments: str, by: str = "sun", key: str = "") -> Result:
    signed = ("--as", by, "--key", str(config.parent / f"{key or by}.pem")) if by else ()
    return CliRunner().invoke(main, ["audit", *arguments, *signed, "--config", str(config)])


def listed(config: Path, *arguments: str) -> list[dict[str, Any]]:
    ran = run(config, "list", "--json", *arguments)
    assert ran.exit_code == 0, ran.output
    found: list[dict[str, Any]] = json.loads(ran.stdout)["events"]
    return found


def trail(config: Path) -> list[Found]:
    async def read() -> list[Found]:
        async with opened(config.parent) as store:
            return await store.trail.oldest(Sought(), limit=1000)

    return asyncio.run(read())


def head(config: Path) -> ChainHead:
    last = trail(config)[-1]
    return ChainHead(last.sequence, last.mac)


def spoil(config: Path, statement: str) -> None:
    with sqlite3.connect(config.parent / "state" / "gateway.db") as database:
        database.execute(statement)


def test_the_newest_come_first_and_pages_follow_each_other(config: Path) -> None:
    everything = listed(config)
    assert [each["sequence"] for each in everything] == [6, 5, 4, 3, 2, 1], "its own reading is on record already"
    page = json.loads(run(config, "list", "--json", "--limit", "2", "--before", "6").stdout)
    assert ([each["sequence"] for each in page["events"]], page["before"]) == ([5, 4], 4)
    page = json.loads(run(config, "list", "--json", "--limit", "3", "--before", "4").stdout)
    assert ([each["sequence"] for each in page["events"]], page["before"]) == ([3, 2, 1], None)
    assert re.search(r"1  .*  administration  wang  act 1  enrol the first people", run(config, "list").stdout)
    assert "older ones: --before 5" in run(config, "list", "--limit", "1", "--before", "6").stdout


def day(offset: int) -> str:
    from gateway.cli.access_common import moment

    return moment(LONG_AGO_MS + offset * DAY_MS)[:10]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--kind", "out"), [3]),
        (("--kind", "act", "--unit", "wang"), [1]),
        (("--outcome", "answered"), [5, 3, 2]),
        (("--outcome", "refused"), [4]),
        (("--outcome", "quota-exceeded"), [4]),
        (("--outcome", "STRANGER"), []),
        (("--member", OTHER_MEMBER), [3]),
        (("--unit", "hangzhou"), [2]),
        (("--official", (b"q" * 32).hex()), [5]),
        (("--purpose", "dispute_review"), [3]),
        (("--message", NUMBERED.hex()), [5, 4]),
        (("--case", "JH-2026-17"), [4, 3, 2]),
        (("--until", day(1)), [3, 2]),
        (("--since", day(1), "--until", day(1)), [3]),
        (("--since", f"{day(1)}T00:00", "--until", f"{day(2)}T23:59:59", "--outcome", "answered"), [5, 3]),
    ],
)
def test_what_is_looked_for_is_found_and_nothing_else(
    config: Path, arguments: tuple[str, ...], expected: list[int]
) -> None:
    assert [each["sequence"] for each in listed(config, *arguments)] == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--since", "yesterday"),
        ("list", "--until", "1969-01-01"),
        ("list", "--outcome", "UNSPECIFIED"),
        ("list", "--purpose", "fun"),
        ("list", "--message", "12"),
        ("list", "--official", "xyz"),
        ("list", "--unit", "x" * 201),
        ("list", "--limit", "1001"),
        ("show",),
        ("show", "1", "--message", "00" * 16),
        ("export", "--out", "trail.xls"),
        ("verify", "--head", "7:00"),
    ],
)
def test_wrong_usage_ends_with_2_and_reads_nothing(config: Path, arguments: tuple[str, ...]) -> None:
    before = head(config)
    ran = run(config, *arguments, by="" if arguments[0] == "verify" else "sun")
    assert (ran.exit_code, head(config)) == (2, before), ran.output


@pytest.mark.parametrize(("by", "key"), [("li", ""), ("new", ""), ("sun", "li")])
@pytest.mark.parametrize("arguments", [("list",), ("show", "2"), ("export", "--out", "trail.csv")])
def test_only_an_audit_administrator_with_the_own_key_reads(
    config: Path, monkeypatch: pytest.MonkeyPatch, by: str, key: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(config.parent)
    before = head(config)
    ran = run(config, *arguments, by=by, key=key)
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "audit administrator" in ran.stderr or "not enrolled" in ran.stderr or "not signed" in ran.stderr
    assert head(config) == before
    assert not Path("trail.csv").exists()


def test_every_reading_is_itself_on_record_under_the_readers_signature(config: Path) -> None:
    run(config, "list", "--kind", "in", "--limit", "7")
    found = trail(config)[-1]
    told = found.event
    assert (told.direction, told.unit, told.subjects, told.outcome) == ("act", "sun", 0, 0)
    written = re.fullmatch(r"audit\.read; signature ([0-9a-f]{128}); (\{.*\})", told.decision)
    assert written is not None
    body = json.loads(written[2])
    assert body == {"look": "list", "before": 0, "limit": 7, "direction": "in"}
    statement = {"act": "audit.read", "at_ms": told.at_ms, "body": body, "by": "sun", "gateway": OURS, "number": 0}
    look = SignedAct(0, canonical(statement), bytes.fromhex(written[1]))
    verify_act(look, KEYS["sun"].public_key().public_bytes_raw())
    assert "read the audit trail" in run(config, "show", str(found.sequence)).stdout


def test_an_event_is_shown_whole_with_its_decision_in_words_in_both_languages(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = run(config, "show", "2").stdout
    assert "grant g7 allows it; counted: 1 person; 499 people left today" in shown
    assert "as recorded: g7: 1 people, 499 left of day; policy 31" in shown
    both = run(config, "show", "--message", NUMBERED.hex()).stdout
    assert both.count("number: ") == 2
    assert "refused: quota used up; the quota of grant g7 (today) has no room for 12 people" in both
    assert "in words: answered.\n" in both, "words in no known form are not guessed at"
    monkeypatch.setenv("WUGAN_LANG", "zh")
    ours = run(config, "show", "4").stdout
    assert "说明：拒绝：超出查询额度；授权 g7 的额度（当日）不足以查询 12 人，当日尚余 3 人；依据第 31 项操作" in ours
    assert run(config, "show", "999").exit_code == 1
    assert "业务编号：第 1 项操作\n" in run(config, "show", "1").stdout
    [founding] = [line for line in run(config, "list", "--unit", "wang").stdout.splitlines() if " wang " in line]
    assert "第 1 项操作" in founding
    assert "act 1" not in founding


def test_verifying_takes_no_key_and_holds_noted_heads_against_the_trail(config: Path, tmp_path: Path) -> None:
    noted = head(config)
    log = tmp_path / "gateway.log"
    line: Mapping[str, Any] = {"event": "store opened", "audit_sequence": noted.sequence, "audit_mac": noted.mac.hex()}
    log.write_text(f'not JSON: audit_mac\n["audit_mac"]\n{json.dumps(line)}\n{{"event": "ready"}}\n', "utf-8")
    ran = run(config, "verify", "--log", str(log), "--head", f"{noted.sequence}:{noted.mac.hex()}", by="")
    assert (ran.exit_code, head(config)) == (0, noted), ran.output
    assert f"whole; 2 noted heads checked. Note this head elsewhere: {noted.sequence}:{noted.mac.hex()}" in ran.stdout
    wrong = run(config, "verify", "--head", f"{noted.sequence}:{'00' * 32}", by="")
    assert (wrong.exit_code, "noted elsewhere" in wrong.stderr) == (1, True)
    spoil(config, f"DELETE FROM audit_event WHERE sequence = {noted.sequence}")
    unknown = run(config, "verify", by="")
    assert unknown.exit_code == 0, "without a note nobody can know"
    assert "no noted head was given, so rows missing at the end do not show" in unknown.stdout
    cut = run(config, "verify", "--log", str(log), by="")
    assert (cut.exit_code, "missing at the end" in cut.stderr) == (1, True)
    (tmp_path / "empty.log").write_text("{}\n", "utf-8")
    assert run(config, "verify", "--log", str(tmp_path / "empty.log"), by="").exit_code == 2, "it proves nothing"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit_event SET subjects = 9 WHERE sequence = 3", "broken at row 3: the row was changed"),
        ("DELETE FROM audit_event WHERE sequence = 3", "broken at row 3: a row is missing"),
    ],
)
def test_a_trail_that_was_touched_is_broken_where_it_was_and_still_read_and_exported(
    config: Path, monkeypatch: pytest.MonkeyPatch, statement: str, said: str
) -> None:
    monkeypatch.chdir(config.parent)
    spoil(config, statement)
    told = run(config, "verify", by="")
    assert (told.exit_code, said in told.stderr, told.stdout) == (1, True, "")
    assert run(config, "list").exit_code == 0
    exported = run(config, "export", "--out", "trail.jsonl", "--json")
    assert (exported.exit_code, said in exported.stderr) == (1, True)
    assert json.loads(exported.stdout)["whole"] is False
    assert len(Path("trail.jsonl").read_text("utf-8").splitlines()) == json.loads(exported.stdout)["events"]


def test_an_export_is_a_new_file_for_its_owner_whole_and_without_numbers_or_formulas(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    monkeypatch.setattr("gateway.cli.audit.PAGE", 2)
    ran = run(config, "export", "--out", "trail.csv", "--json")
    assert ran.exit_code == 0, ran.output
    told, path = json.loads(ran.stdout), Path("trail.csv")
    assert (path.stat().st_mode & 0o777, hashlib.sha256(path.read_bytes()).hexdigest()) == (0o600, told["sha256"])
    heading, *rows = csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6"], "up to the reading itself"
    assert (told["events"], told["head"]["sequence"], told["whole"]) == (6, 6, True)
    assert told["head"]["mac"] == rows[-1][-1]
    assert heading[0] == "number (sequence)"
    assert PERSON not in path.read_text("utf-8")
    assert "'=HYPERLINK" in rows[4][heading.index("case (case_reference)")]
    again = run(config, "export", "--out", "trail.csv")
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    assert [each.name for each in Path().iterdir() if each.suffix == ".tmp"] == []


def test_an_export_of_a_part_as_json_lines_is_what_list_shows(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    ran = run(config, "export", "--out", "part.jsonl", "--kind", "in")
    assert ran.exit_code == 0, ran.output
    assert "part.jsonl: 3 events" in ran.stdout
    written = [json.loads(line) for line in Path("part.jsonl").read_text("utf-8").splitlines()]
    assert written == listed(config, "--kind", "in")[::-1]
