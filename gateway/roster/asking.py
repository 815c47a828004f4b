"""The questions of a roster: who of a chunk is asked about at which member.

Owns: the columns of a question, and following moves that an answer tells of. Refuses: sending (`running` does that),
and following links (`linking`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

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
Under = Mapping[int, Sequence[str]]
"""Place in the chunk → further numbers under which somebody is asked about, besides those of the file."""
Further = dict[str, dict[int, tuple[str, ...]]]
"""Member → who is to be asked about there because of answers, by place in the chunk, in order, and under which further
numbers."""

_FILE_ALONE: Final[Under] = MappingProxyType({})


class Reply(NamedTuple):
    """What came of a question: to whom it was, at which places of the chunk those stand whom it is about, in order, and
    under which further numbers it was.
    """

    ask: Ask
    at: Index
    came: PartnerAnswer | Refusal
    under: Under = _FILE_ALONE


def members_of(rows: pl.DataFrame) -> dict[str, int]:
    """The members to be asked about some rows, and about how many people each."""
    found: dict[str, int] = {}
    for combination, count in rows["members"].value_counts(sort=True).rows():
        for member in filter(None, combination.split(SEPARATOR)):
            found[member] = found.get(member, 0) + count
    return dict(sorted(found.items()))


def positions(rows: pl.DataFrame, ask: Ask, steps: Sequence[Further]) -> Index:
    """Where in the chunk those stand about whom a question is.

    Args:
        rows: of the chunk.
        ask: the question.
        steps: what is asked because of answers, by phase.
    """
    if ask.phase:
        return np.array(list(steps[ask.phase - 1][ask.member]), np.int64)
    combinations = [each for each in rows["members"].unique().to_list() if ask.member in each.split(SEPARATOR)]
    asked: Index = np.flatnonzero(rows["members"].is_in(combinations).to_numpy())
    return asked


def asked_under(ask: Ask, steps: Sequence[Further]) -> Under:
    """The further numbers of a question."""
    return steps[ask.phase - 1][ask.member] if ask.phase else _FILE_ALONE


def question(
    run: Submitted,
    ask: Ask,
    rows: pl.DataFrame,
    at: Index,
    start_matters: NDArray[np.bool_],
    under: Under = _FILE_ALONE,
) -> exchange_pb2.Question:
    """A question about the people at some places of a chunk, under these further numbers.

    Args:
        run: what was submitted.
        ask: which question of the chunk.
        rows: of the chunk.
        at: places of those whom it is about.
        start_matters: by BenefitType, of which it is told since when they are paid.
        under: further numbers, besides those of the file.

    Raises:
        RefusedError: it is none that may be asked.
    """
    chosen = rows if len(at) == rows.height else rows[at]
    subjects = columns_pb2.SubjectColumns(id_number=chosen["id_number"].to_list(), name=chosen["name"].to_list())
    kinds = chosen["document_kind"]
    if (kinds != adapter_words.DOCUMENT_KIND_RESIDENT_IDENTITY).any():
        subjects.document_kind.extend(kinds.to_list())
    aliases = chosen["aliases"]
    if under:
        both = zip(aliases.to_list(), at.tolist(), strict=True)
        aliases = pl.Series([[*known, *under.get(place, ())] for known, place in both], dtype=aliases.dtype)
    lengths = aliases.list.len()
    if lengths.sum():
        subjects.alias_subject.extend(np.repeat(np.arange(chosen.height), lengths.to_numpy()).tolist())
        subjects.alias_id_number.extend(aliases.explode(empty_as_null=False).drop_nulls().to_list())
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
    matters = start_matters.take(chosen["benefit"].to_numpy(), mode="clip")
    since = np.where(matters, chosen["entitled_since_on"].to_numpy(), 0)
    if since.any():
        made.benefit_since_on.extend(since.tolist())
    check_question(made, max_subjects=chosen.height)
    return made


def moves_from(
    directory: Directory,
    own_id: str,
    rows: pl.DataFrame,
    replies: Sequence[Reply],
    most: int,
) -> dict[str, list[int]]:
    """Who is to be asked about elsewhere, because an answer says that they moved there; as for one person. By member
    the places of those who moved there.

    Args:
        directory: of the moment.
        own_id: this member.
        rows: of the chunk.
        replies: to the questions of the file.
        most: members asked about one person at most.
    """
    asked: dict[int, list[str]] = {}
    for reply in replies:
        if isinstance(reply.came, Refusal):
            continue
        at, findings = reply.at, reply.came.findings
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
    found: dict[str, list[int]] = {}
    for place, members in sorted(asked.items()):
        first = rows["members"][place].split(SEPARATOR)
        for member in members:
            if member not in first:
                found.setdefault(member, []).append(place)
    return dict(sorted(found.items()))
