"""Asking an adapter for the cases: every question and answer is kept, and nothing an adapter does stops the run.

Owns: the questions, how long is waited at most, the record of answers and errors, and the people asked about. Refuses:
rules: those stand in `adapters.conformance.cases`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from adapters.build import system_clock
from adapters.conformance.answers import Answer, Said, said_of
from adapters.conformance.case import Failed, NotTried
from adapters.conformance.sample import KNOWN_AT_MOST, Person, Sample, strangers
from adapters.conformance.target import Target
from adapters.contract import Adapter, Changed, ChangeFeed, Description, Found, Lookup, Subjects
from adapters.errors import AdapterError
from adapters.kinds.common import day_before
from wugan.adapter.v1 import vocabulary_pb2 as words

Result = TypeVar("Result")

SOMEBODY = "某人"
"""The name under which nobody is asked about."""
LEGAL_BASIS = "《政务数据共享条例》（一致性检查）"
_LATE_S = 5.0
"""An error that comes no sooner is one of a source that was waited for; it may give up before the deadline."""
_NUMBERS = re.compile(r"\d{15,17}[\dXx]?")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the kit goes.

    Args:
        people: in the largest batch tried, at most.
        deadline_s: seconds given to a lookup.
        grace_s: seconds after a deadline or a cancellation within which an adapter must have ended.
        rows: of one answer about one person, on average, at most.
        answer_bytes: of one answer, at most.
        at_once: lookups made at the same time.
        in_vain: times that an adapter may be waited for in vain; then no further case is tried.
    """

    people: int = 10_000
    deadline_s: float = 30.0
    grace_s: float = 10.0
    rows: int = 1_000
    answer_bytes: int = 256 * 2**20
    at_once: int = 8
    in_vain: int = 3


@runtime_checkable
class Learning(Protocol):
    """An adapter that runs elsewhere, and remembers what it said of itself."""

    async def learn(self) -> Description:
        """Ask it again."""
        ...


Stir = Callable[[], Awaitable[Sequence[str]]]
"""Changes something in the source; the numbers of those who changed."""


class Kit:
    """One run over one adapter.

    Args:
        target: what is proved.
        adapter: opened from it.
        sample: people.
        bounds: how far to go.
        stir: changes something in the source, where a program can.
        now_ms: Unix time in milliseconds.

    Attributes:
        answers: every answer so far.
        errors: every error that the adapter raised as it should.
        nobodies: numbers that are nobody's in the source.
        in_vain: times that the adapter was waited for and did not come back, or only to say that its source is late.
    """

    def __init__(
        self,
        target: Target,
        adapter: Adapter,
        sample: Sample,
        bounds: Bounds | None = None,
        stir: Stir | None = None,
        now_ms: Callable[[], int] = system_clock,
    ) -> None:
        self.target = target
        self.adapter = adapter
        self.about: Description = adapter.describe()
        self.bounds = bounds or Bounds()
        self.stir = stir
        self.today = day_before(now_ms(), 0)
        self.answers: list[Answer] = []
        self.errors: list[AdapterError] = []
        self.sample = sample
        self.unknown = sample.unknown[:KNOWN_AT_MOST]
        self.unreadable = sample.unreadable[:KNOWN_AT_MOST]
        self.largest = max(1, min(self.about.max_batch, self.bounds.people))
        self.strangers = strangers(max(self.largest, KNOWN_AT_MOST) + 1, [p.number for p in sample.everybody])
        self.nobodies = frozenset(self.strangers)
        self.in_vain = 0
        self._known: list[tuple[Person, Said]] | None = None

    async def ask(
        self,
        subjects: Subjects | Sequence[str],
        *,
        adapter: Adapter | None = None,
        kinds: tuple[int, ...] = (),
        since: int = 0,
        deadline_s: float | None = None,
        purpose: int = words.PURPOSE_CERTIFICATION,
        legal_basis: str = LEGAL_BASIS,
        references: bool = True,
        takes_unreadable: bool = False,
    ) -> Found:
        """Ask about people.

        Raises:
            AdapterError: the adapter refused, as it may.
            Failed: it raised something else, or did not come back.
        """
        if not isinstance(subjects, Subjects):
            subjects = Subjects(list(subjects), [SOMEBODY] * len(subjects))
        seconds = self.bounds.deadline_s if deadline_s is None else deadline_s
        question = Lookup(
            subjects,
            kinds,
            since,
            seconds,
            purpose,
            legal_basis,
            references,
            takes_unreadable=takes_unreadable,
        )
        found = await self.within((adapter or self.adapter).lookup(question), max(seconds, 0))
        if not isinstance(found, Found):
            raise Failed("a lookup returned something that is no answer", "查询返回的不是应答")
        self.answers.append(Answer(question, found))
        return found

    async def said(self, people: Sequence[Person | str], **question: object) -> list[Said]:
        """What is said of each of these people, asked together; raises as `ask` does."""
        numbers = [person if isinstance(person, str) else person.number for person in people]
        names = [(SOMEBODY if isinstance(person, str) else person.name) or SOMEBODY for person in people]
        found = await self.ask(Subjects(numbers, names), **question)  # type: ignore[arg-type]
        return said_of(found, range(len(numbers)))

    async def within(self, job: Awaitable[Result], seconds: float) -> Result:
        """What a job of the adapter gives, waited for this long and the grace.

        Raises:
            AdapterError: it raised one; kept in `errors`.
            Failed: it raised something else, or did not end.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        task = asyncio.ensure_future(job)
        await asyncio.wait([task], timeout=seconds + self.bounds.grace_s)
        if not task.done():
            task.cancel()
            self.in_vain += 1
            raise Failed(
                f"did not come back within {seconds:g} s and {self.bounds.grace_s:g} s more",
                f"在 {seconds:g} 秒时限及其后 {self.bounds.grace_s:g} 秒内未返回",
            )
        try:
            return task.result()
        except AdapterError as error:
            self.errors.append(error)
            # Given less time than usual, it is to be late: that is what some cases are about.
            if seconds >= self.bounds.deadline_s and loop.time() - began >= min(seconds / 2, _LATE_S):
                self.in_vain += 1
            raise
        except asyncio.CancelledError:
            raise Failed("gave up by itself, without an error", "未报错自行中止") from None
        except Exception as error:
            name = type(error).__name__
            raise Failed(f"raised {name}, which is no AdapterError", f"抛出 {name}，不属于 AdapterError") from error

    async def known(self) -> list[tuple[Person, Said]]:
        """The people of the sample whom the adapter knows, each with what it says of them, asked together.

        Raises:
            NotTried: there is nobody.
        """
        if self._known is None:
            people = list(self.sample.known)[:KNOWN_AT_MOST] or await self._named()
            numbers = {person.number: person for person in people}
            people = list(numbers.values())
            said = await self.said(people) if people else []
            self._known = [(person, told) for person, told in zip(people, said, strict=True) if told.known]
        if not self._known:
            raise NotTried(
                "needs a person whom the source knows: give --sample", "需要数据源中已有的人员，请用 --sample 提供"
            )
        return self._known

    async def somebody(self) -> tuple[Person, Said]:
        """The known person with most evidence; see `known`."""
        return max(await self.known(), key=lambda one: len(one[1].rows))

    async def _named(self) -> list[Person]:
        """The person that the adapter names itself, if it can."""
        from adapters.asked import normal
        from adapters.kinds.common import Sampling

        if not isinstance(self.adapter, Sampling):
            return []
        number = normal(await self.within(self.adapter.any_number(), self.bounds.deadline_s))
        return [Person(number)] if number else []

    async def differs(self, one: Callable[[], Awaitable[object]], other: Callable[[], Awaitable[object]]) -> bool:
        """Whether two ways of asking give different answers; tried again, because the source may just have changed."""
        for _ in range(2):
            if await one() == await other():
                return False
        return True

    async def described(self) -> Description:
        """What the adapter says of itself now; one that runs elsewhere is asked anew."""
        if isinstance(self.adapter, Learning):
            return await self.within(self.adapter.learn(), self.bounds.deadline_s)
        return self.adapter.describe()

    async def reopen(self) -> Adapter:
        """Another adapter of the same target, after this one was closed and opened again in between."""
        await self.close()
        self.adapter = await self.target.open()
        return self.adapter

    async def restart(self) -> Adapter:
        """The same after a restart.

        Raises:
            NotTried: it is not started from here; connecting again would prove nothing.
        """
        if not self.target.local:
            raise NotTried(
                "it runs elsewhere; tell by --start how it is started", "其在别处运行，请用 --start 给出启动命令"
            )
        return await self.reopen()

    async def close(self) -> None:
        """Close the adapter.

        Raises:
            Failed: it raised something, or does not end.
        """
        await self.within(self.adapter.close(), 0)

    def feed(self) -> ChangeFeed:
        """The adapter, as one that tells of changes.

        Raises:
            NotTried: it says that it does not.
        """
        if not self.about.changes or not isinstance(self.adapter, ChangeFeed):
            raise NotTried("it does not tell of changes", "该接入不提供变更跟踪")
        return self.adapter

    @property
    def known_if_any(self) -> list[tuple[Person, Said]] | None:
        """The known people, if they were asked for before."""
        return self._known

    async def stirred(self, cursor: bytes) -> Changed:
        """What is new since a cursor, after something was changed in the source where a program can."""
        if self.stir is not None:
            await self.stir()
        return await self.changes(cursor)

    async def changes(self, cursor: bytes, limit: int = 100) -> Changed:
        """Of whom there is something new; raises as `ask` does."""
        return await self.within(self.feed().changes(cursor, limit), self.bounds.deadline_s)

    def scrubbed(self, text: str) -> str:
        """A text of the adapter's without what may be somebody's number, or a name of the sample."""
        for person in self.sample.everybody:
            for part in (person.number, person.name):
                if len(part) > 1:
                    text = text.replace(part, "***")
        return _NUMBERS.sub("***", text)[:500]

    async def quietly_close(self) -> None:
        """Close what is left, whatever it does."""
        with suppress(AdapterError, Failed):
            await self.close()
