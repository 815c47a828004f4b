"""The kinds `table` and `file` keep every rule of the contract; the others are proved where their servers run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.adapters import conformance_sources as sources
from tests.unit.adapters.conformance_sources import Stir


@pytest.mark.parametrize("source", [sources.table, sources.file])
async def test_a_kind_of_ours_passes_every_case(source: Callable[[Path], tuple[str, Stir]], tmp_path: Path) -> None:
    assert sources.not_passed(await sources.report_on(tmp_path, *source(tmp_path))) == {}
