"""`docs/operations/audit.md` as the audit administrator would follow it, beside a gateway's folder."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.unit.cli.test_audit_commands import config, head

__all__ = ["config"]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "operations" / "audit.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
ENDS_WITH = re.compile(r"# ends with (\d)\s*$")


def test_the_commands_of_the_page_do_what_it_says_in_their_order(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(config.parent)
    noted = head(config)
    opened = {"event": "store opened", "audit_sequence": noted.sequence, "audit_mac": noted.mac.hex()}
    Path("gateway.log").write_text(json.dumps(opened) + "\n", "utf-8")
    typed = [line for block in BLOCK.findall(PAGE.read_text("utf-8")) for line in block.splitlines()]
    assert len(typed) == 11
    for command in typed:
        expected = ENDS_WITH.search(command)
        ran = CliRunner().invoke(main, shlex.split(command, comments=True)[1:])
        assert ran.exit_code == (int(expected[1]) if expected else 0), f"{command}\n{ran.output}"
    assert {path.name for path in Path().glob("*.csv")} | {path.name for path in Path().glob("*.jsonl")} == {
        "november.csv",
        "everything.jsonl",
    }
    everything = [json.loads(line) for line in Path("everything.jsonl").read_text("utf-8").splitlines()]
    assert len([each for each in everything if each["why_en"].startswith("read the audit trail")]) == 8
