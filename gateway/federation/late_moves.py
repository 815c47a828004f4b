"""Following a move that a late answer tells of: with which members a check is left, too, because of it.

Owns: whose answers are followed, to whom, within which bounds, and how such a member is shown until it answers.
Refuses: what a move is and where it leads (`routing`), and leaving the question (`late`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.errors import PartnerError
from gateway.federation.check import NOT_ASKED
from gateway.federation.directory import DirectorySource, Member
from gateway.federation.routing import MOVED, moved_to
from gateway.store.late import Question
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2


class Further(NamedTuple):
    """Where a late answer leads: members in order, and how many questions its check may have in all."""

    members: Sequence[agency_pb2.ProvinceAnswer] = ()
    most: int = 0


NOWHERE: Final = Further()


class Moves(NamedTuple):
    """How moves are followed.

    Args:
        member_id: this gateway's own member, which is never asked.
        directory: tells who serves a place.
        max_members: members that are asked for one recipient at most, now and later together.
    """

    member_id: str
    directory: DirectorySource
    max_members: int

    def further(
        self, sender: str, findings: exchange_pb2.Findings, shown: bytes, questions: Sequence[Question]
    ) -> Further:
        """Where an answer leads that came late.

        An answer of a member that was itself asked because of a move leads nowhere: moves are followed once.

        Args:
            sender: whose answer it is.
            findings: what it says.
            shown: the response that the agency was given when the check was left.
            questions: with whom the check has been left so far.

        Raises:
            DirectoryError: the answer tells of a move, and the directory has expired.
        """
        if not findings.flags[0] & MOVED:
            return NOWHERE
        answers = agency_pb2.CheckResponse.FromString(shown).answers
        if sender not in {answer.member_id for answer in answers if not answer.followed}:
            return NOWHERE
        directory, left = self.directory.current(), {question.member for question in questions}
        answered = {answer.member_id for answer in answers} - left
        members = moved_to(directory, self.member_id, findings, left | answered)
        return Further([_shown(directory.member(member)) for member in members], self.max_members - len(answered))


def _shown(member: Member) -> agency_pb2.ProvinceAnswer:
    """A member that has not been asked yet, as the agency is shown it."""
    error = PartnerError(NOT_ASKED.en, NOT_ASKED.zh)
    return agency_pb2.ProvinceAnswer(
        member_id=member.member_id,
        member_name_zh=member.name_zh,
        member_name_en=member.name_en,
        refusal=error.reason,
        message_zh=error.zh,
        message_en=error.en,
        followed=True,
    )
