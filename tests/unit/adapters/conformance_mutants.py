"""Registers that break one rule each, by the case that must find it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from adapters.conformance import Bounds
from adapters.contract import Changed, Description, Evidence, Found, Lookup
from adapters.errors import SourceDownError, SourceFaultError
from tests.unit.adapters.conformance_world import (
    ANNA,
    BO,
    CHEN,
    DEAD,
    DING,
    EMIL,
    HOTEL,
    MAX_BATCH,
    NOBODY,
    SAMPLE,
    TODAY,
    Register,
    Row,
    Source,
    ints,
)
from wugan.adapter.v1 import vocabulary_pb2 as words

MUTANTS: dict[str, type[Register]] = {}
FOUR = [person.number for person in SAMPLE.known]


def breaks(case: str) -> Callable[[type[Register]], type[Register]]:
    def keep(kind: type[Register]) -> type[Register]:
        assert case not in MUTANTS
        MUTANTS[case] = kind
        return kind

    return keep


def describes(case: str, **other: object) -> None:
    """A register that describes itself otherwise."""
    MUTANTS[case] = type("Describes", (Register,), {"about": replace(Register.about, **other)})  # type: ignore[arg-type]


def holds(case: str, change: Callable[[Source], object]) -> None:
    """A register over a source that is wrong."""

    class Holds(Register):
        def __init__(self, source: Source) -> None:
            if not source.opened:
                change(source)
            super().__init__(source)

    MUTANTS[case] = Holds


def row_of_bo(case: str, kind: int = HOTEL, **other: object) -> None:
    """A register in which one row of one person is wrong."""

    def change(source: Source) -> None:
        at = next(i for i, row in enumerate(source.people[BO]) if row.kind == kind)
        source.people[BO][at] = replace(source.people[BO][at], **other)  # type: ignore[arg-type]

    holds(case, change)


def without_last_row(found: Found) -> Found:
    return replace(found, evidence=found.evidence.take(np.arange(max(0, len(found.evidence) - 1))))


def single(question: Lookup) -> str:
    """The number of a question about one person without former numbers, else nothing."""
    subjects = question.subjects
    return subjects.id_number[0] if len(subjects) == 1 and not subjects.alias_subject else ""


def refusal(text: str = "no") -> SourceFaultError:
    return SourceFaultError(text, text)


# description

describes("description.id", adapter_id="Register of Zhejiang")
describes("description.department", department=99)
describes("description.regions", regions=(330000, 330000))
describes("description.items", items=(*Register.about.items, Register.about.items[0]))
describes("description.max_batch", max_batch=200_000)


@breaks("description.stable")
class Changeable(Register):
    def describe(self) -> Description:
        return replace(self.about, version="1" if not self.source.asked or self.source.opened > 1 else "2")


@breaks("description.check")
class ReadyOnce(Register):
    checks = 0

    async def check(self) -> None:
        self.checks += 1
        if self.checks > 2:
            raise SourceDownError("no connection left", "连接已用尽")


# batches


@breaks("batch.empty")
class RefusesNobody(Register):
    def answer(self, question: Lookup) -> Found:
        if not len(question.subjects):
            raise refusal("nobody is asked about")
        return super().answer(question)


@breaks("batch.one")
class SlowToWake(Register):
    def answer(self, question: Lookup) -> Found:
        before = [one for one in self.source.asked[:-1] if single(one) in self.source.people]
        if single(question) in self.source.people and not before:
            return Found()
        return super().answer(question)


@breaks("batch.largest")
class LosesTheMiddle(Register):
    def answer(self, question: Lookup) -> Found:
        numbers = list(question.subjects.id_number)
        if len(numbers) == MAX_BATCH and len(set(numbers)) == MAX_BATCH:
            numbers[MAX_BATCH // 2] = "-"
            question = replace(question, subjects=replace(question.subjects, id_number=numbers))
        return super().answer(question)


@breaks("batch.beyond")
class CutsOff(Register):
    def answer(self, question: Lookup) -> Found:
        subjects = question.subjects
        if len(subjects) > MAX_BATCH:
            cut = replace(subjects, id_number=subjects.id_number[:MAX_BATCH], name=subjects.name[:MAX_BATCH])
            question = replace(question, subjects=cut)
        return super().answer(question)


@breaks("batch.paging")
class LosesTheLastPage(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        of_four = [one for one in self.source.asked if list(one.subjects.id_number) == FOUR]
        return without_last_row(found) if len(of_four) > 1 and question is of_four[-1] else found


holds("batch.bounded", lambda source: source.people.update({ANNA: source.people[ANNA] * 100}))


# people

holds("people.known", lambda source: source.people.pop(CHEN))
holds("people.unknown_sample", lambda source: (source.people.update({NOBODY: []}), source.names.update({NOBODY: ""})))
holds("people.names_held", lambda source: source.names.update({BO: "买买提·艾力"}))


@breaks("people.unknown")
class KnowsEverybody(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        number = single(question)
        return self.told([(0, number, "")], [], []) if number[14:17] == "000" else found


class Rewriting(Register):
    """Changes the holders or rows of an answer."""

    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        keep = [at for at in range(len(question.subjects)) if self.keeps(question, at)]
        if len(keep) == len(question.subjects):
            return found
        held, evidence, links = found.holders, found.evidence, found.links
        rows = np.flatnonzero(np.isin(held.subject, keep))
        linked = np.flatnonzero(np.isin(links.subject, keep))
        return Found(
            type(held)(held.subject[rows], [held.held_id_number[i] for i in rows], [held.held_name[i] for i in rows]),
            evidence.take(np.isin(evidence.subject, keep)),
            type(links)(links.subject[linked], [links.id_number[i] for i in linked], links.since_on[linked]),
            found.complete_until_on,
            unreadable=found.unreadable,
        )

    def keeps(self, question: Lookup, at: int) -> bool:
        raise NotImplementedError


@breaks("people.duplicates")
class OneRowEach(Rewriting):
    def keeps(self, question: Lookup, at: int) -> bool:
        numbers = list(question.subjects.id_number)
        return len(numbers) != 4 or numbers.index(numbers[at]) == at


@breaks("people.many_duplicates")
class TwoHundredAndFiftyRows(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        return replace(found, evidence=found.evidence.take(np.arange(min(250, len(found.evidence)))))


@breaks("people.two_names")
class FirstNameOnly(Rewriting):
    def keeps(self, question: Lookup, at: int) -> bool:
        subjects = question.subjects
        same = [i for i, number in enumerate(subjects.id_number) if number == subjects.id_number[at]]
        return subjects.name[same[0]] == subjects.name[at]


@breaks("people.name_echoed")
class Echoes(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        held, asked = found.holders, question.subjects.name
        both = zip((asked[at] for at in held.subject), held.held_name, strict=True)
        names = [name if name.isalpha() and len(name) < 9 else own for name, own in both]
        return replace(found, holders=replace(held, held_name=names))


@breaks("people.aliases")
class HidesTheFormerNumber(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        numbers = question.subjects.id_number
        if len(numbers) != 2 or not question.subjects.alias_subject:
            return found
        return replace(
            found, holders=replace(found.holders, held_id_number=[numbers[at] for at in found.holders.subject])
        )


@breaks("people.alias_shared")
class OneRowForANumber(Rewriting):
    def keeps(self, question: Lookup, at: int) -> bool:
        aliases = list(question.subjects.alias_id_number)
        return not (len(aliases) == 2 and aliases[0] == aliases[1] and at == 2)


@breaks("people.alias_many")
class FourAliases(Register):
    def answer(self, question: Lookup) -> Found:
        subjects = question.subjects
        few = replace(subjects, alias_subject=subjects.alias_subject[:4], alias_id_number=subjects.alias_id_number[:4])
        return super().answer(replace(question, subjects=few))


@breaks("people.alias_own")
class TwiceForTheSame(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        if list(question.subjects.alias_id_number) != list(question.subjects.id_number):
            return found
        return replace(found, evidence=Evidence.concatenate([found.evidence, found.evidence]))


# wrong numbers


def finds(case: str, match: Callable[[str], str | None]) -> None:
    """A register that finds people by what is not their number."""

    class Finds(Register):
        def found(self, asked: str) -> str | None:
            return super().found(asked) or match(asked)

    MUTANTS[case] = Finds


def by_seventeen(asked: str) -> str | None:
    alike = [number for number in FOUR if number[:17] == asked[:17]]
    return alike[0] if alike and len(asked) == 18 and asked.isalnum() else None


finds("wrong.check_digit", by_seventeen)
finds("wrong.part", lambda asked: asked[:18] if asked[:18] in FOUR and asked.isalnum() else None)
finds("wrong.ill_formed", lambda asked: None if asked else ANNA)
finds("wrong.patterns", lambda asked: next((n for n in FOUR if asked[-1:] == "%" and n.startswith(asked[:-1])), None))


def trips(case: str, over: Callable[[Lookup], bool], error: type[Exception] = ValueError) -> None:
    """A register that crashes over some questions."""

    class Trips(Register):
        def answer(self, question: Lookup) -> Found:
            if over(question):
                raise error("no", "否") if issubclass(error, SourceFaultError) else error("no")
            return super().answer(question)

    MUTANTS[case] = Trips


trips("wrong.control", lambda question: any("\x00" in number for number in question.subjects.id_number))
trips("wrong.huge", lambda question: any(len(number) > 1_000 for number in question.subjects.id_number))


@breaks("wrong.beside")
class DropsTheBatch(Register):
    def answer(self, question: Lookup) -> Found:
        numbers = question.subjects.id_number
        return Found() if len(numbers) > 1 and any(len(n) != 18 for n in numbers) else super().answer(question)


@breaks("wrong.aftermath")
class BrokenTransaction(Register):
    def answer(self, question: Lookup) -> Found:
        before = single(self.source.asked[-2]) if len(self.source.asked) > 1 else ""
        return Found() if before == "<x/>" and single(question) in FOUR else super().answer(question)


# names


def names_with(part: str) -> Callable[[Lookup], bool]:
    return lambda question: any(part in name for name in question.subjects.name)


trips("names.rare", names_with("㐂"))
trips("names.private_use", names_with("\ue816"))
trips("names.full_width", names_with("Ａ"), SourceFaultError)
trips("names.combining", names_with("\u0308"))
trips("names.middle_dot", lambda question: names_with("•")(question) and len(question.subjects) == 1)
trips("names.quotes", names_with("'"))
trips("names.long", lambda question: any(200 < len(n.encode()) < 300 for n in question.subjects.name), SourceFaultError)
trips("names.none", lambda question: "" in question.subjects.name)
trips("names.odd", names_with("\x00"))
trips("names.huge", lambda question: any(len(name) > 10_000 for name in question.subjects.name))
holds("names.size", lambda source: source.names.update({CHEN: "长" * 100}))
holds("names.undamaged", lambda source: source.names.update({CHEN: "锟斤拷"}))


# what was asked for


@breaks("filter.kinds")
class AllKinds(Register):
    def wanted(self, row: Row, question: Lookup) -> bool:
        own = set(question.kinds) <= self.about.kinds and len(question.kinds) == 1
        return super().wanted(row, replace(question, kinds=()) if own else question)


@breaks("filter.several_kinds")
class NotTheLastKind(Register):
    def wanted(self, row: Row, question: Lookup) -> bool:
        return super().wanted(row, question) and not (len(question.kinds) > 1 and row.kind == question.kinds[-1])


@breaks("filter.other_kinds")
class NobodyOfOtherKinds(Register):
    def answer(self, question: Lookup) -> Found:
        return Found() if set(question.kinds) - self.about.kinds else super().answer(question)


@breaks("filter.traces_since")
class AfterTheDay(Register):
    def wanted(self, row: Row, question: Lookup) -> bool:
        late = row.kind >= 100 or row.observed_on > question.traces_since_on
        return super().wanted(row, question) and late


@breaks("filter.events_kept")
class EventsSince(Register):
    def wanted(self, row: Row, question: Lookup) -> bool:
        return super().wanted(row, question) and row.observed_on >= question.traces_since_on


@breaks("filter.references")
class NothingWithoutReferences(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        return found if question.references else without_last_row(found)


@breaks("filter.purposes")
class LessForAudits(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        return without_last_row(found) if question.purpose == words.PURPOSE_AUDIT else found


trips("filter.legal_basis", lambda question: 200 < len(question.legal_basis.encode()) < 300, SourceFaultError)


# rows that do not read


class LeavesTheRowOut(Register):
    """Tells what does read of somebody, as if that were all."""

    def unreadable(self, question: Lookup) -> set[int]:
        named = super().unreadable(question)
        return set() if self.leaves_out(question) else named

    def leaves_out(self, question: Lookup) -> bool:
        raise NotImplementedError


@breaks("unreadable.refused")
class NeverRefuses(LeavesTheRowOut):
    def leaves_out(self, question: Lookup) -> bool:
        return not question.takes_unreadable


@breaks("unreadable.named")
class TakesTheRestForAll(LeavesTheRowOut):
    def leaves_out(self, question: Lookup) -> bool:
        return question.takes_unreadable and EMIL in question.subjects.id_number


class NamesOneRow(Register):
    """Caught by the same case."""

    def unreadable(self, question: Lookup) -> set[int]:
        return set(sorted(super().unreadable(question))[:1])


@breaks("unreadable.former_number")
class BlindToFormerNumbers(LeavesTheRowOut):
    def leaves_out(self, question: Lookup) -> bool:
        return EMIL in question.subjects.alias_id_number


@breaks("unreadable.others")
class NamesHisNeighbour(Register):
    def unreadable(self, question: Lookup) -> set[int]:
        named, numbers = super().unreadable(question), list(question.subjects.id_number)
        return {*named, numbers.index(BO)} if named and BO in numbers else named


@breaks("unreadable.none")
class TellsLessWherePermitted(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        first_known = found.holders.subject.tolist()[:1] == [0]
        return without_last_row(found) if question.takes_unreadable and first_known else found


@breaks("unreadable.silent")
class NamesAndTells(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        if not len(found.unreadable):
            return found
        rows = found.unreadable.tolist()
        held = found.holders
        return replace(
            found,
            holders=type(held)(
                ints([*held.subject, *rows]),
                [*held.held_id_number, *(EMIL for _ in rows)],
                [*held.held_name, *("" for _ in rows)],
            ),
        )


@breaks("unreadable.unasked")
class NamesUnasked(Register):
    def answer(self, question: Lookup) -> Found:
        if question.takes_unreadable or not self.unreadable(question):
            return super().answer(question)
        return super().answer(replace(question, takes_unreadable=True))


# the same again


@breaks("same.twice")
class Tires(Register):
    times = 0

    def answer(self, question: Lookup) -> Found:
        self.times = self.times + 1 if list(question.subjects.id_number) == FOUR else 0
        found = super().answer(question)
        tired = self.times and not self.times % 2 and self.source.opened == 1
        return without_last_row(found) if tired else found


@breaks("same.order")
class ByPosition(Register):
    def answer(self, question: Lookup) -> Found:
        found, numbers = super().answer(question), list(question.subjects.id_number)
        return without_last_row(found) if len(numbers) == 8 and numbers[-1] == ANNA else found


@breaks("same.between_strangers")
class LessInACrowd(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        crowd = len(set(question.subjects.id_number)) > 40
        return without_last_row(found) if crowd else found


# time


@breaks("time.short")
class HalfInTime(Rewriting):
    def keeps(self, question: Lookup, at: int) -> bool:
        return not (0 < question.deadline_s < 0.01) or at < len(question.subjects) // 2


trips("time.none", lambda question: question.deadline_s <= 0)


@breaks("time.after_late")
class NoConnectionLeft(Register):
    def answer(self, question: Lookup) -> Found:
        late = [one.deadline_s < 0.01 for one in self.source.asked[-4:]]
        return Found() if late == [True, True, True, False] else super().answer(question)


@breaks("time.cancel")
class GoesOn(Register):
    bounds = Bounds(people=MAX_BATCH, rows=50, grace_s=1.0)

    async def lookup(self, question: Lookup) -> Found:
        try:
            return await super().lookup(question)
        except asyncio.CancelledError:
            await asyncio.Event().wait()  # until it is cancelled once more
            raise


@breaks("time.after_cancel")
class LeaksConnections(Register):
    leaked = 0

    async def lookup(self, question: Lookup) -> Found:
        if self.leaked >= 8:
            self.leaked = 0
            raise refusal("no connection is free")
        try:
            return await super().lookup(question)
        except asyncio.CancelledError:
            self.leaked += 1
            raise


@breaks("time.at_once")
class SharesABuffer(Register):
    under_way = 0

    async def lookup(self, question: Lookup) -> Found:
        self.under_way += 1
        try:
            await asyncio.sleep(0)
            found = await super().lookup(question)
            return without_last_row(found) if self.under_way > 2 else found
        finally:
            self.under_way -= 1


@breaks("time.beside_cancelled")
class SharesAConnection(Register):
    closed = 0

    async def lookup(self, question: Lookup) -> Found:
        before = self.closed
        try:
            for _ in range(10):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            for _ in range(3):
                await asyncio.sleep(0)
            self.closed += 1
            raise
        if self.closed != before:
            raise SourceDownError("connection lost", "连接中断")
        return await super().lookup(question)


# shape


class Reshaping(Register):
    def answer(self, question: Lookup) -> Found:
        found = super().answer(question)
        return self.reshaped(found, question) if len(found.holders.subject) else found

    def reshaped(self, found: Found, question: Lookup) -> Found:
        raise NotImplementedError


@breaks("answer.columns")
class OneNameTooMany(Reshaping):
    def reshaped(self, found: Found, question: Lookup) -> Found:
        return replace(found, holders=replace(found.holders, held_name=[*found.holders.held_name, ""]))


@breaks("answer.subjects")
class BeyondTheQuestion(Reshaping):
    def reshaped(self, found: Found, question: Lookup) -> Found:
        held = found.holders
        more = type(held)(ints([*held.subject, 5_000]), [*held.held_id_number, ANNA], [*held.held_name, ""])
        return replace(found, holders=more)


@breaks("answer.own_record")
class SomeoneElse(Reshaping):
    def reshaped(self, found: Found, question: Lookup) -> Found:
        numbers = [BO if number == CHEN else number for number in found.holders.held_id_number]
        return replace(found, holders=replace(found.holders, held_id_number=numbers))


@breaks("answer.holders_once")
class HoldersTwice(Reshaping):
    def reshaped(self, found: Found, question: Lookup) -> Found:
        held = found.holders
        twice = type(held)(ints([*held.subject] * 2), [*held.held_id_number] * 2, [*held.held_name] * 2)
        return replace(found, holders=twice)


class ForgetsAHolder(Reshaping):
    whose = ""

    def reshaped(self, found: Found, question: Lookup) -> Found:
        held = found.holders
        if len(question.subjects) != 4 or set(question.subjects.name) != {"某人"}:
            return found
        keep = [at for at, number in enumerate(held.held_id_number) if number != self.whose]
        some = type(held)(
            held.subject[keep], [held.held_id_number[at] for at in keep], [held.held_name[at] for at in keep]
        )
        return replace(found, holders=some)


MUTANTS["answer.evidence_held"] = type("ForgetsChen", (ForgetsAHolder,), {"whose": CHEN})
MUTANTS["links.held"] = type("ForgetsDing", (ForgetsAHolder,), {"whose": DING})


@breaks("answer.complete_until")
class Foresees(Reshaping):
    def reshaped(self, found: Found, question: Lookup) -> Found:
        return replace(found, complete_until_on=TODAY + 30)


@breaks("answer.errors_impersonal")
class TellsOfPeople(Register):
    def answer(self, question: Lookup) -> Found:
        for number in question.subjects.id_number:
            if len(number) != 18 or not number.isalnum():
                raise refusal(f"{number!r} is no number")
        return super().answer(question)


# contents

row_of_bo("evidence.department", department=words.DEPARTMENT_HEALTH)
row_of_bo("evidence.strength", strength=0)
row_of_bo("evidence.strength_described", strength=words.STRENGTH_WEAK)
row_of_bo("evidence.region", region=33)
row_of_bo("evidence.region_described", region=510100)
row_of_bo("evidence.observed", observed_on=0)
row_of_bo("evidence.reference_size", reference="r" * 300)
row_of_bo("evidence.reference_impersonal", reference=f"R-{BO}")
row_of_bo("evidence.detail", detail=7)
row_of_bo("evidence.period", from_on=5_000)
describes("links.described", links=False)
holds("links.formed", lambda source: source.links.update({DING: DING}))
row_of_bo("clock.traces_past", observed_on=TODAY + 30)
row_of_bo("clock.events_past", DEAD, observed_on=TODAY + 30)
row_of_bo("clock.available_past", available_on=TODAY + 30)
row_of_bo("clock.available_after", available_on=20_000)


def another_kind(source: Source) -> None:
    source.people[BO].append(Row(words.EVIDENCE_KIND_BORDER_CROSSING, TODAY - 9, "b1"))


holds("evidence.kinds", another_kind)


# days and restarts


def a_day_later(source: Source) -> None:
    for row in source.people[ANNA]:
        if row.kind == HOTEL:
            row.observed_on += 1
            row.available_on += 1


holds("clock.known_day", a_day_later)


@breaks("clock.time_zone")
class ByTheMachine(Reshaping):
    def reshaped(self, found: Found, question: Lookup) -> Found:
        shift = -1 if time.localtime().tm_gmtoff < 0 else 0
        evidence = found.evidence
        return replace(found, evidence=replace(evidence, observed_on=evidence.observed_on + np.int32(shift)))


@breaks("restart.answer")
class Learns(Register):
    lookups = 0

    def answer(self, question: Lookup) -> Found:
        self.lookups += 1
        found = super().answer(question)
        return without_last_row(found) if self.lookups == 1 else found


@breaks("restart.description")
class NewVersion(Register):
    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.about = replace(Register.about, version="1" if source.opened == 1 else "2")


@breaks("restart.closed")
class CrashesWhenClosed(Register):
    open = True

    async def close(self) -> None:
        self.open = False

    def answer(self, question: Lookup) -> Found:
        if not self.open:
            raise RuntimeError("cannot schedule new futures after shutdown")
        return super().answer(question)


# changes


@breaks("changes.described")
class TellsNoChanges(Register):
    changes = None  # type: ignore[assignment]


@breaks("changes.begin")
class TellsTheOld(Register):
    async def changes(self, cursor: bytes, limit: int) -> Changed:
        changed = await super().changes(cursor, limit)
        return changed if cursor else Changed([BO], [""], changed.cursor)


@breaks("changes.shape")
class NamelessChange(Register):
    async def changes(self, cursor: bytes, limit: int) -> Changed:
        return replace(await super().changes(cursor, limit), name=["surplus"] * 200)


@breaks("changes.restart")
class CursorOfTheProcess(Register):
    async def changes(self, cursor: bytes, limit: int) -> Changed:
        own = b"%d " % self.source.opened
        if cursor and not cursor.startswith(own):
            raise refusal("no cursor of this adapter")
        changed = await super().changes(cursor.removeprefix(own), limit)
        return replace(changed, cursor=own + changed.cursor)


@breaks("changes.again")
class ToldIsTold(Register):
    used = (b"", 0)

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        changed, used = await super().changes(cursor, limit), self.used
        self.used = (cursor, limit)
        return replace(changed, id_number=[], name=[]) if used == self.used else changed


@breaks("changes.foreign")
class AnyCursor(Register):
    async def changes(self, cursor: bytes, limit: int) -> Changed:
        try:
            return await super().changes(cursor, limit)
        except SourceFaultError:
            return await super().changes(b"at 0", limit)


@breaks("changes.limit")
class NoLimit(Register):
    async def changes(self, cursor: bytes, limit: int) -> Changed:
        return await super().changes(cursor, 1_000)


@breaks("changes.told")
class LeavesOneOut(Register):
    async def changes(self, cursor: bytes, limit: int) -> Changed:
        changed = await super().changes(cursor, limit)
        people = [number for number in changed.id_number if number != BO]
        return replace(changed, id_number=people, name=[""] * len(people))
