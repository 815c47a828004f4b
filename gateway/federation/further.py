"""Further numbers of a person that one member tells of: under which the others are to be asked.

Owns: what of an answer's links is taken over, and which members were not asked under it. Refuses: asking (`check`).

Links of links count, too: what a member's second answer links, whoever was asked a second time already is not asked
under, and lacks: nobody is certified who may be dead under a number that was changed twice, in two provinces.

What another member says is not trusted. Taken over are well-formed numbers, as many as a question may have, and none of
an answer in identity conflict. What is left out for their number leaves the others lacking, so that nobody is certified
on it; what is no number is nobody's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from gateway.errors import PartnerError, RefusedError
from gateway.exchange.question import MAX_ALIASES
from gateway.federation.kept import MAX_LINKED, asked_numbers
from gateway.rules.identity import normalise_number
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_IDENTITY: Final = 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT


class Linked:
    """What members link to one person, whoever asked.

    Args:
        asked: the numbers of the question.
        room: how many further numbers a question about the person may have besides.
    """

    def __init__(self, asked: Iterable[str], room: int) -> None:
        self._asked = frozenset(asked)
        self._room = room
        self._told: dict[str, frozenset[str]] = {}
        self._more: set[str] = set()
        self._own: dict[str, frozenset[str]] = {}

    def listen(self, member_id: str, numbers: Sequence[str], *, conflict: bool) -> None:
        """Take over what a member's answer links: for the others what any of its answers does, for itself the last.

        Args:
            member_id: who.
            numbers: what it links, as it came.
            conflict: whether the answer is an identity conflict: then it is not for the others.
        """
        known = _well_formed(numbers[:MAX_LINKED]) if numbers else frozenset()
        self._own[member_id] = known
        if conflict:
            return
        self._told[member_id] = self._told.get(member_id, frozenset()) | (known - self._asked)
        if len(numbers) > MAX_LINKED:
            self._more.add(member_id)

    def wanted(self, member_id: str) -> frozenset[str]:
        """Under which numbers a member should be asked, too: those that others tell of and it does not. What it tells
        of itself it has looked under.
        """
        if not any(self._told.values()):
            return frozenset()
        told = frozenset().union(*(numbers for other, numbers in self._told.items() if other != member_id))
        return told - self._own.get(member_id, frozenset())

    def lacks(self, member_id: str, under: Collection[str] = ()) -> bool:
        """Whether an answer of a member, who was asked under these further numbers, leaves some out."""
        return not self.wanted(member_id).issubset(under) or bool(self._more - {member_id})

    def numbers(self, member_id: str) -> tuple[str, ...]:
        """The same, as far as there is room for them; in one order, so that an earlier answer is found again."""
        return tuple(sorted(self.wanted(member_id))[: self._room])


class Further(Linked):
    """The further numbers of the one person of a check."""

    def __init__(self, question: exchange_pb2.Question) -> None:
        super().__init__(asked_numbers(question), MAX_ALIASES - len(question.subjects.alias_id_number))
        self._question = question

    def hear(self, member_id: str, findings: exchange_pb2.Findings) -> None:
        """Take over what a member's answer links."""
        self.listen(member_id, findings.links.id_number, conflict=bool(findings.flags[0] & _IDENTITY))

    def question(self, numbers: Sequence[str]) -> exchange_pb2.Question:
        """The question under these further numbers, too."""
        if not numbers:
            return self._question
        made = exchange_pb2.Question()
        made.CopyFrom(self._question)
        made.subjects.alias_subject.extend([0] * len(numbers))
        made.subjects.alias_id_number.extend(numbers)
        return made

    def whole(self) -> exchange_pb2.Question:
        """The question under all of them, as far as there is room."""
        return self.question(self.numbers(""))


def being_asked_again() -> PartnerError:
    """Why a member's answer is not under all numbers yet."""
    return PartnerError(
        "being asked again under numbers that another province links to the person",
        "正在以其他省份告知的关联号码再次查询该省",
    )


def not_asked() -> PartnerError:
    """Why a member's answer is not under all numbers, and will not be."""
    return PartnerError(
        "not asked under every number that other provinces link to the person; ask again, giving these numbers, too",
        "未能以其他省份告知的全部关联号码查询该省，请补充填写这些号码后重新查询",
    )


def _well_formed(numbers: Sequence[str]) -> frozenset[str]:
    """Those that a question may have as further numbers: in the one form of resident numbers."""
    found = set()
    for number in numbers:
        try:
            found.add(normalise_number(number))
        except RefusedError:
            continue
    return frozenset(found)
