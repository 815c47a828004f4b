"""Numbers that one member links to people of a chunk: who was not asked about under them, and whose answer lacks that.

Owns: the same for many that `gateway.federation.further` is for one, and by its rules. Whom no answer links costs
nothing: only the others are looked at one by one. Refuses: asking (`running`), and what is made of it (`merging`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.exchange.question import MAX_ALIASES
from gateway.federation.further import Linked
from gateway.federation.partners import PartnerAnswer
from gateway.roster.asking import Reply
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_IDENTITY = 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT


def linked_by(rows: pl.DataFrame, replies: Sequence[Reply]) -> dict[int, Linked]:
    """Those of a chunk whom some answer links to further numbers, by place.

    Args:
        rows: of the chunk, planned.
        replies: about it, in order of phases.
    """
    found: dict[int, Linked] = {}
    for reply in replies:
        if not isinstance(reply.came, PartnerAnswer) or not len(reply.came.findings.links.subject):
            continue
        findings = reply.came.findings
        for subject, numbers in _told(findings).items():
            if not findings.status[subject]:
                continue
            place = int(reply.at[subject])
            if place not in found:
                aliases = rows["aliases"][place].to_list()
                found[place] = Linked([rows["id_number"][place], *aliases], MAX_ALIASES - len(aliases))
            conflict = bool(findings.flags[subject] & _IDENTITY)
            found[place].listen(reply.ask.member, numbers, conflict=conflict, first=True)
    return found


def lacking(linked: dict[int, Linked], replies: Sequence[Reply], count: int) -> NDArray[np.bool_]:
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
        found[position, place] = linked[place].lacks(member)
    return found


def _told(findings: exchange_pb2.Findings) -> dict[int, list[str]]:
    """The numbers that an answer links, by person."""
    told: dict[int, list[str]] = {}
    for subject, number in zip(findings.links.subject, findings.links.id_number, strict=True):
        told.setdefault(subject, []).append(number)
    return told


def _answered(reply: Reply, linked: dict[int, Linked]) -> Iterator[tuple[int, int]]:
    """Those of the linked about whom there is an answer: as it numbers them, and their places."""
    if isinstance(reply.came, PartnerAnswer) and linked:
        status = reply.came.findings.status
        for subject in np.flatnonzero(np.isin(reply.at, list(linked))).tolist():
            if status[subject]:
                yield subject, int(reply.at[subject])
