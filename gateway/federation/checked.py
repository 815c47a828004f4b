"""What came of asking about one recipient: from each member an answer, or why there is none."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from gateway.errors import WuganError
from gateway.federation.answers import PartnerAnswer
from gateway.federation.kept import Held
from wugan.federation.v1 import exchange_pb2


class MemberResult(NamedTuple):
    """What one member said, or why it said nothing.

    Args:
        member_id: who.
        recorded: the writes that account for it.
        answer: what it said; beside an error only where it is outdated.
        error: why it says nothing now.
        held: the answer is this one, given again.
        followed: it was asked because another member said that the person had moved there.
        lacking: why the answer is not about all numbers that other members link to the person; None: it is.
    """

    member_id: str
    recorded: tuple[asyncio.Future[Any], ...]
    answer: PartnerAnswer | None = None
    error: WuganError | None = None
    held: Held | None = None
    followed: bool = False
    lacking: WuganError | None = None

    @property
    def outdated(self) -> bool:
        """Whether the answer has outlived its time, and is shown because the member cannot be reached."""
        return self.held is not None and self.error is not None


class Checked(NamedTuple):
    """What came of a check.

    Args:
        as_of_on: the day asked about; of answers given again, the earliest of theirs.
        made_at_ms: Unix time in milliseconds.
        results: of every member that has answered or failed, in the order of routing.
        question: as it was asked, with the numbers that members told of; None in what was put together later.
        awaited: members of whom an answer is still to come, be it a second one under further numbers.
    """

    as_of_on: int
    made_at_ms: int
    results: tuple[MemberResult, ...]
    question: exchange_pb2.Question | None = None
    awaited: tuple[str, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether any member said something."""
        for result in self.results:  # noqa: SIM110  a generator takes longer than one look
            if result.answer is not None:
                return True
        return False

    async def recorded(self) -> None:
        """Return when the record of the exchanges is on the disk.

        To be awaited before anything of this leaves the gateway. What proves the answers is written behind it.

        Raises:
            StoreError: they could not be written.
        """
        for result in self.results:
            for written in result.recorded:
                await written
