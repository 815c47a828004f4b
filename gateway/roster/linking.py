"""Numbers that one member links to people of a chunk: who was not asked about under them, and whose answer lacks that.

Owns: the same for many that `gateway.federation.further` is for one, and by its rules. Whom no answer links costs
nothing: only the others are looked at one by one. Refuses: asking (`running`), and what is made of it (`merging`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.exchange.question import MAX_ALIASES
from gateway.federation.further import Linked
from gateway.federation.partners import PartnerAnswer
from gateway.roster.asking import Further, Index, Reply
from gateway.roster.lacking import incomplete
from gateway.roster.run import LINKED
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_IDENTITY = 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT


def linked_by(rows: pl.DataFrame, replies: Sequence[Reply]) -> dict[int, Linked]:
    """Those of a chunk whom some answer links to further numbers, by place.

    Args:
        rows: of the chunk, planned.
        replies: about it, in order of phases.
    """
    telling = [
        (reply, reply.came.findings)
        for reply in replies
        if isinstance(reply.came, PartnerAnswer) and len(reply.came.findings.links.subject)
    ]
    if not telling:
        return {}
    places = np.unique(np.concatenate([reply.at[np.array(told.links.subject, np.int64)] for reply, told in telling]))
    them = rows[places]
    found = {
        place: Linked([number, *aliases], MAX_ALIASES - len(aliases))
        for place, number, aliases in zip(
            places.tolist(), them["id_number"].to_list(), them["aliases"].to_list(), strict=True
        )
    }
    for reply in replies:
        if not isinstance(reply.came, PartnerAnswer):
            continue
        findings, first = reply.came.findings, reply.ask.phase != LINKED
        told = _told(findings)
        if first and not told:
            continue
        for subject, place in _answered(reply, found):
            if subject in told or not first:
                conflict = bool(findings.flags[subject] & _IDENTITY)
                found[place].listen(reply.ask.member, told.get(subject, []), conflict=conflict)
    return found


def again(linked: Mapping[int, Linked], replies: Sequence[Reply]) -> Further:
    """Whom each member is to be asked about once more, and under which numbers: those that others link, and under which
    it answered, but was not asked.

    Args:
        linked: whom some answer links.
        replies: to all other questions about the chunk.
    """
    found: Further = {}
    for reply in replies:
        for _, place in _answered(reply, linked):
            numbers = linked[place].numbers(reply.ask.member)
            if not set(numbers).issubset(reply.under.get(place, ())):
                found.setdefault(reply.ask.member, {})[place] = numbers
    return {member: dict(sorted(people.items())) for member, people in sorted(found.items())}


def replaced(replies: Sequence[Reply]) -> dict[int, Index]:
    """Which answers do not count, and at which places, because the same member answered under more numbers: by place in
    `replies`. One that lacks departments about somebody takes no other's place there: it may lack the one that knew.
    """
    found: dict[int, Index] = {}
    for reply in replies:
        if reply.ask.phase != LINKED or not isinstance(reply.came, PartnerAnswer):
            continue
        findings = reply.came.findings
        whole = ~incomplete(findings, len(reply.at)) & (np.array(findings.status, np.int32) != 0)
        places = reply.at[whole]
        if not len(places):
            continue
        for position, other in enumerate(replies):
            if other.ask.member == reply.ask.member and other.ask.phase != LINKED:
                found[position] = places[np.isin(places, other.at)]
    return found


def lacking(linked: Mapping[int, Linked], replies: Sequence[Reply], count: int) -> NDArray[np.bool_]:
    """Which answers are not about all numbers that other members link: a row for each reply, a column for each person.

    Args:
        linked: whom some answer links.
        replies: in order of phases.
        count: people of the chunk.
    """
    last: dict[tuple[str, int], int] = {}
    for position, reply in enumerate(replies):
        for _, place in _answered(reply, linked):
            last[reply.ask.member, place] = position
    found = np.zeros((len(replies), count), np.bool_)
    for (member, place), position in last.items():
        found[position, place] = linked[place].lacks(member, replies[position].under.get(place, ()))
    return found


def _told(findings: exchange_pb2.Findings) -> dict[int, list[str]]:
    """The numbers that an answer links, by person."""
    told: dict[int, list[str]] = {}
    for subject, number in zip(findings.links.subject, findings.links.id_number, strict=True):
        told.setdefault(subject, []).append(number)
    return told


def _answered(reply: Reply, linked: Mapping[int, Linked]) -> Iterator[tuple[int, int]]:
    """Those of the linked about whom there is an answer: as it numbers them, and their places."""
    if isinstance(reply.came, PartnerAnswer) and linked:
        status = reply.came.findings.status
        for subject in np.flatnonzero(np.isin(reply.at, list(linked))).tolist():
            if status[subject]:
                yield subject, int(reply.at[subject])
