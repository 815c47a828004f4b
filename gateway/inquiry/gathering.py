"""What the departments answered, put together and checked: rows of one question from many sources. I/O-free.

Owns: the rule which answers are used (see `Gathering`), the numbers linked to a person, the report of each source.
Refuses: asking anybody, and grading.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from adapters.contract import NO_FACES, Description, Evidence, Faces, Found, Holders, Links, Subjects
from adapters.texts import series_of
from gateway.inquiry.fitting import COLUMNS_FROM, fits_question
from gateway.inquiry.narrowing import EVERYBODY, Narrowing
from gateway.rules.columns import Int32
from gateway.rules.identity import may_be_somebodys
from wugan.federation.v1 import vocabulary_pb2 as words

if TYPE_CHECKING:
    import polars as pl

MAX_LINKS = 8
"""Numbers followed for one person at most; a person with more is an identity conflict for people to look at."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class SourceReport:
    """How one adapter took part.

    Args:
        adapter_id: of it.
        department: whose it is.
        outcome: SourceOutcome.
        complete_until_on: civil day up to which its data is complete, 0: not known.
        unreadable: of one that answered: whom it did not answer about, because it cannot read a row of theirs; None:
            it did about everybody.
    """

    adapter_id: str
    department: int
    outcome: int
    complete_until_on: int = 0
    unreadable: NDArray[np.bool_] | None = None

    @property
    def answered(self) -> bool:
        """Whether it answered, about everybody or not."""
        return self.outcome == words.SOURCE_OUTCOME_ANSWERED


@dataclass(slots=True)
class Gathered:
    """What all departments together know about a batch.

    Args:
        evidence: rows of every source that could be used.
        known: whether some source knows the person.
        identity_conflict: whether some source holds the number under another name, or a number was left (`unasked`).
        linked: whether further numbers of the person were found.
        link_subject, link_id_number, link_since_on: those numbers, parallel.
        faces: under which sources checked people who were there, each face of a person once.
        plain: surely one person alone, whom some source knows, by what was asked and by no other number or name, whose
            face was not checked, and about whom every source answered; False: the columns tell.
        unasked: who is in conflict for that alone that a number linked to the person was asked of nobody, or that
            nobody answered about it; None: nobody.
        reports: every adapter asked, in the order of configuration.
        earliest_complete_until_on: day up to which all answering sources are complete, 0: not known.
    """

    evidence: Evidence
    known: NDArray[np.bool_]
    identity_conflict: NDArray[np.bool_]
    linked: NDArray[np.bool_]
    link_subject: list[int]
    link_id_number: list[str]
    link_since_on: list[int]
    reports: list[SourceReport]
    faces: Faces = NO_FACES
    unasked: NDArray[np.bool_] | None = None
    plain: bool = False

    @property
    def partial(self) -> bool:
        """Whether some source is missing from the evidence about everybody."""
        for report in self.reports:  # noqa: SIM110  with few sources, a generator takes longer than they
            if not report.answered:
                return True
        return False

    @property
    def silent(self) -> set[int]:
        """Departments of sources that are missing from the evidence about everybody."""
        return {report.department for report in self.reports if not report.answered}

    @property
    def silent_about(self) -> dict[int, NDArray[np.bool_]]:
        """Departments of sources that are missing from the evidence about some people, and these."""
        found: dict[int, NDArray[np.bool_]] = {}
        for report in self.reports:
            if report.unreadable is not None:
                known = found.get(report.department)
                found[report.department] = report.unreadable if known is None else known | report.unreadable
        return found

    @property
    def answered(self) -> bool:
        """Whether any source answered, or there was none to ask."""
        return not self.reports or any(report.answered for report in self.reports)


NamesMatch = Callable[[str, str], bool]


class Gathering:
    """The columns of one question as the sources come in. I/O-free.

    The rule of trust: what a source says of a person is used whole or not at all, and so is its answer. It is thrown
    away, and the source reported as faulty, when columns differ in length or a number is out of range; when evidence is
    of another department or of a kind that the adapter did not describe, or speaks of a person it did not list as
    known; when it has faces and did not describe face checks; when the number it holds is none of those asked for that
    person (someone else's record); or when it tells of somebody of whom it says that it cannot read a row. About such a
    person the source is silent; where that is everybody asked in the first step, it is faulty. A different name under
    the right number does not make a source faulty: it makes the person an identity conflict.

    Everybody is asked about in steps: first under the numbers of the question, then under numbers that came to light
    (`further`). Whoever has a number in the end about which no source said anything is in conflict: what is known of
    the person is not known to be all.

    What stands in place of a linked number and can be nobody's (`may_be_somebodys`) is not followed: under a filler
    others hold the records of people whose number they do not know.

    People whom `narrowing` leaves out come out of it like people whom no source knows. Where it leaves out anybody,
    further numbers are asked about as if they were somebody's of their own, after the people of the question; what may
    be told of them is put to the person whose they are at the end.
    """

    def __init__(
        self,
        subjects: Subjects,
        descriptions: Sequence[Description],
        names_match: NamesMatch,
        narrowing: Narrowing = EVERYBODY,
    ) -> None:
        self._people = len(subjects.id_number)
        self._owner: Int32 | None = None
        if narrowing.apart and subjects.alias_subject:
            subjects, self._owner = _set_apart(subjects)
        self.subjects: Final = subjects
        """Whom to ask about in the first step: the people of the question, then numbers judged by themselves."""
        count = len(subjects.id_number)
        self._narrowing = narrowing
        nobody = _nobody(count)
        self._protected = nobody.copy() if narrowing.apart else nobody
        self._placed = nobody.copy() if narrowing.apart else nobody
        if narrowing.protects:
            self._protected[narrowing.all_protected(subjects.id_number)] = True
        self._subjects = subjects
        self._descriptions = descriptions
        self._names_match = names_match
        # The step under way: who is asked about, and the row of each in the question (None: the same).
        self._asked = subjects
        self._rows: NDArray[np.int32] | None = None
        self._asked_columns: tuple[pl.Series, pl.Series] | None = None
        self._numbers: dict[int, set[str]] = {}
        # Where numbers are judged by themselves: the row of each, by whose row that is and the number.
        self._apart: dict[tuple[int, str], int] = {}
        if self._owner is not None:
            self._apart = {
                key: row for row, key in enumerate(zip(self._owner.tolist(), subjects.id_number, strict=True))
            }
        # Of later steps: rows of the same person that are asked about under the same number, in the order of asking.
        # What is found once more under it counts where none of the earlier ones may be told of.
        self._asked_for: dict[tuple[int, str], list[int]] = {}
        self._earlier: dict[int, list[int]] = {}
        self._again: list[tuple[list[list[int]], Evidence]] = []
        # Of the step under way, a later one: how many are asked about under new numbers, who stand before all others,
        # and whether any source answered. Then: whose numbers nobody answered about, and which sources failed late.
        self._fresh = 0
        self._heard = True
        self._unheard: set[int] = set()
        self._failed_late: list[tuple[int, SourceReport, Int32]] = []
        # By source: whom it cannot read about.
        self._unreadable: dict[int, NDArray[np.bool_]] = {}
        if subjects.alias_id_number:
            for row, number in zip(subjects.alias_subject, subjects.alias_id_number, strict=True):
                self._numbers.setdefault(row, set()).add(number)
        self._known = nobody if count == 1 else nobody.copy()
        self._conflict = nobody
        self._evidence: list[Evidence] = []
        self._links: dict[tuple[int, str], int] = {}
        self._faces: list[Faces] = []
        self._reports: list[SourceReport | None] = [None] * len(descriptions)

    def add(self, position: int, outcome: Found | int) -> None:
        """Take in one source's answer, or why there is none."""
        about = self._descriptions[position]
        complete = 0
        if not isinstance(outcome, int):
            found, complete = outcome, outcome.complete_until_on
            people, unreadable = len(self._asked.id_number), len(found.unreadable)
            fits = fits_question(found, people, about) and self._use(found, about, position)
            nobody = 0 < people == unreadable
            self._heard |= fits and not nobody
            if fits and unreadable:
                self._leave_out(found.unreadable, about, position)
            outcome = words.SOURCE_OUTCOME_ANSWERED
            if not fits or (nobody and self._rows is None):
                outcome = words.SOURCE_OUTCOME_FAULTY
            if not fits:
                _log.warning("source faulty", adapter=about.adapter_id, error="answer does not fit the question")
        before, report = self._reports[position], SourceReport(about.adapter_id, about.department, outcome, complete)
        if before is not None and before.outcome != words.SOURCE_OUTCOME_ANSWERED:
            return  # what failed in the first step is not whole, whatever the others bring
        if before is not None and outcome != words.SOURCE_OUTCOME_ANSWERED and self._rows is not None:
            self._failed_late.append((position, report, self._rows[: self._fresh]))
            return
        self._reports[position] = report

    def _use(self, found: Found, about: Description, position: int) -> bool:
        holders, evidence, links, rows = found.holders, found.evidence, found.links, self._rows
        compare = self._compare if len(holders) < COLUMNS_FROM else self._compare_columns
        conflicts = compare(holders)
        if conflicts is None:
            return False
        if conflicts:
            self._conflict = self._conflict.copy()
            self._conflict[conflicts] = True
        if len(holders):
            if len(self._known) == 1:  # by far the most common, and told without columns
                self._known = _everybody(1)
            else:
                self._known[holders.subject if rows is None else rows[holders.subject]] = True
        told = len(evidence)
        if rows is not None:
            asked_at = evidence.subject
            evidence = replace(evidence, subject=rows[asked_at])
        if self._narrowing.regions:
            self._placed[evidence.subject[self._narrowing.places(evidence.region)]] = True
            if self._narrowing.holds(about):
                self._placed[holders.subject if rows is None else rows[holders.subject]] = True
        if rows is not None:
            evidence = self._once(evidence, asked_at, position)
            told = len(evidence)
        if told:
            self._evidence.append(evidence)
        if len(found.faces.subject):
            faces = found.faces
            self._faces.append(faces if rows is None else replace(faces, subject=rows[faces.subject]))
        if len(links.subject):
            self._use_links(links)
        return True

    def _use_links(self, links: Links) -> None:
        rows = self._rows
        for at, number, since in zip(links.subject.tolist(), links.id_number, links.since_on.tolist(), strict=True):
            row = at if rows is None else int(rows[at])
            if self._narrowing.is_protected(number):
                self._protected[row] = True
            # The new number leads back to the one that was asked; a filler leads to whomever it was written for.
            if number != self._subjects.id_number[row] and may_be_somebodys(number):
                self._links.setdefault((row, number), since)

    def _leave_out(self, asked: Int32, about: Description, position: int) -> None:
        """People about whom a source is silent, though it holds them, by where they stand in the step."""
        people = asked if self._rows is None else self._rows[asked]
        mask = self._unreadable.setdefault(position, np.zeros(len(self._known), np.bool_))
        mask[people] = True
        if self._narrowing.regions and self._narrowing.holds(about):
            self._placed[people] = True

    def _once(self, evidence: Evidence, asked_at: Int32, position: int) -> Evidence:
        """Of a later step, without rows that are there already, or may be: those are put aside. `asked_at`: where each
        row's person stands in the step.
        """
        if self._fresh < len(self._asked) and self._answered_first(position):
            # About those who are asked about again for the look of it, it says what it said before.
            fresh = asked_at < self._fresh
            asked_at, evidence = asked_at[fresh], evidence.take(fresh)
        again = np.isin(asked_at, list(self._earlier)) if self._earlier else None
        if again is not None and np.count_nonzero(again):
            self._again.append(([self._earlier[place] for place in asked_at[again].tolist()], evidence.take(again)))
            evidence = evidence.take(~again)
        return evidence

    def _compare(self, holders: Holders) -> list[int] | None:
        """Rows that are held under another name; None: a number is none of those asked for that person."""
        asked, rows = self._asked, self._rows
        numbers, names, conflicts = holders.held_id_number, holders.held_name, []
        for place, at in enumerate(holders.rows()):
            number, name = numbers[place], names[place]
            row = at if rows is None else int(rows[at])
            if number != asked.id_number[at] and number not in self._numbers.get(row, ()):
                return None
            if name and name != asked.name[at] and not self._names_match(asked.name[at], name):
                conflicts.append(row)
        return conflicts

    def _compare_columns(self, holders: Holders) -> list[int] | None:
        """The same for many: those that are held just as they were asked need no second look."""
        asked, at = self._asked, holders.subject
        try:
            held_number, held_name = series_of(holders.held_id_number), series_of(holders.held_name)
            if self._asked_columns is None:
                self._asked_columns = series_of(asked.id_number), series_of(asked.name)
        except UnicodeEncodeError:
            return self._compare(holders)
        number, name = self._asked_columns
        other_number = held_number != number.gather(at)
        other_name = (held_name != name.gather(at)) & (held_name != "")
        odd = np.flatnonzero((other_number | other_name).to_numpy())
        if not len(odd):
            return []
        return self._compare(
            Holders(at[odd], held_number.gather(odd).to_list(), held_name.gather(odd).to_list()),
        )

    def so_far(self) -> tuple[Evidence, frozenset[int]]:
        """The rows of all sources so far, whomever they are about: to compare, never to tell; who did not answer."""
        reports = [report for report in self._reports if report is not None]
        failed = {report.department for report in reports if report.outcome != words.SOURCE_OUTCOME_ANSWERED}
        return Evidence.concatenate(self._evidence), frozenset(failed)

    def further(self) -> Subjects | None:
        """Begin another step: the people with numbers not asked yet, to ask about under these; None: nobody.

        Nobody is asked about again who is protected; see narrowing.py for who is besides.
        """
        self._end_step()
        new: list[tuple[int, str]] = []
        for row, number in self._not_followed() if self._links else ():
            known = self._numbers.setdefault(row, set())
            if len(known) < MAX_LINKS:
                known.add(number)
                new.append((row, number))
        fresh = len(new)
        if self._narrowing.regions and any(about.links for about in self._descriptions):
            anew = {row for row, _ in new}
            unplaced = (~self._placed | self._protected).nonzero()[0].tolist()
            new += [(row, self._subjects.id_number[row]) for row in unplaced if row not in anew]
        if not new:
            return None
        self._earlier = {}
        if self._owner is not None:
            for place, (row, number) in enumerate(new[:fresh]):
                asked = self._asked_for.setdefault((int(self._owner[row]), number), [])
                if asked:
                    self._earlier[place] = [*asked]
                asked.append(row)
        self._rows = np.array([row for row, _ in new], np.int32)
        self._fresh, self._heard = fresh, False
        self._asked_columns = None
        self._asked = Subjects([number for _, number in new], [self._subjects.name[row] for row, _ in new])
        return self._asked

    def _not_followed(self) -> list[tuple[int, str]]:
        """Numbers linked to people who may be told of, under which these were not asked about."""
        if not self._links:
            return []
        numbers, protected = self._numbers, self._protected
        return [
            (row, number)
            for row, number in self._links
            if not protected[row] and number not in numbers.get(row, ()) and self._row_of(row, number) is None
        ]

    def _end_step(self) -> None:
        """What follows from the step that is over, for people and for what is asked next."""
        if not self._heard and self._rows is not None:
            self._unheard.update(self._rows[: self._fresh].tolist())
        self._heard = True
        if self._apart:
            self._put_together()

    def _answered_first(self, position: int) -> bool:
        """Whether a source answered in the first step."""
        report = self._reports[position]
        return report is not None and report.outcome == words.SOURCE_OUTCOME_ANSWERED

    def _row_of(self, row: int, number: str) -> int | None:
        """Where a number of the same person is judged by itself: its row."""
        return None if self._owner is None else self._apart.get((int(self._owner[row]), number))

    def _put_together(self) -> None:
        """Numbers that a department links are one person's, also where each is judged by itself: what leads to a
        protected one is protected, and where one of them is placed, so are the others.
        """
        linked = [(row, self._row_of(row, number)) for row, number in self._links]
        pairs = [(a, b) for a, b in linked if b is not None]
        while new := [a for a, b in pairs if self._protected[b] and not self._protected[a]]:
            self._protected[new] = True
        left = [(a, b) for a, b in pairs if not self._protected[a] and not self._protected[b]]
        while both := [(a, b) for a, b in left if self._placed[a] != self._placed[b]]:
            for a, b in both:
                self._placed[[a, b]] = True

    def result(self) -> Gathered:
        """All of it as columns, without what is known of people who may not be told of."""
        self._end_step()
        if not self._special:
            return self._as_it_came()
        links, faces = self._links, self._seen_faces()
        hidden = self._protected | ~self._placed if self._narrowing.regions else self._protected
        for earlier, part in self._again:
            wanted = [bool(hidden[rows].all()) for rows in earlier]
            self._evidence.append(part.take(np.array(wanted, np.bool_)))
        for position, report, rows in self._failed_late:
            # Where nobody who may be told of was asked about under a new number, nothing is missing.
            if not hidden[rows].all() and self._answered_first(position):
                self._reports[position] = report
        unasked: NDArray[np.bool_] | None = None
        if left := {row for row, _ in self._not_followed()} | self._unheard:
            unasked = np.zeros_like(hidden)
            unasked[list(left)] = True
            unasked &= ~hidden
        unreadable = {position: mask & ~hidden for position, mask in self._unreadable.items()}
        evidence = Evidence.concatenate(self._evidence)
        if np.count_nonzero(hidden):
            self._known = self._known & ~hidden
            self._conflict = self._conflict & ~hidden
            evidence = evidence.take(~hidden[evidence.subject])
            faces = faces.take(~hidden[faces.subject])
            links = {(row, number): since for (row, number), since in links.items() if not hidden[row]}
        known, conflict = self._known, self._conflict
        if self._owner is not None:
            owner = self._owner
            known, conflict = (_put_to(owner, each)[: self._people] for each in (known, conflict))
            unasked = None if unasked is None else _put_to(owner, unasked)[: self._people]
            unreadable = {at: _put_to(owner, mask)[: self._people] for at, mask in unreadable.items()}
            evidence = replace(evidence, subject=owner[evidence.subject])
            faces = Faces.newest(_rows_of(replace(faces, subject=owner[faces.subject])))
            together: dict[tuple[int, str], int] = {}
            for (row, number), since in links.items():
                if number != self._subjects.id_number[owner[row]]:
                    together.setdefault((int(owner[row]), number), since)
            links = together
        if unasked is not None:
            unasked &= ~conflict
            conflict = conflict | unasked
        linked = np.zeros(self._people, np.bool_)
        link_subject = [row for row, _ in links]
        if link_subject:
            linked[link_subject] = True
        return Gathered(
            evidence=evidence,
            known=known,
            identity_conflict=conflict,
            linked=linked,
            link_subject=link_subject,
            link_id_number=[number for _, number in links],
            link_since_on=list(links.values()),
            reports=[
                replace(report, unreadable=mask)
                if report.answered and (mask := unreadable.get(position)) is not None and np.count_nonzero(mask)
                else report
                for position, report in enumerate(self._reports)
                if report is not None
            ],
            faces=faces,
            unasked=unasked if unasked is not None and np.count_nonzero(unasked) else None,
        )

    @property
    def _special(self) -> bool:
        """Whether anybody is left out, has further numbers, was not answered about, or is known by a face."""
        return bool(
            self._narrowing.regions
            or self._narrowing.protects
            or self._links
            or self._unheard
            or self._unreadable
            or self._again
            or self._failed_late
            or self._faces
            or self._owner is not None
        )

    def _as_it_came(self) -> Gathered:
        """All of it where nothing is special: as nearly always, and with none of the columns for what is."""
        nobody = _nobody(self._people)
        plain, reports = self._known is _everybody(1) and self._conflict is nobody, []
        for report in self._reports:
            if report is not None:
                reports.append(report)
                plain = plain and report.outcome == words.SOURCE_OUTCOME_ANSWERED
        return Gathered(
            evidence=Evidence.concatenate(self._evidence),
            known=self._known,
            identity_conflict=self._conflict,
            linked=nobody,
            link_subject=[],
            link_id_number=[],
            link_since_on=[],
            reports=reports,
            plain=plain,
        )

    def _seen_faces(self) -> Faces:
        """The faces of all sources, each of a person once: several steps, and several sources, may have it."""
        return Faces.newest(row for each in self._faces for row in _rows_of(each)) if self._faces else Faces()


@functools.lru_cache(maxsize=16)
def _nobody(people: int) -> NDArray[np.bool_]:
    """A column that is true of nobody: what most columns about so many people stay. It cannot be written to."""
    column = np.zeros(people, np.bool_)
    column.flags.writeable = False
    return column


@functools.lru_cache(maxsize=1)
def _everybody(people: int) -> NDArray[np.bool_]:
    """A column that is true of all of so many people. It cannot be written to."""
    column = ~_nobody(people)
    column.flags.writeable = False
    return column


def _set_apart(subjects: Subjects) -> tuple[Subjects, Int32]:
    """The people with their further numbers as people of their own after them, and whose each row is."""
    rows = subjects.alias_subject
    names = [*subjects.name, *(subjects.name[row] for row in rows)]
    asked = Subjects([*subjects.id_number, *subjects.alias_id_number], names)
    return asked, np.array([*range(len(subjects)), *rows], np.int32)


def _put_to(owner: Int32, column: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is so of a row, put to whose it is."""
    together = np.zeros_like(column)
    together[owner[column]] = True
    return together


def _rows_of(faces: Faces) -> Iterable[tuple[int, bytes, int, int]]:
    columns = faces.subject.tolist(), faces.token, faces.observed_on.tolist(), faces.region.tolist()
    return zip(*columns, strict=True)
