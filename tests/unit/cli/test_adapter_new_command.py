"""`wugan adapter new`: whatever department and kind, what is written is a manifest that only wants filling in."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.manifest import load_manifest_fully
from adapters.manifest.vocabulary import DEPARTMENTS
from gateway.cli.adapter import adapter


@pytest.mark.parametrize("kind", ["table", "api", "file"])
@pytest.mark.parametrize("department", sorted(DEPARTMENTS))
def test_what_is_written_is_sound_in_form(tmp_path: Path, department: str, kind: str) -> None:
    out = tmp_path / "new.yaml"
    name = department.lower().replace("_", "-")
    options = ["--kind", kind, "--id", "made-new", "--region", "330700", "--region", "330800", "--out", str(out)]
    ran = CliRunner().invoke(adapter, ["new", name, *options])
    assert ran.exit_code == 0, ran.output
    loaded, errors, warnings = load_manifest_fully(out)
    assert loaded is not None, errors
    assert not warnings
    assert (loaded.kind, loaded.adapter_id, loaded.department) == (kind, "made-new", DEPARTMENTS[department])
    assert loaded.regions == (330700, 330800)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bancs"], "did you mean banks"),
        (["nothing-like-it"], "write one of"),
        (["banks", "--id", "../etc"], "a-z 0-9"),
        (["banks", "--out", "there.yaml"], "cannot be written"),
    ],
)
def test_a_wrong_word_is_told_and_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.yaml").write_text("mine", "utf-8")
    ran = CliRunner(env={"WUGAN_LANG": "en"}).invoke(adapter, ["new", *arguments])
    assert ran.exit_code == 2
    assert told in ran.output
    assert Path("there.yaml").read_text("utf-8") == "mine"
