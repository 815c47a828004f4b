"""Following the own departments: of whom one has something new, and whether anybody subscribed for that person.

Owns: a loop for each department that tells of changes, as they come and go; its place, which is kept; holding those
people against the tokens of all subscribers. Whoever nobody subscribed for is forgotten at once. Refuses: asking what
changed (`noticing` does, of everybody who may know), and one department holding up another.

The rule. People and the place to go on from are written in one commit: after a crash the same people are told again by
the department, and nobody is left out. A person may be subscribed for under an old number, so the departments that link
numbers are asked for those of everybody who changed; while one of these does not answer, people are kept until it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import structlog

from adapters.contract import MAX_CURSOR_BYTES, Changed, ChangeFeed, Description
from adapters.errors import AdapterError, SourceFaultError
from gateway.clock import Clock
from gateway.errors import RefusedError, StoreError
from gateway.exchange.tokens import PairKey
from gateway.inquiry.asking import Departments
from gateway.inquiry.identities import linked_numbers
from gateway.log import described
from gateway.observing import metrics
from gateway.rules.identity import normalise_numbers
from gateway.sections.lasting import NoticesSettings
from gateway.store.changes import ChangedPerson, Changes, Taken
from gateway.store.jumps import STEP_MS, Jumps
from gateway.store.watches import Group, Watches
from wugan.federation.v1 import vocabulary_pb2 as words

_log = structlog.stdlib.get_logger(__name__)

_LONGEST_PAUSE_S: Final = 300.0


class Behind(NamedTuple):
    """A department whose changes cannot be read at the moment.

    Args:
        since_ms: of the first try that failed.
        tries: how many have.
        en, zh: why the last one did.
        own: whether it was for this gateway's own storage, of which others tell.
    """

    since_ms: int
    tries: int
    en: str
    zh: str
    own: bool = False


class Following:
    """See the module.

    Args:
        found: called when somebody was found who is subscribed for.
    """

    def __init__(
        self,
        departments: Departments,
        watches: Watches,
        changes: Changes,
        clock: Clock,
        settings: NoticesSettings,
        found: Callable[[], None],
    ) -> None:
        self._departments = departments
        self._watches = watches
        self._changes = changes
        self._clock = clock
        self._jumps = Jumps(clock, STEP_MS)
        self._settings = settings
        self._found = found
        self._woken: dict[str, asyncio.Event] = {}
        self._exchanged = asyncio.Event()
        self._pushing: set[str] = set()
        self.behind: dict[str, Behind] = {}
        """Departments whose changes cannot be read, by adapter."""

    def wake(self, adapter_id: str = "") -> None:
        """Look at a department now, for it says that it has something; without a name: other departments are asked."""
        if not adapter_id:
            self._exchanged.set()
        elif adapter_id in self._woken:
            self._woken[adapter_id].set()

    async def run(self) -> None:
        """Follow every department that tells of changes, as they come and go, until cancelled."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                self._exchanged.clear()
                # One that ended, because its department was suspended, may begin again; never a second beside it.
                tasks = {name: task for name, task in tasks.items() if not task.done()}
                names = [source.about.adapter_id for source in self._departments.feeds]
                for name in tasks.keys() - names:
                    self._woken[name].set()
                for name in names:
                    if name not in tasks:
                        self._woken[name] = asyncio.Event()
                        tasks[name] = asyncio.create_task(self._follow(name))
                        tasks[name].add_done_callback(lambda _: self._exchanged.set())
                await self._exchanged.wait()
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _follow(self, name: str) -> None:
        """Follow a department through whichever adapter it has at the moment, until it has none."""
        woken = self._woken[name]
        while True:
            source = next((each for each in self._departments.feeds if each.about.adapter_id == name), None)
            if source is None or not isinstance(source.adapter, ChangeFeed):
                del self._woken[name]
                self.behind.pop(name, None)
                return
            woken.clear()
            pause_s: float = self._settings.poll_s
            try:
                with source:
                    if await self.look(source.about, source.adapter):
                        pause_s = 0.0
                self.behind.pop(name, None)
            except (AdapterError, StoreError) as error:
                what = described(error) if isinstance(error, StoreError) else type(error).__name__
                pause_s, tries = self._not_read(name, error.en, error.zh, own=isinstance(error, StoreError))
                _log.warning("changes not read", adapter=name, fault=what, failures=tries)
            except Exception as error:  # noqa: BLE001  an adapter is foreign code, and the loop must go on
                pause_s, tries = self._not_read(name, "the adapter crashed; see the log", "接入程序异常，详见日志")
                _log.error("changes not read", adapter=name, error=type(error).__name__, failures=tries)
            try:
                async with asyncio.timeout(pause_s):
                    await woken.wait()
            except TimeoutError:
                pass

    def _not_read(self, name: str, en: str, zh: str, *, own: bool = False) -> tuple[float, int]:
        """A department's changes could not be read; how long to wait, and how often that was so."""
        before = self.behind.get(name)
        since_ms, tries = (self._clock.now_ms(), 0) if before is None else (before.since_ms, before.tries)
        self.behind[name] = Behind(since_ms, tries + 1, en, zh, own)
        pause_s: float = self._settings.poll_s * 2 ** min(tries + 1, 10)
        return min(_LONGEST_PAUSE_S, pause_s), tries + 1

    async def pushed(self, adapter_id: str, numbers: Sequence[str], names: Sequence[str]) -> None:
        """A department tells of people by itself; without any, that it has something to tell when it is looked at.

        Who is subscribed for is noted, on the disk when this returns. The place in the department's changes stays: who
        comes that way, too, is looked at again, and told of once.

        Raises:
            RefusedError: OVERLOADED; it pushes already, and one push asks other departments.
            StoreError: it could not be written.
        """
        if not numbers:
            self.wake(adapter_id)
            return
        if adapter_id in self._pushing:
            raise RefusedError(
                "one push at a time; push again when the one before was answered",
                "同一时间只能推送一次，请在上次推送答复后重试",
                reason=words.REFUSAL_REASON_OVERLOADED,
                retryable=True,
                retry_after_ms=200,
            )
        self._pushing.add(adapter_id)
        try:
            metrics.CHANGES.add(adapter_id, by=len(numbers))
            people = await self._subscribed(adapter_id, Changed(numbers, names, b""))
            if people:
                await self._changes.take(Taken(adapter_id, None, people, self._clock.now_ms()))
                self._found()
        finally:
            self._pushing.discard(adapter_id)

    async def look(self, about: Description, feed: ChangeFeed) -> bool:
        """Take in one page of a department's changes; whether there are more.

        Raises:
            AdapterError: the department could not be read.
            StoreError: what it brought could not be written; it will bring it again.
        """
        before = await self._changes.cursor(about.adapter_id)
        changed = await feed.changes(before, self._settings.page)
        _check(changed, about.adapter_id, self._settings.page)
        if len(changed):
            metrics.CHANGES.add(about.adapter_id, by=len(changed))
        people = await self._subscribed(about.adapter_id, changed)
        if people or changed.cursor != before:
            await self._changes.take(Taken(about.adapter_id, changed.cursor, people, self._clock.now_ms()))
        if people:
            self._found()
        return changed.more

    async def _subscribed(self, adapter: str, changed: Changed) -> list[ChangedPerson]:
        """Those of the people whom somebody subscribed for, or may have."""
        numbers, _ = normalise_numbers(list(changed.id_number))
        names = {number: name for number, name in zip(numbers, changed.name, strict=True) if number}
        groups = await self._watches.groups() if names else []
        if not groups:
            return []
        linked, whole = await linked_numbers(
            self._departments, list(names), self._settings.ask_s, self._settings.legal_basis
        )
        people = [ChangedPerson(number, name, linked.get(number, ()), adapter, whole) for number, name in names.items()]
        if not whole:
            return people
        tokens = await asyncio.to_thread(tokens_of, groups, people)
        # Not by a clock that is ahead for a moment: whoever is forgotten here is not looked at when it is set right.
        known = await self._watches.known(list(tokens), self._jumps.at_least_ms())
        found = {tokens[token][0].number for token in known}
        return [person for person in people if person.number in found]


def tokens_of(groups: Sequence[Group], people: Iterable[ChangedPerson]) -> dict[bytes, tuple[ChangedPerson, str]]:
    """Every token under which somebody may have subscribed for these people: whose it is, and of which number."""
    listed = [(person, number) for person in people for number in (person.number, *person.linked)]
    numbers = [number for _, number in listed]
    tokens: dict[bytes, tuple[ChangedPerson, str]] = {}
    for key_id, secret in {(group.key_id, group.secret) for group in groups}:
        tokens.update(zip(PairKey(key_id, secret).tokens(numbers), listed, strict=True))
    return tokens


def _check(changed: Changed, adapter: str, limit: int) -> None:
    if len(changed.id_number) != len(changed.name) or len(changed) > limit or len(changed.cursor) > MAX_CURSOR_BYTES:
        raise SourceFaultError(
            f"{adapter}: what it tells of changes does not fit the question", f"{adapter}：变更应答与请求不符"
        )
