"""The questions of a roster: who of a chunk is asked about at which member.

Owns: the columns of a question, and following moves that an answer tells of. Refuses: sending (`running` does that).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.exchange.question import check_question
from gateway.federation.answers import PartnerAnswer
from gateway.federation.directory import Directory
from gateway.federation.regions import is_region
from gateway.federation.routing import MAX_DESTINATIONS, MOVED, destinations
from gateway.roster.planning import SEPARATOR
from gateway.roster.run import Ask, Refusal, Submitted
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import exchange_pb2

Index = NDArray[np.int64]
Moves = dict[str, list[int]]
"""Member → positions in the chunk of those who moved there."""


class Reply(NamedTuple):
    """What came of a question: to whom it was, at which places of the chunk those stand whom it is about."""

    ask: Ask
    at: Index
    came: PartnerAnswer | Refusal


def members_of(rows: pl.DataFrame) -> dict[str, int]:
    """The members to be asked about some rows, and about how many people each."""
    found: dict[str, int] = {}
    for combination, count in rows["members"].value_counts(sort=True).rows():
        for member in filter(None, combination.split(SEPARATOR)):
            found[member] = found.get(member, 0) + count
    return dict(sorted(found.items()))


def positions(rows: pl.DataFrame, ask: Ask, moves: Moves) -> Index:
    """Where in the chunk those stand about whom a question is."""
    if ask.phase:
        return np.array(moves[ask.member], np.int64)
    combinations = [each for each in rows["members"].unique().to_list() if ask.member in each.split(SEPARATOR)]
    asked: Index = np.flatnonzero(rows["members"].is_in(combinations).to_numpy())
    return asked


def question(run: Submitted, ask: Ask, rows: pl.DataFrame, at: Index) -> exchange_pb2.Question:
    """A question about the people at some places of a chunk.

    Raises:
        RefusedError: it is none that may be asked.
    """
    chosen = rows if len(at) == rows.height else rows[at]
    subjects = columns_pb2.SubjectColumns(id_number=chosen["id_number"].to_list(), name=chosen["name"].to_list())
    kinds = chosen["document_kind"]
    if (kinds != adapter_words.DOCUMENT_KIND_RESIDENT_IDENTITY).any():
        subjects.document_kind.extend(kinds.to_list())
    lengths = chosen["aliases"].list.len()
    if lengths.sum():
        subjects.alias_subject.extend(np.repeat(np.arange(chosen.height), lengths.to_numpy()).tolist())
        subjects.alias_id_number.extend(chosen["aliases"].explode(empty_as_null=False).drop_nulls().to_list())
    made = exchange_pb2.Question(
        context=run.context,
        subjects=subjects,
        benefit=chosen["benefit"].to_list(),
        region=chosen["residence"].list.first().fill_null(0).to_list(),
        as_of_on=run.as_of_on,
        evidence_limit=run.evidence_limit,
        evidence_only_where_not_alive=True,
        question_id=run.question_id(ask),
    )
    check_question(made, max_subjects=chosen.height)
    return made


def moves_from(
    directory: Directory,
    own_id: str,
    rows: pl.DataFrame,
    answers: Mapping[Ask, tuple[Index, exchange_pb2.Findings]],
    most: int,
) -> Moves:
    """Who is to be asked about elsewhere, because an answer says that they moved there; as for one person.

    Args:
        directory: of the moment.
        own_id: this member.
        rows: of the chunk.
        answers: the members' first answers, and about whom each is.
        most: members asked about one person at most.
    """
    asked: dict[int, list[str]] = {}
    for at, findings in answers.values():
        moved = np.flatnonzero(np.array(findings.flags, np.uint32) & np.uint32(MOVED)).tolist()
        told = destinations(findings) if moved else {}
        for subject in moved:
            place = int(at[subject])
            known = asked.setdefault(place, [each for each in rows["members"][place].split(SEPARATOR) if each])
            regions = [region for region in dict.fromkeys(told.get(subject, ())) if is_region(region)]
            for region in regions[:MAX_DESTINATIONS]:
                for member in directory.members_serving(region):
                    if member != own_id and member not in known and len(known) < most:
                        known.append(member)
    found: Moves = {}
    for place, members in sorted(asked.items()):
        first = rows["members"][place].split(SEPARATOR)
        for member in members:
            if member not in first:
                found.setdefault(member, []).append(place)
    return dict(sorted(found.items()))
