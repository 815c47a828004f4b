"""Files of persons to protect: what is wrong with one is said, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.access import access


def protects(folder: Path, text: str, encoding: str = "utf-8") -> Result:
    for name in ("gateway.toml", "li.pem"):
        (folder / name).touch()
    (folder / "persons.txt").write_text(text, encoding)
    signed = ("--config", str(folder / "gateway.toml"), "--as", "li", "--key", str(folder / "li.pem"))
    return CliRunner().invoke(access, ["protect", str(folder / "persons.txt"), "--why", "test", *signed])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_a_mark_at_the_start_of_a_file_is_no_part_of_its_first_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoding: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", "en")
    mark = "\ufeff" if encoding == "gb18030" else ""
    ran = protects(tmp_path, f"{mark}110102194910010024\n110102194910010025\n", encoding)
    assert (ran.exit_code, "line 2" in ran.output) == (1, True)


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
