"""When rosters are compared: nobody is left out because the database failed in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from gateway.clock import FakeClock
from gateway.errors import StoreError
from gateway.matching.matching import Matching
from gateway.matching.nightly import Nightly
from gateway.sections.lasting import DuplicatesSettings
from gateway.store.matchings import EVERYBODY
from tests.unit.services.gateways_world import NOW_MS, A, B, C, Listed, Party, stored

D = Party(360000)
HOUR_MS = 3_600_000


class Begun:
    """Begins with whom it is told to; the database fails at one of them as long as it is said to."""

    def __init__(self, seen_to: Callable[[str], object]) -> None:
        self.members: list[str] = []
        self.fails_at = C.member_id
        self.seen_to = seen_to

    async def begin(self, member: str) -> bool:
        if member == self.fails_at:
            raise StoreError("no room", "空间不足")
        self.members.append(member)
        await self.seen_to(member)  # type: ignore[misc]
        return True

    async def tidy(self) -> None:
        """Nothing."""


async def nothing() -> int:
    return 0


@pytest.mark.parametrize("wanted", [True, False], ids=["asked for", "at night"])
async def test_where_the_database_fails_at_one_member_all_others_are_begun_with_and_that_one_later(
    tmp_path: Path, *, wanted: bool
) -> None:
    clock = FakeClock(NOW_MS)
    hour = (NOW_MS // HOUR_MS + 8) % 24
    settings = DuplicatesSettings(matching=True, hour=(hour + wanted) % 24)
    async with stored(tmp_path) as store:
        matchings = store.matchings
        begun = Begun(matchings.see_to)
        nightly = Nightly(
            A.member_id, cast("Matching", begun), matchings, Listed(A, B, C, D, clock=clock), nothing, clock, settings
        )
        if wanted:
            await matchings.want(EVERYBODY, NOW_MS)
        for _ in range(2):
            with pytest.raises(StoreError):
                await nightly.once()
            assert begun.members == [B.member_id, D.member_id]
        begun.fails_at = ""
        for _ in range(2):
            await nightly.once()
            assert begun.members == [B.member_id, D.member_id, C.member_id]
