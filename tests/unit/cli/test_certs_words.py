"""What `wugan certs` shows people: whole, and in their language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from certs import rotation
from certs.rotation import Event
from gateway.cli.certs import _EVENTS, _show, _tell

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
    _show({"keys": [key], "rotation": None})
    said = capsys.readouterr().out
    for shown in ("name", "state", "key_id", "valid_until", "renewed_from"):
        assert key[shown] in said
