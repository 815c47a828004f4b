"""What `wugan certs` shows people: whole, and in their language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from certs import rotation
from certs.rotation import Event
from certs.slot_journal import Generation, Journal, Publication, Rotation, State
from gateway.cli.certs import _EVENTS, _tell, certs
from gateway.cli.certs_shown import show, waits_for
from tests.configured import gateway_toml

KEY_ID = "d75a980182b10ab7d54bfed3c964073a"


def test_every_event_of_a_rotation_has_a_chinese_name() -> None:
    told = set(re.findall(r'Event\("([^"]+)"', Path(rotation.__file__).read_text("utf-8")))
    assert told == set(_EVENTS)


@pytest.mark.parametrize(("language", "word"), [("en", "keys activated"), ("zh", "密钥已启用")])
def test_what_is_done_is_told_in_the_users_language(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], language: str, word: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    _tell(Event("keys activated", ("tls", "signing")))
    said = capsys.readouterr().err
    assert word in said
    assert "tls, signing" in said
    assert (language == "zh") is ("keys" not in said)


@pytest.mark.parametrize(("in_token", "shown"), [(True, True), (False, False)])
def test_a_key_that_is_still_in_its_token_does_not_count_as_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], in_token: bool, shown: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("WUGAN_LANG", "en")
    key = {"name": "signing-2", "state": "destroyed", "key_id": KEY_ID, "valid_until": "", "renewed_from": ""}
    show({"keys": [key | {"in_token": in_token}], "rotation": None})
    said = capsys.readouterr().out
    assert ("signing-2" in said, "still in the token" in said) == (shown, shown)


@pytest.mark.parametrize("columns", ["20", "80", "200"])
def test_a_key_id_can_be_copied_from_a_terminal_of_any_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("WUGAN_LANG", "en")
    key = {
        "name": "encryption-12",
        "kind": "encryption",
        "state": "withdrawn",
        "key_id": KEY_ID,
        "valid_until": "2027-02-23T20:24:31+00:00",
        "renewed_from": "2027-01-23T20:24:31+00:00",
    }
    show({"keys": [key], "rotation": None})
    said = capsys.readouterr().out
    for shown in (key["name"], key["state"], KEY_ID, "2027-02-24 04:24:31", "2027-01-24 04:24:31"):
        assert shown in said


@pytest.mark.parametrize(
    ("state", "publication", "sequence", "said"),
    [
        ("preparing", Publication(sequence=1, version=1, settled=True), 0, "certifies and publishes"),
        ("next", Publication(sequence=2), 2, "certifies and publishes"),
        ("next", Publication(sequence=2, version=41), 2, "directory 41"),
        ("next", Publication(sequence=2, version=41, settled=True), 2, "about to be over"),
    ],
)
def test_what_a_rotation_waits_for_is_said(state: State, publication: Publication, sequence: int, said: str) -> None:
    made = {"preparing": {}, "next": {"not_before_ms": 1, "not_after_ms": 2}}[state]
    generation = Generation(kind="tls", number=2, state=state, made_at_ms=0, **made)
    rotation = Rotation(kinds=("tls",), reason="asked", began_at_ms=0, sequence=sequence)
    told = waits_for(Journal(publication=publication, rotation=rotation, generations=(generation,)))
    assert told is not None
    assert said in told[0]
    assert re.search("[一-龥]", told[1])


def test_where_nothing_is_under_way_nothing_is_waited_for() -> None:
    assert waits_for(Journal()) is None


@pytest.mark.parametrize("detail", ["directory version 41", "first keys", "asked"])
def test_details_are_told_in_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], detail: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    _tell(Event("keys published", ("tls",), detail))
    said = capsys.readouterr().err
    assert not re.search("[a-z]{2,}", said.replace("tls", ""))
    assert ("41" in said) is ("41" in detail)


@pytest.mark.parametrize(("language", "missing"), [("en", "A current key is missing"), ("zh", "缺少当前密钥")])
def test_a_gateway_without_keys_is_told_to_enrol_and_when_a_directory_comes(
    tmp_path: Path, language: str, missing: str
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(gateway_toml(), "utf-8")
    ran = CliRunner(env={"WUGAN_LANG": language}).invoke(certs, ["status", "--config", str(config)])
    assert ran.exit_code == 1
    assert missing in ran.stderr
    assert "`wugan certs enrol`" in ran.stderr
    assert ("fetches one when it runs" in ran.stderr) is (language == "en")
    assert ("网关运行后自动获取" in ran.stderr) is (language == "zh")
