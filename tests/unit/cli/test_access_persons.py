"""Files of persons to protect: what is wrong with one is said, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.access import access


def protects(folder: Path, text: str) -> Result:
    for name in ("gateway.toml", "li.pem"):
        (folder / name).touch()
    (folder / "persons.txt").write_text(text, "utf-8")
    signed = ("--config", str(folder / "gateway.toml"), "--as", "li", "--key", str(folder / "li.pem"))
    return CliRunner().invoke(access, ["protect", str(folder / "persons.txt"), "--why", "test", *signed])


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_a_number_is_not_told_as_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", "en")
    ran = protects(tmp_path, text)
    assert (ran.exit_code, "holds no number" in ran.output) == (2, True)


def test_the_line_of_a_wrong_number_is_named_and_the_number_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    ran = protects(tmp_path, "110102194910010024\n\n110102194910010025\n")
    assert ran.exit_code == 1
    assert "第 3 行" in ran.output
    assert "110102" not in ran.output
