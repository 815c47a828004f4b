"""How recipients stand now: what the run proposes, and what was decided since.

Owns: bringing record and results together, also when the rows are those of a later run. Refuses: deciding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from gateway.roster.decisions.chain import Event
from gateway.roster.decisions.deciding import standing_of
from gateway.roster.decisions.ledger import Ledger, latest
from gateway.roster.decisions.people import Person, Results
from gateway.roster.decisions.wordings import ACTS, ALREADY, SEEN_WHILE_PROPOSED, SEEN_WHILE_STOPPED, SOURCES
from gateway.roster.results.headings import STANDING
from gateway.roster.results.rows import worded
from gateway.roster.results.staging import replaced
from gateway.roster.results.tables import write_csv
from gateway.rules.book import RuleBook
from gateway.rules.deciding import PASSED, Standing
from gateway.wording import BENEFITS, PROPOSALS, Language, Word
from wugan.federation.v1 import vocabulary_pb2 as words

_SCHEMA: Final = {
    "row": pl.Int64,
    "reference": pl.String,
    "unit": pl.String,
    "id_number": pl.String,
    "name": pl.String,
    "benefit_code": pl.Int32,
    "grid_unit": pl.String,
    "registered": pl.String,
    "certification_code": pl.Int32,
    "mark": pl.String,
    "source": pl.String,
    "certified_on": pl.Int32,
    "last_act": pl.String,
    "last_on": pl.Int32,
    "who": pl.String,
    "by": pl.String,
    "why": pl.String,
    "stopped_from": pl.Int32,
    "resumes": pl.Int32,
    "months": pl.Int64,
    "amount_fen": pl.Int64,
    "finding": pl.String,
}


@dataclass(frozen=True, slots=True)
class Case:
    """A recipient about whom something was recorded.

    Args:
        person: as the results have it; None where the results are of a roster in which the person is not.
        events: oldest first, their numbers in the record beside.
        sequences: of the events.
        standing: now.
    """

    person: Person | None
    events: tuple[Event, ...]
    sequences: tuple[int, ...]
    standing: Standing

    @property
    def findings(self) -> tuple[Word, ...]:
        """What must be looked at."""
        found = []
        for event in self.events:
            if event.refused:
                found.append(ALREADY)
            elif event.act in PASSED and event.was == words.CERTIFICATION_STATUS_STOPPED:
                found.append(SEEN_WHILE_STOPPED)
            elif event.act in PASSED and event.was == words.CERTIFICATION_STATUS_STOP_PROPOSED:
                found.append(SEEN_WHILE_PROPOSED)
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Overview:
    """A folder's record.

    Args:
        cases: by first event.
        proposed: recipients by what the run proposes.
        now: recipients by how they stand now.
    """

    cases: tuple[Case, ...]
    proposed: dict[int, int]
    now: dict[int, int]


def overview(ledger: Ledger, results: Results, book: RuleBook) -> Overview:
    """Everybody about whom something was recorded, and how all stand.

    Raises:
        StoreError: the record is broken.
    """
    events: dict[tuple[bytes, int], list[tuple[int, Event]]] = defaultdict(list)
    for link in ledger.links():
        events[link.event.person, link.event.benefit].append((link.sequence, link.event))
    people = _people(ledger, results, events)
    proposed = results.counts()
    now = defaultdict(int, proposed)
    cases = []
    for key, numbered in events.items():
        person = people.get(key)
        own = tuple(event for _, event in numbered)
        if person is None:
            last = latest(own)
            standing = Standing(last.status) if last else Standing(0)
        else:
            standing = standing_of(person, own, results, book)
            now[person.proposed.status] -= 1
            now[standing.status] += 1
        cases.append(Case(person, own, tuple(number for number, _ in numbered), standing))
    return Overview(tuple(cases), proposed, {status: count for status, count in sorted(now.items()) if count})


def export(cases: Sequence[Case], ledger: Ledger, path: Path, language: Language) -> int:
    """Write how these stand, with the five indicators; how many there are. The file appears whole, and is private."""
    rows = [_row(case, ledger, language) for case in cases if case.person is not None]
    days = [
        pl.col(name).replace(0, None).cast(pl.Date) for name in ("certified_on", "last_on", "stopped_from", "resumes")
    ]
    frame = pl.DataFrame(rows, schema=_SCHEMA).sort("row").lazy()
    shown = frame.with_columns(
        *days,
        benefit_name=worded("benefit_code", BENEFITS, language),
        certification_status=worded("certification_code", PROPOSALS, language, Word("", "")),
    )
    with replaced(path) as draft:
        write_csv(shown, STANDING, draft, language)
    return len(rows)


def _row(case: Case, ledger: Ledger, language: Language) -> dict[str, object]:
    person, last = case.person, case.events[-1]
    if person is None:
        raise ValueError("nobody of these results")
    texts = ledger.texts(last)
    return {
        "row": person.row,
        "reference": person.reference,
        "unit": person.unit,
        "id_number": person.id_number,
        "name": person.name,
        "benefit_code": person.benefit,
        "grid_unit": person.grid_unit,
        "registered": person.registered,
        "certification_code": case.standing.status,
        "mark": person.mark,
        "source": SOURCES[case.standing.source].said(language),
        "certified_on": case.standing.certified_on,
        "last_act": ACTS[last.act].said(language),
        "last_on": last.on_day,
        **texts._asdict(),
        "stopped_from": max(event.stopped_from_on for event in case.events),
        "resumes": max(event.resumes_on for event in case.events),
        "months": sum(event.months for event in case.events),
        "amount_fen": sum(event.amount_fen for event in case.events),
        "finding": "；".join(finding.said(language) for finding in case.findings),
    }


def _people(
    ledger: Ledger, results: Results, events: dict[tuple[bytes, int], list[tuple[int, Event]]]
) -> dict[tuple[bytes, int], Person]:
    """The recipients of these events: at the row of their last one, or, where another stands there now, anywhere."""
    rows = {key: numbered[-1][1].row for key, numbered in events.items()}
    at = results.by_row(rows.values())
    people: dict[tuple[bytes, int], Person] = {}
    for key, row in rows.items():
        person = at.get(row)
        if person is not None and (ledger.person(person.id_number), person.benefit) == key:
            people[key] = person
    missing = set(events) - set(people)
    if missing:
        for person in results.everybody():
            key = (ledger.person(person.id_number), person.benefit)
            if key in missing:
                people.setdefault(key, person)
    return people
