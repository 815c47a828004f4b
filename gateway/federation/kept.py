"""Answers that may be given again, in memory: bounded in bytes, those go first that were used least lately.

Owns: `Held`, one such answer, `Memory`, which holds them, `Notices`, which came of late, and `spoken_against`: which
people are said to be more than alive, which ends what every member said of them before. Refuses: the disk, the time,
and deciding who may be given what (`answer_cache`).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.federation.partners import PartnerAnswer
from gateway.store.ended import EVERY_MEMBER
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

Invalidate = Callable[[str, Sequence[bytes]], None]
"""Told that what is known of people (blind indexes) from a member, or from EVERY_MEMBER, is out of date."""

ForgetNumbers = Callable[[str, Sequence[str]], None]
"""The same, by normalised numbers."""

Answered = Callable[[str, exchange_pb2.Findings], None]
"""Told what a member answered to somebody who is not given it again: it shows by which rules the member answers now."""

OVERHEAD_BYTES: Final = 2048
"""What an answer takes in memory besides its proof: the object, its places in the tables, the parsed message's own."""
MAX_LINKED: Final = 16
"""Linked numbers of a person by which answers are found, too, when a notice comes; one with more is not given again."""
MAX_NOTED: Final = 65_536
_ALIVE: Final = frozenset(
    {
        words.SURVIVAL_STATUS_ALIVE_STRONG,
        words.SURVIVAL_STATUS_ALIVE_MEDIUM,
        words.SURVIVAL_STATUS_ALIVE_WEAK,
    }
)
_QUIET: Final = _ALIVE | {words.SURVIVAL_STATUS_UNSPECIFIED, words.SURVIVAL_STATUS_UNKNOWN}  # unspecified: refused
PARSED: Final = 3
"""How much more a parsed answer takes than its bytes, at most as measured."""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Bounds: answers on the disk, bytes in memory, whether outdated answers are shown, seconds between writes."""

    max_answers: int
    memory_bytes: int
    stale_if_unreachable: bool
    flush_s: float


class Held:
    """An answer that may be given again.

    Args:
        key: keyed hash of all that it was asked under.
        answer: as it was verified when it came.
        received_at_ms: when it came, Unix milliseconds.
        cacheable_until_ms: until when its author allows it to be given without asking.
        stale_until_ms: until when it may be shown as outdated; 0: not.
        directory: tag of the directory by which it was verified.
        indexes: whom it is about.
        waited_s: how long the member had for it.
    """

    __slots__ = (
        "alive",
        "answer",
        "cacheable_until_ms",
        "directory",
        "indexes",
        "key",
        "received_at_ms",
        "size",
        "stale_until_ms",
        "used_at_ms",
        "waited_s",
    )

    def __init__(
        self,
        key: bytes,
        answer: PartnerAnswer,
        *,
        received_at_ms: int,
        cacheable_until_ms: int,
        stale_until_ms: int,
        directory: bytes,
        indexes: frozenset[bytes],
        waited_s: float = 0.0,
    ) -> None:
        self.waited_s = waited_s
        self.key = key
        self.answer = answer
        self.received_at_ms = received_at_ms
        self.cacheable_until_ms = cacheable_until_ms
        self.stale_until_ms = stale_until_ms
        self.directory = directory
        self.indexes = indexes
        self.alive = True
        """Until it is dropped, for whatever reason; what was made of it is not to be used any more then."""
        self.used_at_ms = received_at_ms
        proof = answer.proof
        self.size = OVERHEAD_BYTES + len(proof.header) + len(proof.path) + (1 + PARSED) * len(proof.payload)

    @property
    def until_ms(self) -> int:
        """When it is of no use any more."""
        return max(self.cacheable_until_ms, self.stale_until_ms)


class Memory:
    """Held answers, within so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._size = 0
        self._by_key: OrderedDict[bytes, Held] = OrderedDict()
        self._by_index: dict[bytes, set[bytes]] = {}
        self._members: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def size(self) -> int:
        """Bytes held, as estimated."""
        return self._size

    def get(self, key: bytes) -> Held | None:
        """The answer of a key, which is now the most lately used one."""
        held = self._by_key.get(key)
        if held is not None:
            self._by_key.move_to_end(key)
        return held

    def put(self, held: Held) -> None:
        """Hold an answer in place of the one of the same key; others go where there is no room."""
        self.drop(held.key)
        if held.size > self._most_bytes:
            held.alive = False
            return
        self._by_key[held.key] = held
        self._members[held.answer.member_id] += 1
        self._size += held.size
        for index in held.indexes:
            self._by_index.setdefault(index, set()).add(held.key)
        while self._size > self._most_bytes:
            self.drop(next(iter(self._by_key)))

    def drop(self, key: bytes) -> None:
        """Hold the answer of a key no more."""
        held = self._by_key.pop(key, None)
        if held is None:
            return
        held.alive = False
        self._size -= held.size
        self._members[held.answer.member_id] -= 1
        for index in held.indexes:
            keys = self._by_index[index]
            keys.discard(key)
            if not keys:
                del self._by_index[index]

    def drop_people(self, member_id: str, indexes: Iterable[bytes]) -> None:
        """Hold no answer of a member, or of EVERY_MEMBER, about these people any more."""
        found = {key for index in indexes for key in self._by_index.get(index, ())}
        for key in found:
            if member_id in (EVERY_MEMBER, self._by_key[key].answer.member_id):
                self.drop(key)

    def drop_member(self, member_id: str) -> None:
        """Hold no answer of a member any more."""
        for key in [key for key, held in self._by_key.items() if held.answer.member_id == member_id]:
            self.drop(key)

    def members(self) -> set[str]:
        """Whose answers are held."""
        return {member_id for member_id, count in self._members.items() if count}


class Notices:
    """Which notices came, so that an answer on its way when one did is not taken for one made after it."""

    def __init__(self) -> None:
        self.mark = 0
        """Grows with each."""
        self._noted: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._forgotten = 0

    def came(self, member_id: str, indexes: Collection[bytes]) -> None:
        """Something about these people has changed: what a member said, or EVERY_MEMBER, does not count any more."""
        self.mark += 1
        for index in indexes:
            self._noted[member_id, index] = self.mark
            self._noted.move_to_end((member_id, index))
        while len(self._noted) > MAX_NOTED:
            self._forgotten = self._noted.popitem(last=False)[1]

    def lost(self) -> None:
        """Some came that are not known."""
        self.mark += 1
        self._forgotten = self.mark

    def since(self, mark: int, member_id: str, indexes: Iterable[bytes]) -> bool:
        """Whether one came since that ends what a member says of any of them, as far as that can be told; else that one
        may have.
        """
        if mark == self.mark:
            return False
        return mark < self._forgotten or any(
            self._noted.get((whose, index), 0) > mark for index in indexes for whose in (member_id, EVERY_MEMBER)
        )


class Doubts:
    """Of whom a member said last that they are not, or may not be, alive; who calls them alive contradicts that."""

    def __init__(self) -> None:
        self._by_index: OrderedDict[bytes, set[str]] = OrderedDict()

    def heard(self, member_id: str, indexes: Collection[bytes], findings: exchange_pb2.Findings) -> None:
        """A member answered about one person, of these numbers."""
        if _QUIET.issuperset(findings.status[:]):
            for index in indexes:
                members = self._by_index.get(index)
                if members is not None:
                    members.discard(member_id)
                    if not members:
                        del self._by_index[index]
            return
        for index in indexes:
            self._by_index.setdefault(index, set()).add(member_id)
            self._by_index.move_to_end(index)
        while len(self._by_index) > MAX_NOTED:
            self._by_index.popitem(last=False)

    def contradict(self, member_id: str, indexes: Iterable[bytes], findings: exchange_pb2.Findings) -> bool:
        """Whether a member calls somebody alive of whom another says otherwise."""
        for index in indexes:
            members = self._by_index.get(index)
            if members is not None and not members <= {member_id}:
                return not _ALIVE.isdisjoint(findings.status[:])
        return False


def asked_numbers(question: exchange_pb2.Question) -> list[str]:
    """Numbers of the people of a question."""
    subjects = question.subjects
    return [*subjects.id_number[:], *subjects.alias_id_number[:]]


def linked_numbers(findings: exchange_pb2.Findings) -> list[str]:
    """Further numbers of the people of an answer, as far as they are taken over."""
    return findings.links.id_number[:MAX_LINKED] if findings.HasField("links") else []


def spoken_against(question: exchange_pb2.Question, findings: exchange_pb2.Findings) -> list[str]:
    """Numbers of those of an answer's people who are not just alive, or not known: said to be dead, missing, in doubt,
    or alive with a flag. What every member said of them before is to be asked anew.
    """
    statuses, flagged = findings.status[:], findings.flags[:]
    if _QUIET.issuperset(statuses) and not any(flagged):
        return []
    rows = {row for row, status in enumerate(statuses) if status not in _QUIET}
    rows.update(row for row, flags in enumerate(flagged) if flags)
    subjects, links = question.subjects, findings.links
    numbers = [subjects.id_number[row] for row in rows]
    for subject, number in zip(subjects.alias_subject, subjects.alias_id_number, strict=True):
        if subject in rows:
            numbers.append(number)
    linked = Counter[int]()
    for subject, number in zip(links.subject, links.id_number, strict=True):
        linked[subject] += 1
        if subject in rows and linked[subject] <= MAX_LINKED:
            numbers.append(number)
    return numbers
