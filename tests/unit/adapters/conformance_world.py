"""A register in memory that keeps every rule of the contract, to be spoilt one rule at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from adapters.conformance import Bounds, Person, ProgramTarget, Report, Sample, conform
from adapters.contract import Changed, DataItem, Description, Evidence, Found, Holders, Links, Lookup
from adapters.errors import SourceFaultError
from tests.unit.adapters.adapters_world import NOW_MS, day, now_ms, number
from wugan.adapter.v1 import vocabulary_pb2 as words

HOTEL, DEAD = words.EVIDENCE_KIND_HOTEL_STAY, words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH
HELD, MOVED = words.EVIDENCE_KIND_DETAINED, words.EVIDENCE_KIND_HOUSEHOLD_MOVED
TODAY = (NOW_MS // 1000 + 8 * 3600) // 86_400
MAX_BATCH = 100
ANNA, BO, CHEN, DING, NOBODY, EMIL = (number(serial) for serial in range(1, 7))
NAMES = {ANNA: "欧阳安娜", BO: "买买提·吐尔逊", CHEN: "陈", DING: "", EMIL: "艾"}
SAMPLE = Sample(
    (
        Person(ANNA, NAMES[ANNA], 2, HOTEL, day("2026-03-03")),
        Person(BO, "买买提．吐尔逊", 3),
        Person(CHEN, "", 4),
        Person(DING, "", 5),
    ),
    (Person(NOBODY, "无人", 6),),
    (Person(EMIL, "艾", 7),),
)
COLUMNS = ("kind", "region", "observed_on", "available_on", "strength", "detail", "from_on", "until_on")


@dataclass
class Row:
    """A row of the register."""

    kind: int
    observed_on: int
    reference: str
    region: int = 330702
    available_on: int = 0
    strength: int = words.STRENGTH_REAL_NAME
    detail: int = 0
    from_on: int = 0
    until_on: int = 0
    department: int = 0


def register() -> dict[str, list[Row]]:
    """Who is in it."""
    return {
        ANNA: [
            Row(HOTEL, day("2026-03-01"), "h1", available_on=day("2026-03-02")),
            Row(HOTEL, day("2026-03-03"), "h2", available_on=day("2026-03-03")),
            Row(HELD, day("2020-01-01"), "d1", from_on=day("2020-01-01"), until_on=day("2020-02-01")),
            Row(MOVED, day("2021-05-01"), "m1", detail=330100),
            Row(DEAD, day("2026-05-01"), "c1"),
        ],
        BO: [Row(HOTEL, day("2026-04-01"), "h3"), Row(DEAD, day("2026-06-01"), "c2")],
        CHEN: [Row(HOTEL, day("2026-04-02"), "h4")],
        DING: [],
        EMIL: [Row(HOTEL, day("2026-04-03"), "h5")],
    }


@dataclass
class Source:
    """What outlives a restart."""

    people: dict[str, list[Row]] = field(default_factory=register)
    names: dict[str, str] = field(default_factory=lambda: dict(NAMES))
    links: dict[str, str] = field(default_factory=lambda: {DING: number(70)})
    unreadable: set[str] = field(default_factory=lambda: {EMIL})
    changed: list[str] = field(default_factory=lambda: [ANNA])
    opened: int = 0
    asked: list[Lookup] = field(default_factory=list)


class Register:
    """The register."""

    about = Description(
        "register",
        "1",
        words.DEPARTMENT_PUBLIC_SECURITY,
        (330000,),
        tuple(DataItem(kind, words.STRENGTH_REAL_NAME, 1) for kind in (HOTEL, DEAD, HELD, MOVED)),
        links=True,
        max_batch=MAX_BATCH,
        changes=True,
    )

    def __init__(self, source: Source) -> None:
        self.source = source
        source.opened += 1

    def describe(self) -> Description:
        return self.about

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return

    async def lookup(self, question: Lookup) -> Found:
        self.source.asked.append(question)
        await asyncio.sleep(0)
        return self.answer(question)

    def answer(self, question: Lookup) -> Found:
        if len(question.subjects) > MAX_BATCH:
            raise SourceFaultError("too many people", "人数过多")
        held: list[tuple[int, str, str]] = []
        evidence: list[tuple[int, Row]] = []
        links: list[tuple[int, str]] = []
        unreadable = self.unreadable(question)
        if unreadable and not question.takes_unreadable:
            raise SourceFaultError("a row cannot be read", "有无法读取的行")
        for asked, rows in question.subjects.rows_by_number().items():
            key = self.found(asked)
            if key is None:
                continue
            for subject in (row for row in rows if row not in unreadable):
                held.append((subject, asked, self.source.names[key]))
                evidence += [(subject, row) for row in self.source.people[key] if self.wanted(row, question)]
                if key in self.source.links:
                    links.append((subject, self.source.links[key]))
        return replace(self.told(held, evidence, links), unreadable=ints(sorted(unreadable)))

    def unreadable(self, question: Lookup) -> set[int]:
        """Rows of the question about somebody of whom a row cannot be read, under whatever number."""
        asked = question.subjects.rows_by_number().items()
        return {row for number, rows in asked if self.found(number) in self.source.unreadable for row in rows}

    def found(self, asked: str) -> str | None:
        return asked if asked in self.source.people else None

    def wanted(self, row: Row, question: Lookup) -> bool:
        since = row.kind >= 100 or row.observed_on >= question.traces_since_on
        return since and (not question.kinds or row.kind in question.kinds)

    def told(
        self,
        held: Sequence[tuple[int, str, str]],
        evidence: Sequence[tuple[int, Row]],
        links: Sequence[tuple[int, str]],
    ) -> Found:
        department = self.about.department
        return Found(
            Holders(ints(at for at, _, _ in held), [number for _, number, _ in held], [name for *_, name in held]),
            Evidence(
                subject=ints(at for at, _ in evidence),
                department=ints(row.department or department for _, row in evidence),
                source_reference=[row.reference for _, row in evidence],
                **{name: ints(getattr(row, name) for _, row in evidence) for name in COLUMNS},
            ),
            Links(ints(at for at, _ in links), [other for _, other in links], ints(0 for _ in links)),
            TODAY - 1,
        )

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        changed = self.source.changed
        if not cursor:
            return Changed([], [], b"at %d" % len(changed))
        if not cursor.startswith(b"at ") or not cursor[3:].isdigit() or len(cursor) > 20:
            raise SourceFaultError("no cursor of this adapter", "游标不属于该接入")
        at = int(cursor[3:])
        people = changed[at : at + limit]
        after = at + len(people)
        return Changed(people, [NAMES[one] for one in people], b"at %d" % after, more=after < len(changed))


def ints(values: object) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.fromiter(values, np.int32)  # type: ignore[call-overload]


async def proved(kind: type[Register], bounds: Bounds | None = None, only: Sequence[str] = ()) -> Report:
    """The report about a register of this kind."""
    source = Source()

    async def stir() -> Sequence[str]:
        source.changed += [BO, CHEN]
        return [BO, CHEN]

    target = ProgramTarget("register", lambda: kind(source))
    bounds = bounds or Bounds(people=MAX_BATCH, rows=50, grace_s=20)
    return await conform(target, SAMPLE, bounds=bounds, stir=stir, only=only, now_ms=now_ms)
