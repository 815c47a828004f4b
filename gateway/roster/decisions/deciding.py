"""Requests of officials and outcomes of checks, held against the rules, and recorded.

Owns: which person a request is about, that the table allows it, the once-only gate, the second person, what a
restoration pays back, and that the same outcome handed in twice counts once. Refuses: files and terminals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.clock import Clock, civil_day
from gateway.errors import RefusedError, WuganError
from gateway.roster.decisions.chain import Event
from gateway.roster.decisions.ledger import Deciding, Ledger, Texts, latest
from gateway.roster.decisions.people import Person, Results
from gateway.roster.decisions.wordings import ACTS, ALREADY
from gateway.roster.results.headings import NO_ANSWER
from gateway.rules.book import RuleBook
from gateway.rules.columns import next_month_start
from gateway.rules.deciding import NOT_ALLOWED, PASSED, Act, Decided, Source, Standing, already_certified, stands
from gateway.rules.overpayment import withheld
from gateway.wording import PROPOSALS, word
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_WHO: Final = 100
MAX_WHY: Final = 1000
AT_ONCE: Final = 100_000
"""Requests taken together."""


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants recorded.

    Args:
        row: of the results.
        act: what.
        who: whose decision it is, or who records the outcome.
        why: the reason; required of an official's act.
        by: who was there, of a visit or a face check.
        on_day: civil day of it, 0: today.
        stopped_from_on: of a stop: a day of the first month not paid; 0: the month after the last one paid.
        entitled_from_on: of a restoration: a day of the month from which there is entitlement again; 0: throughout.
        resumes_on: of a restoration: a day of the first month paid as usual again; 0: the month after it.
        line: of the file it comes from, 0: none.
        number: the identity number the file has in that line, whole or without its middle; "" where it has none.
    """

    row: int
    act: Act
    who: str
    why: str = ""
    by: str = ""
    on_day: int = 0
    stopped_from_on: int = 0
    entitled_from_on: int = 0
    resumes_on: int = 0
    line: int = 0
    number: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request.

    Args:
        request: it.
        person: whom it is about, None where nobody is at that row.
        error: why it was not carried out; None where it was.
        was: CertificationStatus before.
        standing: after it.
        sequence: of its event; 0 where nothing was recorded.
        months: of a restoration: how many months are paid back.
        amount_fen: what they come to.
        repeated: it had been recorded before; nothing was recorded now.
    """

    request: Request
    person: Person | None
    error: WuganError | None = None
    was: int = 0
    standing: Standing = Standing(0)  # noqa: RUF009  immutable
    sequence: int = 0
    months: int = 0
    amount_fen: int = 0
    repeated: bool = False


def decide(
    ledger: Ledger,
    results: Results,
    book: RuleBook,
    clock: Clock,
    requests: Sequence[Request],
    *,
    try_only: bool = False,
) -> list[Outcome]:
    """Carry out requests in their order; those that are refused leave the others alone.

    Args:
        ledger: the record.
        results: what was decided on.
        book: the rules.
        clock: tells the day.
        requests: at most AT_ONCE.
        try_only: say what would come of it, and record nothing.

    Raises:
        RefusedError: too many at once.
        StoreError: nothing was recorded.
    """
    if len(requests) > AT_ONCE:
        raise RefusedError(f"at most {AT_ONCE} decisions at once", f"一次最多提交 {AT_ONCE} 项决定", field="requests")
    people = results.by_row({request.row for request in requests})
    outcomes = []
    try:
        with ledger.deciding() as deciding:
            desk = _Desk(ledger, deciding, results, book, clock.now_ms())
            for request in requests:
                person = people.get(request.row)
                try:
                    outcomes.append(desk.carry_out(request, person))
                except RefusedError as error:
                    outcomes.append(Outcome(request, person, error))
            if try_only:
                raise _NothingRecorded
    except _NothingRecorded:
        return outcomes
    return outcomes


def standing_of(person: Person, events: Sequence[Event], results: Results, book: RuleBook) -> Standing:
    """How a recipient stands, by the results and by what was recorded."""
    last = latest(events)
    decided = None
    if last is not None:
        decided = Decided(Standing(last.status, Source(last.source), last.certified_on), last.on_day, last.ground)
    return stands(person.proposed, person.ground, results.as_of_on, decided, book.grading.cycle_days)


class _NothingRecorded(Exception):  # noqa: N818  it ends a transaction, and is no error
    """Leave the transaction without a trace."""


class _Desk:
    """Requests being carried out within one transaction."""

    def __init__(self, ledger: Ledger, deciding: Deciding, results: Results, book: RuleBook, now_ms: int) -> None:
        self._ledger = ledger
        self._deciding = deciding
        self._results = results
        self._book = book
        self._now_ms = now_ms
        self._today = civil_day(now_ms)

    def carry_out(self, request: Request, person: Person | None) -> Outcome:
        """Carry out one.

        Raises:
            RefusedError: it is not carried out. A certification that is a second one is recorded all the same.
        """
        texts = self._checked(request)
        if person is None:
            raise _refused("row", f"the results have no row {request.row}", f"结果中没有第 {request.row} 行")
        if request.number and not _same_number(request.number, person.id_number):
            raise _refused(
                "id_number",
                "the identity number at this row is another one; this list is of another run",
                "证件号码与结果中该行不符，该清单可能属于另一次任务",
            )
        on_day = request.on_day or self._today
        if not self._today - self._book.grading.cycle_days <= on_day <= self._today:
            raise _refused("date", "the day is in the future, or before this cycle", "日期晚于今天，或早于本认证周期")
        index = self._ledger.person(person.id_number)
        events = self._deciding.history(index, person.benefit)
        standing = standing_of(person, events, self._results, self._book)
        if self._before(events, request, texts, on_day):
            return Outcome(request, person, None, standing.status, standing, repeated=True)
        event = self._event(request, person, index, standing, on_day)
        if request.act in PASSED and already_certified(standing, on_day, self._book.grading.cycle_days):
            self._deciding.append(event._replace(status=standing.status, refused=1), texts)
            raise _refused("once", ALREADY.en, ALREADY.zh)
        status = self._book.transitions.after(request.act, standing.status)
        if status == NOT_ALLOWED:
            named, act = word({0: NO_ANSWER, **PROPOSALS}, standing.status), ACTS[request.act]
            raise _refused("act", f'"{act.en}" is not possible: {named.en}', f"当前为“{named.zh}”，不能“{act.zh}”")
        if request.act is Act.APPROVE_STOP:
            self._second_person(events, texts.who)
        after = self._after(request.act, status, standing, on_day)
        event = event._replace(status=after.status, source=after.source, certified_on=after.certified_on)
        event = self._with_months(event, request, person, events)
        sequence = self._deciding.append(event, texts)
        return Outcome(request, person, None, standing.status, after, sequence, event.months, event.amount_fen)

    def _checked(self, request: Request) -> Texts:
        who, by, why = (" ".join(text.split()) for text in (request.who, request.by, request.why))
        if not 0 < len(who) <= MAX_WHO or len(by) > MAX_WHO:
            raise _refused("who", f"say who, in 1 to {MAX_WHO} characters", f"请填写经办人（1 至 {MAX_WHO} 个字符）")
        if len(why) > MAX_WHY or (not why and bool(self._book.transitions.official[request.act])):
            raise _refused(
                "why", f"give a reason, in 1 to {MAX_WHY} characters", f"请填写理由（1 至 {MAX_WHY} 个字符）"
            )
        return Texts(who, by, why)

    def _before(self, events: Sequence[Event], request: Request, texts: Texts, on_day: int) -> bool:
        """Whether the very same thing was recorded: a list that is handed in again."""
        return any(
            event.act == request.act
            and event.on_day == on_day
            and (self._deciding.texts(event).who, self._deciding.texts(event).by) == (texts.who, texts.by)
            for event in events
            if event is events[-1] or request.act in PASSED
        )

    def _second_person(self, events: Sequence[Event], who: str) -> None:
        """Who approves a stop is not who brought it about.

        Raises:
            RefusedError: it is the same person.
        """
        if not self._book.transitions.second_person:
            return
        last = latest(events)
        if last is None or last.status != words.CERTIFICATION_STATUS_STOP_PROPOSED:
            return
        earlier = self._deciding.texts(last)
        if who in (earlier.who, earlier.by):
            raise _refused(
                "who",
                "who proposed this stop, or recorded what it rests on, does not approve it; have somebody else do so",
                "提出停发或登记其依据的人员不得同意停发，请由他人决定",
            )

    @staticmethod
    def _after(act: Act, status: int, standing: Standing, on_day: int) -> Standing:
        if status != words.CERTIFICATION_STATUS_CERTIFIED:
            return Standing(status)
        return Standing(status, PASSED.get(act, standing.source), on_day)

    def _event(self, request: Request, person: Person, index: bytes, standing: Standing, on_day: int) -> Event:
        return Event(
            at_ms=self._now_ms,
            on_day=on_day,
            row=person.row,
            benefit=person.benefit,
            act=request.act,
            was=standing.status,
            status=standing.status,
            source=standing.source,
            refused=0,
            certified_on=standing.certified_on,
            stopped_from_on=0,
            resumes_on=0,
            amount_fen=0,
            months=0,
            person=index,
            ground=person.ground,
            results=self._results.digest,
            body=b"",
        )

    def _with_months(self, event: Event, request: Request, person: Person, events: Sequence[Event]) -> Event:
        """From which month a stop withholds, and what a restoration pays back."""
        if request.act is Act.APPROVE_STOP:
            from_on = _month_of(request.stopped_from_on) or _month_after(person.last_paid_on or event.on_day)
            if person.last_paid_on and from_on <= person.last_paid_on:
                raise _refused(
                    "stop_from",
                    "that month is paid already; a stop begins after the last month paid",
                    "该月待遇已发放，停发应自最后发放月之后开始",
                )
            return event._replace(stopped_from_on=from_on)
        if request.act is not Act.RESTORE:
            return event
        stop = next((each for each in reversed(events) if each.act == Act.APPROVE_STOP and not each.refused), None)
        first = max(stop.stopped_from_on if stop else 0, _month_of(request.entitled_from_on))
        resumes = _month_of(request.resumes_on) or _month_after(event.on_day)
        owed = withheld(
            np.array([first], np.int32), np.array([resumes], np.int32), np.array([person.monthly_fen], np.int64)
        )
        return event._replace(resumes_on=resumes, months=int(owed.months[0]), amount_fen=int(owed.net[0]))


def _same_number(given: str, known: str) -> bool:
    """Whether a number, whole or without its middle, is this one."""
    start, mark, end = given.partition("*")
    if not mark:
        return given.upper() == known.upper()
    end = end.strip("*")
    return known.upper().startswith(start.upper()) and known.upper().endswith(end.upper()) and bool(start or end)


def _month_of(day: int) -> int:
    """The first day of a day's month; 0 for 0."""
    return int(np.int32(day).astype("M8[D]").astype("M8[M]").astype("M8[D]").astype(np.int64)) if day else 0


def _month_after(day: int) -> int:
    return int(next_month_start(np.array([day], np.int32))[0])


def _refused(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(en, zh, field=field)
