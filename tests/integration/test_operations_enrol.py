"""`docs/operations/enrol.md` as two administrators would follow it, from empty folders to an answered question."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from runbook import Book
from runbook_world import ASK, BEIJING, ZHEJIANG, Federation, copied

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_two_provinces_are_enrolled_by_the_page_and_one_answers_the_other(
    enrolment: tuple[Book, Federation], federation: Federation
) -> None:
    book = enrolment[0]
    hosts = federation.about(federation.zhejiang)
    federation.until_all_have_the_directory()
    book.follow("5.", hosts, 1)
    assert set(federation.seen()) == {ZHEJIANG, BEIJING}
    book.follow("6.", hosts, 2)
    answer = json.loads(federation.zhejiang.agency.run(f"{ASK} --json").out)
    assert answer["status"].startswith("SURVIVAL_STATUS_ALIVE")
    assert [each["member_id"] for each in answer["answers"]] == [BEIJING]
    assert not answer["partial"]
    before = (federation.zhejiang.agency.folder / "tls" / "certificate.pem").read_bytes()
    book.follow("6.", hosts, 3)
    assert (federation.zhejiang.agency.folder / "tls" / "certificate.pem").read_bytes() != before
    assert federation.ask().code == 0
    book.require_done()


def test_what_was_handed_over_is_used_up_and_what_is_secret_is_closed_to_others(
    enrolment: tuple[Book, Federation],
) -> None:
    _, made = enrolment
    assert not (made.zhejiang.gateway.folder / "token").exists()
    secrets = [*made.zhejiang.keys.glob("*.key.pem"), made.zhejiang.agency.folder / "tls" / "key.pem"]
    assert len(secrets) == 4
    for file in secrets:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    home = made.authority.folder / "authority"
    assert list((home / "tuf-root-keys").iterdir()) == []
    assert not (home / "root-key.pem").exists()
    listed = json.loads(made.authority.run("wugan authority token list --dir authority --json").out)
    assert listed == {"tokens": []}


def test_keys_that_are_there_are_not_enrolled_over(enrolment: tuple[Book, Federation], tmp_path: Path) -> None:
    made = copied(enrolment[1], tmp_path / "federation")
    token = made.zhejiang.gateway.folder / "token"
    made.authority.run(f"wugan authority token add --dir authority --member {ZHEJIANG} --token-file {token}")
    ran = made.zhejiang.gateway.run("wugan certs enrol --config gateway.toml --token-file token", ends_with=1)
    assert "has keys already" in ran.err
    assert "member readmit" in ran.err
    assert f"move {made.zhejiang.keys}" in ran.err, "or whose keys have expired goes round in circles"
