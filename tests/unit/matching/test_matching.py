"""Two provinces find who draws in both, and nothing else of one another's rosters."""

from __future__ import annotations

from pathlib import Path

from tests.unit.matching.matching_world import Rosters, drawing, people, world


async def test_those_in_both_rosters_are_found_on_both_sides_and_nobody_else(tmp_path: Path) -> None:
    of_a, of_b = people(range(300)), people(range(297, 800))
    async with world(tmp_path, Rosters(drawing(of_a)), Rosters(drawing(of_b, unit="hefei"))) as w:
        await w.match()
        assert await w.both_done()
        assert await w.a.found() == of_a[297:]
        assert await w.b.found("hefei") == of_a[297:]
