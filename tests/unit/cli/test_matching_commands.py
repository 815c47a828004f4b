"""`wugan duplicates match` and `status`: who is not compared with is told why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.duplicates import duplicates
from tests.configured import MEMBER_ID
from tests.unit.cli.access_office import MEMBER, Office

LATER = "1142000000420000XN"
SECTIONS = """
[duplicates]
matching = true

[access]
two_persons_purposes = []
"""


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setenv("WUGAN_LANG", "en")
    return Office(tmp_path, SECTIONS)


def types(office: Office, *words: str) -> Result:
    return CliRunner().invoke(duplicates, [*words, "--config", str(office.config)])


def not_begun(office: Office) -> dict[str, str]:
    return {each["member"]: each["not_begun"] for each in json.loads(types(office, "status", "--json").stdout)}


def test_who_has_no_grant_is_not_compared_with_and_the_operator_is_told(office: Office) -> None:
    office.grants()  # for certification
    office.grants(purpose="audit")  # for one region only
    refused = types(office, "match", "--member", MEMBER)
    assert refused.exit_code == 1
    assert "no grant in force" in refused.output
    assert "nothing was compared" in types(office, "status").output


def test_who_has_one_is_wanted_and_shown_so(office: Office) -> None:
    assert office.grants(purpose="audit", region="*").exit_code == 0
    assert types(office, "match", "--member", MEMBER).exit_code == 0
    assert not_begun(office) == {MEMBER: "WANTED"}
    assert "wanted" in types(office, "status").output


@pytest.mark.parametrize(("other", "why"), [(MEMBER, "THEIRS_TO_BEGIN"), (LATER, "LEFT")])
def test_once_it_was_seen_to_it_is_told_why_nothing_began(office: Office, other: str, why: str) -> None:
    assert (other < MEMBER_ID) == (why == "THEIRS_TO_BEGIN")
    assert office.grants(member=other, purpose="audit", region="*").exit_code == 0
    assert types(office, "match", "--member", other).exit_code == 0
    office.seen_to(other)
    assert not_begun(office) == {other: why}


def test_a_grant_withdrawn_meanwhile_is_told(office: Office) -> None:
    granted = office.grants(purpose="audit", region="*")
    assert types(office, "match", "--member", MEMBER).exit_code == 0
    office.seen_to(MEMBER)
    office.does(
        *("withdraw", json.loads(granted.stdout)["grant"], "--config", str(office.config)),
        *("--as", "li", "--key", str(office.folder / "li.pem"), "--why", "x"),
    )
    assert not_begun(office) == {MEMBER: "NOT_GRANTED"}
    assert "no grant in force" in types(office, "status").output
