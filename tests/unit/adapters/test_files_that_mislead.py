"""The kind `file` with files that would be read without an error, and wrongly: nobody is lost without a word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.contract import Holding
from adapters.errors import SourceDownError
from adapters.intake import Intake
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ask, rows
from tests.unit.adapters.test_file_adapter import HEADER, INCREMENT, Drop, line, refreshed


def json_lines(*lines: Sequence[str]) -> bytes:
    """Rows as JSON lines, whatever is no ASCII as an escape."""
    return "".join(json.dumps(dict(zip(HEADER, cells, strict=True))) + "\n" for cells in lines).encode()


@pytest.mark.parametrize("column", [0, 1, 4])
async def test_half_a_character_in_json_makes_a_bad_row_and_stops_nothing(tmp_path: Path, column: int) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter(f"{INCREMENT}, format: jsonl, max_bad_share: 0.5")
    damaged = line(BO)
    damaged[column] += "\ud83d"
    drop.write("xs_1", json_lines(damaged, line(ANNA)))
    drop.write("xs_2", json_lines(line(CHEN)))
    assert [row[0] for row in await refreshed(built, ANNA, BO, CHEN)] == [0, 2]
    assert [reason for _, reason, *_ in drop.quarantined()] == ["characters that cannot be decoded / 含无法解码的字符"]
    await built.close()


async def test_when_the_files_cannot_be_taken_in_for_whatever_reason_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = Drop(tmp_path)
    built = drop.adapter()
    drop.csv("xs_1.csv", line(ANNA))
    assert len(await refreshed(built, ANNA)) == 1

    def crash(_: Intake) -> None:
        raise ArithmeticError("whatever it is")

    monkeypatch.setattr(Intake, "scan", crash)
    with pytest.raises(SourceDownError, match="ArithmeticError"):
        await built.check()
    assert isinstance(built, Holding)
    assert built.trouble is not None
    assert len(rows(await built.lookup(ask(ANNA)))) == 1, "what was read before is answered from"
    await built.close()
