"""One check's askings: whom to ask under which numbers, once and once more, and what counts of what they said.

Owns: when members are asked again under numbers that others link, that a second answer takes the place of the first,
and which answers lack numbers. Refuses: asking and the time (`check`), and what of a link is taken over (`further`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.errors import WuganError
from gateway.federation.checked import MemberResult
from gateway.federation.further import Further, being_asked_again, not_asked
from gateway.federation.retrying import late
from wugan.federation.v1 import exchange_pb2

TURN: Final = 0.5
"""After so much of the time, members are asked again though first answers are still to come: one whose department is
silent answers at the end of its time, and would have none left for a second question."""


@dataclass(slots=True)
class Plan:
    """A question, whom to ask, and until when.

    Args:
        question: as it is asked first.
        members: in the order of routing; those to which the person moved come behind.
        turn_s: from when on nobody waits for first answers before members are asked again; of the event loop's clock.
        until_s: until when, by the same clock.
        today: civil day.
        fresh: whether earlier answers do not count.
        followed: members that were added because of a move.
        awaited: members that are being asked, or will be.
    """

    question: exchange_pb2.Question
    members: list[str]
    turn_s: float
    until_s: float
    today: int
    fresh: bool
    followed: set[str] = field(default_factory=set)
    awaited: tuple[str, ...] = ()
    _further: Further | None = field(default=None, init=False)

    @property
    def further(self) -> Further:
        """Numbers that members link to the person; made once somebody is to be heard, where there are rounds."""
        if self._further is None:
            self._further = Further(self.question)
        return self._further

    def whole(self) -> exchange_pb2.Question:
        """The question under all of them, as far as there is room."""
        return self.question if self._further is None else self._further.whole()


@dataclass(slots=True)
class Call:
    """A member being asked.

    Args:
        member_id: whom.
        question: with the further numbers.
        numbers: these.
        again: whether it is besides its first asking.
        recorded: the writes that account for it.
    """

    member_id: str
    question: exchange_pb2.Question
    numbers: tuple[str, ...] = ()
    again: bool = False
    recorded: list[asyncio.Future[Any]] = field(default_factory=list)

    def late(self) -> MemberResult:
        """What came of it when the time is over."""
        return MemberResult(self.member_id, tuple(self.recorded), error=late())


class Rounds:
    """See the module."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._begun: set[str] = set()
        self._again: set[str] = set()
        self._results: dict[str, MemberResult] = {}
        self._under: dict[str, tuple[str, ...]] = {}
        self._failed: dict[str, WuganError] = {}

    def first(self) -> Call:
        """The call to the first member."""
        self._begun.add(self._plan.members[0])
        return Call(self._plan.members[0], self._plan.question)

    def due(self, pending: Collection[Call], now_s: float) -> list[Call]:
        """The calls to begin now, while these are under way; says in the plan who is awaited then."""
        plan, calls = self._plan, []
        for member_id in plan.members:
            if member_id not in self._begun:
                self._begun.add(member_id)
                calls.append(self._call(member_id, plan.further.numbers(member_id)))
        firsts = {call.member_id: call for call in (*pending, *calls) if not call.again}
        awaited = {call.member_id for call in (*pending, *calls)}
        for member_id in plan.members if now_s < plan.until_s else ():
            numbers = self._still_to_ask(member_id, firsts.get(member_id))
            if not numbers:
                continue
            awaited.add(member_id)
            if not firsts or now_s >= plan.turn_s:
                self._again.add(member_id)
                calls.append(self._call(member_id, numbers, again=True))
        plan.awaited = tuple(member_id for member_id in plan.members if member_id in awaited)
        return calls

    def take(self, call: Call, result: MemberResult) -> None:
        """Take what came of a call; of a first answer that a second one replaces, the record stays."""
        member_id, before = call.member_id, self._results.get(call.member_id)
        if result.answer is not None:
            self._plan.further.hear(member_id, result.answer.findings)
        if call.again and result.error is not None:
            self._failed[member_id] = result.error
        if member_id in self._plan.followed:
            result = result._replace(followed=True)  # of one that was given up, too
        if before is not None:
            recorded = before.recorded + result.recorded
            if not _replaces(call, result, before):
                self._results[member_id] = before._replace(recorded=recorded)
                return
            result = result._replace(recorded=recorded)
        self._results[member_id] = result
        self._under[member_id] = call.numbers

    def so_far(self) -> Sequence[MemberResult]:
        """Of every member what it said, or why it says nothing, in the order of routing."""
        return [
            self._judged(self._results[member_id])
            for member_id in self._plan.members
            if member_id in self._results
            and (self._results[member_id].answer is not None or member_id not in self._plan.awaited)
        ]

    def _call(self, member_id: str, numbers: tuple[str, ...], *, again: bool = False) -> Call:
        return Call(member_id, self._plan.further.question(numbers), numbers, again)

    def _still_to_ask(self, member_id: str, first: Call | None) -> tuple[str, ...]:
        """Under which numbers a member should be asked again; none where it was, or has said that it does not answer.

        Args:
            member_id: who.
            first: its first call, while that is under way.
        """
        result = self._results.get(member_id)
        if member_id in self._again or (first is None and (result is None or result.answer is None)):
            return ()
        under = self._under[member_id] if first is None else first.numbers
        numbers = self._plan.further.numbers(member_id)
        return () if set(numbers).issubset(under) else numbers

    def _judged(self, result: MemberResult) -> MemberResult:
        """The result, and why it lacks numbers if it does."""
        plan, member_id = self._plan, result.member_id
        if result.answer is None or not plan.further.lacks(member_id, self._under[member_id]):
            return result
        awaited = member_id in plan.awaited
        return result._replace(lacking=being_asked_again() if awaited else self._failed.get(member_id) or not_asked())


def _replaces(call: Call, result: MemberResult, before: MemberResult) -> bool:
    """Whether what came of a call takes the place of what came of the member's other call before."""
    if result.answer is None:
        return False
    return before.answer is None or (call.again and (before.outdated or not result.outdated))
